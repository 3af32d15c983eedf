//! The connection to the server: reach it, have it prove who it is, prove who we are.
//!
//! In flow a live session and start-up parameters, out flow a stream that is ready for statements
//! and what the server told about itself. The client sees neither credential nor cancellation key.

use std::sync::Arc;

use aws_lc_rs::digest::{self, Algorithm};
use portcullis_gateway::{ConnectError, DatabaseCredential, LiveSession, ServerTls};
use portcullis_sql::{Charset, Modes};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::options::{CANCEL_TIMEOUT, MAX_GREETING_BYTES, MAX_SMALL_BYTES, SERVER_TIMEOUT};
use crate::wire::{HEADER_BYTES, Header, make, message, take_i32, take_text};

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// Most rounds of a sign-in; SCRAM has three.
const MAX_ROUNDS: usize = 8;

/// A connected peer, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}
/// See [`Duplex`].
pub(crate) type Stream = Box<dyn Duplex>;

/// A server that is ready for statements.
pub(crate) struct Server {
    pub(crate) stream: Stream,
    /// What it told of itself, as it came: ParameterStatus messages and notices.
    pub(crate) greeting: Vec<u8>,
    /// How it reads texts.
    pub(crate) modes: Modes,
    pub(crate) cancel: Cancel,
}

/// What is needed to cancel a statement of this server connection.
#[derive(Clone)]
pub(crate) struct Cancel {
    live: LiveSession,
    tls: ServerTls,
    /// Process id and key as the server told them.
    key_data: Arc<[u8]>,
}

/// Connects and signs in; a failure is audited and ends the session.
pub(crate) async fn connect(
    live: &LiveSession,
    parameters: &[(String, String)],
) -> Result<Server, ConnectError> {
    let reached = match timeout(SERVER_TIMEOUT, reach(live, parameters)).await {
        Ok(reached) => reached,
        Err(_) => Err(protocol(live, "it did not let the gate in in time")),
    };
    if let Err(error) = &reached {
        live.connect_failed(error).await;
    }
    reached
}

async fn reach(
    live: &LiveSession,
    parameters: &[(String, String)],
) -> Result<Server, ConnectError> {
    let credential = live.database_credential().await?;
    let tls = live.server_tls(&credential)?;
    let (mut stream, binding) = dial(live, &tls).await?;
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    send(live, &mut stream, &make::startup(pairs)).await?;
    let signed_in = SignIn { live, stream: &mut stream, credential: &credential, binding };
    signed_in.run(matches!(tls, ServerTls::Required(_))).await?;
    let (greeting, modes, key_data) = greeting(live, &mut stream).await?;
    live.connected(vec![("connection", "session".into())])
        .await
        .map_err(|error| protocol(live, &error.to_string()))?;
    let cancel = Cancel { live: live.clone(), tls, key_data: key_data.into() };
    Ok(Server { stream, greeting, modes, cancel })
}

/// Connects, with TLS unless the target may be reached without. Gives the hash that binds a sign-in
/// to this server's certificate (RFC 5929 section 4), where there is one.
async fn dial(
    live: &LiveSession,
    tls: &ServerTls,
) -> Result<(Stream, Option<Vec<u8>>), ConnectError> {
    let mut tcp: TcpStream = live.dial().await?;
    let ServerTls::Required(config) = tls else { return Ok((Box::new(tcp), None)) };
    let untrusted = |reason: String| ConnectError::ServerNotTrusted {
        target: live.target().name.clone(),
        reason,
    };
    let failed = |error: std::io::Error| protocol(live, &error.to_string());
    tcp.write_all(&make::ssl_request()).await.map_err(failed)?;
    // One byte exactly: what somebody put behind it goes into the handshake and breaks it.
    match tcp.read_u8().await.map_err(failed)? {
        b'S' => {}
        _ => return Err(untrusted("it does not speak TLS".into())),
    }
    let host = live.target().host().to_owned();
    let name = ServerName::try_from(host).map_err(|error| untrusted(error.to_string()))?;
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .map_err(|error| untrusted(error.to_string()))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let binding = certificates.and_then(|all| all.first()).and_then(|der| end_point(der));
    Ok((Box::new(stream), binding))
}

/// `tls-server-end-point`: the certificate's hash by its own signature's hash function, and by
/// SHA-256 where that is MD5 or SHA-1. Signatures without one (Ed25519) have no binding.
fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    use x509_parser::oid_registry as oid;
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let signature = &certificate.signature_algorithm.algorithm;
    let is = |known: &[&x509_parser::der_parser::Oid<'_>]| known.contains(&signature);
    let algorithm: &'static Algorithm = if is(&[
        &oid::OID_PKCS1_SHA256WITHRSA,
        &oid::OID_SIG_ECDSA_WITH_SHA256,
        &oid::OID_PKCS1_SHA1WITHRSA,
        &oid::OID_PKCS1_MD5WITHRSAENC,
    ]) {
        &digest::SHA256
    } else if is(&[&oid::OID_PKCS1_SHA384WITHRSA, &oid::OID_SIG_ECDSA_WITH_SHA384]) {
        &digest::SHA384
    } else if is(&[&oid::OID_PKCS1_SHA512WITHRSA, &oid::OID_SIG_ECDSA_WITH_SHA512]) {
        &digest::SHA512
    } else {
        return None;
    };
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

/// The conversation in which the gate proves itself.
struct SignIn<'a> {
    live: &'a LiveSession,
    stream: &'a mut Stream,
    credential: &'a DatabaseCredential,
    binding: Option<Vec<u8>>,
}

impl<'a> SignIn<'a> {
    async fn run(mut self, encrypted: bool) -> Result<(), ConnectError> {
        for _ in 0..MAX_ROUNDS {
            let (kind, body) = receive(self.live, self.stream, MAX_SMALL_BYTES).await?;
            match kind {
                b'R' => {}
                b'E' => return Err(self.refused(&body)),
                b'v' | b'N' => continue,
                _ => return Err(self.broken("something else than a sign-in")),
            }
            let (method, rest) = take_i32(&body).ok_or_else(|| self.broken("no method"))?;
            match method {
                0 => return Ok(()),
                3 if encrypted => {
                    self.answer(self.password().ok_or_else(|| self.no_password())?.as_bytes(), true)
                        .await?
                }
                3 => return Err(self.broken("a request for the password in clear, without TLS")),
                5 => {
                    let salt = rest.first_chunk::<4>().ok_or_else(|| self.broken("no salt"))?;
                    let login = self.live.login().as_str().as_bytes();
                    let hash = md5_hash(
                        login,
                        self.password().ok_or_else(|| self.no_password())?.as_bytes(),
                        *salt,
                    );
                    self.answer(hash.as_bytes(), true).await?;
                }
                10 => self.scram(rest).await?,
                _ => return Err(self.broken("a way of signing in the gate does not know")),
            }
        }
        Err(self.broken("too many rounds"))
    }

    /// SCRAM (RFC 5802, RFC 7677), bound to the server's certificate where it offers that. The
    /// server proves that it knows the password, too.
    async fn scram(&mut self, mut offered: &[u8]) -> Result<(), ConnectError> {
        let (mut plain, mut plus) = (false, false);
        while let Some((name, rest)) = take_text(offered) {
            plain |= name == SCRAM.as_bytes();
            plus |= name == SCRAM_PLUS.as_bytes();
            offered = rest;
        }
        let (name, binding) = match self.binding.take() {
            Some(hash) if plus => (SCRAM_PLUS, ChannelBinding::tls_server_end_point(hash)),
            // We could have bound it: a server that would have, too, sees that somebody took its
            // offer away.
            Some(_) if plain => (SCRAM, ChannelBinding::unrequested()),
            None if plain => (SCRAM, ChannelBinding::unsupported()),
            _ => return Err(self.broken("a way of signing in the gate does not know")),
        };
        let mut scram = ScramSha256::new(
            self.password().ok_or_else(|| self.no_password())?.as_bytes(),
            binding,
        );
        let first = scram.message();
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
        let body = [name.as_bytes(), b"\0", &length, first].concat();
        self.answer(&body, false).await?;
        let challenge = self.expect(11).await?;
        scram.update(&challenge).map_err(|error| self.broken(&error.to_string()))?;
        let proof = scram.message().to_vec();
        self.answer(&proof, false).await?;
        let verdict = self.expect(12).await?;
        scram.finish(&verdict).map_err(|_| self.broken("no proof that it knows the password"))
    }

    async fn expect(&mut self, method: i32) -> Result<Vec<u8>, ConnectError> {
        let (kind, body) = receive(self.live, self.stream, MAX_SMALL_BYTES).await?;
        match (kind, take_i32(&body)) {
            (b'R', Some((found, rest))) if found == method => Ok(rest.to_vec()),
            (b'E', _) => Err(self.refused(&body)),
            _ => Err(self.broken("an answer out of order")),
        }
    }

    fn password(&self) -> Option<&'a str> {
        let credential: &'a DatabaseCredential = self.credential;
        match credential {
            DatabaseCredential::Password(password) => Some(password.expose()),
            DatabaseCredential::Certificate { .. } => None,
        }
    }

    fn no_password(&self) -> ConnectError {
        self.broken("a request for a password, where the gate has a certificate")
    }

    async fn answer(&mut self, body: &[u8], zero: bool) -> Result<(), ConnectError> {
        let mut body = body.to_vec();
        if zero {
            body.push(0);
        }
        send(self.live, self.stream, &make::message(b'p', &body)).await
    }

    fn broken(&self, what: &str) -> ConnectError {
        protocol(self.live, &format!("it answered the sign-in with {what}"))
    }

    /// SQLSTATE class 28: the credential is not accepted. The rest is what the server says.
    fn refused(&self, body: &[u8]) -> ConnectError {
        let (state, text) = message::error(body);
        match state.starts_with("28") {
            true => ConnectError::NotAccepted {
                target: self.live.target().name.clone(),
                login: self.live.login().to_string(),
            },
            false => protocol(self.live, &text),
        }
    }
}

/// What the server tells between sign-in and the first statement.
async fn greeting(
    live: &LiveSession,
    stream: &mut Stream,
) -> Result<(Vec<u8>, Modes, Vec<u8>), ConnectError> {
    let (mut told, mut key_data, mut modes) = (Vec::new(), Vec::new(), Modes::postgres());
    while told.len() <= MAX_GREETING_BYTES {
        let (kind, body) = receive(live, stream, MAX_SMALL_BYTES).await?;
        match kind {
            b'Z' => return Ok((told, modes, key_data)),
            b'K' => key_data = body,
            b'E' => return Err(protocol(live, &message::error(&body).1)),
            b'S' => {
                let pair = take_text(&body).and_then(|(n, rest)| Some((n, take_text(rest)?.0)));
                match pair {
                    Some((b"standard_conforming_strings", value)) => {
                        modes.standard_conforming_strings = value == b"on";
                    }
                    Some((b"client_encoding", value)) => {
                        modes.charset = Charset::from_name(&String::from_utf8_lossy(value));
                    }
                    _ => {}
                }
                told.extend(make::message(kind, &body));
            }
            b'N' => told.extend(make::message(kind, &body)),
            _ => return Err(protocol(live, "it greets with a message of unknown type")),
        }
    }
    Err(protocol(live, "its greeting is too long"))
}

impl Cancel {
    /// Asks the server to stop the statement that runs, over a connection of its own.
    pub(crate) async fn send(&self) {
        let sending = async {
            let (mut stream, _) = dial(&self.live, &self.tls).await?;
            send(&self.live, &mut stream, &make::cancel_request(&self.key_data)).await?;
            // The server closes when it has acted.
            let _ = stream.read_u8().await;
            Ok::<_, ConnectError>(())
        };
        match timeout(CANCEL_TIMEOUT, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a cancellation did not reach its server"),
            Err(_) => tracing::debug!("a cancellation took too long"),
        }
    }
}

async fn send(live: &LiveSession, to: &mut Stream, bytes: &[u8]) -> Result<(), ConnectError> {
    let failed = |error: std::io::Error| protocol(live, &error.to_string());
    to.write_all(bytes).await.map_err(failed)?;
    to.flush().await.map_err(failed)
}

async fn receive(
    live: &LiveSession,
    from: &mut Stream,
    most: usize,
) -> Result<(u8, Vec<u8>), ConnectError> {
    let failed = |error: std::io::Error| protocol(live, &error.to_string());
    let mut head = [0; HEADER_BYTES];
    from.read_exact(&mut head).await.map_err(failed)?;
    let header = Header::read(&head).ok().flatten();
    let header = header.filter(|header| header.body <= most);
    let header = header.ok_or_else(|| protocol(live, "it sent a message of impossible length"))?;
    let mut body = vec![0; header.body];
    from.read_exact(&mut body).await.map_err(failed)?;
    Ok((header.kind, body))
}

fn protocol(live: &LiveSession, reason: &str) -> ConnectError {
    ConnectError::Protocol {
        target: live.target().name.clone(),
        reason: reason.escape_debug().take(300).collect(),
    }
}
