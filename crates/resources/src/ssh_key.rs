//! SSH public keys in the one-line OpenSSH format, checked by structure.
//!
//! In: `ssh-ed25519 AAAA... comment`. Out: the line in canonical form. Only shape and size are
//! checked here (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4, OpenSSH
//! PROTOCOL.u2f); whether a key verifies anything is for the SSH room. `authorized_keys` options are
//! refused: restrictions are written as roles. Knows no resource and no file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::problem::{is_deceptive, quoted};

/// Longest line, in bytes; a 16,384 bit RSA key needs about 2,800.
const MAX_LINE_BYTES: usize = 8192;
/// Shortest RSA modulus of a key that signs in or certifies, in bits.
const MIN_RSA_BITS: usize = 2048;
/// Shortest RSA modulus of a pinned host key, in bits: old network devices have no longer ones.
const MIN_HOST_RSA_BITS: usize = 1024;
/// Longest RSA modulus, in bits, as in OpenSSH.
const MAX_RSA_BITS: usize = 16_384;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// A user signs in with it, or an authority certifies host keys with it.
    Signing,
    /// A target proves itself with it.
    Host,
}

/// Why a text is not an SSH public key we take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum PublicKeyError {
    #[error("this is empty; paste the content of a `.pub` file")]
    Empty,
    #[error("this key is {0} bytes long; at most {MAX_LINE_BYTES} are allowed")]
    TooLong(usize),
    #[error(
        "this key has a character that is not printed; paste the content of the `.pub` file again, on one line"
    )]
    Character,
    #[error(
        "this is a private key; remove it from the file, replace it everywhere it is used, and paste the `.pub` file instead"
    )]
    Private,
    #[error("options before a key are not taken; paste the key alone and restrict it with roles")]
    Options,
    #[error("this is a certificate; paste the plain public key")]
    Certificate,
    #[error(
        "`{0}` is not a type of key that is taken; use `ssh-ed25519`, `ecdsa-sha2-nistp256`, `-nistp384`, `-nistp521`, `ssh-rsa`, `sk-ssh-ed25519@openssh.com` or `sk-ecdsa-sha2-nistp256@openssh.com`"
    )]
    Type(String),
    #[error("after `{0}` there must be the key in base64; paste the whole line of the `.pub` file")]
    Base64(String),
    #[error(
        "the line says `{said}` but the key inside is `{inside}`; paste the whole line of the `.pub` file"
    )]
    Mismatch { said: String, inside: String },
    #[error("this `{0}` key is damaged or cut off; paste the whole line of the `.pub` file")]
    Damaged(String),
    #[error("this RSA key has {bits} bits; {least} to {MAX_RSA_BITS} are taken")]
    RsaSize { bits: usize, least: usize },
}

/// A key with its comment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicKey {
    /// Type and base64: equal for equal keys, whatever their comments.
    pub(crate) identity: String,
    /// What the comment says, with single spaces.
    comment: String,
}

impl PublicKey {
    /// Reads and checks a line.
    pub(crate) fn parse(text: &str, used: KeyUse) -> Result<Self, PublicKeyError> {
        if text.len() > MAX_LINE_BYTES {
            return Err(PublicKeyError::TooLong(text.len()));
        }
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::Private);
        }
        let text = text.trim_matches([' ', '\n']);
        if text.chars().any(|c| is_deceptive(c) && c != '\t') {
            return Err(PublicKeyError::Character);
        }
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().ok_or(PublicKeyError::Empty)?;
        let Some(shape) = Shape::of(kind) else { return Err(unknown_type(kind, text)) };
        let damaged = || PublicKeyError::Damaged(kind.to_owned());
        let encoded = words.next().ok_or_else(|| PublicKeyError::Base64(kind.to_owned()))?;
        let blob = STANDARD.decode(encoded).map_err(|_| PublicKeyError::Base64(kind.to_owned()))?;
        let (inside, rest) = string(&blob).ok_or_else(damaged)?;
        if inside != kind.as_bytes() {
            let inside = quoted(&String::from_utf8_lossy(inside));
            return Err(PublicKeyError::Mismatch { said: kind.to_owned(), inside });
        }
        match shape {
            Shape::Rsa => check_rsa(rest, used).map_err(|bits| bits.unwrap_or_else(damaged))?,
            other => other.check(rest).ok_or_else(damaged)?,
        }
        let comment: Vec<&str> = words.collect();
        Ok(Self { identity: format!("{kind} {encoded}"), comment: comment.join(" ") })
    }

    /// The canonical line.
    pub(crate) fn into_line(self) -> String {
        if self.comment.is_empty() {
            self.identity
        } else {
            format!("{} {}", self.identity, self.comment)
        }
    }
}

/// Type and base64 of a line already in canonical form.
pub(crate) fn identity_of(line: &str) -> String {
    line.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn unknown_type(kind: &str, text: &str) -> PublicKeyError {
    if kind.contains("-cert-v0") {
        PublicKeyError::Certificate
    } else if text.split_ascii_whitespace().skip(1).any(|word| Shape::of(word).is_some()) {
        PublicKeyError::Options
    } else {
        PublicKeyError::Type(quoted(kind))
    }
}

/// What stands inside the blob after the type.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Ed25519 { security_key: bool },
    Ecdsa { curve: &'static [u8], point_bytes: usize, security_key: bool },
    Rsa,
}

impl Shape {
    fn of(kind: &str) -> Option<Self> {
        let ecdsa =
            |curve, point_bytes, security_key| Self::Ecdsa { curve, point_bytes, security_key };
        Some(match kind {
            "ssh-ed25519" => Self::Ed25519 { security_key: false },
            "sk-ssh-ed25519@openssh.com" => Self::Ed25519 { security_key: true },
            "ecdsa-sha2-nistp256" => ecdsa(b"nistp256", 65, false),
            "ecdsa-sha2-nistp384" => ecdsa(b"nistp384", 97, false),
            "ecdsa-sha2-nistp521" => ecdsa(b"nistp521", 133, false),
            "sk-ecdsa-sha2-nistp256@openssh.com" => ecdsa(b"nistp256", 65, true),
            "ssh-rsa" => Self::Rsa,
            _ => return None,
        })
    }

    fn check(self, rest: &[u8]) -> Option<()> {
        let (rest, security_key) = match self {
            Self::Ed25519 { security_key } => {
                let (key, rest) = string(rest)?;
                (key.len() == 32).then_some((rest, security_key))?
            }
            Self::Ecdsa { curve, point_bytes, security_key } => {
                let (name, rest) = string(rest)?;
                let (point, rest) = string(rest)?;
                // Uncompressed points only (SEC 1 section 2.3.3), as in OpenSSH.
                let fits = name == curve && point.len() == point_bytes && point.first() == Some(&4);
                fits.then_some((rest, security_key))?
            }
            Self::Rsa => return None,
        };
        let rest = if security_key {
            let (application, rest) = string(rest)?;
            (!application.is_empty()).then_some(rest)?
        } else {
            rest
        };
        rest.is_empty().then_some(())
    }
}

/// Exponent and modulus; `Err(None)` for a damaged key.
fn check_rsa(rest: &[u8], used: KeyUse) -> Result<(), Option<PublicKeyError>> {
    let (exponent, rest) = string(rest).ok_or(None)?;
    let (modulus, rest) = string(rest).ok_or(None)?;
    let exponent_bits = positive_bits(exponent).ok_or(None)?;
    let bits = positive_bits(modulus).ok_or(None)?;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !rest.is_empty() || exponent_bits < 2 || !odd(exponent) || !odd(modulus) {
        return Err(None);
    }
    let least = match used {
        KeyUse::Signing => MIN_RSA_BITS,
        KeyUse::Host => MIN_HOST_RSA_BITS,
    };
    if (least..=MAX_RSA_BITS).contains(&bits) {
        Ok(())
    } else {
        Err(Some(PublicKeyError::RsaSize { bits, least }))
    }
}

/// Bits of a positive `mpint` in its shortest form (RFC 4251 section 5).
fn positive_bits(number: &[u8]) -> Option<usize> {
    let first = *number.first()?;
    let digits = if first == 0 { number.get(1..)? } else { number };
    let top = *digits.first()?;
    let shortest = if first == 0 { top >= 0x80 } else { first < 0x80 };
    let zeros = usize::try_from(top.leading_zeros()).ok()?;
    shortest.then_some(digits.len() * 8 - zeros)
}

/// A `string` (RFC 4251 section 5) and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(parts: &[&[u8]]) -> Vec<u8> {
        let mut blob = Vec::new();
        for part in parts {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(*part);
        }
        blob
    }

    fn line(kind: &str, parts: &[&[u8]]) -> String {
        let mut all = vec![kind.as_bytes()];
        all.extend(parts);
        format!("{kind} {}", STANDARD.encode(wire(&all)))
    }

    fn rsa(bits: usize) -> String {
        let mut modulus = vec![0, 0x80];
        modulus.resize(bits / 8 + 1, 1);
        line("ssh-rsa", &[&[1, 0, 1], &modulus])
    }

    #[test]
    fn every_type_that_is_taken_reads_back_in_canonical_form() {
        let mut point = vec![4];
        point.resize(65, 7);
        let keys = [
            line("ssh-ed25519", &[&[7; 32]]),
            line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]),
            line("ecdsa-sha2-nistp256", &[b"nistp256", &point]),
            line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &point, b"ssh:"]),
            rsa(2048),
        ];
        for key in keys {
            let spaced = format!("  {}   alice@laptop  \n", key.replace(' ', "   "));
            let parsed = PublicKey::parse(&spaced, KeyUse::Signing).unwrap();
            assert_eq!(parsed.identity, key);
            assert_eq!(identity_of(&parsed.clone().into_line()), key);
            assert_eq!(parsed.into_line(), format!("{key} alice@laptop"));
        }
    }

    #[test]
    fn what_is_not_a_plain_public_key_is_refused_by_name() {
        use PublicKeyError as E;
        let good = line("ssh-ed25519", &[&[7; 32]]);
        type Is = fn(&PublicKeyError) -> bool;
        let wrong: Vec<(String, Is)> = vec![
            (String::new(), |e| matches!(e, E::Empty)),
            (format!("command=\"x\" {good}"), |e| matches!(e, E::Options)),
            (format!("restrict,{good}"), |e| matches!(e, E::Type(_))),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".into(), |e| matches!(e, E::Private)),
            ("ssh-ed25519-cert-v01@openssh.com AAAA".into(), |e| matches!(e, E::Certificate)),
            ("ssh-dss AAAAB3NzaC1kc3M=".into(), |e| matches!(e, E::Type(_))),
            ("ssh-ed25519".into(), |e| matches!(e, E::Base64(_))),
            ("ssh-ed25519 AAAA!".into(), |e| matches!(e, E::Base64(_))),
            (good.replace("ssh-ed25519", "ssh-rsa"), |e| matches!(e, E::Mismatch { .. })),
            (line("ssh-ed25519", &[&[7; 31]]), |e| matches!(e, E::Damaged(_))),
            (line("ssh-ed25519", &[&[7; 32], b"x"]), |e| matches!(e, E::Damaged(_))),
            (line("ecdsa-sha2-nistp256", &[b"nistp384", &[4; 65]]), |e| matches!(e, E::Damaged(_))),
            (line("ssh-rsa", &[&[], &[1]]), |e| matches!(e, E::Damaged(_))),
            (rsa(1024), |e| matches!(e, E::RsaSize { bits: 1024, .. })),
            (format!("{good} a\u{1b}[31m"), |e| matches!(e, E::Character)),
            (format!("{good}\n{good}"), |e| matches!(e, E::Character)),
            ("x".repeat(9000), |e| matches!(e, E::TooLong(_))),
        ];
        for (text, is) in wrong {
            let error = PublicKey::parse(&text, KeyUse::Signing).unwrap_err();
            assert!(is(&error), "{text}: {error:?}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_taken_for_an_old_host_only() {
        assert!(PublicKey::parse(&rsa(1024), KeyUse::Host).is_ok());
        assert!(PublicKey::parse(&rsa(512), KeyUse::Host).is_err());
    }
}
