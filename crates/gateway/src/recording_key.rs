//! The key of one recording, in two halves: one wrapped in the recording's header, one in the store.
//!
//! The halves are the key's two summands modulo 2 (XOR with random bytes), so that either alone says
//! nothing about it. Destroying the store's half makes every copy of the file unreadable.

use portcullis_domain::{Secret, SessionId};
use portcullis_evidence::recording::{KeyWrap as Wrap, KeyWrapError, SESSION_KEY_BYTES};
use portcullis_store::{KeyWrap, StoreError};
use zeroize::Zeroizing;

use crate::Gateway;

/// What a header's half is bound to beside the session, so that it is told from a whole key.
const HALF: &[u8] = b"half of ";
/// What is said of a recording whose key is destroyed.
pub const KEY_DESTROYED: &str = "it was destroyed when the recording was removed";

/// Wraps and unwraps the key of one recording.
#[derive(Clone)]
pub struct RecordingKey {
    wrap: KeyWrap,
    half: Option<Secret<Vec<u8>>>,
}

impl Gateway {
    /// Opens the recording of a session, as far as its key is not destroyed.
    pub async fn recording_key(&self, session: SessionId) -> Result<RecordingKey, StoreError> {
        let half = self.store().recording_half(session).await?;
        Ok(RecordingKey { wrap: self.recording_keys().clone(), half })
    }

    /// For a recording that begins.
    pub(crate) async fn new_recording_key(
        &self,
        session: SessionId,
    ) -> Result<RecordingKey, StoreError> {
        let half = self.store().make_recording_half(session, self.now()).await?;
        Ok(RecordingKey { wrap: self.recording_keys().clone(), half: Some(half) })
    }
}

impl Wrap for RecordingKey {
    fn wrap(&self, session: &str, key: &[u8; SESSION_KEY_BYTES]) -> Result<Vec<u8>, KeyWrapError> {
        let half = self.half.as_ref().ok_or_else(|| KeyWrapError(KEY_DESTROYED.into()))?;
        let mine = combined(key, half.expose())?;
        self.wrap.wrap(&context(session), &*mine).map_err(refused)
    }

    fn unwrap(
        &self,
        session: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; SESSION_KEY_BYTES]>, KeyWrapError> {
        let halved = self.wrap.unwrap(&context(session), wrapped);
        match (&self.half, halved) {
            (Some(half), Ok(mine)) => combined(mine.expose(), half.expose()),
            (None, Ok(_)) => Err(KeyWrapError(KEY_DESTROYED.into())),
            // A recording made before keys had halves.
            (None, Err(_)) => {
                let whole = self.wrap.unwrap(session.as_bytes(), wrapped).map_err(refused)?;
                combined(whole.expose(), &[0; SESSION_KEY_BYTES])
            }
            (Some(_), Err(error)) => Err(refused(error)),
        }
    }
}

impl std::fmt::Debug for RecordingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordingKey(..)")
    }
}

fn context(session: &str) -> Vec<u8> {
    [HALF, session.as_bytes()].concat()
}

fn refused(error: StoreError) -> KeyWrapError {
    KeyWrapError(error.to_string())
}

fn combined(one: &[u8], other: &[u8]) -> Result<Zeroizing<[u8; SESSION_KEY_BYTES]>, KeyWrapError> {
    if one.len() != SESSION_KEY_BYTES || other.len() != SESSION_KEY_BYTES {
        return Err(KeyWrapError("it has a wrong length".into()));
    }
    let mut key = Zeroizing::new([0; SESSION_KEY_BYTES]);
    for (to, (one, other)) in key.iter_mut().zip(one.iter().zip(other)) {
        *to = one ^ other;
    }
    Ok(key)
}
