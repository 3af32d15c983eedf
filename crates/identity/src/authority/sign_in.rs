//! Certificates for people signing in to the gate.
//!
//! [`SignInAuthority::issue`] turns a complete sign-in into a certificate of at most 12 hours that
//! carries the factors proved, with their times; [`SignInTrust::check`] reads them back after
//! checking everything else a certificate says. A certificate never begets a certificate: a new
//! one needs a password or a registered key again.

use std::time::Duration;

use portcullis_domain::{Factor, FactorKind, Secret, Timestamp, UserName};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PublicKey};
use thiserror::Error;

use super::{
    AuthorityKey, AuthorityKeyError, BACKDATE, Draft, IssueError, fingerprint, parse_line, seconds,
};
use crate::random::{Random, RandomUnavailable};

/// Longest life of a sign-in certificate, counted from its issue.
pub const MAX_SIGN_IN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The extension that carries the factors, as compact JSON.
pub const FACTORS_EXTENSION: &str = "factors@portcullis";

/// Most authority keys trusted at once: the present one and those being rotated out.
const MAX_TRUSTED: usize = 8;
/// Most factors in one certificate.
const MAX_FACTORS: usize = 8;
/// Longest factors extension that is read, in bytes.
const MAX_FACTORS_BYTES: usize = 2048;
const KEY_ID_PREFIX: &str = "portcullis:user:";

/// The authority that certifies people to the gate. Its certificates are nothing to a target.
#[derive(Debug)]
pub struct SignInAuthority(AuthorityKey);

/// What the gate trusts sign-in certificates by: public keys only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInTrust(Vec<KeyData>);

/// Why a certificate does not let anyone in. For the audit log: the peer learns only that it was
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Signed by somebody else.
    #[error("the certificate is signed by `{authority}`, which is not this gate's authority")]
    UnknownAuthority {
        /// SHA-256 fingerprint of the signing key.
        authority: String,
    },
    /// The signature does not fit what is signed.
    #[error("the certificate's signature is not valid")]
    Signature,
    /// A host certificate.
    #[error("the certificate is for a host, not for a user")]
    NotUser,
    /// It names nobody, which other software reads as everybody.
    #[error("the certificate names no principal")]
    NoPrincipals,
    /// It names somebody else, or more than one.
    #[error("the certificate is not for `{claimed}` alone")]
    Principal {
        /// Who it was presented for.
        claimed: UserName,
    },
    /// Its time has not come.
    #[error("the certificate is not valid yet; check the clocks")]
    NotYetValid,
    /// Its time is over.
    #[error("the certificate has expired; sign in again with `portcullis login`")]
    Expired,
    /// It claims to live longer than any certificate of this gate.
    #[error("the certificate lives longer than 12 hours, which this gate never issues")]
    Lifetime,
    /// It carries a restriction that is not understood here.
    #[error("the certificate has the critical option `{0}`, which this gate does not know")]
    CriticalOption(String),
    /// Its key id is not this user's.
    #[error("the certificate's key id is not one this gate gives to `{claimed}`")]
    KeyId {
        /// Who it was presented for.
        claimed: UserName,
    },
    /// It has no serial, so it could not be revoked.
    #[error("the certificate has no serial")]
    Serial,
    /// It was revoked.
    #[error("the certificate with serial {0} is revoked; sign in again with `portcullis login`")]
    Revoked(u64),
    /// The factors are missing or make no sense.
    #[error("the certificate does not say which factors were proved; sign in again")]
    Factors,
}

impl SignInAuthority {
    /// A new authority.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomUnavailable> {
        AuthorityKey::generate(random, "portcullis sign-in authority").map(Self)
    }

    /// From the store.
    pub fn from_openssh(text: &Secret<String>) -> Result<Self, AuthorityKeyError> {
        AuthorityKey::from_openssh(text).map(Self)
    }

    /// For the store to encrypt.
    pub fn to_openssh(&self) -> Result<Secret<String>, AuthorityKeyError> {
        self.0.to_openssh()
    }

    /// `ssh-ed25519 AAAA... portcullis sign-in authority`.
    pub fn public_key_line(&self) -> Result<String, AuthorityKeyError> {
        self.0.public_key().to_openssh().map_err(|e| AuthorityKeyError::Format(Some(e)))
    }

    /// SHA-256 fingerprint of the public key, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key().key_data())
    }

    /// Trust in this authority alone.
    pub fn trust(&self) -> SignInTrust {
        SignInTrust(vec![self.0.public_key().key_data().clone()])
    }

    /// Certifies `subject` for `user`, who has just proved `factors`. `serial` must be new; see
    /// [`super::random_serial`].
    #[expect(clippy::too_many_arguments, reason = "each is a distinct type a certificate is of")]
    pub fn issue(
        &self,
        subject: &PublicKey,
        user: &UserName,
        factors: &[Factor],
        now: Timestamp,
        lifetime: Duration,
        serial: u64,
        random: &mut dyn Random,
    ) -> Result<Certificate, IssueError> {
        let own = factors.iter().any(own);
        let fits = factors.len() <= MAX_FACTORS && factors.iter().all(|f| carried(f, now));
        if !own || !fits {
            return Err(IssueError::NoOwnFactor);
        }
        let draft = Draft {
            subject,
            principal: user.as_str(),
            key_id: format!("{KEY_ID_PREFIX}{user}"),
            extensions: vec![
                (FACTORS_EXTENSION, serde_json::to_string(factors)?),
                ("permit-agent-forwarding", String::new()),
                ("permit-port-forwarding", String::new()),
                ("permit-pty", String::new()),
            ],
            now,
            lifetime,
            max_lifetime: MAX_SIGN_IN_LIFETIME,
            serial,
        };
        self.0.sign(draft, random)
    }
}

impl SignInTrust {
    /// Trust in the authorities on these lines; during a rotation there are two.
    pub fn parse<'a>(
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, russh::keys::ssh_key::Error> {
        lines.into_iter().take(MAX_TRUSTED).map(parse_line).collect::<Result<_, _>>().map(Self)
    }

    /// Trust in either.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.0.truncate(MAX_TRUSTED);
        self
    }

    /// Decides whether a certificate lets `claimed` in, and with which factors.
    ///
    /// The transport must have verified that the peer holds the certified key: this function
    /// decides what the certificate is worth, not who holds it. `revoked` is asked last. The
    /// result begins with [`FactorKind::SshCertificate`] at the time of issue, followed by the
    /// factors proved then.
    pub fn check(
        &self,
        certificate: &Certificate,
        claimed: &UserName,
        now: Timestamp,
        revoked: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<Factor>, CertificateError> {
        self.check_signature(certificate)?;
        check_subject(certificate, claimed)?;
        let issued = check_times(certificate, now)?;
        if let Some(option) = certificate.critical_options().keys().next() {
            let name = option.escape_debug().take(128).collect();
            return Err(CertificateError::CriticalOption(name));
        }
        let factors = read_factors(certificate, issued)?;
        match certificate.serial() {
            0 => Err(CertificateError::Serial),
            serial if revoked(serial) => Err(CertificateError::Revoked(serial)),
            _ => Ok(factors),
        }
    }

    /// The signing key is compared whole, not by a fingerprint, and before anything is computed
    /// with it.
    fn check_signature(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let authority = certificate.signature_key();
        if !self.0.iter().any(|trusted| trusted == authority) {
            return Err(CertificateError::UnknownAuthority { authority: fingerprint(authority) });
        }
        certificate.verify_signature().map_err(|_| CertificateError::Signature)
    }
}

fn check_subject(certificate: &Certificate, claimed: &UserName) -> Result<(), CertificateError> {
    if !certificate.cert_type().is_user() {
        return Err(CertificateError::NotUser);
    }
    match certificate.valid_principals() {
        [] => return Err(CertificateError::NoPrincipals),
        [only] if only == claimed.as_str() => {}
        _ => return Err(CertificateError::Principal { claimed: claimed.clone() }),
    }
    if certificate.key_id().strip_prefix(KEY_ID_PREFIX) == Some(claimed.as_str()) {
        Ok(())
    } else {
        Err(CertificateError::KeyId { claimed: claimed.clone() })
    }
}

/// Checks the window (`valid after <= now < valid before`) and returns the time of issue.
fn check_times(certificate: &Certificate, now: Timestamp) -> Result<Timestamp, CertificateError> {
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    let longest = MAX_SIGN_IN_LIFETIME.as_secs() + BACKDATE.as_secs();
    if before.checked_sub(after).is_none_or(|lifetime| lifetime > longest) {
        return Err(CertificateError::Lifetime);
    }
    let now = seconds(now).ok_or(CertificateError::NotYetValid)?;
    if now < after {
        return Err(CertificateError::NotYetValid);
    }
    if now >= before {
        return Err(CertificateError::Expired);
    }
    let millis = i64::try_from(after).ok().and_then(|after| after.checked_mul(1000));
    millis
        .map(|millis| Timestamp::from_millis(millis).plus(BACKDATE))
        .ok_or(CertificateError::Lifetime)
}

fn read_factors(
    certificate: &Certificate,
    issued: Timestamp,
) -> Result<Vec<Factor>, CertificateError> {
    let text = certificate.extensions().get(FACTORS_EXTENSION).ok_or(CertificateError::Factors)?;
    if text.len() > MAX_FACTORS_BYTES {
        return Err(CertificateError::Factors);
    }
    let proved: Vec<Factor> = serde_json::from_str(text).map_err(|_| CertificateError::Factors)?;
    let own = proved.iter().any(own);
    // Certificates keep whole seconds, factors milliseconds.
    let latest = issued.plus(Duration::from_secs(1));
    if !own || proved.len() > MAX_FACTORS || !proved.iter().all(|f| carried(f, latest)) {
        return Err(CertificateError::Factors);
    }
    let mut factors = vec![Factor { kind: FactorKind::SshCertificate, at: issued }];
    factors.extend(proved);
    Ok(factors)
}

/// Whether a person proves this first factor themselves.
fn own(factor: &Factor) -> bool {
    matches!(factor.kind, FactorKind::Password | FactorKind::SshKey | FactorKind::Passkey)
}

/// Whether a certificate may carry this factor: proved by the person, not later than its issue.
fn carried(factor: &Factor, issued: Timestamp) -> bool {
    let derived = matches!(
        factor.kind,
        FactorKind::SshCertificate | FactorKind::TlsCertificate | FactorKind::Token
    );
    !derived && factor.at <= issued
}

#[cfg(test)]
#[path = "sign_in_tests.rs"]
mod tests;
