//! The cipher of a recording: AES-256-GCM under a key of the session's own, which the header
//! carries wrapped by a key that is not known here.
//!
//! Flows in: plaintext chunks, in order. Flows out: sealed chunks, each bound to the session, its
//! place and all chunks before it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::log::Hash;

/// Bytes of a session key.
pub const SESSION_KEY_BYTES: usize = 32;
/// Bytes of the authentication tag (NIST SP 800-38D, 128 bits).
pub(super) const TAG_BYTES: usize = 16;

/// Wraps and unwraps session keys under a key kept elsewhere: a master key, a KMS.
pub trait KeyWrap: Send + Sync {
    /// Wraps a session's key, bound to that session.
    ///
    /// # Errors
    /// Where the wrapping key cannot be used.
    fn wrap(&self, session: &str, key: &[u8; SESSION_KEY_BYTES]) -> Result<Vec<u8>, KeyWrapError>;

    /// Unwraps what [`KeyWrap::wrap`] returned for the same session.
    ///
    /// # Errors
    /// Where the wrapping key cannot be used or did not wrap this.
    fn unwrap(
        &self,
        session: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; SESSION_KEY_BYTES]>, KeyWrapError>;
}

/// Why a session key cannot be wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the recording's key cannot be used: {0}")]
pub struct KeyWrapError(pub String);

/// The key of one recording. Wiped on drop, never shown. Random and used for one file only, so
/// that chunk numbers may serve as nonces.
pub struct SessionKey(Zeroizing<[u8; SESSION_KEY_BYTES]>);

impl SessionKey {
    /// A key from the system's random source.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn generate() -> Result<Self, KeyWrapError> {
        let mut key = Zeroizing::new([0; SESSION_KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut_slice())
            .map_err(|_| KeyWrapError("the system has no random numbers".into()))?;
        Ok(Self(key))
    }

    /// A key from elsewhere, for reading.
    pub(super) fn unwrapped(key: Zeroizing<[u8; SESSION_KEY_BYTES]>) -> Self {
        Self(key)
    }

    pub(super) fn wrap(&self, session: &str, with: &dyn KeyWrap) -> Result<Vec<u8>, KeyWrapError> {
        with.wrap(session, &self.0)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice()).ok().map(LessSafeKey::new)
    }

    /// Encrypts in place and returns the tag.
    pub(super) fn seal(&self, place: &Place<'_>, plaintext: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let (nonce, aad) = (place.nonce(), Aad::from(place.associated_data()));
        let tag = self.cipher()?.seal_in_place_separate_tag(nonce, aad, plaintext).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts in place; `None` unless every byte is as it was sealed, there.
    pub(super) fn open<'a>(&self, place: &Place<'_>, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (nonce, aad) = (place.nonce(), Aad::from(place.associated_data()));
        self.cipher()?.open_in_place(nonce, aad, sealed).ok().map(|plaintext| &*plaintext)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

/// Where a chunk belongs.
pub(super) struct Place<'a> {
    pub(super) session: &'a str,
    pub(super) index: u32,
    pub(super) previous: &'a Hash,
}

impl Place<'_> {
    /// INVARIANT: a key seals each index once, so the nonce never repeats under it.
    fn nonce(&self) -> Nonce {
        let [a, b, c, d] = self.index.to_be_bytes();
        Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d])
    }

    fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(8 + self.session.len() + 4 + 32);
        data.extend_from_slice(&(self.session.len() as u64).to_be_bytes());
        data.extend_from_slice(self.session.as_bytes());
        data.extend_from_slice(&self.index.to_be_bytes());
        data.extend_from_slice(self.previous.as_bytes());
        data
    }
}
