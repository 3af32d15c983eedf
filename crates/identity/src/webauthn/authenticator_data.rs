//! What an authenticator signs over (WebAuthn Level 3, section 6.1): for whom, who was there, how
//! often, and when it registers, which key.

use super::WebauthnError;
use super::cbor::{self, Item};
use super::cose::Key;

/// Longest credential id (section 5.8.3).
pub(super) const MAX_CREDENTIAL_ID_BYTES: usize = 1023;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// Authenticator data, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8],
    pub(super) user_present: bool,
    pub(super) user_verified: bool,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) sign_count: u32,
    pub(super) attested: Option<Attested<'a>>,
}

/// A new credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attested<'a> {
    pub(super) credential_id: &'a [u8],
    /// The COSE key as it was written.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let short = WebauthnError::Malformed("the authenticator data");
        let (rp_id_hash, rest) = bytes.split_at_checked(32).ok_or(short.clone())?;
        let (head, rest) = rest.split_first_chunk::<5>().ok_or(short.clone())?;
        let [flags, a, b, c, d] = *head;
        let (attested, rest) = match flags & ATTESTED {
            0 => (None, rest),
            _ => {
                let (attested, rest) = Attested::parse(rest)?;
                (Some(attested), rest)
            }
        };
        let rest = match flags & EXTENSIONS {
            0 => rest,
            _ => match cbor::read(rest)? {
                (Item::Map(_), rest) => rest,
                _ => return Err(short),
            },
        };
        // A backup of what cannot be backed up is a contradiction (section 6.1.3).
        let contradicts = flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0;
        if !rest.is_empty() || contradicts {
            return Err(short);
        }
        Ok(Self {
            rp_id_hash,
            user_present: flags & USER_PRESENT != 0,
            user_verified: flags & USER_VERIFIED != 0,
            backup_eligible: flags & BACKUP_ELIGIBLE != 0,
            backed_up: flags & BACKED_UP != 0,
            sign_count: u32::from_be_bytes([a, b, c, d]),
            attested,
        })
    }
}

impl<'a> Attested<'a> {
    /// Section 6.5.1: model, length and id of the credential, key.
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), WebauthnError> {
        let short = WebauthnError::Malformed("the new credential");
        let (_aaguid, rest) = bytes.split_at_checked(16).ok_or(short.clone())?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(short.clone())?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > MAX_CREDENTIAL_ID_BYTES {
            return Err(short);
        }
        let (credential_id, key) = rest.split_at_checked(length).ok_or(short.clone())?;
        let (map, rest) = cbor::read(key)?;
        Key::from_map(&map)?;
        let public_key = key.get(..key.len() - rest.len()).ok_or(short)?;
        Ok((Self { credential_id, public_key }, rest))
    }
}
