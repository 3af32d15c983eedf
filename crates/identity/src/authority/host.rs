//! Whether a target is the host it should be: its key against what is pinned, its certificate
//! against the authorities that may certify it.
//!
//! In flow the target's configured lines and what it presented in the key exchange (whose
//! signature the transport has verified); out flows a [`HostVerdict`]. Only
//! [`HostVerdict::Trusted`] lets a connection go on: there is no trust on first use.

use portcullis_domain::Timestamp;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PublicKey, PublicKeyOrCertificate, ssh_key};
use thiserror::Error;

use super::{fingerprint, parse_line, seconds};

/// Most pinned keys, and most authorities, of one target.
const MAX_LINES: usize = 64;

/// What a target's host key is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTrust {
    pinned: Vec<KeyData>,
    authorities: Vec<KeyData>,
}

/// Why the configured lines cannot be used.
#[derive(Debug, Error)]
pub enum HostTrustError {
    /// A line is not a public key.
    #[error("`{line}` is not an SSH public key; write `ssh-ed25519 AAAA...`")]
    Line {
        /// The line, escaped and cut.
        line: String,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
    /// Too many of them.
    #[error("a target has at most {MAX_LINES} host keys and {MAX_LINES} authorities, not {0}")]
    TooMany(usize),
}

/// What a host presented in the key exchange.
#[derive(Debug, Clone, Copy)]
pub enum HostKey<'a> {
    /// A plain key.
    Key(&'a PublicKey),
    /// A certificate; the exchange is signed by the key in it.
    Certificate(&'a Certificate),
}

impl<'a> From<&'a PublicKeyOrCertificate> for HostKey<'a> {
    fn from(presented: &'a PublicKeyOrCertificate) -> Self {
        match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => Self::Key(key),
            PublicKeyOrCertificate::Certificate(certificate) => Self::Certificate(certificate),
        }
    }
}

/// What is known of a presented host key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum HostVerdict {
    /// It is the pinned key, or certified by a named authority for this host.
    Trusted,
    /// The target has neither pinned keys nor authorities, so nothing can be said of it.
    Unknown {
        /// SHA-256 fingerprint of the key.
        presented: String,
    },
    /// It is not the one expected.
    Changed {
        /// Fingerprints of the pinned keys and of the authorities.
        expected: Vec<String>,
        /// SHA-256 fingerprint of the key.
        presented: String,
    },
    /// A named authority signed it, but the certificate does not hold here and now.
    Refused {
        /// SHA-256 fingerprint of the key.
        presented: String,
        /// Why the certificate does not hold.
        reason: HostCertificateError,
    },
}

/// Why a host certificate of a named authority does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostCertificateError {
    /// The signature does not fit what is signed.
    #[error("the host certificate's signature is not valid")]
    Signature,
    /// A user certificate.
    #[error("the host's certificate is for a user, not for a host")]
    NotHost,
    /// It names no host, which other software reads as every host.
    #[error("the host certificate names no host")]
    NoPrincipals,
    /// It names other hosts.
    #[error("the host certificate is for other hosts; name one of its hosts in the target")]
    Principal,
    /// Outside its window.
    #[error("the host certificate is not valid now; renew it or check the clocks")]
    Time,
    /// It carries a restriction; there is none defined for hosts.
    #[error("the host certificate has the unknown critical option `{0}`")]
    CriticalOption(String),
}

impl HostTrust {
    /// Reads a target's pinned key lines and authority lines.
    pub fn parse(host_keys: &[String], authorities: &[String]) -> Result<Self, HostTrustError> {
        Ok(Self { pinned: parse_lines(host_keys)?, authorities: parse_lines(authorities)? })
    }

    /// Decides about what the host presented. `names` are those it goes by (host name, address,
    /// aliases); a certificate must name one of them exactly, but for case.
    pub fn check(&self, presented: HostKey<'_>, names: &[&str], now: Timestamp) -> HostVerdict {
        let key = match presented {
            HostKey::Key(key) => key.key_data(),
            HostKey::Certificate(certificate) => certificate.public_key(),
        };
        // The exchange is signed by this key either way, so a pin on it holds also when it comes
        // wrapped in a certificate.
        if self.pinned.contains(key) {
            return HostVerdict::Trusted;
        }
        let presented_fingerprint = fingerprint(key);
        if let HostKey::Certificate(certificate) = presented
            && self.authorities.contains(certificate.signature_key())
        {
            return match check_certificate(certificate, names, now) {
                Ok(()) => HostVerdict::Trusted,
                Err(reason) => HostVerdict::Refused { presented: presented_fingerprint, reason },
            };
        }
        if self.pinned.is_empty() && self.authorities.is_empty() {
            return HostVerdict::Unknown { presented: presented_fingerprint };
        }
        let expected = self.pinned.iter().chain(&self.authorities).map(fingerprint).collect();
        HostVerdict::Changed { expected, presented: presented_fingerprint }
    }
}

fn check_certificate(
    certificate: &Certificate,
    names: &[&str],
    now: Timestamp,
) -> Result<(), HostCertificateError> {
    certificate.verify_signature().map_err(|_| HostCertificateError::Signature)?;
    if !certificate.cert_type().is_host() {
        return Err(HostCertificateError::NotHost);
    }
    let principals = certificate.valid_principals();
    if principals.is_empty() {
        return Err(HostCertificateError::NoPrincipals);
    }
    if !principals.iter().any(|p| names.iter().any(|name| p.eq_ignore_ascii_case(name))) {
        return Err(HostCertificateError::Principal);
    }
    let now = seconds(now).ok_or(HostCertificateError::Time)?;
    if now < certificate.valid_after() || now >= certificate.valid_before() {
        return Err(HostCertificateError::Time);
    }
    match certificate.critical_options().keys().next() {
        Some(option) => {
            let name = option.escape_debug().take(128).collect();
            Err(HostCertificateError::CriticalOption(name))
        }
        None => Ok(()),
    }
}

fn parse_lines(lines: &[String]) -> Result<Vec<KeyData>, HostTrustError> {
    if lines.len() > MAX_LINES {
        return Err(HostTrustError::TooMany(lines.len()));
    }
    let parse = |line: &String| {
        parse_line(line).map_err(|source| HostTrustError::Line {
            line: line.escape_debug().take(120).collect(),
            source,
        })
    };
    lines.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::{Builder, CertType};

    use super::super::AuthorityKey;
    use super::*;
    use crate::testing::{Counter, at};

    #[test]
    fn a_pinned_key_is_trusted_plain_or_in_any_certificate() {
        let trust = HostTrust::parse(&[line(1)], &[]).unwrap();
        assert_eq!(plain(&trust, 1), HostVerdict::Trusted);
        let certificate = certify(1, 9, |b| {
            b.valid_principal("elsewhere").unwrap();
        });
        assert_eq!(certified(&trust, &certificate), HostVerdict::Trusted);
    }

    #[test]
    fn a_changed_key_is_refused_with_both_fingerprints() {
        let trust = HostTrust::parse(&[line(1)], &[line(7)]).unwrap();
        let HostVerdict::Changed { expected, presented } = plain(&trust, 2) else { panic!() };
        assert_eq!(expected, [fp(1), fp(7)]);
        assert_eq!(presented, fp(2));
    }

    #[test]
    fn a_target_without_any_pin_is_unknown_and_not_trusted_on_first_use() {
        let trust = HostTrust::parse(&[], &[]).unwrap();
        assert_eq!(plain(&trust, 1), HostVerdict::Unknown { presented: fp(1) });
        let certificate = certify(1, 9, |b| {
            b.valid_principal("web").unwrap();
        });
        assert_eq!(certified(&trust, &certificate), HostVerdict::Unknown { presented: fp(1) });
    }

    #[test]
    fn a_certificate_of_a_named_authority_is_trusted_for_its_names() {
        let trust = HostTrust::parse(&[], &[line(9)]).unwrap();
        let certificate = certify(1, 9, |b| {
            b.valid_principal("WEB.example").unwrap();
        });
        assert_eq!(certified(&trust, &certificate), HostVerdict::Trusted);
        let rogue = certify(1, 8, |b| {
            b.valid_principal("web.example").unwrap();
        });
        assert!(matches!(certified(&trust, &rogue), HostVerdict::Changed { .. }));
        assert!(matches!(plain(&trust, 1), HostVerdict::Changed { .. }));
    }

    #[test]
    fn the_authoritys_own_key_is_not_a_host_key() {
        let trust = HostTrust::parse(&[], &[line(9)]).unwrap();
        assert!(matches!(plain(&trust, 9), HostVerdict::Changed { .. }));
    }

    #[test]
    fn a_certificate_that_does_not_hold_is_refused_with_the_reason() {
        use HostCertificateError as E;
        let trust = HostTrust::parse(&[], &[line(9)]).unwrap();
        let named = |b: &mut Builder| {
            b.valid_principal("web.example").unwrap();
        };
        check(
            &trust,
            &certify(1, 9, |b| {
                b.all_principals_valid().unwrap();
            }),
            E::NoPrincipals,
        );
        check(
            &trust,
            &certify(1, 9, |b| {
                b.valid_principal("*").unwrap();
            }),
            E::Principal,
        );
        let option = |b: &mut Builder| {
            named(b);
            b.critical_option("x", "").unwrap();
        };
        check(&trust, &certify(1, 9, option), E::CriticalOption("x".into()));
        let of_a_user = sign(1, 9, CertType::User, (at(-1), at(60)), named);
        check(&trust, &of_a_user, E::NotHost);
        for window in [(at(-60), at(0)), (at(1), at(60))] {
            check(&trust, &sign(1, 9, CertType::Host, window, named), E::Time);
        }
    }

    #[test]
    fn lines_that_are_not_keys_are_refused_at_once() {
        for wrong in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "\u{1b}[2J", &"x".repeat(100_000)] {
            let error = HostTrust::parse(&[wrong.to_owned()], &[]).unwrap_err().to_string();
            assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
        }
        assert!(HostTrust::parse(&vec![line(1); 65], &[]).is_err());
    }

    fn key(seed: u64) -> PrivateKey {
        AuthorityKey::generate(&mut Counter(seed), "").unwrap().0
    }

    fn line(seed: u64) -> String {
        key(seed).public_key().to_openssh().unwrap()
    }

    fn fp(seed: u64) -> String {
        fingerprint(key(seed).public_key().key_data())
    }

    fn plain(trust: &HostTrust, seed: u64) -> HostVerdict {
        trust.check(HostKey::Key(key(seed).public_key()), &["10.0.0.5", "web.example"], at(0))
    }

    fn certified(trust: &HostTrust, certificate: &Certificate) -> HostVerdict {
        trust.check(HostKey::Certificate(certificate), &["10.0.0.5", "web.example"], at(0))
    }

    fn certify(subject: u64, authority: u64, change: impl FnOnce(&mut Builder)) -> Certificate {
        sign(subject, authority, CertType::Host, (at(-60), at(60)), change)
    }

    fn sign(
        subject: u64,
        authority: u64,
        kind: CertType,
        window: (Timestamp, Timestamp),
        change: impl FnOnce(&mut Builder),
    ) -> Certificate {
        let (after, before) = (seconds(window.0).unwrap(), seconds(window.1).unwrap());
        let subject = key(subject).public_key().clone();
        let mut builder = Builder::new([1; 32], subject, after, before).unwrap();
        builder.cert_type(kind).unwrap();
        change(&mut builder);
        builder.sign(&key(authority)).unwrap()
    }

    fn check(trust: &HostTrust, certificate: &Certificate, expected: HostCertificateError) {
        match certified(trust, certificate) {
            HostVerdict::Refused { reason, .. } => assert_eq!(reason, expected),
            other => panic!("{other:?} instead of {expected:?}"),
        }
    }
}
