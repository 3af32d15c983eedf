//! Public keys as authenticators give them (COSE, RFC 9053), of the three algorithms that are offered.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::WebauthnError;
use super::cbor::{self, Item};

/// EdDSA with Ed25519 (RFC 9053, section 2.2).
const EDDSA: i64 = -8;
/// ECDSA with SHA-256, with P-256 here (RFC 9053, section 2.1).
const ES256: i64 = -7;
/// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8812, section 2): what Windows Hello has.
const RS256: i64 = -257;
/// What is offered, best first.
pub(super) const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

/// Bytes of a coordinate of P-256, and of an Ed25519 key.
const COORDINATE_BYTES: usize = 32;
/// Longest RSA modulus, in bytes.
const MAX_MODULUS_BYTES: usize = 1024;

/// A public key that can verify.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// A point, uncompressed (SEC 1, section 2.3.3).
    Es256([u8; 1 + 2 * COORDINATE_BYTES]),
    EdDsa(&'a [u8]),
    Rs256 {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
}

impl<'a> Key<'a> {
    /// Reads a COSE key that is all of `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let (map, rest) = cbor::read(bytes)?;
        if !rest.is_empty() {
            return Err(WebauthnError::Malformed("the public key"));
        }
        Self::from_map(&map)
    }

    /// The labels are those of RFC 9052, section 7 and RFC 9053, section 7.
    pub(super) fn from_map(map: &Item<'a>) -> Result<Self, WebauthnError> {
        let number = |label| map.number(label).and_then(Item::int);
        let bytes = |label| map.number(label).and_then(Item::bytes);
        let coordinate = |label| bytes(label).filter(|bytes| bytes.len() == COORDINATE_BYTES);
        let key = match (number(1), number(3), number(-1)) {
            (Some(2), Some(ES256), Some(1)) => {
                let (x, y) = (coordinate(-2), coordinate(-3));
                x.zip(y)
                    .and_then(|(x, y)| [&[4][..], x, y].concat().try_into().ok().map(Self::Es256))
            }
            (Some(1), Some(EDDSA), Some(6)) => coordinate(-2).map(Self::EdDsa),
            (Some(3), Some(RS256), _) => {
                let modulus = bytes(-1).filter(|bytes| bytes.len() <= MAX_MODULUS_BYTES);
                let exponent = bytes(-2).filter(|bytes| bytes.len() <= 8);
                let both = modulus.zip(exponent);
                both.map(|(modulus, exponent)| Self::Rs256 { modulus, exponent })
            }
            _ => return Err(WebauthnError::Algorithm),
        };
        let key = key.ok_or(WebauthnError::Malformed("the public key"))?;
        key.check()?;
        Ok(key)
    }

    /// A point that is not on the curve is no key.
    fn check(&self) -> Result<(), WebauthnError> {
        let sound = match self {
            Self::Es256(point) => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).is_ok(),
            Self::EdDsa(key) => ParsedPublicKey::new(&ED25519, key).is_ok(),
            Self::Rs256 { modulus, .. } => modulus.len() * 8 >= 2048,
        };
        if sound { Ok(()) } else { Err(WebauthnError::Malformed("the public key")) }
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256 { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        verified.is_ok()
    }
}
