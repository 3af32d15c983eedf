//! From a live session to a database server: the credential the client never sees, and how the
//! server must prove itself.

use std::sync::Arc;

use portcullis_domain::{Action, PostgresCredential, PostgresTarget, PostgresTls, Secret, Tier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::connect::{ConnectError, CredentialError};
use crate::live::LiveSession;

/// What the gate proves itself to a database server with.
pub enum DatabaseCredential {
    /// A stored password.
    Password(Secret<String>),
    /// A client certificate, which goes into the TLS settings.
    Certificate {
        /// The chain, the client's own first.
        chain: Vec<CertificateDer<'static>>,
        /// Its key.
        key: PrivateKeyDer<'static>,
    },
}

/// How a server is spoken to.
#[derive(Debug, Clone)]
pub enum ServerTls {
    /// Over TLS, with these settings; the certificate must be for the target's host.
    Required(Arc<ClientConfig>),
    /// In the clear, as the target's options say and its environment allows.
    Plaintext,
}

impl LiveSession {
    /// Whether an action would be allowed now: for choosing how to connect, never in place of
    /// [`LiveSession::authorize`]. Nothing is audited, because nothing is permitted.
    pub fn may(&self, action: Action) -> bool {
        let who = self.who().as_of(self.opened(), self.gateway().now());
        self.gateway().would_allow(&who, &self.target().name, self.login(), action)
    }

    /// Fetches what the gate signs in to the server with. Never leaves the gate.
    pub async fn database_credential(&self) -> Result<DatabaseCredential, ConnectError> {
        let found = match self.postgres()?.credential(self.login()) {
            None => Err(CredentialError::NoSuchLogin),
            Some(PostgresCredential::Password { secret }) => {
                self.secret(secret).await.map(DatabaseCredential::Password)
            }
            Some(PostgresCredential::Certificate { secret }) => {
                let malformed = || CredentialError::NotPem(secret.clone());
                self.secret(secret).await.and_then(|pem| {
                    let bytes = pem.expose().as_bytes();
                    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
                    let chain = chain.map_err(|_| malformed())?;
                    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| malformed())?;
                    Ok(DatabaseCredential::Certificate { chain, key })
                })
            }
        };
        found.map_err(|source| self.no_credential(source))
    }

    /// The TLS settings towards the server. INVARIANT: no plaintext in production, whatever the
    /// target's options say.
    pub fn server_tls(&self, credential: &DatabaseCredential) -> Result<ServerTls, ConnectError> {
        let untrusted = |reason: String| ConnectError::ServerNotTrusted {
            target: self.target().name.clone(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        match &self.postgres()?.tls {
            PostgresTls::Plaintext => {
                let snapshot = self.gateway().snapshot();
                let environment = snapshot.facts.environments.get(&self.target().environment);
                return match environment {
                    Some(found) if found.tier != Tier::Production => Ok(ServerTls::Plaintext),
                    _ => Err(untrusted(
                        "it is in production and would be reached without TLS".into(),
                    )),
                };
            }
            PostgresTls::SystemRoots => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            PostgresTls::Authority { certificates } => {
                let found = CertificateDer::pem_slice_iter(certificates.as_bytes());
                roots.add_parsable_certificates(found.filter_map(Result::ok));
            }
        }
        if roots.is_empty() {
            return Err(untrusted(
                "none of the authorities it may be certified by can be read".into(),
            ));
        }
        let refused = |error: rustls::Error| untrusted(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots);
        let mut config = match credential {
            DatabaseCredential::Password(_) => builder.with_no_client_auth(),
            DatabaseCredential::Certificate { chain, key } => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(refused)?
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(ServerTls::Required(Arc::new(config)))
    }

    fn postgres(&self) -> Result<&PostgresTarget, ConnectError> {
        self.target().postgres().ok_or_else(|| self.no_credential(CredentialError::NoSuchLogin))
    }

    fn no_credential(&self, source: CredentialError) -> ConnectError {
        ConnectError::Credential { target: self.target().name.clone(), source }
    }
}
