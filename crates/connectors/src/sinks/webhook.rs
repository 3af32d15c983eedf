//! An HTTPS POST for each batch, signed as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time
//! and body, in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
//!
//! A status of 200 to 299 acknowledges. Redirects are refusals: a receiver that moves is configured,
//! not followed. The id is the same at every try, so that a receiver can drop what it has.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use portcullis_domain::{Secret, Timestamp};
use rustls::ClientConfig;

use super::{DeliverError, Kind, Sink};
use crate::export::Batch;
use crate::http::{Answer, HttpClient, Outgoing, Url};

/// Most of an answer's body that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most of it that is shown.
const MAX_SHOWN_CHARS: usize = 200;
/// How the text form of a signing secret begins (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON array.
    #[default]
    Json,
    /// One JSON object per line.
    NdJson,
}

impl Format {
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json"),
            Self::NdJson => HeaderValue::from_static("application/x-ndjson"),
        }
    }
}

/// Settings of a webhook.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Where to.
    pub url: Url,
    /// TLS settings.
    pub tls: Arc<ClientConfig>,
    /// How the body is written.
    pub format: Format,
    /// What signs: `whsec_` and base64, or the bytes themselves.
    pub secret: Option<Secret<Vec<u8>>>,
    /// The whole `Authorization` header, such as `Bearer ...` or `Splunk ...`.
    pub authorization: Option<Secret<Vec<u8>>>,
    /// The node's name, part of the ids.
    pub node: String,
}

/// Posts batches.
pub struct WebhookSink {
    options: WebhookOptions,
    client: HttpClient,
    key: Option<hmac::Key>,
}

impl WebhookSink {
    /// A sink for this receiver.
    #[must_use]
    pub fn new(options: WebhookOptions) -> Self {
        let client = HttpClient::new(&options.url, options.tls.clone());
        let key = options.secret.as_ref().map(signing_key);
        Self { options, client, key }
    }

    fn request(&self, batch: &Batch, now: Timestamp) -> Result<Outgoing, DeliverError> {
        let body = match self.options.format {
            Format::Json => batch.array(),
            Format::NdJson => batch.lines(),
        };
        let (first, last) = batch.span().unwrap_or((batch.first, batch.next));
        let id = format!("{}-{first}-{last}", self.options.node);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.options.format.content_type());
        let mut put = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value)
                .map_err(|_| DeliverError::unreachable("a header cannot be written"))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, DeliverError>(())
        };
        let seconds = now.as_seconds();
        put("webhook-id", id.clone())?;
        put("webhook-timestamp", seconds.to_string())?;
        if let Some(key) = &self.key {
            put("webhook-signature", signature(key, &id, seconds, &body))?;
        }
        if let Some(authorization) = &self.options.authorization {
            let mut value = HeaderValue::from_bytes(authorization.expose()).map_err(|_| {
                DeliverError::unreachable("the secret `authorization` is no header value")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Outgoing {
            method: Method::POST,
            path: self.options.url.path().to_owned(),
            headers,
            body: body.into(),
            max_answer_bytes: MAX_ANSWER_BYTES,
        })
    }

    async fn post(&self, batch: &Batch, now: Timestamp) -> Result<(), DeliverError> {
        let request = self.request(batch, now)?;
        let answer = self.client.send(&request).await.map_err(DeliverError::unreachable)?;
        judge(&answer)
    }
}

impl Sink for WebhookSink {
    fn kind(&self) -> Kind {
        Kind::Webhook
    }

    fn destination(&self) -> String {
        self.options.url.to_string()
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        Box::pin(self.post(batch, now))
    }
}

pub(super) fn signing_key(secret: &Secret<Vec<u8>>) -> hmac::Key {
    let bytes = secret.expose();
    let decoded = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok());
    match decoded.map(Secret::new) {
        Some(decoded) => hmac::Key::new(hmac::HMAC_SHA256, decoded.expose()),
        None => hmac::Key::new(hmac::HMAC_SHA256, bytes),
    }
}

/// `v1,` and the base64 of the HMAC-SHA256 over `ID.SECONDS.BODY`.
pub(super) fn signature(key: &hmac::Key, id: &str, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

pub(super) fn judge(answer: &Answer) -> Result<(), DeliverError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SHOWN_CHARS)
        .collect();
    let said = said.trim();
    let why = match (status.is_redirection(), said.is_empty()) {
        (true, _) => format!("the receiver answers {status} and redirects; set its new `url`"),
        (false, true) => format!("the receiver answers {status}"),
        (false, false) => format!("the receiver answers {status}: {said}"),
    };
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Err(DeliverError::TooLarge { why });
    }
    Err(DeliverError::Refused { why, retry_after: retry_after(&answer.headers) })
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). A date is not read: its clock is not ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_published_one() {
        // The example of the Standard Webhooks specification and its libraries.
        let secret = Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec());
        let body = br#"{"test": 2432232314}"#;
        let got =
            signature(&signing_key(&secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(got, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn only_a_success_acknowledges() {
        let answer = |status: u16, retry: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
            }
            let status = StatusCode::from_u16(status).unwrap();
            judge(&Answer { status, headers, body: b"no\n".to_vec(), whole: true })
        };
        assert!(answer(200, None).is_ok() && answer(204, None).is_ok());
        assert!(matches!(answer(413, None), Err(DeliverError::TooLarge { .. })));
        assert!(answer(302, None).unwrap_err().to_string().contains("redirects"));
        let busy = answer(503, Some("7")).unwrap_err();
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(answer(429, Some("Fri, 31 Dec")).unwrap_err().retry_after(), None);
    }
}
