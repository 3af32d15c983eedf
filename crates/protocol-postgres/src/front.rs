//! The client's first words: TLS first, then who it is and where it wants to go.
//!
//! In flows a TCP connection, out flows an [`Arrived`] client inside TLS, or a cancellation. Nothing
//! is read ahead: what somebody put behind a request for TLS meets the handshake and breaks it.

use std::sync::Arc;

use portcullis_domain::Secret;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::back::Stream;
use crate::wire::make::{self, Severity, state};
use crate::wire::startup::{self, Session, Startup};
use crate::wire::{HEADER_BYTES, Header, take_text};

/// The protocol's name in TLS (manual, 55.2.11).
pub(crate) const ALPN: &[u8] = b"postgresql";
/// Requests for encryption a client may make before it says who it is.
const MAX_REQUESTS: usize = 4;
/// First byte of a TLS connection (RFC 8446 section 5.1, handshake).
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest password message, in bytes.
const MAX_PASSWORD_BYTES: usize = 1024 + 1;

/// A client inside TLS that said what it wants.
pub(crate) struct Arrived {
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    /// Its certificate, whose key it proved to hold in the handshake.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

/// What a connection turned out to be.
pub(crate) enum First {
    Arrived(Box<Arrived>),
    Cancel {
        process: i32,
        key: Vec<u8>,
    },
    /// Nothing that goes on; it was told why where that is possible.
    Nothing,
}

/// Hears the client out, up to its start-up packet.
pub(crate) async fn receive(mut tcp: TcpStream, tls: Arc<ServerConfig>) -> std::io::Result<First> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Ok(First::Nothing);
    }
    if first == [TLS_HANDSHAKE] {
        return inside(tcp, tls, true).await;
    }
    for _ in 0..MAX_REQUESTS {
        match packet(&mut tcp).await? {
            Ok(Startup::Tls) => {
                tcp.write_all(b"S").await?;
                return inside(tcp, tls, false).await;
            }
            Ok(Startup::Gssapi) => tcp.write_all(b"N").await?,
            // Clients before PostgreSQL 17 cancel without TLS; the key is all there is to it.
            Ok(Startup::Cancel { process, key }) => return Ok(First::Cancel { process, key }),
            Ok(Startup::Session(_)) => {
                let told = "this gate speaks TLS only\nset sslmode=verify-full";
                return refuse(&mut tcp, state::SIGN_IN, told).await;
            }
            Err(error) => return refuse(&mut tcp, state::PROTOCOL, &error.to_string()).await,
        }
    }
    Ok(First::Nothing)
}

/// `direct`: the client began with TLS, and must name the protocol there, so that TLS meant for
/// another service is not taken for it.
async fn inside(tcp: TcpStream, tls: Arc<ServerConfig>, direct: bool) -> std::io::Result<First> {
    let mut stream = Box::new(TlsAcceptor::from(tls).accept(tcp).await?);
    let connection = stream.get_ref().1;
    if direct && connection.alpn_protocol() != Some(ALPN) {
        return Ok(First::Nothing);
    }
    let certificates = connection.peer_certificates();
    let certificate = certificates.and_then(|all| all.first()).map(|one| one.clone().into_owned());
    match packet(&mut stream).await? {
        Ok(Startup::Session(session)) => {
            Ok(First::Arrived(Box::new(Arrived { stream, session, certificate })))
        }
        Ok(Startup::Cancel { process, key }) => Ok(First::Cancel { process, key }),
        Ok(Startup::Tls | Startup::Gssapi) => {
            refuse(&mut stream, state::PROTOCOL, "this connection is encrypted already").await
        }
        Err(error) => refuse(&mut stream, state::PROTOCOL, &error.to_string()).await,
    }
}

async fn packet(
    from: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<Result<Startup, startup::StartupError>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let length = match startup::body_length(length) {
        Ok(length) => length,
        Err(error) => return Ok(Err(error)),
    };
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(startup::read(&body))
}

async fn refuse(
    to: &mut (impl AsyncWrite + Unpin),
    state: &str,
    told: &str,
) -> std::io::Result<First> {
    tell(to, state, told).await?;
    Ok(First::Nothing)
}

/// The last words to a client that is not let in.
pub(crate) async fn tell(
    to: &mut (impl AsyncWrite + Unpin),
    state: &str,
    told: &str,
) -> std::io::Result<()> {
    to.write_all(&make::error(Severity::Fatal, state, told)).await?;
    to.flush().await?;
    to.shutdown().await
}

/// Asks for a password; `None` where the client sends something else.
pub(crate) async fn ask_password(stream: &mut Stream) -> std::io::Result<Option<Secret<String>>> {
    stream.write_all(&make::ask_password()).await?;
    stream.flush().await?;
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await?;
    let header = Header::read(&head).ok().flatten();
    let Some(header) = header.filter(|h| h.kind == b'p' && h.body <= MAX_PASSWORD_BYTES) else {
        return Ok(None);
    };
    let mut body = vec![0; header.body];
    stream.read_exact(&mut body).await?;
    let text = match take_text(&body) {
        Some((text, [])) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    };
    Ok(text.map(Secret::new))
}
