//! Sinks: where an export delivers to, one file for each kind.
//!
//! Flows in: a [`Batch`]. Flows out: the receiver's acknowledgement, or why there is none. A sink
//! keeps nothing between batches that matters: whatever it says was not acknowledged is delivered
//! again, by this process or the next.

pub mod bucket;
pub mod file;
pub mod notify;
pub mod syslog;
pub mod tiles;
pub mod webhook;

use std::time::Duration;

use futures::future::BoxFuture;
use portcullis_domain::Timestamp;
use thiserror::Error;

pub use bucket::BucketSink;
pub use file::FileSink;
pub use notify::NotifySink;
pub use syslog::SyslogSink;
pub use tiles::TilesSink;
pub use webhook::WebhookSink;

use crate::export::Batch;

/// What kind of receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON lines in a local file.
    File,
    /// Syslog, RFC 5424, over TLS.
    Syslog,
    /// HTTPS POST.
    Webhook,
    /// People, by HTTPS POST or a command.
    Notify,
    /// Objects in an S3-compatible bucket.
    S3,
    /// The log itself in an S3-compatible bucket.
    Tiles,
}

impl Kind {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syslog => "syslog",
            Self::Webhook => "webhook",
            Self::Notify => "notify",
            Self::S3 => "s3",
            Self::Tiles => "tiles",
        }
    }
}

/// Delivers batches.
pub trait Sink: Send + Sync {
    /// What kind it is.
    fn kind(&self) -> Kind;

    /// Where it delivers to, for people; never with a secret in it.
    fn destination(&self) -> String;

    /// Delivers all of the batch, which is not empty, and returns once the receiver has
    /// acknowledged it. Dropped before that, nothing is known; the batch is delivered again.
    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>>;
}

/// Why a batch was not acknowledged.
#[derive(Debug, Error)]
pub enum DeliverError {
    /// The receiver cannot be reached, or broke off.
    #[error("{why}")]
    Unreachable {
        /// What happened.
        why: String,
    },
    /// The receiver refused, in the sense of its protocol.
    #[error("{why}")]
    Refused {
        /// What it said.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The batch is more than the receiver takes at once.
    #[error("{why}")]
    TooLarge {
        /// What it said.
        why: String,
    },
    /// We cannot write it here.
    #[error("`{path}` cannot be written; free the disk or give the node its directory")]
    Local {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl DeliverError {
    pub(crate) fn unreachable(error: impl std::fmt::Display) -> Self {
        Self::Unreachable { why: error.to_string() }
    }

    /// How long the receiver wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
