//! Envelope encryption: each secret under a data key of its own, each data key under the master
//! key. Pure but for the randomness of keys and nonces.
//!
//! AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces. A data key seals one value once; the
//! master key wraps far fewer than the 2^32 keys that random nonces allow.
//!
//! INVARIANT: kind, owner and name are authenticated with both layers, so that a sealed value
//! copied to another user, environment or purpose does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use portcullis_domain::Secret;
use zeroize::Zeroizing;

use crate::master_key::{KEY_BYTES, MasterKey};

/// What a sealed value is and where it belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What kind of secret, a constant of this crate.
    pub(crate) kind: &'a str,
    /// Whose: a user or an environment; empty for the gate's own.
    pub(crate) owner: &'a str,
    /// Which of them.
    pub(crate) name: &'a str,
}

/// A value at rest.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// Nonce and the data key sealed under the master key.
    pub(crate) wrapped_key: Vec<u8>,
    /// Nonce and the value sealed under the data key.
    pub(crate) body: Vec<u8>,
}

/// The cipher refused: a wrong key, another place, or altered bytes. It does not tell which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsealable;

/// Seals a value for its place.
pub(crate) fn seal(
    master: &MasterKey,
    place: Place<'_>,
    value: &[u8],
) -> Result<Sealed, Unsealable> {
    let mut data_key = Zeroizing::new([0; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *data_key).map_err(|_| Unsealable)?;
    Ok(Sealed {
        wrapped_key: encrypt(master.bytes(), &place.authenticated("key"), &*data_key)?,
        body: encrypt(&data_key, &place.authenticated("body"), value)?,
    })
}

/// Opens a value at its place.
pub(crate) fn open(
    master: &MasterKey,
    place: Place<'_>,
    sealed: &Sealed,
) -> Result<Secret<Vec<u8>>, Unsealable> {
    let data_key = unwrap_key(master, place, &sealed.wrapped_key)?;
    decrypt(&data_key, &place.authenticated("body"), &sealed.body).map(Secret::new)
}

/// The data key of a value under another master key; the value itself stays as it is.
pub(crate) fn rewrap(
    from: &MasterKey,
    to: &MasterKey,
    place: Place<'_>,
    wrapped_key: &[u8],
) -> Result<Vec<u8>, Unsealable> {
    let data_key = unwrap_key(from, place, wrapped_key)?;
    encrypt(to.bytes(), &place.authenticated("key"), &*data_key)
}

/// Nonce, then ciphertext with its tag.
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    authenticated: &[u8],
    value: &[u8],
) -> Result<Vec<u8>, Unsealable> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| Unsealable)?;
    // Room for the tag at once, so that growing leaves no copy of the value behind.
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
    text.extend_from_slice(value);
    let nonce = key
        .seal_in_place_append_tag(Aad::from(authenticated), &mut *text)
        .map_err(|_| Unsealable)?;
    let mut sealed = nonce.as_ref().to_vec();
    sealed.extend_from_slice(&text);
    Ok(sealed)
}

/// The reverse of [`encrypt`].
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    authenticated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Unsealable> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| Unsealable)?;
    let mut text = Zeroizing::new(text.to_vec());
    let value =
        key.open_in_place(nonce, Aad::from(authenticated), &mut text).map_err(|_| Unsealable)?;
    Ok(value.to_vec())
}

fn unwrap_key(
    master: &MasterKey,
    place: Place<'_>,
    wrapped_key: &[u8],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unsealable> {
    let plain = decrypt(master.bytes(), &place.authenticated("key"), wrapped_key)?;
    let plain = Zeroizing::new(plain);
    plain.as_slice().try_into().map(Zeroizing::new).map_err(|_| Unsealable)
}

impl Place<'_> {
    /// What is authenticated: every part with its length before it, so that no two places have
    /// the same bytes.
    fn authenticated(&self, layer: &str) -> Vec<u8> {
        let mut bytes = b"portcullis sealed value v1".to_vec();
        for part in [layer, self.kind, self.owner, self.name] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { kind: "secret", owner: "production", name: "db" };

    #[test]
    fn a_value_opens_only_under_its_key_and_at_its_place() {
        let master = MasterKey::from_bytes([1; 32]);
        let sealed = seal(&master, HERE, b"value").unwrap();
        assert_eq!(open(&master, HERE, &sealed).unwrap().expose(), b"value");
        assert!(open(&MasterKey::from_bytes([2; 32]), HERE, &sealed).is_err());
        for elsewhere in [
            Place { kind: "totp", ..HERE },
            Place { owner: "staging", ..HERE },
            Place { name: "db2", ..HERE },
            Place { owner: "production\0db", name: "", ..HERE },
            Place { kind: "secretproduction", owner: "", ..HERE },
        ] {
            assert!(open(&master, elsewhere, &sealed).is_err(), "{elsewhere:?}");
        }
    }

    #[test]
    fn any_altered_or_missing_byte_is_noticed() {
        let master = MasterKey::from_bytes([1; 32]);
        let sealed = seal(&master, HERE, b"value").unwrap();
        for index in 0..sealed.body.len() {
            let mut altered = sealed.clone();
            altered.body[index] ^= 1;
            assert!(open(&master, HERE, &altered).is_err());
            altered.body = sealed.body[..index].to_vec();
            assert!(open(&master, HERE, &altered).is_err());
        }
        for index in 0..sealed.wrapped_key.len() {
            let mut altered = sealed.clone();
            altered.wrapped_key[index] ^= 1;
            assert!(open(&master, HERE, &altered).is_err());
        }
    }

    #[test]
    fn rewrapping_changes_the_master_key_and_not_the_value() {
        let (old, new) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let sealed = seal(&old, HERE, b"value").unwrap();
        let wrapped_key = rewrap(&old, &new, HERE, &sealed.wrapped_key).unwrap();
        let moved = Sealed { wrapped_key, ..sealed };
        assert_eq!(open(&new, HERE, &moved).unwrap().expose(), b"value");
        assert!(open(&old, HERE, &moved).is_err());
    }

    #[test]
    fn the_same_value_never_looks_the_same_at_rest() {
        let master = MasterKey::from_bytes([1; 32]);
        let (a, b) = (seal(&master, HERE, b"v").unwrap(), seal(&master, HERE, b"v").unwrap());
        assert_ne!(a.body, b.body);
        assert_ne!(a.wrapped_key, b.wrapped_key);
    }
}
