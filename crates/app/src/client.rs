//! A small HTTP/1.1 client for the node's API on loopback: JSON in and out, and streams of lines.
//!
//! In: paths and bodies. Out: decoded answers, or the problem the node named. It refuses any
//! address that is not loopback: the API speaks plain HTTP, and a password sent further would be
//! readable on the way.

mod address;
mod lines;
mod query;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LINK, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::failure::Failure;

pub(crate) use address::{Address, DEFAULT_ADDRESS};
pub(crate) use lines::Lines;
pub(crate) use query::{next_page, path, with_query};

/// Longest wait for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer to begin; applying many resources takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest answer read as a whole.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Most entries of a page.
const MAX_PAGE: usize = 1000;
/// Most pages of a list read; a node that never ends a list is not listened to for ever.
const MAX_PAGES: usize = 10_000;
/// Largest problem read.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;
/// A bearer token is a line of ASCII of at most this length.
const MAX_TOKEN_BYTES: usize = 4096;

/// Why a call did not work.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody listens there.
    #[error(
        "the node at {address} does not answer; start it with `portcullis serve`, or name another with `--address`"
    )]
    Unreachable {
        /// Where.
        address: Address,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the node at {address} broke off: {why}")]
    Broken {
        /// Where.
        address: Address,
        /// What happened.
        why: String,
    },
    /// The node refused, in its own words.
    #[error("{}", .0.told())]
    Refused(Problem),
}

/// What the node said about a refusal (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// HTTP status.
    pub(crate) status: u16,
    /// Stable name of the reason.
    pub(crate) code: String,
    /// For people, with the next step.
    pub(crate) detail: String,
    /// How long to wait before trying again.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Problem {
    fn told(&self) -> String {
        let wait = self.retry_after_seconds.filter(|_| !self.detail.contains("again"));
        match wait {
            Some(seconds) => format!("{}; try again in {seconds} s", self.detail),
            None => self.detail.clone(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Unreachable { .. } | ClientError::Broken { .. } => {
                Self::Unreachable(crate::failure::chain(&error))
            }
            ClientError::Refused(_) => Self::Failed(error.to_string()),
        }
    }
}

/// Speaks to one node, as one person or as nobody yet.
#[derive(Clone)]
pub(crate) struct Client {
    address: Address,
    token: Option<String>,
}

impl Client {
    /// A client; without a token it can only sign in.
    pub(crate) fn new(address: Address, token: Option<String>) -> Self {
        let fits = |token: &String| {
            token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        Self { address, token: token.filter(fits) }
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// `GET`, decoded.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.decoded(Method::GET, path, None).await
    }

    /// `GET` of a list: page by page, to its end or until there are `most` entries.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut all: Vec<T> = Vec::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{sign}limit={}", most.clamp(1, MAX_PAGE)));
        for _ in 0..MAX_PAGES {
            let Some(path) = next.take().filter(|_| all.len() < most) else { break };
            let response = self.send(Method::GET, &path, None).await?;
            next = response.headers().get(LINK).and_then(|link| next_page(link.to_str().ok()?));
            let bytes = self.read(response.into_body(), MAX_ANSWER_BYTES).await?;
            let page: Vec<T> = self.decode(&bytes)?;
            all.extend(page);
        }
        all.truncate(most);
        Ok(all)
    }

    /// `GET`, as text.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let bytes = self.whole(Method::GET, path, None).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.broken("the answer is not UTF-8"))
    }

    /// `POST` with a body, decoded.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.decoded(Method::POST, path, Some(self.encode(body)?)).await
    }

    /// `POST` with a body, where nothing of interest comes back.
    pub(crate) async fn tell<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
        let body = body.map(|body| self.encode(body)).transpose()?;
        self.whole(method, path, body).await.map(drop)
    }

    /// Any method without a body, decoded.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        self.decoded(method, path, None).await
    }

    /// `GET`, line by line as they come.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        self.lines_of(Method::GET, path).await
    }

    /// An answer to this method, line by line as they come.
    pub(crate) async fn lines_of(&self, method: Method, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(method, path, None).await?;
        Ok(Lines::new(self.address.clone(), response.into_body()))
    }

    /// `GET`, in pieces as they come.
    pub(crate) async fn pieces(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut body = self.send(Method::GET, path, None).await?.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                each(data)?;
            }
        }
        Ok(())
    }

    fn encode<B: Serialize>(&self, body: &B) -> Result<Bytes, ClientError> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|error| self.broken(&error.to_string()))
    }

    async fn decoded<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, ClientError> {
        let bytes = self.whole(method, path, body).await?;
        self.decode(&bytes)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| {
            self.broken(&format!("its answer makes no sense to this program ({error})"))
        })
    }

    async fn whole(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Bytes, ClientError> {
        let response = self.send(method, path, body).await?;
        self.read(response.into_body(), MAX_ANSWER_BYTES).await
    }

    async fn read(&self, body: Incoming, most: usize) -> Result<Bytes, ClientError> {
        let collected = Limited::new(body, most).collect().await;
        collected.map(|body| body.to_bytes()).map_err(|error| self.broken(&error.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error.to_string()))?;
        // Ends by itself once the answer has been read or dropped.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| self.broken(&error.to_string()))?;
        let response = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| self.broken("it did not answer in time"))?
            .map_err(|error| self.broken(&error.to_string()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let connecting = TcpStream::connect((self.address.host(), self.address.port()));
        let connected = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        connected
            .map_err(|source| ClientError::Unreachable { address: self.address.clone(), source })
    }

    async fn problem(&self, response: Response<Incoming>) -> ClientError {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(default)]
            detail: String,
            #[serde(default)]
            code: String,
        }
        let status = response.status();
        let retry_after_seconds =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = self.read(response.into_body(), MAX_PROBLEM_BYTES).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or(Body { detail: String::new(), code: String::new() });
        let detail = if body.detail.is_empty() {
            format!("the node answered {status} without an explanation")
        } else {
            body.detail
        };
        ClientError::Refused(Problem {
            status: status.as_u16(),
            code: body.code,
            detail,
            retry_after_seconds,
        })
    }

    fn broken(&self, why: &str) -> ClientError {
        ClientError::Broken { address: self.address.clone(), why: why.to_owned() }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}
