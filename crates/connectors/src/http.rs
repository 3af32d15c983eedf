//! A bounded HTTPS client: one receiver, one request at a time, its connection kept for the next.
//!
//! In: requests. Out: answers, of which only so much is read. Follows no redirect, keeps no cookie,
//! decompresses nothing. Plain HTTP goes to this machine only.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::tls::{ConnectError, Endpoint, Reach, connect};

/// Largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most headers of an answer.
const MAX_HEADERS: usize = 128;
/// What we call ourselves.
const AGENT: HeaderValue = HeaderValue::from_static("portcullis");

/// An `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    endpoint: Endpoint,
    authority: String,
    path: String,
}

/// A text is no URL we can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Not one at all.
    #[error("`{given}` is no URL such as `https://receiver.example/path`")]
    Malformed {
        /// What was given.
        given: String,
    },
    /// It carries a user name or password, which would end up in logs.
    #[error("a URL carries no user name or password here; use the settings for secrets")]
    Credentials,
    /// Plain HTTP to another machine.
    #[error("`{given}` would go over the network unprotected; write `https://`")]
    Unprotected {
        /// What was given.
        given: String,
    },
}

impl Url {
    /// The server.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Host and, where it is not the scheme's own, port: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query, from `/` on.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How the server is reached, with these TLS settings.
    #[must_use]
    pub fn reach(&self, tls: Arc<ClientConfig>) -> Reach {
        if self.secure { Reach::Tls(tls) } else { Reach::Loopback }
    }

    /// The same URL at another host: `LABEL.HOST`.
    ///
    /// # Errors
    /// [`UrlError::Malformed`].
    pub fn under(&self, label: &str) -> Result<Self, UrlError> {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{label}.{}{}", self.authority, self.path).parse()
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let given = || text.escape_debug().to_string();
        let wrong = || UrlError::Malformed { given: given() };
        if text.contains('@') {
            return Err(UrlError::Credentials);
        }
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (secure, port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let endpoint = Endpoint::new(authority.host(), authority.port_u16().unwrap_or(port))
            .map_err(|_| wrong())?;
        // A name may stand for this machine; that is seen when it is looked up.
        let elsewhere =
            endpoint.host().parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback());
        if !secure && elsewhere {
            return Err(UrlError::Unprotected { given: given() });
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { secure, endpoint, authority: authority.to_string(), path })
    }
}

impl std::fmt::Display for Url {
    /// Without the query, which some receivers want a token in.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came is not HTTP/1.1.
    #[error("the server broke off ({0})")]
    Broken(#[from] hyper::Error),
    /// The request cannot be written as HTTP.
    #[error("the request is not valid HTTP ({0})")]
    Request(#[from] hyper::http::Error),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

/// A request, whose body is in memory so that it can be sent again.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers besides `Host` and `User-Agent`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Most bytes of the answer's body that are read.
    pub max_answer_bytes: usize,
}

type Sender = SendRequest<Full<Bytes>>;

/// Speaks to one server.
pub struct HttpClient {
    endpoint: Endpoint,
    authority: String,
    reach: Reach,
    idle: Mutex<Option<Sender>>,
}

impl HttpClient {
    /// A client of this server.
    #[must_use]
    pub fn new(url: &Url, tls: Arc<ClientConfig>) -> Self {
        Self {
            endpoint: url.endpoint.clone(),
            authority: url.authority.clone(),
            reach: url.reach(tls),
            idle: Mutex::new(None),
        }
    }

    /// Sends a request and reads the answer. The request may arrive twice: where a connection
    /// kept from before turns out to be closed, it is sent again on a new one.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Answer, HttpError> {
        let kept = self.idle.lock().await.take().filter(|sender| !sender.is_closed());
        if let Some(sender) = kept
            && let Ok(answer) = self.send_on(sender, outgoing).await
        {
            return Ok(answer);
        }
        let stream = connect(&self.endpoint, &self.reach).await?;
        let (sender, connection) = Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends when the sender is dropped; what breaks it is told to whoever waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        self.send_on(sender, outgoing).await
    }

    async fn send_on(&self, mut sender: Sender, outgoing: &Outgoing) -> Result<Answer, HttpError> {
        let mut request = Request::builder()
            .method(outgoing.method.clone())
            .uri(outgoing.path.as_str())
            .body(Full::new(outgoing.body.clone()))?;
        let host = HeaderValue::try_from(&self.authority).map_err(hyper::http::Error::from)?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, AGENT);
        request.headers_mut().extend(outgoing.headers.clone());
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let (body, whole) = read_some(body, outgoing.max_answer_bytes).await?;
        if whole {
            *self.idle.lock().await = Some(sender);
        }
        Ok(Answer { status: head.status, headers: head.headers, body, whole })
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("authority", &self.authority).finish_non_exhaustive()
    }
}

async fn read_some(mut body: Incoming, limit: usize) -> Result<(Vec<u8>, bool), HttpError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_protected_or_of_this_machine() {
        let url: Url = "https://siem.example/in?token=x".parse().unwrap();
        assert_eq!((url.authority(), url.path()), ("siem.example", "/in?token=x"));
        assert_eq!(url.to_string(), "https://siem.example/in", "no query in what is shown");
        assert_eq!(url.endpoint().to_string(), "siem.example:443");
        let local: Url = "http://[::1]:8080".parse().unwrap();
        assert_eq!((local.endpoint().to_string().as_str(), local.path()), ("[::1]:8080", "/"));
        assert!(matches!("http://192.0.2.7/".parse::<Url>(), Err(UrlError::Unprotected { .. })));
        assert_eq!("https://a:b@siem.example/".parse::<Url>(), Err(UrlError::Credentials));
        for given in ["", "siem.example", "ftp://siem.example/", "https:///x", "https://a b/"] {
            assert!(matches!(given.parse::<Url>(), Err(UrlError::Malformed { .. })), "{given}");
        }
        let bucket: Url = "https://s3.example:9000".parse().unwrap();
        assert_eq!(bucket.under("logs").unwrap().authority(), "logs.s3.example:9000");
    }
}
