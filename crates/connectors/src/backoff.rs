//! How long to wait before the next try: exponential, bounded, with full jitter, so that many
//! senders do not come back to a recovering receiver at the same moment. Pure.

use std::time::Duration;

/// Bound of the first wait.
pub const FIRST: Duration = Duration::from_secs(1);
/// Bound of every wait of our own choosing.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Longest wait a receiver may ask for (`Retry-After`).
pub const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Shortest wait: a receiver that refuses at once is not asked in a tight loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// The wait after `tries` failures in a row. `random` is uniform over its type; `asked` is what
/// the receiver wants, of which at most [`LONGEST_ASKED`] is granted.
#[must_use]
pub fn wait(tries: u32, random: u64, asked: Option<Duration>) -> Duration {
    let bound = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    let span = u64::try_from((bound - SHORTEST.min(bound)).as_millis()).unwrap_or(u64::MAX);
    let ours = SHORTEST + Duration::from_millis(random % (span + 1));
    ours.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Randomness for one wait.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the wait is the shortest one: harmless, and no reason to stop.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_bounded_whatever_was_tried_and_asked(
            tries: u32, random: u64, asked in proptest::option::of(any::<u32>()),
        ) {
            let asked = asked.map(|seconds| Duration::from_secs(u64::from(seconds)));
            let wait = wait(tries, random, asked);
            prop_assert!(wait >= SHORTEST && wait <= LONGEST_ASKED);
            if let Some(asked) = asked {
                prop_assert!(wait >= asked.min(LONGEST_ASKED));
            } else {
                prop_assert!(wait <= LONGEST);
            }
        }
    }

    #[test]
    fn waits_grow_to_their_bound() {
        let most = |tries| (0..2000).map(|random| wait(tries, random * 37, None)).max().unwrap();
        assert!(most(1) <= FIRST);
        assert!(most(3) > most(1) && most(9) > most(3));
        assert!(most(u32::MAX) <= LONGEST);
    }
}
