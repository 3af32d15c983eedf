//! How the gate's listeners speak TLS: which certificate they show, and whose client certificates
//! they ask for.
//!
//! In: names or files. Out: settings for rustls. A client certificate is asked for and never
//! required here: what it is worth is decided in sign-in.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_domain::Timestamp;
use portcullis_identity::authority::{LISTENER_LIFETIME, TlsAuthorityError, random_serial};
use portcullis_identity::random::{OsRandom, RandomUnavailable};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::Gateway;

/// Why a listener cannot speak TLS.
#[derive(Debug, Error)]
pub enum ListenerTlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read as {what} in PEM")]
    File {
        /// Which.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The authority did not certify the listener.
    #[error(transparent)]
    Authority(#[from] TlsAuthorityError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The library refuses certificate or key.
    #[error("certificate or key are unusable")]
    Refused(#[from] rustls::Error),
    /// The authority's certificate is no trust anchor.
    #[error("the TLS authority's certificate is unusable")]
    Anchor,
}

/// What a listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerTls {
    /// A certificate of the gate's own authority for these host names and addresses.
    Names(Vec<String>),
    /// A certificate chain and its key, PEM files.
    Files {
        /// The chain, the listener's own certificate first.
        certificate: std::path::PathBuf,
        /// Its key.
        key: std::path::PathBuf,
    },
}

impl Gateway {
    /// Settings for a listener: TLS 1.2 and 1.3, client certificates of the gate's authority taken,
    /// `alpn` offered where it is not empty.
    pub fn listener_tls(
        &self,
        shown: &ListenerTls,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, ListenerTlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(self.tls_authority().certificate().clone())
            .map_err(|_| ListenerTlsError::Anchor)?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|_| ListenerTlsError::Anchor)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients);
        let mut config = match shown {
            ListenerTls::Files { certificate, key } => {
                let (chain, key) = read(certificate, key)?;
                builder.with_single_cert(chain, key)?
            }
            ListenerTls::Names(names) => {
                let own = OwnCertificate {
                    gateway: self.clone(),
                    names: names.clone(),
                    current: Mutex::new(None),
                };
                own.current_key()?;
                builder.with_cert_resolver(Arc::new(own))
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // A resumed session would carry a client certificate past its end.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn read(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ListenerTlsError> {
    let wrong =
        |path: &Path, what| ListenerTlsError::File { path: path.display().to_string(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|_| wrong(certificate, "certificates"))?
        .collect();
    let chain = chain.map_err(|_| wrong(certificate, "certificates"))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "certificates"));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|_| wrong(key, "a private key"))?;
    Ok((chain, key))
}

/// The gate's own certificate, made anew in memory when half its time is over.
struct OwnCertificate {
    gateway: Gateway,
    names: Vec<String>,
    current: Mutex<Option<(Arc<CertifiedKey>, Timestamp)>>,
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl OwnCertificate {
    fn current_key(&self) -> Result<Arc<CertifiedKey>, ListenerTlsError> {
        let now = self.gateway.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, made)) = &*current
            && now.since(*made) < LISTENER_LIFETIME / 2
        {
            return Ok(Arc::clone(key));
        }
        let serial = random_serial(&mut OsRandom)?;
        let made = self.gateway.tls_authority().listener(&self.names, now, serial)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.key.expose().clone()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = Arc::new(CertifiedKey::from_der(made.chain, key, &provider)?);
        *current = Some((Arc::clone(&key), now));
        Ok(key)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current_key()
            .inspect_err(|error| tracing::error!(%error, "the gate has no TLS certificate"))
            .ok()
    }
}
