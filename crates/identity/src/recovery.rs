//! Recovery codes: ten single-use second factors for the day the telephone is lost.
//!
//! In flow randomness (new codes, shown once) or a typed code with the stored hashes; out flows a
//! [`RecoveryCheck`] that names the hash to delete. A code has 80 bits, so one SHA-256 with domain
//! separation is enough to store it: there is no dictionary to try. The caller deletes the used
//! hash, and sees that it was still there, before it acts on the verdict.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use portcullis_domain::{Secret, UserName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::random::{self, Random, RandomUnavailable};

/// Codes in a set.
pub const CODES: usize = 10;
/// Most stored hashes that are looked at.
pub const MAX_STORED: usize = 32;
/// Longest typed code that is looked at, in bytes.
pub const MAX_CODE_BYTES: usize = 64;

const CODE_BYTES: usize = 10;
const CODE_CHARACTERS: usize = 16;
const GROUP_CHARACTERS: usize = 4;
/// Crockford's base32: no letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DOMAIN: &[u8] = b"portcullis recovery code v1\0";

/// A new set: what to show the person once, and what to store.
#[derive(Debug)]
pub struct NewCodes {
    /// The codes, as `xxxx-xxxx-xxxx-xxxx`.
    pub codes: Vec<Secret<String>>,
    /// Their hashes, in the same order.
    pub hashes: Vec<RecoveryHash>,
}

/// A stored recovery code: SHA-256 over domain, user and code; hexadecimal in text.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecoveryHash([u8; 32]);

/// A text that is not a stored recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a stored recovery code; expected 64 hexadecimal digits")]
pub struct ParseRecoveryHashError;

/// What came of a typed code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum RecoveryCheck {
    /// It is one of the stored codes; delete it before letting anyone in.
    Accepted {
        /// The hash to delete.
        used: RecoveryHash,
    },
    /// It is none of them.
    Wrong,
}

/// Draws a new set for a user. It replaces the whole old one.
pub fn generate(user: &UserName, random: &mut dyn Random) -> Result<NewCodes, RandomUnavailable> {
    let mut new = NewCodes { codes: Vec::new(), hashes: Vec::new() };
    for _ in 0..CODES {
        let bytes = Secret::new(random::bytes::<CODE_BYTES>(random)?);
        let compact = Secret::new(encode(bytes.expose()));
        new.hashes.push(hash(user, &compact));
        new.codes.push(Secret::new(grouped(compact.expose())));
    }
    Ok(new)
}

/// Compares a typed code with the stored hashes of this user, all of them, in constant time.
///
/// Case, spaces and dashes do not matter, and `o`, `i`, `l` are read as the digits they look like.
pub fn check(user: &UserName, typed: &Secret<String>, stored: &[RecoveryHash]) -> RecoveryCheck {
    let Some(compact) = canonical(typed) else { return RecoveryCheck::Wrong };
    let presented = hash(user, &compact);
    let mut verdict = RecoveryCheck::Wrong;
    for candidate in stored.iter().take(MAX_STORED) {
        if *candidate == presented {
            verdict = RecoveryCheck::Accepted { used: *candidate };
        }
    }
    verdict
}

impl PartialEq for RecoveryHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Display for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryHash(..)")
    }
}

impl FromStr for RecoveryHash {
    type Err = ParseRecoveryHashError;
    fn from_str(text: &str) -> Result<Self, ParseRecoveryHashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseRecoveryHashError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for RecoveryHash {
    type Error = ParseRecoveryHashError;
    fn try_from(text: String) -> Result<Self, ParseRecoveryHashError> {
        text.parse()
    }
}

impl From<RecoveryHash> for String {
    fn from(hash: RecoveryHash) -> String {
        hash.to_string()
    }
}

fn hash(user: &UserName, compact: &Secret<String>) -> RecoveryHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DOMAIN);
    // A user name has no NUL, so the parts cannot be shifted against each other.
    context.update(user.as_str().as_bytes());
    context.update(b"\0");
    context.update(compact.expose().as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    RecoveryHash(bytes)
}

fn encode(bytes: &[u8; CODE_BYTES]) -> String {
    let mut number: u128 = 0;
    for byte in bytes {
        number = (number << 8) | u128::from(*byte);
    }
    let digit = |position: usize| {
        let value = (number >> (5 * position)) & 31;
        usize::try_from(value).ok().and_then(|v| ALPHABET.get(v)).copied().map_or('0', char::from)
    };
    (0..CODE_CHARACTERS).rev().map(digit).collect()
}

fn grouped(compact: &str) -> String {
    let mut text = String::with_capacity(CODE_CHARACTERS + 3);
    for (position, c) in compact.chars().enumerate() {
        if position > 0 && position % GROUP_CHARACTERS == 0 {
            text.push('-');
        }
        text.push(c);
    }
    text
}

fn canonical(typed: &Secret<String>) -> Option<Secret<String>> {
    if typed.expose().len() > MAX_CODE_BYTES {
        return None;
    }
    let mut compact = String::with_capacity(MAX_CODE_BYTES);
    for c in typed.expose().chars() {
        match c.to_ascii_lowercase() {
            ' ' | '-' => {}
            'o' => compact.push('0'),
            'i' | 'l' => compact.push('1'),
            c => compact.push(c),
        }
    }
    let compact = Secret::new(compact);
    let known = compact.expose().bytes().all(|b| ALPHABET.contains(&b));
    (known && compact.expose().len() == CODE_CHARACTERS).then_some(compact)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Broken, Counter, user};

    #[test]
    fn a_new_set_has_ten_different_grouped_codes_of_eighty_bits() {
        let new = generate(&user("alice"), &mut Counter(7)).unwrap();
        let codes: BTreeSet<&String> = new.codes.iter().map(Secret::expose).collect();
        assert_eq!((codes.len(), new.hashes.len()), (10, 10));
        for code in codes {
            let groups: Vec<&str> = code.split('-').collect();
            assert!(groups.len() == 4 && groups.iter().all(|g| g.len() == 4), "{code}");
        }
    }

    #[test]
    fn a_code_works_once() {
        let alice = user("alice");
        let mut new = generate(&alice, &mut Counter(7)).unwrap();
        let code = &new.codes[3];
        let RecoveryCheck::Accepted { used } = check(&alice, code, &new.hashes) else { panic!() };
        assert_eq!(used, new.hashes[3]);
        new.hashes.retain(|hash| *hash != used);
        assert_eq!(check(&alice, code, &new.hashes), RecoveryCheck::Wrong);
    }

    #[test]
    fn a_code_of_one_user_does_not_work_for_another() {
        let new = generate(&user("alice"), &mut Counter(7)).unwrap();
        assert_eq!(check(&user("bob"), &new.codes[0], &new.hashes), RecoveryCheck::Wrong);
    }

    #[test]
    fn case_spaces_dashes_and_lookalikes_do_not_matter() {
        let alice = user("alice");
        let stored = [hash(&alice, &secret("0123456789abcdef"))];
        for typed in ["0123-4567-89ab-cdef", "O123 4567 89AB CDEF", "oi23456789abcdef"] {
            let verdict = check(&alice, &secret(typed), &stored);
            assert!(matches!(verdict, RecoveryCheck::Accepted { .. }), "{typed}");
        }
        for typed in ["", "0123-4567-89ab-cde", "0123-4567-89ab-cdeff", "0123-4567-89ab-cdeu"] {
            assert_eq!(check(&alice, &secret(typed), &stored), RecoveryCheck::Wrong, "{typed}");
        }
    }

    #[test]
    fn hashes_survive_the_store() {
        let new = generate(&user("alice"), &mut Counter(7)).unwrap();
        let json = serde_json::to_string(&new.hashes).unwrap();
        assert_eq!(serde_json::from_str::<Vec<RecoveryHash>>(&json).unwrap(), new.hashes);
        assert!("zz".parse::<RecoveryHash>().is_err());
        assert!(generate(&user("alice"), &mut Broken).is_err());
    }

    #[test]
    fn the_encoding_uses_every_bit() {
        assert_eq!(encode(&[0; 10]), "0000000000000000");
        assert_eq!(encode(&[255; 10]), "zzzzzzzzzzzzzzzz");
        assert_eq!(encode(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "0000000000000001");
    }

    proptest! {
        #[test]
        fn no_text_is_accepted_by_chance_or_panics(typed in ".*") {
            let new = generate(&user("alice"), &mut Counter(7)).unwrap();
            prop_assert_eq!(check(&user("alice"), &secret(&typed), &new.hashes), RecoveryCheck::Wrong);
        }
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }
}
