//! The node's way to its witnesses: one `add-checkpoint` call over HTTP/1.1 (C2SP `tlog-witness`).
//!
//! In: the body of a request. Out: what the witness answered, bounded in size and time. A witness is
//! not believed and not waited for; whether its answer counts is decided elsewhere. What travels is
//! signed and not secret, so that plain HTTP is enough; `http://` only.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use portcullis_control::{WitnessTransport, Witnesses};
use portcullis_evidence::log::Answer;
use tokio::net::TcpStream;

use crate::config::{AuditConfig, WitnessUrl};
use crate::failure::Failure;

/// Longest time for one call, the connection included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer read: sixteen signature lines and room.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The witnesses of the configuration; `None` where it names none.
pub(super) fn from(config: &AuditConfig) -> Result<Option<Witnesses>, Failure> {
    if config.witnesses.is_empty() {
        return Ok(None);
    }
    let each = config.witnesses.iter().map(|witness| {
        let transport: Arc<dyn WitnessTransport> = Arc::new(Http { url: witness.url.clone() });
        (witness.key.clone(), transport)
    });
    Witnesses::new(each.collect(), config.quorum, config.max_cosignature_age)
        .map(Some)
        .map_err(|error| Failure::because("the witnesses in the configuration do not fit", &error))
}

struct Http {
    url: WitnessUrl,
}

impl WitnessTransport for Http {
    fn add_checkpoint(
        &self,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, String>> + Send + '_>> {
        Box::pin(async move {
            let called = tokio::time::timeout(CALL_TIMEOUT, self.call(body)).await;
            called.unwrap_or_else(|_| Err(format!("no answer within {} s", CALL_TIMEOUT.as_secs())))
        })
    }
}

impl Http {
    async fn call(&self, body: Vec<u8>) -> Result<Answer, String> {
        let broken = |error: hyper::Error| format!("the connection broke: {error}");
        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port))
            .await
            .map_err(|error| format!("it cannot be reached: {error}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends by itself once the answer has been read or dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/add-checkpoint", self.url.prefix))
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| "its answer is too large or broke off".to_owned())?.to_bytes();
        read(status, &body)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Answer, String> {
    let text = std::str::from_utf8(body).map_err(|_| "its answer is not text".to_owned())?;
    match status {
        StatusCode::OK => Ok(Answer::Cosigned(text.to_owned())),
        StatusCode::BAD_REQUEST => Ok(Answer::Malformed("it finds the request malformed")),
        StatusCode::FORBIDDEN => Ok(Answer::Unsigned),
        StatusCode::NOT_FOUND => Ok(Answer::UnknownLog),
        StatusCode::CONFLICT => {
            let size = text.strip_suffix('\n').and_then(|size| size.parse().ok());
            size.map(Answer::Conflict).ok_or_else(|| "its conflict names no size".to_owned())
        }
        StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Inconsistent),
        other => Err(format!("it answered {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        assert_eq!(read(StatusCode::CONFLICT, b"17\n"), Ok(Answer::Conflict(17)));
        for body in [b"".as_slice(), b"17", b"-1\n", b"many\n", b"\xff\n"] {
            assert!(read(StatusCode::CONFLICT, body).is_err(), "{body:?}");
        }
        assert_eq!(read(StatusCode::NOT_FOUND, b"anything"), Ok(Answer::UnknownLog));
        assert!(read(StatusCode::MOVED_PERMANENTLY, b"").is_err());
    }
}
