//! How an export stands: delivered, failing, behind for too long. Pure; the time is passed in.

use std::time::Duration;

use portcullis_domain::Timestamp;

use crate::sinks::Kind;

/// Longest error kept, in characters.
const MAX_ERROR_CHARS: usize = 500;

/// How an export stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportState {
    /// Its name.
    pub name: String,
    /// What it delivers to.
    pub kind: Kind,
    /// Where to, for people; no secret in it.
    pub destination: String,
    /// Index of the next entry to deliver; all before it are acknowledged.
    pub next: u64,
    /// Entries under the log's checkpoint.
    pub size: u64,
    /// When the receiver last acknowledged something, in this process.
    pub delivered_at: Option<Timestamp>,
    /// Since when there has always been something left to deliver.
    pub behind_since: Option<Timestamp>,
    /// What goes wrong now.
    pub failing: Option<Failing>,
    /// Since when it is behind for longer than it may be.
    pub overdue_since: Option<Timestamp>,
}

/// Failures in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// When the first one was.
    pub since: Timestamp,
    /// How many.
    pub tries: u32,
    /// What the last one was.
    pub why: String,
}

impl ExportState {
    /// Nothing known yet.
    #[must_use]
    pub fn new(name: String, kind: Kind, destination: String) -> Self {
        Self {
            name,
            kind,
            destination,
            next: 0,
            size: 0,
            delivered_at: None,
            behind_since: None,
            failing: None,
            overdue_since: None,
        }
    }

    /// Entries not delivered yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.size.saturating_sub(self.next)
    }

    /// The log has `size` entries now.
    pub fn seen(&mut self, size: u64, now: Timestamp) {
        self.size = self.size.max(size);
        if self.lag() > 0 {
            self.behind_since.get_or_insert(now);
        } else {
            self.caught_up();
        }
    }

    /// Everything before `next` is acknowledged, or passed over by the filter.
    pub fn moved(&mut self, next: u64, now: Timestamp, delivered: bool) {
        self.next = next;
        self.failing = None;
        if delivered {
            self.delivered_at = Some(now);
        }
        if self.lag() == 0 {
            self.caught_up();
        }
    }

    /// A try failed; returns how many have, in a row.
    pub fn failed(&mut self, why: &str, now: Timestamp) -> u32 {
        let why = why.chars().take(MAX_ERROR_CHARS).collect();
        let (since, tries) =
            self.failing.as_ref().map_or((now, 0), |failing| (failing.since, failing.tries));
        let tries = tries.saturating_add(1);
        self.failing = Some(Failing { since, tries, why });
        tries
    }

    /// Whether it has just become overdue: behind, or failing, for longer than `limit`. True
    /// once, until it has caught up again.
    pub fn becomes_overdue(&mut self, limit: Duration, now: Timestamp) -> bool {
        let failing = self.failing.as_ref().map(|failing| failing.since);
        let since = [self.behind_since, failing].into_iter().flatten().min();
        let late = since.is_some_and(|since| now.since(since) > limit);
        if !late || self.overdue_since.is_some() {
            return false;
        }
        self.overdue_since = Some(now);
        true
    }

    fn caught_up(&mut self) {
        self.behind_since = None;
        if self.failing.is_none() {
            self.overdue_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn state() -> ExportState {
        ExportState::new("siem".into(), Kind::Syslog, "logs:6514".into())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_receiver_that_stays_down_is_overdue_once() {
        let mut state = state();
        state.seen(5, at(0));
        for second in 0..60 {
            state.failed("down", at(second));
            assert!(!state.becomes_overdue(LIMIT, at(second)));
        }
        assert!(state.becomes_overdue(LIMIT, at(61)));
        state.failed("still down", at(3600));
        assert!(!state.becomes_overdue(LIMIT, at(3600)), "told once, not per try");
        assert_eq!(state.failing.as_ref().unwrap().tries, 61);
        state.moved(5, at(3601), true);
        assert!(state.overdue_since.is_none() && state.failing.is_none());
        state.seen(6, at(4000));
        assert!(state.becomes_overdue(LIMIT, at(4061)), "and anew the next time");
    }

    #[test]
    fn a_receiver_that_is_too_slow_is_overdue_though_nothing_fails() {
        let mut state = state();
        let mut told = 0;
        for second in 0..200u32 {
            state.seen(u64::from(second) * 10 + 10, at(second.into()));
            state.moved(u64::from(second), at(second.into()), true);
            told += u32::from(state.becomes_overdue(LIMIT, at(second.into())));
        }
        assert_eq!(told, 1);
    }

    proptest! {
        /// Whatever comes, the lag is what is not acknowledged, and one alarm is one time behind.
        #[test]
        fn alarms_alternate_with_catching_up(steps in proptest::collection::vec((0u8..4, 1i64..50), 1..200)) {
            let (mut state, mut now, mut open) = (state(), 0, false);
            for (step, wait) in steps {
                now += wait;
                match step {
                    0 => state.seen(state.size + 3, at(now)),
                    1 => { state.failed("down", at(now)); }
                    2 => state.moved((state.next + 1).min(state.size), at(now), true),
                    _ => state.moved(state.size, at(now), true),
                }
                if state.overdue_since.is_none() {
                    open = false;
                }
                if state.becomes_overdue(LIMIT, at(now)) {
                    prop_assert!(!open);
                    open = true;
                }
                prop_assert!(state.next <= state.size);
                prop_assert_eq!(state.behind_since.is_some(), state.lag() > 0);
            }
        }
    }
}
