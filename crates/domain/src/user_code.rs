//! A code that is short enough for a person to carry from one screen to another.
//!
//! The eight letters of RFC 8628, section 6.1: no vowels, so that no word comes out, and nothing that
//! is mistaken for a digit. A code is guessed by somebody signed in, a few times within minutes, so
//! that 34 bits are more than enough.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Letters a code is made of (RFC 8628, section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters in a code.
const LETTERS: usize = 8;
/// Longest text that is read as a code, in bytes.
const MAX_TEXT_BYTES: usize = 32;
/// Random bytes that are enough for a code, but for one time in 10^9.
pub const CODE_RANDOM_BYTES: usize = 24;

/// A code for people: `BCDF-GHJK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserCode(String);

/// A text that is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a code; it has eight letters, as in `BCDF-GHJK`")]
pub struct UserCodeError;

impl UserCode {
    /// A code out of random bytes; `None` where too few of them can be used: bytes that would make
    /// some letters likelier than others are passed over.
    pub fn from_random(random: &[u8; CODE_RANDOM_BYTES]) -> Option<Self> {
        let fair = random.iter().filter(|byte| usize::from(**byte) < 256 / 20 * 20);
        let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(*byte) % 20));
        let text: String = letters.take(LETTERS).map(|letter| char::from(*letter)).collect();
        (text.len() == LETTERS).then_some(Self(text))
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0.split_at(LETTERS / 2);
        write!(f, "{first}-{last}")
    }
}

impl FromStr for UserCode {
    type Err = UserCodeError;

    /// As people type it: in any case, with or without the hyphen.
    fn from_str(text: &str) -> Result<Self, UserCodeError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(UserCodeError);
        }
        let typed = text.chars().filter(|c| !matches!(c, '-' | ' '));
        let letters: String = typed.map(|c| c.to_ascii_uppercase()).collect();
        let known = letters.bytes().all(|byte| ALPHABET.contains(&byte));
        if known && letters.len() == LETTERS { Ok(Self(letters)) } else { Err(UserCodeError) }
    }
}

impl TryFrom<String> for UserCode {
    type Error = UserCodeError;
    fn try_from(text: String) -> Result<Self, UserCodeError> {
        text.parse()
    }
}

impl From<UserCode> for String {
    fn from(code: UserCode) -> Self {
        code.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code: UserCode = "bcdf ghjk".parse().unwrap();
        assert_eq!(code.to_string(), "BCDF-GHJK");
        assert_eq!("BCDFGHJK".parse::<UserCode>().unwrap(), code);
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "ßßßß", &"B".repeat(40)] {
            assert!(wrong.parse::<UserCode>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_letter_is_as_likely_as_another() {
        let mut seen = std::collections::BTreeMap::new();
        for byte in 0..=255_u8 {
            if let Some(code) = UserCode::from_random(&[byte; CODE_RANDOM_BYTES]) {
                *seen.entry(code.to_string()).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 20);
        assert!(seen.values().all(|times| *times == 12), "{seen:?}");
    }
}
