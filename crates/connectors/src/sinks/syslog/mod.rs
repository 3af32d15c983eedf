//! Syslog (RFC 5424) over TLS (RFC 5425), or over plain TCP to this machine.
//!
//! Syslog has no acknowledgement, and bytes taken by the system's buffers are not received. So a
//! batch is a connection: after its last message we say that we end (TLS `close_notify`), and the
//! receiver, which reads in order, has read all of it when it answers with its own (RFC 5425,
//! section 4.4). An end without that answer counts for nothing, because anyone on the way can make
//! one; receivers that never answer have to be named as such ([`SyslogOptions::close_notify`]).

pub mod message;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use portcullis_domain::Timestamp;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{DeliverError, Kind, Sink};
use crate::export::Batch;
use crate::tls::{self, Endpoint, Reach, Stream};

use message::Header;

/// Bytes a receiver may send that we throw away; syslog has none to send.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long to wait, after TLS has ended, for the connection to end too, or to be reset.
const RESET_PATIENCE: Duration = Duration::from_secs(1);

/// Settings of a syslog receiver.
#[derive(Debug, Clone)]
pub struct SyslogOptions {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// TLS settings; plain TCP, to this machine only, without.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether the receiver ends TLS properly. Without, an end of the TCP connection counts.
    pub close_notify: bool,
    /// What the messages say of their origin.
    pub header: Header,
}

/// Sends syslog messages.
pub struct SyslogSink {
    options: SyslogOptions,
}

impl SyslogSink {
    /// A sink for this receiver.
    #[must_use]
    pub fn new(options: SyslogOptions) -> Self {
        Self { options }
    }

    async fn send(&self, batch: &Batch) -> Result<(), DeliverError> {
        let bytes = message::frames(&self.options.header, batch);
        let reach = match &self.options.tls {
            Some(config) => Reach::Tls(config.clone()),
            None => Reach::Loopback,
        };
        let stream = tls::connect(&self.options.endpoint, &reach)
            .await
            .map_err(DeliverError::unreachable)?;
        let strict = self.options.tls.is_some() && self.options.close_notify;
        send_and_end(stream, &bytes, strict)
            .await
            .map_err(|error| DeliverError::Unreachable { why: told(&error) })
    }
}

impl Sink for SyslogSink {
    fn kind(&self) -> Kind {
        Kind::Syslog
    }

    fn destination(&self) -> String {
        self.options.endpoint.to_string()
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        Box::pin(self.send(batch))
    }
}

/// Sends everything, ends our side, and waits for the receiver to end its own.
async fn send_and_end(mut stream: Box<dyn Stream>, bytes: &[u8], strict: bool) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    match read_to_end(&mut stream).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !strict => {}
        other => other?,
    }
    // A receiver that is being stopped ends TLS by itself, in the middle of what we send. What it
    // has left unread its system answers with a reset.
    let mut tcp = stream.into_tcp();
    match tokio::time::timeout(RESET_PATIENCE, read_to_end(&mut tcp)).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let (mut buffer, mut read) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            more => read += more,
        }
        if read > MAX_ANSWER_BYTES {
            return Err(io::Error::other("the receiver talks; is it a syslog server?"));
        }
    }
}

fn told(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the receiver ended the connection without ending TLS, so what it has read is unknown; if it never does (rsyslog with the driver `gtls`), set `syslog.close_notify = false`".into();
    }
    format!("the receiver broke off: {error}")
}
