//! The gate's X.509 authority (RFC 5280): certificates that people sign in with over TLS, and those
//! the gate's own listeners show.
//!
//! [`TlsAuthority::certify`] turns a complete sign-in into a client certificate of at most 12 hours;
//! [`TlsAuthority::check`] reads one back. What was proved at that sign-in, and whether the
//! certificate is still in force, is looked up by its serial, which the gate records before it hands
//! a certificate out. A certificate never begets a certificate.
//!
//! Keys are made and signatures salted with the cryptographic library's own randomness: ECDSA needs
//! it inside. Serials come from the caller.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::{Secret, Timestamp, UserName};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage};

use super::{BACKDATE, MAX_SIGN_IN_LIFETIME, seconds};

/// How long the authority's own certificate is good.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);
/// How long a certificate of a listener is good; it is made anew well before.
pub const LISTENER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longest public key that is certified, in bytes of PEM.
const MAX_KEY_BYTES: usize = 4 * 1024;
/// Most names of a listener.
const MAX_NAMES: usize = 32;
/// Who a client certificate is for, as its one URI (RFC 5280 section 4.2.1.6).
const USER_URI: &str = "portcullis:user:";

/// Why the authority cannot be opened or does not certify.
#[derive(Debug, Error)]
pub enum TlsAuthorityError {
    /// What is kept is not a key and a certificate.
    #[error("the TLS authority's key or certificate is damaged")]
    Damaged,
    /// The person's key is not one.
    #[error(
        "the key to certify is not a public key in PEM (`BEGIN PUBLIC KEY`) of a known algorithm"
    )]
    Key,
    /// Zero, or beyond what is ever issued.
    #[error("a lifetime of {} seconds is not allowed", .0.as_secs())]
    Lifetime(Duration),
    /// A name of a listener is neither a host name nor an address.
    #[error("`{0}` is neither a host name nor an address")]
    Name(String),
    /// `now` is before 1970 or absurd.
    #[error("the gate's clock is wrong; nothing is certified until it is set")]
    Clock,
    /// Making a key or signing failed.
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
}

/// Why a client certificate proves nothing. For the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlsCertificateError {
    /// It cannot be read, is not by this authority, not for clients, or its time is over or has not
    /// come.
    #[error("the client certificate is not good: {0}")]
    Untrusted(String),
    /// It names nobody, or more than one.
    #[error("the client certificate does not name exactly one user of this gate")]
    Nobody,
    /// Its serial is not one the gate gives.
    #[error("the client certificate has no serial of this gate")]
    Serial,
}

/// A client certificate that this authority issued and whose time is now. Whether it was revoked is
/// not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whose it is.
    pub user: UserName,
    /// Its serial, by which the gate knows the rest.
    pub serial: u64,
}

/// A certificate for a listener, with its key.
pub struct ListenerCertificate {
    /// The certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, PKCS #8.
    pub key: Secret<Vec<u8>>,
}

/// The authority.
pub struct TlsAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
}

impl std::fmt::Debug for TlsAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsAuthority").finish_non_exhaustive()
    }
}

impl TlsAuthority {
    /// A new authority, as [`TlsAuthority::from_pem`] reads it: for the store to seal.
    pub fn generate(now: Timestamp) -> Result<Secret<String>, TlsAuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("Portcullis TLS authority", now, AUTHORITY_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Secret::new(format!("{}{}", key.serialize_pem(), certificate.pem())))
    }

    /// The key and the certificate, both PEM.
    pub fn from_pem(text: &Secret<String>) -> Result<Self, TlsAuthorityError> {
        let damaged = |_| TlsAuthorityError::Damaged;
        let key = KeyPair::from_pem(text.expose()).map_err(|_| TlsAuthorityError::Damaged)?;
        let certificate =
            CertificateDer::from_pem_slice(text.expose().as_bytes()).map_err(damaged)?;
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|_| TlsAuthorityError::Damaged)?
            .to_owned();
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, anchor })
    }

    /// The authority's certificate, for those who trust it.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same in PEM, for `sslrootcert`.
    pub fn certificate_pem(&self) -> String {
        to_pem(&self.certificate)
    }

    /// Certifies a public key (PEM) for someone who has just signed in. `serial` must be recorded
    /// before the certificate is handed out; see [`super::random_serial`].
    pub fn certify(
        &self,
        key: &str,
        user: &UserName,
        now: Timestamp,
        lifetime: Duration,
        serial: u64,
    ) -> Result<String, TlsAuthorityError> {
        if lifetime.as_secs() == 0 || lifetime > MAX_SIGN_IN_LIFETIME {
            return Err(TlsAuthorityError::Lifetime(lifetime));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(TlsAuthorityError::Key);
        }
        let key = SubjectPublicKeyInfo::from_pem(key).map_err(|_| TlsAuthorityError::Key)?;
        let mut params = params(user.as_str(), now, lifetime)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
        let uri = format!("{USER_URI}{user}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(certificate.pem())
    }

    /// Decides whether a certificate is one of this authority's for a person, now. The transport
    /// must have verified that the peer holds its key.
    pub fn check(
        &self,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<ClientCertificate, TlsCertificateError> {
        let untrusted = |error: webpki::Error| TlsCertificateError::Untrusted(error.to_string());
        let read = EndEntityCert::try_from(certificate).map_err(untrusted)?;
        let seconds = seconds(now)
            .ok_or_else(|| TlsCertificateError::Untrusted("the gate's clock is wrong".into()))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = [webpki::aws_lc_rs::ECDSA_P256_SHA256];
        let anchors = [self.anchor.clone()];
        let usage = KeyUsage::client_auth();
        read.verify_for_usage(&algorithms, &anchors, &[], now, usage, None, None)
            .map_err(untrusted)?;
        let mut names = read.valid_uri_names();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(TlsCertificateError::Nobody);
        };
        let user = name.strip_prefix(USER_URI).and_then(|name| UserName::new(name).ok());
        let user = user.ok_or(TlsCertificateError::Nobody)?;
        let serial = serial_of(read.serial()).ok_or(TlsCertificateError::Serial)?;
        Ok(ClientCertificate { user, serial })
    }

    /// A new key and certificate for a listener that goes by these host names and addresses.
    pub fn listener(
        &self,
        names: &[String],
        now: Timestamp,
        serial: u64,
    ) -> Result<ListenerCertificate, TlsAuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("Portcullis gate", now, LISTENER_LIFETIME)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
        for name in names.iter().take(MAX_NAMES) {
            let name = name.trim_matches(['[', ']']);
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.try_into().map_err(|_| TlsAuthorityError::Name(name.to_owned()))?,
                ),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ListenerCertificate {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: Secret::new(key.serialize_der()),
        })
    }
}

/// What all certificates have in common.
fn params(
    name: &str,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateParams, TlsAuthorityError> {
    let at = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_seconds()).map_err(|_| TlsAuthorityError::Clock)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(now.minus(BACKDATE))?;
    params.not_after = at(now.plus(lifetime))?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A serial as the gate gives them: a positive number of at most 63 bits.
fn serial_of(bytes: &[u8]) -> Option<u64> {
    let significant = bytes.iter().position(|byte| *byte != 0)?;
    let bytes = bytes.get(significant..)?;
    let mut whole = [0; 8];
    whole.get_mut(8_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    let serial = u64::from_be_bytes(whole);
    i64::try_from(serial).is_ok().then_some(serial)
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A new key pair for a person's machine: the private key and the public key, both PEM.
pub fn client_key() -> Result<(Secret<String>, String), TlsAuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((Secret::new(key.serialize_pem()), key.public_key_pem()))
}

/// The public half (PEM) of a private key (PEM) made by [`client_key`].
pub fn public_half(private: &Secret<String>) -> Result<String, TlsAuthorityError> {
    let key = KeyPair::from_pem(private.expose()).map_err(|_| TlsAuthorityError::Key)?;
    Ok(key.public_key_pem())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
