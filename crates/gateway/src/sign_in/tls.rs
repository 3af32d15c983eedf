//! Signing in with a client certificate of the gate's own authority, in any protocol over TLS.

use portcullis_domain::{Factor, FactorKind, UserName};
use portcullis_identity::authority::TlsCertificateError;
use portcullis_identity::login::Input;
use rustls::pki_types::CertificateDer;

use super::{Asked, SignInError, SignInFlow};
use crate::permit::Basis;

/// First factors that are taken, whatever the protocol.
pub(super) const FIRST: [FactorKind; 4] = [
    FactorKind::SshKey,
    FactorKind::SshCertificate,
    FactorKind::TlsCertificate,
    FactorKind::Password,
];

impl SignInFlow {
    /// The handshake verified that the peer holds the key in `certificate`. Whether the certificate
    /// counts is decided here.
    pub async fn tls_certificate(
        &mut self,
        raw_user: &str,
        certificate: &CertificateDer<'_>,
    ) -> Result<Asked, SignInError> {
        let user = self.bind(raw_user).await?.user;
        let checked = self.check_tls_certificate(&user, certificate).await?;
        let verdict = checked.map(|(serial, factors)| {
            self.basis = Some(Basis::Certificate(serial));
            factors
        });
        self.feed(&user, Input::TlsCertificate(verdict), FactorKind::TlsCertificate).await
    }

    /// INVARIANT: a serial the gate did not record for this user, or has revoked, proves nothing.
    async fn check_tls_certificate(
        &self,
        user: &UserName,
        certificate: &CertificateDer<'_>,
    ) -> Result<Result<(u64, Vec<Factor>), TlsCertificateError>, SignInError> {
        let now = self.gateway.now();
        let read = match self.gateway.tls_authority().check(certificate, now) {
            Ok(read) if read.user == *user && self.enabled(user) => read,
            Ok(_) => return Ok(Err(TlsCertificateError::Nobody)),
            Err(error) => return Ok(Err(error)),
        };
        let known = self.gateway.store().certificate(read.serial, now).await;
        let known = known.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        Ok(match known.filter(|known| known.user == *user) {
            Some(known) => {
                let mut factors = known.factors;
                let kind = FactorKind::TlsCertificate;
                factors.push(Factor { kind, at: known.issued_at });
                Ok((read.serial, factors))
            }
            None => Err(TlsCertificateError::Serial),
        })
    }
}
