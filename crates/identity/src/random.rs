//! Randomness as a parameter, so that everything that needs it can be tested and can refuse.
//!
//! In flows a buffer, out flow unpredictable bytes or a refusal. It never falls back to anything
//! weaker.

use thiserror::Error;

/// The source of randomness gave nothing. Nothing may be issued then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no randomness is available from the operating system; nothing is issued until it is")]
pub struct RandomUnavailable;

/// A source of cryptographically secure random bytes.
pub trait Random {
    /// Fills the whole buffer or fails; on failure the buffer must not be used.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomUnavailable>;
}

/// The operating system's randomness, through the AWS-LC generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| RandomUnavailable)
    }
}

/// `N` fresh random bytes.
pub(crate) fn bytes<const N: usize>(random: &mut dyn Random) -> Result<[u8; N], RandomUnavailable> {
    let mut buffer = [0; N];
    random.fill(&mut buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_gives_different_bytes_each_time() {
        let first: [u8; 32] = bytes(&mut OsRandom).unwrap();
        let second: [u8; 32] = bytes(&mut OsRandom).unwrap();
        assert_ne!(first, second);
    }
}
