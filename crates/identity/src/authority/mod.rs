//! The gate's certificate authorities: two for SSH (OpenSSH PROTOCOL.certkeys), one for TLS
//! ([`TlsAuthority`]); and the check of host keys.
//!
//! For SSH there are two authorities with two keys and two types: [`SignInAuthority`] certifies people to
//! the gate, [`TargetAuthority`] certifies the gate to targets. A certificate of one is nothing to
//! the other's verifier, so what opens a target never opens the gate and the reverse.
//!
//! In flow keys, names, `now` and randomness; out flow certificates and verdicts. The transport
//! proves that a peer holds the certified key; it does not decide whether the certificate counts.
//! That is decided here, and only here.

mod host;
mod sign_in;
mod target;
mod tls;

pub use host::{HostCertificateError, HostKey, HostTrust, HostTrustError, HostVerdict};
pub use sign_in::{
    CertificateError, FACTORS_EXTENSION, MAX_SIGN_IN_LIFETIME, SignInAuthority, SignInTrust,
};
pub use target::{MAX_TARGET_LIFETIME, TargetAuthority, TargetPermissions, TargetSession};
pub use tls::{
    ClientCertificate, LISTENER_LIFETIME, ListenerCertificate, TlsAuthority, TlsAuthorityError,
    TlsCertificateError, client_key, public_half,
};

use std::time::Duration;

use portcullis_domain::{Secret, Timestamp};
use russh::keys::ssh_key::certificate::Builder;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{self, LineEnding};
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use thiserror::Error;

use crate::random::{self, Random, RandomUnavailable};

/// How far before `now` a certificate begins, for verifiers whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(60);

/// Longest private key file that is read, in bytes.
const MAX_KEY_FILE_BYTES: usize = 16 * 1024;
/// OpenSSH's own certificates carry 32 random bytes.
const NONCE_BYTES: usize = 32;
/// Longest key or authority line that is read, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Why an authority's key cannot be read.
#[derive(Debug, Error)]
pub enum AuthorityKeyError {
    /// Not an OpenSSH private key.
    #[error("the authority's key is not in OpenSSH private key format")]
    Format(#[source] Option<ssh_key::Error>),
    /// Protected by a passphrase.
    #[error("the authority's key has a passphrase; store it without, the store encrypts it")]
    Encrypted,
    /// Another algorithm.
    #[error("the authority's key is `{0}`; make one with `ssh-keygen -t ed25519`")]
    NotEd25519(String),
}

/// Why a certificate was not issued.
#[derive(Debug, Error)]
pub enum IssueError {
    /// Zero or beyond the authority's bound.
    #[error("a lifetime of {} seconds is not allowed; ask for 1 to {} seconds", .asked.as_secs(), .max.as_secs())]
    Lifetime {
        /// What was asked for.
        asked: Duration,
        /// The bound.
        max: Duration,
    },
    /// Zero, or beyond what stores keep.
    #[error("serial {0} is not usable; use 1 to 9223372036854775807")]
    Serial(u64),
    /// A key of this kind is not certified.
    #[error("keys of type `{0}` are not certified; use `ssh-keygen -t ed25519`")]
    KeyAlgorithm(String),
    /// The sign-in has no first factor of its own.
    #[error(
        "a certificate is issued only for a sign-in with a password or a registered key, not for \
         one that itself used a certificate or token; sign in anew"
    )]
    NoOwnFactor,
    /// `now` is before 1970 or absurd.
    #[error("the gate's clock is wrong; nothing is certified until it is set")]
    Clock,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// Encoding or signing failed.
    #[error("the certificate could not be signed")]
    Sign(#[from] ssh_key::Error),
    /// The factors could not be written.
    #[error("the factors could not be written into the certificate")]
    Factors(#[from] serde_json::Error),
}

/// A fresh random serial: 63 bits, never zero, so that every store can keep it.
pub fn random_serial(random: &mut dyn Random) -> Result<u64, RandomUnavailable> {
    let word = u64::from_be_bytes(random::bytes(random)?);
    Ok((word >> 1).max(1))
}

/// What the two authorities share: an Ed25519 key and the way it signs.
#[derive(Debug)]
struct AuthorityKey(PrivateKey);

impl AuthorityKey {
    fn generate(random: &mut dyn Random, comment: &str) -> Result<Self, RandomUnavailable> {
        let seed = Secret::new(random::bytes::<32>(random)?);
        let mut key = PrivateKey::from(Ed25519Keypair::from_seed(seed.expose()));
        key.set_comment(comment);
        Ok(Self(key))
    }

    fn from_openssh(text: &Secret<String>) -> Result<Self, AuthorityKeyError> {
        if text.expose().len() > MAX_KEY_FILE_BYTES {
            return Err(AuthorityKeyError::Format(None));
        }
        let key = PrivateKey::from_openssh(text.expose())
            .map_err(|e| AuthorityKeyError::Format(Some(e)))?;
        if key.is_encrypted() {
            return Err(AuthorityKeyError::Encrypted);
        }
        match key.key_data() {
            KeypairData::Ed25519(_) => Ok(Self(key)),
            _ => Err(AuthorityKeyError::NotEd25519(key.algorithm().to_string())),
        }
    }

    fn to_openssh(&self) -> Result<Secret<String>, AuthorityKeyError> {
        let text =
            self.0.to_openssh(LineEnding::LF).map_err(|e| AuthorityKeyError::Format(Some(e)))?;
        Ok(Secret::new(text.to_string()))
    }

    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, draft: Draft<'_>, random: &mut dyn Random) -> Result<Certificate, IssueError> {
        if draft.serial == 0 || i64::try_from(draft.serial).is_err() {
            return Err(IssueError::Serial(draft.serial));
        }
        if draft.lifetime.as_secs() == 0 || draft.lifetime > draft.max_lifetime {
            return Err(IssueError::Lifetime { asked: draft.lifetime, max: draft.max_lifetime });
        }
        let after = seconds(draft.now.minus(BACKDATE)).ok_or(IssueError::Clock)?;
        let before = seconds(draft.now)
            .and_then(|now| now.checked_add(draft.lifetime.as_secs()))
            .ok_or(IssueError::Clock)?;
        let nonce: [u8; NONCE_BYTES] = random::bytes(random)?;
        let key = certifiable(draft.subject.key_data())?;
        let mut builder = Builder::new(nonce, key.clone(), after, before)?;
        builder
            .serial(draft.serial)?
            .cert_type(ssh_key::certificate::CertType::User)?
            .key_id(draft.key_id)?
            .valid_principal(draft.principal)?;
        for (name, value) in draft.extensions {
            builder.extension(name, value)?;
        }
        Ok(builder.sign(&self.0)?)
    }
}

/// A user certificate about to be signed.
struct Draft<'a> {
    subject: &'a PublicKey,
    principal: &'a str,
    key_id: String,
    extensions: Vec<(&'static str, String)>,
    now: Timestamp,
    lifetime: Duration,
    max_lifetime: Duration,
    serial: u64,
}

/// Only plain keys of modern algorithms. A certificate in the place of a key is refused: nothing
/// here nests.
fn certifiable(key: &KeyData) -> Result<&KeyData, IssueError> {
    match key {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(key),
        other => Err(IssueError::KeyAlgorithm(other.algorithm().to_string())),
    }
}

fn seconds(at: Timestamp) -> Option<u64> {
    u64::try_from(at.as_seconds()).ok()
}

fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Reads one `ssh-ed25519 AAAA... comment` line.
fn parse_line(line: &str) -> Result<KeyData, ssh_key::Error> {
    if line.len() > MAX_LINE_BYTES {
        return Err(ssh_key::Error::FormatEncoding);
    }
    let key = PublicKey::from_openssh(line.trim())?;
    match key.key_data() {
        KeyData::Certificate(_) => Err(ssh_key::Error::AlgorithmUnknown),
        data => Ok(data.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broken, Counter};

    #[test]
    fn an_authority_survives_the_store() {
        let first = AuthorityKey::generate(&mut Counter(1), "x").unwrap();
        let read = AuthorityKey::from_openssh(&first.to_openssh().unwrap()).unwrap();
        assert_eq!(read.public_key().key_data(), first.public_key().key_data());
    }

    #[test]
    fn an_authority_hides_its_private_key_in_debug() {
        let key = AuthorityKey::generate(&mut Counter(1), "x").unwrap();
        let seed: [u8; 32] = random::bytes(&mut Counter(1)).unwrap();
        let printed = format!("{key:?}");
        assert!(!printed.contains(&format!("{}, {}, {}", seed[0], seed[1], seed[2])), "{printed}");
    }

    #[test]
    fn a_key_file_that_is_damaged_or_of_another_algorithm_is_refused() {
        let wrong = |text: String| AuthorityKey::from_openssh(&Secret::new(text)).unwrap_err();
        assert!(matches!(wrong("garbage".into()), AuthorityKeyError::Format(_)));
        assert!(matches!(wrong("x".repeat(100_000)), AuthorityKeyError::Format(None)));
        let p256 = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
        assert!(matches!(wrong(p256), AuthorityKeyError::Format(_)));
        assert!(AuthorityKey::generate(&mut Broken, "x").is_err());
    }

    #[test]
    fn a_random_serial_fits_every_store_and_is_never_zero() {
        struct Zero;
        impl Random for Zero {
            fn fill(&mut self, _: &mut [u8]) -> Result<(), RandomUnavailable> {
                Ok(())
            }
        }
        assert_eq!(random_serial(&mut Zero), Ok(1));
        for seed in 0..100 {
            assert!(i64::try_from(random_serial(&mut Counter(seed)).unwrap()).is_ok());
        }
    }
}
