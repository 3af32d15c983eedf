//! Notifications: what happened, told to people, by an HTTPS POST or by a command.
//!
//! It is an export of the log that tells instead of copying: the log is the outbox. So whatever is
//! told has an entry behind it, is told at least once, again after a crash, with growing waits while
//! a receiver is down; and an outage is alarmed like that of any export. What is older than
//! [`MAX_AGE`] is not told any more, so that a receiver that comes back is not flooded.

pub mod message;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use portcullis_domain::{Secret, Timestamp};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use self::message::{Message, Topic};
use super::webhook::{judge, signature, signing_key};
use super::{DeliverError, Kind, Sink};
use crate::export::Batch;
use crate::http::{HttpClient, Outgoing, Url};

/// What happened longer ago is not told.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Most of an answer, or of what a command says, that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Most of it that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// How people are told.
#[derive(Debug, Clone)]
pub enum Way {
    /// An HTTPS POST of Slack-compatible JSON (`text`), with the events beside it.
    Webhook {
        /// Where to.
        url: Box<Url>,
        /// TLS settings.
        tls: Arc<ClientConfig>,
        /// What signs it, as Standard Webhooks 1.0 has it.
        secret: Option<Secret<Vec<u8>>>,
    },
    /// A command with its arguments, without a shell; the same JSON on its standard input.
    Command {
        /// Program and arguments. INVARIANT: not empty (the configuration refuses that).
        argv: Vec<String>,
        /// How long it may run.
        timeout: Duration,
    },
}

/// Tells people.
pub struct NotifySink {
    name: String,
    topics: BTreeSet<Topic>,
    way: Way,
    client: Option<HttpClient>,
}

impl NotifySink {
    /// A sink that tells of these topics.
    #[must_use]
    pub fn new(name: String, topics: BTreeSet<Topic>, way: Way) -> Self {
        let client = match &way {
            Way::Webhook { url, tls, .. } => Some(HttpClient::new(url, tls.clone())),
            Way::Command { .. } => None,
        };
        Self { name, topics, way, client }
    }

    fn messages(&self, batch: &Batch, now: Timestamp) -> Vec<Message> {
        let entries = batch.entries.iter();
        let read = entries.filter_map(|entry| serde_json::from_slice::<Value>(&entry.line).ok());
        read.filter_map(|event| Message::of(&event))
            .filter(|message| self.topics.contains(&message.topic))
            .filter(|message| now.since(message.at) <= MAX_AGE)
            .collect()
    }

    async fn tell(&self, batch: &Batch, now: Timestamp) -> Result<(), DeliverError> {
        let messages = self.messages(batch, now);
        if messages.is_empty() {
            return Ok(());
        }
        let body = body(&messages);
        match (&self.way, &self.client) {
            (Way::Webhook { url, secret, .. }, Some(client)) => {
                // The same at every try, so that a receiver can drop what it has.
                let id = format!("{}-{}-{}", self.name, batch.first, batch.next);
                let request = request(url, secret.as_ref(), &id, body, now)?;
                let answer = client.send(&request).await.map_err(DeliverError::unreachable)?;
                judge(&answer)
            }
            (Way::Command { argv, timeout }, _) => run(argv, *timeout, &body).await,
            (Way::Webhook { .. }, None) => Err(DeliverError::unreachable("there is no client")),
        }
    }
}

/// What is sent: a line for each message, as chats show it, and the same as data.
fn body(messages: &[Message]) -> Vec<u8> {
    let lines: Vec<String> = messages.iter().map(|message| escaped(&message.line)).collect();
    let event = |message: &Message| {
        json!({
            "id": message.event,
            "topic": message.topic.as_str(),
            "time": message.at.to_string(),
            "user": message.user,
            "target": message.target,
            "environment": message.environment,
            "text": message.line,
        })
    };
    let events: Vec<Value> = messages.iter().map(event).collect();
    json!({"text": lines.join("\n"), "events": events}).to_string().into_bytes()
}

/// Without what Slack takes for markup: <https://docs.slack.dev/messaging/formatting-message-text>.
fn escaped(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn request(
    url: &Url,
    secret: Option<&Secret<Vec<u8>>>,
    id: &str,
    body: Vec<u8>,
    now: Timestamp,
) -> Result<Outgoing, DeliverError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let seconds = now.as_seconds();
    let mut put = |name: &'static str, value: String| {
        let value = HeaderValue::try_from(value)
            .map_err(|_| DeliverError::unreachable("a header cannot be written"))?;
        headers.insert(HeaderName::from_static(name), value);
        Ok::<_, DeliverError>(())
    };
    put("webhook-id", id.to_owned())?;
    put("webhook-timestamp", seconds.to_string())?;
    if let Some(secret) = secret {
        put("webhook-signature", signature(&signing_key(secret), id, seconds, &body))?;
    }
    Ok(Outgoing {
        method: Method::POST,
        path: url.path().to_owned(),
        headers,
        body: body.into(),
        max_answer_bytes: MAX_ANSWER_BYTES,
    })
}

/// Runs a command with the body on its standard input. It gets nothing of the node's environment
/// but `PATH`, and is killed when its time is up.
async fn run(argv: &[String], timeout: Duration, body: &[u8]) -> Result<(), DeliverError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(DeliverError::unreachable("there is no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(DeliverError::unreachable)?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let told = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read what it is told is free not to.
                let _ = stdin.write_all(body).await;
            }
        };
        let mut said = Vec::new();
        let read = async {
            if let Some(stderr) = stderr {
                let mut bounded = stderr.take(MAX_ANSWER_BYTES as u64);
                let _ = bounded.read_to_end(&mut said).await;
            }
        };
        tokio::join!(write, read);
        let status = child.wait().await;
        (status, said)
    };
    match tokio::time::timeout(timeout, told).await {
        Err(_) => Err(DeliverError::unreachable("the command did not end in time")),
        Ok((Err(error), _)) => Err(DeliverError::unreachable(error)),
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => {
            let said: String =
                String::from_utf8_lossy(&said).chars().take(MAX_SHOWN_CHARS).collect();
            let why = format!("the command ended with {status}: {}", said.escape_debug());
            Err(DeliverError::Refused { why, retry_after: None })
        }
    }
}

impl Sink for NotifySink {
    fn kind(&self) -> Kind {
        Kind::Notify
    }

    fn destination(&self) -> String {
        match &self.way {
            // The path of a chat's webhook is its secret.
            Way::Webhook { url, .. } => url.authority().to_owned(),
            Way::Command { argv, .. } => argv.first().cloned().unwrap_or_default(),
        }
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        Box::pin(self.tell(batch, now))
    }
}
