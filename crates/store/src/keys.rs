//! The gate's own private keys by name, and key wrapping for what lives outside the store.

use portcullis_domain::{Secret, Timestamp};
use zeroize::Zeroizing;

use crate::Store;
use crate::error::StoreError;
use crate::master_key::KEY_BYTES;
use crate::seal::{Place, decrypt, encrypt};
use crate::secrets::{find_sealed_in, put_sealed};

const PRIVATE_KEY: &str = "private_key";
const WRAPPING_KEY: &str = "wrapping_key";
/// Keys of search indexes; all of them go when somebody is forgotten.
pub(crate) const INDEX_KEY: &str = "index_key";

/// Wraps keys that are stored elsewhere, such as the session keys in the headers of recordings.
///
/// The wrapping key itself rests sealed in the store, so that a rotation of the master key
/// leaves everything it has wrapped readable.
#[derive(Clone)]
pub struct KeyWrap {
    purpose: String,
    key: Secret<[u8; KEY_BYTES]>,
}

impl Store {
    /// The private key of this name; made by `generate` when there is none. When two nodes
    /// start at once, both get the same key.
    ///
    /// `generate` runs while other writers wait: it must be quick.
    pub async fn get_or_create_key(
        &self,
        name: &str,
        generate: impl FnOnce() -> Secret<Vec<u8>>,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, StoreError> {
        let place = Place { kind: PRIVATE_KEY, owner: "", name };
        self.get_or_create(place, || Ok(generate()), now).await
    }

    /// The private key of this name, if there is one.
    pub async fn key(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        self.find_sealed(Place { kind: PRIVATE_KEY, owner: "", name }).await
    }

    /// Replaces or stores a private key, for planned key changes and imports.
    pub async fn put_key(
        &self,
        name: &str,
        value: &Secret<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let place = Place { kind: PRIVATE_KEY, owner: "", name };
        let mut ordered = self.ordered().await?;
        put_sealed(&mut ordered.tx, &self.master_key()?, place, value.expose(), now).await?;
        ordered.commit_quietly().await
    }

    /// Wraps keys for one purpose, such as `recordings`. What one purpose has wrapped no other
    /// unwraps.
    pub async fn key_wrap(&self, purpose: &str, now: Timestamp) -> Result<KeyWrap, StoreError> {
        let place = Place { kind: WRAPPING_KEY, owner: "", name: purpose };
        let key = self.get_or_create(place, random_key, now).await?;
        let key = key.expose().as_slice().try_into().map_err(|_| {
            StoreError::corrupt("wrapping key", format!("`{purpose}` has a wrong length"))
        })?;
        Ok(KeyWrap { purpose: purpose.to_owned(), key: Secret::new(key) })
    }

    /// The key of a node's search index, which holds personal fields of the audit log. It is another
    /// one whenever somebody has been forgotten.
    pub async fn index_key(
        &self,
        node: &str,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, StoreError> {
        let place = Place { kind: INDEX_KEY, owner: "", name: node };
        self.get_or_create(place, random_key, now).await
    }

    async fn get_or_create(
        &self,
        place: Place<'_>,
        generate: impl FnOnce() -> Result<Secret<Vec<u8>>, StoreError>,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, StoreError> {
        if let Some(found) = self.find_sealed(place).await? {
            return Ok(found);
        }
        let master = self.master_key()?;
        let mut ordered = self.ordered().await?;
        if let Some(found) = find_sealed_in(&mut ordered.tx, &master, place).await? {
            return Ok(found);
        }
        let made = generate()?;
        put_sealed(&mut ordered.tx, &master, place, made.expose(), now).await?;
        ordered.commit_quietly().await?;
        Ok(made)
    }
}

fn random_key() -> Result<Secret<Vec<u8>>, StoreError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| StoreError::unavailable("no randomness"))?;
    Ok(Secret::new(key.to_vec()))
}

impl KeyWrap {
    /// Wraps a key; `context` (a session id, say) must be given again to unwrap it.
    pub fn wrap(&self, context: &[u8], key: &[u8]) -> Result<Vec<u8>, StoreError> {
        encrypt(self.key.expose(), &self.authenticated(context), key).map_err(|_| self.refused())
    }

    /// Unwraps what [`KeyWrap::wrap`] made in the same context.
    pub fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Secret<Vec<u8>>, StoreError> {
        decrypt(self.key.expose(), &self.authenticated(context), wrapped)
            .map(Secret::new)
            .map_err(|_| self.refused())
    }

    fn authenticated(&self, context: &[u8]) -> Vec<u8> {
        let mut bytes = b"portcullis wrapped key v1".to_vec();
        bytes.extend((self.purpose.len() as u64).to_be_bytes());
        bytes.extend(self.purpose.as_bytes());
        bytes.extend(context);
        bytes
    }

    fn refused(&self) -> StoreError {
        StoreError::sealed(format!("key for `{}`", self.purpose))
    }
}

impl std::fmt::Debug for KeyWrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyWrap").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
