//! Rate limits and lockout: how long someone must wait after failing.
//!
//! In flow the remembered [`Attempts`] of one key (a user or a source) and `now`; out flows a
//! [`Verdict`] and the next `Attempts`. Failures wear off evenly while a key is quiet; from the
//! allowance on each further failure doubles the wait. Waiting is never unlimited, because a
//! lockout without end is a gift to whoever wants a person locked out.
//!
//! Guesses made at the same moment must not all see the same old state: count an attempt
//! *before* the password or code is looked at ([`Attempts::attempt`], stored atomically) and take
//! it back when it turns out right.
//!
//! This module knows no user, no store and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use portcullis_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Per user: five failures in 15 minutes are free.
pub const PER_USER: Policy = Policy {
    allowed_failures: 5,
    window: Duration::from_secs(15 * 60),
    first_delay: Duration::from_secs(1),
    max_delay: Duration::from_secs(15 * 60),
};

/// Per source: looser, because an office may share one address.
pub const PER_SOURCE: Policy = Policy { allowed_failures: 20, ..PER_USER };

/// How long an unknown key waits while a [`RateTable`] is full of keys that still count.
pub const FULL_TABLE_DELAY: Duration = Duration::from_secs(5);

/// One failure, in the unit failures wear off in.
const FAILURE: u64 = 1000;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Failures without any wait. At least 1 is used.
    pub allowed_failures: u32,
    /// Time in which that many failures wear off.
    pub window: Duration,
    /// The wait after the last free failure; each further failure doubles it.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
}

/// Whether an attempt may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may.
    Proceed,
    /// It may not yet; what is presented must not even be looked at.
    Wait {
        /// From when on it may.
        until: Timestamp,
    },
}

/// The failures of one key. The default is a key that never failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Failures not yet worn off, in thousandths, as of `last_failed_at`.
    level: u64,
    last_failed_at: Timestamp,
}

impl Attempts {
    /// Whether an attempt may be made now.
    pub fn check(&self, policy: &Policy, now: Timestamp) -> Verdict {
        // Without a delay there is nothing to wait for, also where another node's clock is ahead.
        let until = self.delayed_until(policy);
        let delayed = !policy.delay(self.level).is_zero();
        if delayed && now < until { Verdict::Wait { until } } else { Verdict::Proceed }
    }

    /// Counts an attempt as failed before it is looked at, if it may be made at all. Store the
    /// result atomically, then verify, then call [`Attempts::succeeded`] or
    /// [`Attempts::taken_back`] when it was right.
    ///
    /// The error is when to try again.
    pub fn attempt(self, policy: &Policy, now: Timestamp) -> Result<Self, Timestamp> {
        match self.check(policy, now) {
            Verdict::Proceed => Ok(self.failed(policy, now)),
            Verdict::Wait { until } => Err(until),
        }
    }

    /// After a failure at `now`.
    #[must_use]
    pub fn failed(self, policy: &Policy, now: Timestamp) -> Self {
        let level = self.level_at(policy, now).saturating_add(FAILURE).min(policy.max_level());
        // A clock that went back must not shorten a wait that was already imposed.
        Self { level, last_failed_at: now.max(self.last_failed_at) }
    }

    /// After a complete sign-in of this very user: everything is forgotten. Not for sources: there
    /// anybody with one valid account could clear the failures of guesses at others.
    #[must_use]
    pub fn succeeded(self) -> Self {
        Self::default()
    }

    /// The last counted attempt was right after all; earlier failures stay.
    #[must_use]
    pub fn taken_back(self) -> Self {
        Self { level: self.level.saturating_sub(FAILURE), ..self }
    }

    /// When nothing is remembered any more and the key may be dropped from memory.
    pub fn worn_off_at(&self, policy: &Policy) -> Timestamp {
        let millis = self.level.saturating_mul(policy.millis_per_level()).div_ceil(FAILURE);
        self.delayed_until(policy).plus(Duration::from_millis(millis))
    }

    fn delayed_until(&self, policy: &Policy) -> Timestamp {
        self.last_failed_at.plus(policy.delay(self.level))
    }

    /// Failures not yet worn off. They wear off only after the wait they caused.
    fn level_at(&self, policy: &Policy, now: Timestamp) -> u64 {
        let quiet = now.since(self.delayed_until(policy)).as_millis();
        let quiet = u64::try_from(quiet).unwrap_or(u64::MAX);
        self.level.saturating_sub(quiet.saturating_mul(FAILURE) / policy.millis_per_level())
    }
}

impl Policy {
    fn allowed(&self) -> u64 {
        u64::from(self.allowed_failures.max(1))
    }

    /// How long one failure takes to wear off; never zero.
    fn millis_per_level(&self) -> u64 {
        let window = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        (window / self.allowed()).max(1)
    }

    fn delay(&self, level: u64) -> Duration {
        let Some(beyond) = level.div_ceil(FAILURE).checked_sub(self.allowed()) else {
            return Duration::ZERO;
        };
        let doubled = u32::try_from(beyond).ok().and_then(|n| 2_u32.checked_pow(n));
        doubled
            .and_then(|n| self.first_delay.checked_mul(n))
            .map_or(self.max_delay, |delay| delay.min(self.max_delay))
    }

    /// Where counting stops: the failure that reaches the longest wait. More would only make it
    /// wear off later.
    fn max_level(&self) -> u64 {
        let doublings =
            (0..31).find(|n| self.delay((self.allowed() + n) * FAILURE) >= self.max_delay);
        (self.allowed() + doublings.unwrap_or(31)) * FAILURE
    }
}

/// A source as it is counted: an IPv4 address, or the /64 an IPv6 address is in, because whoever
/// has one address there has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IpAddr::V4(v4)),
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from(prefix)))
            }
        }
    }
}

/// The attempts of many keys in bounded memory.
///
/// INVARIANT: a key is dropped only when its failures have worn off. Nobody can make the table
/// forget them by making other keys fail; when it is full of keys that still count, keys it does
/// not know wait instead ([`FULL_TABLE_DELAY`]).
#[derive(Debug)]
pub struct RateTable<K> {
    policy: Policy,
    capacity: usize,
    attempts: BTreeMap<K, Attempts>,
    /// The same keys, by when they may be dropped.
    worn_off: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord + Clone> RateTable<K> {
    /// An empty table for at most `capacity` keys; at least 1 is used.
    pub fn new(policy: Policy, capacity: usize) -> Self {
        Self {
            policy,
            capacity: capacity.max(1),
            attempts: BTreeMap::new(),
            worn_off: BTreeSet::new(),
        }
    }

    /// Keys remembered now.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Whether an attempt may be made now, without counting one.
    pub fn check(&self, key: &K, now: Timestamp) -> Verdict {
        match self.attempts.get(key) {
            Some(attempts) => attempts.check(&self.policy, now),
            None if self.has_room(now) => Verdict::Proceed,
            None => Verdict::Wait { until: now.plus(FULL_TABLE_DELAY) },
        }
    }

    /// Counts an attempt as failed before it is looked at, if it may be made at all. Call
    /// [`RateTable::taken_back`] when it was right.
    pub fn attempt(&mut self, key: &K, now: Timestamp) -> Verdict {
        let verdict = self.check(key, now);
        if verdict == Verdict::Proceed {
            let attempts = self.remove(key).failed(&self.policy, now);
            if self.attempts.len() >= self.capacity {
                self.drop_one_worn_off(now);
            }
            self.insert(key.clone(), attempts);
        }
        verdict
    }

    /// The last counted attempt of this key was right after all; its earlier failures stay.
    pub fn taken_back(&mut self, key: &K) {
        if self.attempts.contains_key(key) {
            let attempts = self.remove(key).taken_back();
            self.insert(key.clone(), attempts);
        }
    }

    fn has_room(&self, now: Timestamp) -> bool {
        self.attempts.len() < self.capacity
            || self.worn_off.first().is_some_and(|(worn_off_at, _)| *worn_off_at <= now)
    }

    fn drop_one_worn_off(&mut self, now: Timestamp) {
        if let Some((worn_off_at, key)) = self.worn_off.first().cloned()
            && worn_off_at <= now
        {
            self.remove(&key);
        }
    }

    fn insert(&mut self, key: K, attempts: Attempts) {
        if attempts.level == 0 {
            return;
        }
        self.worn_off.insert((attempts.worn_off_at(&self.policy), key.clone()));
        self.attempts.insert(key, attempts);
    }

    fn remove(&mut self, key: &K) -> Attempts {
        let Some(attempts) = self.attempts.remove(key) else { return Attempts::default() };
        self.worn_off.remove(&(attempts.worn_off_at(&self.policy), key.clone()));
        attempts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::at;

    #[test]
    fn five_failures_are_free_and_the_sixth_attempt_waits() {
        let mut attempts = Attempts::default();
        for second in 0..5 {
            assert_eq!(attempts.check(&PER_USER, at(second)), Verdict::Proceed, "{second}");
            attempts = attempts.failed(&PER_USER, at(second));
        }
        assert_eq!(attempts.check(&PER_USER, at(4)), Verdict::Wait { until: at(5) });
        assert_eq!(attempts.check(&PER_USER, at(5)), Verdict::Proceed);
    }

    #[test]
    fn the_wait_doubles_to_a_quarter_of_an_hour_and_no_further() {
        let mut attempts = Attempts::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..20 {
            if let Verdict::Wait { until } = attempts.check(&PER_USER, now) {
                waits.push(until.since(now).as_secs());
                now = until;
            }
            attempts = attempts.attempt(&PER_USER, now).unwrap();
        }
        assert_eq!(waits[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
        assert!(waits[11..].iter().all(|wait| *wait == 900), "{waits:?}");
    }

    #[test]
    fn failures_wear_off_when_a_key_is_quiet() {
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts = attempts.failed(&PER_USER, at(0));
        }
        assert_eq!(attempts.worn_off_at(&PER_USER), at(1 + 900));
        let later = attempts.failed(&PER_USER, at(901));
        assert_eq!(later, Attempts::default().failed(&PER_USER, at(901)));
    }

    #[test]
    fn failures_spread_thinly_never_wait() {
        let mut attempts = Attempts::default();
        for failure in 0..100 {
            attempts = attempts.attempt(&PER_USER, at(failure * 180)).unwrap();
        }
    }

    #[test]
    fn a_success_forgets_a_user_and_takes_back_one_attempt_of_a_source() {
        let mut attempts = Attempts::default();
        for _ in 0..6 {
            attempts = attempts.failed(&PER_USER, at(0));
        }
        assert_eq!(attempts.succeeded(), Attempts::default());
        assert_eq!(attempts.taken_back().check(&PER_USER, at(0)), Verdict::Wait { until: at(1) });
    }

    #[test]
    fn attempts_at_the_same_moment_are_counted_before_they_are_looked_at() {
        let mut table = RateTable::new(PER_SOURCE, 10);
        let let_in = (0..100).filter(|_| table.attempt(&"mallory", at(0)) == Verdict::Proceed);
        assert_eq!(let_in.count(), 20);
    }

    #[test]
    fn one_valid_account_does_not_clear_the_failures_of_its_source() {
        let mut table = RateTable::new(PER_SOURCE, 10);
        let mut guesses = 0;
        while table.attempt(&1, at(0)) == Verdict::Proceed {
            guesses += 1;
            if table.attempt(&1, at(0)) == Verdict::Proceed {
                table.taken_back(&1);
            }
            assert!(guesses <= 20);
        }
    }

    #[test]
    fn flooding_the_table_does_not_make_it_forget_anyone() {
        let mut table = RateTable::new(PER_SOURCE, 100);
        while table.attempt(&0, at(0)) == Verdict::Proceed {}
        let Verdict::Wait { until } = table.check(&0, at(0)) else { panic!() };
        for other in 1..10_000 {
            let _ = table.attempt(&other, at(0));
            assert!(table.len() <= 100);
        }
        assert_eq!(table.check(&0, at(0)), Verdict::Wait { until });
        assert_eq!(
            table.check(&20_000, at(0)),
            Verdict::Wait { until: at(0).plus(FULL_TABLE_DELAY) }
        );
        // One failure of a source wears off in 45 seconds; then there is room again.
        assert_eq!(table.attempt(&20_000, at(45)), Verdict::Proceed);
        assert!(table.len() <= 100);
    }

    #[test]
    fn a_success_leaves_nothing_behind_in_the_table() {
        let mut table = RateTable::new(PER_SOURCE, 10);
        assert_eq!(table.attempt(&1, at(0)), Verdict::Proceed);
        table.taken_back(&1);
        assert!(table.is_empty() && table.worn_off.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_does_not_end_a_wait() {
        let mut attempts = Attempts::default();
        for _ in 0..10 {
            attempts = attempts.failed(&PER_USER, at(1000));
        }
        assert!(matches!(attempts.check(&PER_USER, at(0)), Verdict::Wait { .. }));
        assert!(attempts.failed(&PER_USER, at(0)).delayed_until(&PER_USER) >= at(1000));
    }

    #[test]
    fn a_free_failure_on_a_node_whose_clock_is_ahead_delays_nobody() {
        let attempts = Attempts::default().failed(&PER_USER, at(1));
        assert_eq!(attempts.check(&PER_USER, at(0)), Verdict::Proceed);
    }

    #[test]
    fn addresses_of_one_ipv6_network_and_mapped_ipv4_addresses_count_as_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn attempts_survive_the_store() {
        let attempts = Attempts::default().failed(&PER_USER, at(7));
        let json = serde_json::to_string(&attempts).unwrap();
        assert_eq!(serde_json::from_str::<Attempts>(&json).unwrap(), attempts);
    }

    proptest! {
        /// Whatever the timing, the number of attempts let through in a day stays small.
        #[test]
        fn no_timing_gets_more_than_a_few_guesses(gaps in proptest::collection::vec(0_i64..400, 1..600)) {
            let mut attempts = Attempts::default();
            let (mut second, mut guesses) = (0, 0_i64);
            for gap in gaps {
                second += gap;
                if let Ok(next) = attempts.attempt(&PER_USER, at(second)) {
                    attempts = next;
                    guesses += 1;
                }
            }
            // The allowance, the doublings, and one per failure that wore off.
            prop_assert!(guesses <= 5 + 11 + second / 180, "{guesses} in {second} s");
        }

        #[test]
        fn the_table_stays_bounded_and_consistent(
            steps in proptest::collection::vec((0_u8..40, 0_i64..60, any::<bool>()), 1..300)
        ) {
            let mut table = RateTable::new(PER_SOURCE, 8);
            let mut second = 0;
            for (key, gap, right) in steps {
                second += gap;
                if table.attempt(&key, at(second)) == Verdict::Proceed && right {
                    table.taken_back(&key);
                }
                prop_assert!(table.len() <= 8);
                prop_assert_eq!(table.len(), table.worn_off.len());
            }
        }

        #[test]
        fn no_stored_state_and_no_time_panics(level: u64, last: i64, now: i64, allowed: u32, window: u64) {
            let attempts = Attempts { level, last_failed_at: Timestamp::from_millis(last) };
            let policy = Policy {
                allowed_failures: allowed,
                window: Duration::from_millis(window),
                ..PER_USER
            };
            let now = Timestamp::from_millis(now);
            let _ = attempts.check(&policy, now);
            let _ = attempts.failed(&policy, now).worn_off_at(&policy);
        }
    }
}
