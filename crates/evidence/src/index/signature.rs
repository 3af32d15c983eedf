//! Signatures of texts: which four-byte windows a block of entries may hold. Pure.
//!
//! A window sets two of [`SIGNATURE_BITS`] bits. A block of 256 events of about a kilobyte has some
//! ten thousand different windows, so that about a third of the bits are set: of the blocks without a
//! text of ten bytes about one in three million is taken for one that has it.

/// Bits of a block's signature.
pub(super) const SIGNATURE_BITS: usize = 65_536;
/// Bytes of the windows.
const WINDOW: usize = 4;
/// Most windows of a text that are looked for: more say no more.
const MAX_WINDOWS: usize = 16;

/// The signature of one block.
#[derive(Debug, Clone)]
pub(super) struct Signature(Box<[u64]>);

impl Signature {
    pub(super) fn empty() -> Self {
        Self(vec![0; SIGNATURE_BITS / 64].into_boxed_slice())
    }

    /// Takes in a text in lower case.
    pub(super) fn add(&mut self, text: &str) {
        for window in text.as_bytes().windows(WINDOW) {
            for bit in bits(window) {
                if let Some(word) = self.0.get_mut(bit / 64) {
                    *word |= 1 << (bit % 64);
                }
            }
        }
    }

    pub(super) fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

/// The bits that are set in the signature of every block with this text; none for a text too short
/// to tell.
pub(super) fn bits_of(text: &str) -> Vec<usize> {
    let windows = text.as_bytes().windows(WINDOW);
    // Spread over the text: its beginning is often the common part.
    let step = windows.len().div_ceil(MAX_WINDOWS).max(1);
    let mut found: Vec<usize> = windows.step_by(step).flat_map(bits).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn bits(window: &[u8]) -> [usize; 2] {
    let value = window.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    // Fibonacci hashing: the high bits of the product depend on all bits of the window.
    let product = (value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let folded = product ^ (product >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    [low(folded >> 48), low(folded >> 24)]
}

fn low(value: u64) -> usize {
    usize::try_from(value % SIGNATURE_BITS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_part_of_a_text_is_found_in_its_signature(text in ".{0,60}", from in 0_usize..60, length in 0_usize..60) {
            let mut signature = Signature::empty();
            signature.add(&text);
            let part: String = text.chars().skip(from).take(length).collect();
            prop_assert!(bits_of(&part).into_iter().all(|bit| signature.has(bit)));
        }
    }

    #[test]
    fn texts_that_are_not_there_are_hardly_ever_taken_for_being_there() {
        let mut signature = Signature::empty();
        for number in 0..3000_u64 {
            signature.add(&format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        let strange = (0..10_000).filter(|number| {
            bits_of(&format!("strange{number:05}")).into_iter().all(|bit| signature.has(bit))
        });
        assert!(strange.count() < 10);
    }
}
