//! The time by which something is said to be old enough to be destroyed. Pure.
//!
//! A wall clock that jumps forward (a dead battery, a wrong time server, a slip of the hand) must
//! not have evidence destroyed years early, and nothing that is destroyed comes back. So the settled
//! time follows the wall clock only as fast as the monotonic clock runs. A larger step, which a long
//! stop of the node is too, is taken once the wall clock has gone evenly for a whole day, in which
//! somebody can see what the node says about it and set the clock right.

use std::time::Duration;

use portcullis_domain::Timestamp;

/// By how much the wall clock may differ from what the monotonic clock makes it.
const TOLERANCE: Duration = Duration::from_secs(10);
/// Step taken at once after a start: nobody knows how long the node was off.
const RESTART: Duration = Duration::from_secs(3600);
/// How long the wall clock must have gone evenly before a larger step is taken.
const SETTLES: Duration = Duration::from_secs(24 * 3600);

/// What is known of the clock.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    time: Timestamp,
    /// When that was taken, on the monotonic clock.
    taken: Duration,
    /// By how much more than the monotonic clock the next step may be.
    more: Duration,
    /// What the wall clock last said, and when.
    seen: (Timestamp, Duration),
    even_since: Duration,
}

impl Settled {
    /// Begins with the time settled before, or with the wall clock where there was none: then there
    /// is nothing of before either.
    pub(crate) fn begin(before: Option<Timestamp>, wall: Timestamp, monotonic: Duration) -> Self {
        Self {
            time: before.unwrap_or(wall),
            taken: monotonic,
            more: RESTART,
            seen: (wall, monotonic),
            even_since: monotonic,
        }
    }

    /// Takes in what both clocks say.
    pub(crate) fn observe(&mut self, wall: Timestamp, monotonic: Duration) {
        let (before, at) = self.seen;
        let expected = before.plus(monotonic.saturating_sub(at));
        let off = wall.since(expected).max(expected.since(wall));
        if off > TOLERANCE {
            self.even_since = monotonic;
        }
        self.seen = (wall, monotonic);
        let step = wall.since(self.time);
        let passed = monotonic.saturating_sub(self.taken);
        let even = monotonic.saturating_sub(self.even_since);
        if step <= passed + self.more || even >= SETTLES {
            self.time = wall;
            self.taken = monotonic;
            self.more = TOLERANCE;
        }
    }

    /// The settled time.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// By how much the wall clock is ahead of it, where that is more than a moment.
    pub(crate) fn waits(&self) -> Option<Duration> {
        let ahead = self.seen.0.since(self.time);
        (ahead > TOLERANCE).then_some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_follows_a_clock_that_goes_evenly() {
        let mut settled = Settled::begin(None, START, Duration::ZERO);
        for n in 1..1000 {
            settled.observe(START.plus(seconds(n * 5)), seconds(n * 5));
            assert_eq!(settled.time(), START.plus(seconds(n * 5)));
        }
        assert_eq!(settled.waits(), None);
    }

    #[test]
    fn a_jump_is_taken_after_a_day_of_even_running_and_not_before() {
        let mut settled = Settled::begin(None, START, Duration::ZERO);
        let ahead = 24 * 365 * HOUR;
        for n in 1..24 * 60 {
            settled.observe(START.plus(seconds(n * 60) + ahead), seconds(n * 60));
            assert_eq!(settled.time(), START, "minute {n}");
        }
        assert_eq!(settled.waits().unwrap().as_secs() / 3600 / 24, 365);
        settled.observe(START.plus(25 * HOUR + ahead), 25 * HOUR);
        assert_eq!(settled.time(), START.plus(25 * HOUR + ahead));
    }

    #[test]
    fn a_clock_set_right_again_costs_nothing() {
        let mut settled = Settled::begin(None, START, Duration::ZERO);
        settled.observe(START.plus(1000 * HOUR), seconds(60));
        settled.observe(START.plus(3 * HOUR), 3 * HOUR);
        assert_eq!(settled.time(), START.plus(3 * HOUR));
    }

    #[test]
    fn a_short_stop_is_taken_at_once_and_a_long_one_waits() {
        let mut settled = Settled::begin(Some(START), START.plus(HOUR), Duration::ZERO);
        settled.observe(START.plus(HOUR), Duration::ZERO);
        assert_eq!(settled.time(), START.plus(HOUR));
        let mut settled = Settled::begin(Some(START), START.plus(3 * HOUR), Duration::ZERO);
        settled.observe(START.plus(3 * HOUR), Duration::ZERO);
        assert_eq!(settled.time(), START);
    }

    proptest! {
        #[test]
        fn within_a_day_it_never_gains_on_the_monotonic_clock(
            steps in prop::collection::vec((0_u64..7200, -100_000_i64..100_000), 1..60),
        ) {
            let mut settled = Settled::begin(None, START, Duration::ZERO);
            let (mut monotonic, mut skew, mut taken) = (Duration::ZERO, 0, 0);
            for (passed, jump) in steps {
                monotonic += seconds(passed);
                if monotonic >= SETTLES {
                    break;
                }
                skew += jump;
                let wall = Timestamp::from_millis(START.as_millis() + skew * 1000).plus(monotonic);
                let before = settled.time();
                settled.observe(wall, monotonic);
                taken += u32::from(settled.time() > before);
                let most = START.plus(monotonic + RESTART + TOLERANCE * taken);
                prop_assert!(settled.time() <= most.max(START));
            }
        }
    }
}
