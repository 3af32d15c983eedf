//! Ways to a receiver: TLS to whoever proves to be it, plain TCP to this machine and no further.
//!
//! In: an [`Endpoint`] and whom to trust. Out: a connected stream. Never knows what is spoken on it.

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use rustls::ClientConfig;

/// Longest wait for a connection and its handshake.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Largest file of certificates or keys read, in bytes.
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;

/// Whom to trust and who to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// PEM file of the authorities that vouch for the receiver; the system's where not given.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate (chain) and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` holds no {what} in PEM form")]
    Empty {
        /// Which.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// This machine trusts nobody.
    #[error("this system has no certificate authorities; name one with `ca`")]
    NoSystemRoots,
    /// The library refuses it.
    #[error("the certificates are unusable")]
    Refused(#[from] rustls::Error),
}

impl Trust {
    /// The TLS settings: TLS 1.2 and 1.3 by aws-lc-rs, post-quantum key exchange preferred.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| {
                    TrustError::Empty { path: key.display().to_string(), what: "private key" }
                })?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        // OpenSSL servers that ask for a client certificate and set no session context (rsyslog is
        // one) break off every resumed session. A handshake for each batch is cheap enough.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TrustError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs().certs;
                let (added, _) = roots.add_parsable_certificates(found);
                if added == 0 {
                    return Err(TrustError::NoSystemRoots);
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TrustError::Empty { path: path.display().to_string(), what: "certificate" }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let unreadable = |source| TrustError::Unreadable { path: path.display().to_string(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A name, or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// A receiver's address cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{given}` is no `host:port`")]
pub struct EndpointError {
    given: String,
}

impl Endpoint {
    /// A host by its name or address (an IPv6 address in brackets or not), and a port.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(host: &str, port: u16) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { given: format!("{}:{port}", host.escape_debug()) };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(bare).map_err(|_| wrong())?;
        if port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: bare.to_owned(), port })
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it can only be this machine. A name other than `localhost` is looked up first.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        address.map_or(self.host == "localhost", |address| address.is_loopback())
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { given: text.escape_debug().to_string() };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong());
        }
        Self::new(host, port.parse().map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How a receiver is reached.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Over TLS.
    Tls(Arc<ClientConfig>),
    /// In the clear, on this machine only.
    Loopback,
}

/// Why a receiver cannot be reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Its name has no address.
    #[error("`{endpoint}` has no address ({why})")]
    NoAddress {
        /// Whom.
        endpoint: Endpoint,
        /// What the name service said.
        why: String,
    },
    /// Plain TCP would leave this machine.
    #[error("`{endpoint}` is {address}, not this machine; only TLS goes there")]
    NotLoopback {
        /// Whom.
        endpoint: Endpoint,
        /// What its name stands for.
        address: SocketAddr,
    },
    /// Nothing answers.
    #[error("`{endpoint}` cannot be reached ({why})")]
    Unreachable {
        /// Whom.
        endpoint: Endpoint,
        /// What the system said.
        why: String,
    },
    /// It did not prove to be who it should be, or refused us.
    #[error("the TLS handshake with `{endpoint}` failed ({why})")]
    Handshake {
        /// Whom.
        endpoint: Endpoint,
        /// What went wrong.
        why: String,
    },
    /// It took too long.
    #[error("`{endpoint}` has not answered within {} s", CONNECT_PATIENCE.as_secs())]
    Silent {
        /// Whom.
        endpoint: Endpoint,
    },
}

/// A stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The connection under it, for what comes after the end of TLS.
    fn into_tcp(self: Box<Self>) -> TcpStream;
}

impl Stream for TcpStream {
    fn into_tcp(self: Box<Self>) -> TcpStream {
        *self
    }
}

impl Stream for tokio_rustls::client::TlsStream<TcpStream> {
    fn into_tcp(self: Box<Self>) -> TcpStream {
        self.into_inner().0
    }
}

/// Connects.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(endpoint: &Endpoint, reach: &Reach) -> Result<Box<dyn Stream>, ConnectError> {
    let connecting = async {
        let stream = tcp(endpoint, matches!(reach, Reach::Loopback)).await?;
        let Reach::Tls(config) = reach else {
            return Ok(Box::new(stream) as Box<dyn Stream>);
        };
        let refused = |why: String| ConnectError::Handshake { endpoint: endpoint.clone(), why };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| refused(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let stream =
            connector.connect(name, stream).await.map_err(|error| refused(error.to_string()))?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    };
    match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::Silent { endpoint: endpoint.clone() }),
    }
}

async fn tcp(endpoint: &Endpoint, loopback: bool) -> Result<TcpStream, ConnectError> {
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<_> = match found {
        Ok(found) => found.take(MAX_ADDRESSES).collect(),
        Err(error) => {
            let why = error.to_string();
            return Err(ConnectError::NoAddress { endpoint: endpoint.clone(), why });
        }
    };
    let mut why = "it has no address".to_owned();
    for address in addresses {
        if loopback && !address.ip().is_loopback() {
            return Err(ConnectError::NotLoopback { endpoint: endpoint.clone(), address });
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A batch is written at once; waiting for more would only delay its last bytes.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(ConnectError::Unreachable { endpoint: endpoint.clone(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_host_and_port() {
        for (given, shown) in [
            ("logs.example:6514", "logs.example:6514"),
            ("[::1]:514", "[::1]:514"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            assert_eq!(given.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for given in ["", "logs", ":1", "logs:", "logs:0", "logs:70000", "a b:1", "::1:514"] {
            assert!(given.parse::<Endpoint>().is_err(), "{given}");
        }
    }

    #[tokio::test]
    async fn plain_text_does_not_leave_the_machine() {
        let endpoint: Endpoint = "192.0.2.7:514".parse().unwrap();
        let refused = connect(&endpoint, &Reach::Loopback).await.err().unwrap();
        assert!(matches!(refused, ConnectError::NotLoopback { .. }), "{refused}");
    }
}
