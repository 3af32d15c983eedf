//! Passwords, stored as Argon2id (RFC 9106) in PHC string form.
//!
//! In flow a password and a stored hash; out flows a [`PasswordCheck`] that does not say why.
//! This module never logs, never compares in variable time and never learns who the user is.
//!
//! Hashing takes tens of milliseconds of one core and [`Parameters::memory_kib`] of memory, so
//! callers run it off the async threads and hold a semaphore permit meanwhile: the permits, times
//! that memory, is the bound on what sign-ins can take from the machine.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use portcullis_domain::Secret;
use thiserror::Error;

use crate::random::{self, Random, RandomUnavailable};

/// Longest password that is looked at, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// Shortest new password, in characters.
pub const MIN_PASSWORD_CHARACTERS: usize = 12;
/// Longest stored hash that is parsed, in bytes.
pub const MAX_HASH_BYTES: usize = 512;
/// Most memory a stored hash may ask for, in KiB: a damaged store must not exhaust the gate.
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// Most passes a stored hash may ask for.
pub const MAX_ITERATIONS: u32 = 16;
/// Most lanes a stored hash may ask for.
pub const MAX_LANES: u32 = 8;

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// Cost of one Argon2id computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes; more than one helps only where threads are free.
    pub lanes: u32,
}

impl Default for Parameters {
    /// The OWASP Password Storage Cheat Sheet's first choice for Argon2id: 19 MiB, 2 passes, 1 lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, lanes: 1 }
    }
}

/// Why parameters or a stored hash are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseHashError {
    /// The text is not a PHC string.
    #[error("this is not a password hash in PHC string form")]
    NotPhc,
    /// It is one of another algorithm, version or without salt or output.
    #[error("this is not a complete Argon2id version 19 hash; set the password anew")]
    NotArgon2id,
    /// Its cost is outside what this gate computes.
    #[error(
        "the Argon2id cost is out of bounds: 8 to {MAX_MEMORY_KIB} KiB of memory per lane, \
         1 to {MAX_ITERATIONS} passes, 1 to {MAX_LANES} lanes"
    )]
    Cost,
}

/// Why a password cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HashError {
    /// Too few characters.
    #[error("the password is too short; use at least {MIN_PASSWORD_CHARACTERS} characters")]
    TooShort,
    /// Too many bytes.
    #[error("the password is too long; use at most {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// No salt could be drawn.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The computation could not get its memory.
    #[error("the password could not be hashed because memory is short; try again later")]
    Memory,
}

/// A stored password hash: Argon2id, parsed and within bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    parameters: Parameters,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl PasswordHash {
    /// Parses what [`PasswordHash::as_str`] wrote. Refuses costs beyond the bounds of this module.
    pub fn parse(text: &str) -> Result<Self, ParseHashError> {
        if text.len() > MAX_HASH_BYTES {
            return Err(ParseHashError::NotPhc);
        }
        let phc = phc::PasswordHash::new(text).map_err(|_| ParseHashError::NotPhc)?;
        let (Some(salt), Some(output)) = (&phc.salt, &phc.hash) else {
            return Err(ParseHashError::NotArgon2id);
        };
        let current = phc.algorithm == Algorithm::Argon2id.ident()
            && phc.version == Some(Version::V0x13.into());
        if !current || output.len() != OUTPUT_BYTES {
            return Err(ParseHashError::NotArgon2id);
        }
        let params = Params::try_from(&phc).map_err(|_| ParseHashError::Cost)?;
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(ParseHashError::NotArgon2id);
        }
        let parameters = Parameters {
            memory_kib: params.m_cost(),
            iterations: params.t_cost(),
            lanes: params.p_cost(),
        };
        argon2id(parameters)?;
        Ok(Self {
            text: text.to_owned(),
            parameters,
            salt: salt.to_vec(),
            output: output.as_bytes().to_vec(),
        })
    }

    /// The PHC string for the store. It is not a password, but it is not for printing either.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// What came of comparing a password with a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PasswordCheck {
    /// It is the password.
    Correct,
    /// It is not, or it could not be computed.
    Wrong,
}

/// Hashes and verifies passwords at one configured cost.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    parameters: Parameters,
}

impl Passwords {
    /// With this cost for new hashes.
    pub fn new(parameters: Parameters) -> Result<Self, ParseHashError> {
        argon2id(parameters)?;
        Ok(Self { parameters })
    }

    /// The cost of new hashes.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Hashes a new password under a fresh salt. CPU-heavy; see the module's header.
    ///
    /// The bytes are taken as they are: no Unicode normalisation, so what was typed is what counts.
    pub fn hash(
        &self,
        password: &Secret<String>,
        random: &mut dyn Random,
    ) -> Result<PasswordHash, HashError> {
        if password.expose().chars().count() < MIN_PASSWORD_CHARACTERS {
            return Err(HashError::TooShort);
        }
        self.rehash(password, random)
    }

    /// Hashes a password that has just been verified, at the present cost. Unlike
    /// [`Passwords::hash`] it accepts one from before the minimum length. CPU-heavy.
    pub fn rehash(
        &self,
        password: &Secret<String>,
        random: &mut dyn Random,
    ) -> Result<PasswordHash, HashError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(HashError::TooLong);
        }
        let salt: [u8; SALT_BYTES] = random::bytes(random)?;
        let phc = argon2id(self.parameters)
            .map_err(|_| HashError::Memory)?
            .hash_password_with_salt(password.expose().as_bytes(), &salt)
            .map_err(|_| HashError::Memory)?;
        PasswordHash::parse(&phc.to_string()).map_err(|_| HashError::Memory)
    }

    /// Compares, in time independent of where they differ. CPU-heavy. An overlong password and a
    /// computation that cannot get its memory are [`PasswordCheck::Wrong`].
    pub fn verify(&self, hash: &PasswordHash, password: &Secret<String>) -> PasswordCheck {
        match compute(hash.parameters, &hash.salt, password) {
            Some(output) if verify_slices_are_equal(&output, &hash.output).is_ok() => {
                PasswordCheck::Correct
            }
            _ => PasswordCheck::Wrong,
        }
    }

    /// Takes as long as [`Passwords::verify`] and is always wrong: for users that do not exist or
    /// have no password, so that the time taken does not tell who does. CPU-heavy.
    pub fn verify_absent(&self, password: &Secret<String>) -> PasswordCheck {
        let output = compute(self.parameters, &[0; SALT_BYTES], password);
        std::hint::black_box(output);
        PasswordCheck::Wrong
    }

    /// Whether a hash was made at another cost than the configured one: hash the password again
    /// after the next successful sign-in.
    pub fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        hash.parameters != self.parameters
    }
}

fn compute(
    parameters: Parameters,
    salt: &[u8],
    password: &Secret<String>,
) -> Option<[u8; OUTPUT_BYTES]> {
    if password.expose().len() > MAX_PASSWORD_BYTES {
        return None;
    }
    let mut output = [0; OUTPUT_BYTES];
    argon2id(parameters)
        .ok()?
        .hash_password_into(password.expose().as_bytes(), salt, &mut output)
        .ok()?;
    Some(output)
}

fn argon2id(parameters: Parameters) -> Result<Argon2<'static>, ParseHashError> {
    let Parameters { memory_kib, iterations, lanes } = parameters;
    if memory_kib > MAX_MEMORY_KIB || iterations > MAX_ITERATIONS || lanes > MAX_LANES {
        return Err(ParseHashError::Cost);
    }
    Params::new(memory_kib, iterations, lanes, Some(OUTPUT_BYTES))
        .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
        .map_err(|_| ParseHashError::Cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broken, Counter};

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let passwords = cheap();
        let hash = passwords.hash(&secret("correct horse battery"), &mut Counter(1)).unwrap();
        assert_eq!(
            passwords.verify(&hash, &secret("correct horse battery")),
            PasswordCheck::Correct
        );
        for wrong in ["correct horse batterz", "", "correct horse battery "] {
            assert_eq!(passwords.verify(&hash, &secret(wrong)), PasswordCheck::Wrong, "{wrong}");
        }
    }

    #[test]
    fn the_same_password_hashes_differently_each_time() {
        let mut random = Counter(1);
        let passwords = cheap();
        let first = passwords.hash(&secret("correct horse battery"), &mut random).unwrap();
        let second = passwords.hash(&secret("correct horse battery"), &mut random).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn a_hash_survives_the_store_and_hides_in_debug() {
        let passwords = cheap();
        let hash = passwords.hash(&secret("correct horse battery"), &mut Counter(1)).unwrap();
        let read = PasswordHash::parse(hash.as_str()).unwrap();
        assert_eq!(read, hash);
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.as_str());
        assert!(!format!("{hash:?}").contains('$'));
    }

    #[test]
    fn the_default_cost_is_the_one_owasp_recommends() {
        let hash = Passwords::new(Parameters::default())
            .unwrap()
            .hash(&secret("correct horse battery"), &mut Counter(1))
            .unwrap();
        assert!(hash.as_str().contains("$m=19456,t=2,p=1$"), "{}", hash.as_str());
    }

    #[test]
    fn new_passwords_are_neither_short_nor_endless_but_old_short_ones_can_be_rehashed() {
        let passwords = cheap();
        let mut random = Counter(1);
        assert_eq!(passwords.hash(&secret("elevenchars"), &mut random), Err(HashError::TooShort));
        assert!(passwords.hash(&secret("éééééééééééé"), &mut random).is_ok());
        let long = secret(&"x".repeat(MAX_PASSWORD_BYTES + 1));
        assert_eq!(passwords.hash(&long, &mut random), Err(HashError::TooLong));
        let old = passwords.rehash(&secret("short"), &mut random).unwrap();
        assert_eq!(passwords.verify(&old, &secret("short")), PasswordCheck::Correct);
        assert_eq!(passwords.verify(&old, &long), PasswordCheck::Wrong);
    }

    #[test]
    fn an_absent_user_is_always_wrong() {
        assert_eq!(cheap().verify_absent(&secret("anything at all")), PasswordCheck::Wrong);
    }

    #[test]
    fn a_hash_at_another_cost_needs_rehashing_and_still_verifies() {
        let old = cheap().hash(&secret("correct horse battery"), &mut Counter(1)).unwrap();
        let now = Passwords::new(Parameters { memory_kib: 128, iterations: 1, lanes: 1 }).unwrap();
        assert!(now.needs_rehash(&old) && !cheap().needs_rehash(&old));
        assert_eq!(now.verify(&old, &secret("correct horse battery")), PasswordCheck::Correct);
    }

    #[test]
    fn hashes_that_are_foreign_damaged_or_too_costly_are_refused() {
        let good = cheap().hash(&secret("correct horse battery"), &mut Counter(1)).unwrap();
        let swap = |from: &str, to: &str| PasswordHash::parse(&good.as_str().replace(from, to));
        assert_eq!(swap("argon2id", "argon2i"), Err(ParseHashError::NotArgon2id));
        assert_eq!(swap("argon2id", "scrypt"), Err(ParseHashError::NotArgon2id));
        assert_eq!(swap("v=19", "v=16"), Err(ParseHashError::NotArgon2id));
        assert_eq!(swap("m=64", "m=4294967295"), Err(ParseHashError::Cost));
        assert_eq!(swap("t=1", "t=100000"), Err(ParseHashError::Cost));
        for text in ["", "$", "$argon2id$", &"x".repeat(10_000)] {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
        let cut = good.as_str().rsplit_once('$').unwrap().0;
        assert_eq!(PasswordHash::parse(cut), Err(ParseHashError::NotArgon2id));
    }

    #[test]
    fn without_randomness_no_password_is_set() {
        let refused = cheap().hash(&secret("correct horse battery"), &mut Broken);
        assert_eq!(refused, Err(HashError::Random(RandomUnavailable)));
    }

    fn cheap() -> Passwords {
        Passwords::new(Parameters { memory_kib: 64, iterations: 1, lanes: 1 }).unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }
}
