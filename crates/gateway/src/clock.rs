//! The time, as the gate believes it.
//!
//! Decisions depend on wall-clock time, and wall clocks are set by people and by networks. A clock
//! that is set back while the node runs must not lengthen a grant, so [`SystemClock`] never runs
//! backwards: it is the later of the wall clock and what has passed since the start.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_domain::Timestamp;

/// Where `now` comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current time. INVARIANT: never earlier than a time given before.
    fn now(&self) -> Timestamp;

    /// By how much the wall clock lags behind what this clock has given; zero when all is well.
    fn set_back_by(&self) -> Duration {
        Duration::ZERO
    }
}

/// The machine's clock, kept from running backwards.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: Timestamp,
    latest: AtomicI64,
}

impl SystemClock {
    /// Starts from the wall clock as it stands.
    pub fn new() -> Self {
        let started_at = wall();
        Self { started: Instant::now(), started_at, latest: AtomicI64::new(started_at.as_millis()) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let steady = self.started_at.plus(self.started.elapsed());
        let candidate = wall().max(steady).as_millis();
        let before = self.latest.fetch_max(candidate, Ordering::Relaxed);
        Timestamp::from_millis(candidate.max(before))
    }

    fn set_back_by(&self) -> Duration {
        self.started_at.plus(self.started.elapsed()).since(wall())
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards() {
        let clock = SystemClock::new();
        let mut before = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
    }
}
