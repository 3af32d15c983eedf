//! Acts that take two people and are kept in this node's memory for a short while: who asked first.
//!
//! A digest of what exactly is to be done flows in; who else has asked for it flows out. A restart
//! forgets it, and nothing is lost but a call. Changes of resources wait in the store instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::{Timestamp, UserName};

/// How long an act waits for the second person.
pub(crate) const WAITS_FOR: Duration = Duration::from_secs(3600);
/// Most acts waiting on a node; the oldest makes room.
const MAX_WAITING: usize = 64;

/// Acts somebody has asked for first, by what exactly they do.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BTreeMap<[u8; 32], (UserName, Timestamp)>>);

impl Waiting {
    /// Notes that this person applies this change.
    pub(crate) fn note(&self, digest: [u8; 32], user: &UserName, now: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (_, at)| now.since(*at) < WAITS_FOR);
        if waiting.len() >= MAX_WAITING
            && !waiting.contains_key(&digest)
            && let Some(oldest) =
                waiting.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| *digest)
        {
            waiting.remove(&oldest);
        }
        waiting.insert(digest, (user.clone(), now));
    }

    /// Who else has applied this change within the time.
    pub(crate) fn other_than(
        &self,
        digest: &[u8; 32],
        user: &UserName,
        now: Timestamp,
    ) -> Option<UserName> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, at) = waiting.get(digest)?;
        (first != user && now.since(*at) < WAITS_FOR).then(|| first.clone())
    }

    /// Forgets a change: it is good once, also when the same state comes again.
    pub(crate) fn forget(&self, digest: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    #[test]
    fn only_another_person_within_the_time_is_the_second() {
        let waiting = Waiting::default();
        let (alice, bob) = (user("alice"), user("bob"));
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), None);
        waiting.note([1; 32], &alice, NOW);
        assert_eq!(waiting.other_than(&[1; 32], &alice, NOW), None);
        assert_eq!(waiting.other_than(&[2; 32], &bob, NOW), None);
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), Some(alice));
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW.plus(WAITS_FOR)), None);
        waiting.forget(&[1; 32]);
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let waiting = Waiting::default();
        for number in 0..=u8::try_from(MAX_WAITING).unwrap() {
            let at = NOW.plus(Duration::from_secs(number.into()));
            waiting.note([number; 32], &user("alice"), at);
        }
        assert_eq!(waiting.0.lock().unwrap().len(), MAX_WAITING);
        let last = NOW.plus(Duration::from_secs(70));
        assert_eq!(waiting.other_than(&[0; 32], &user("bob"), last), None);
        assert!(waiting.other_than(&[64; 32], &user("bob"), last).is_some());
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }
}
