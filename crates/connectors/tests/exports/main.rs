//! Exports end to end: a real log, real receivers, and receivers that fail in every way.
//!
//! In: the machine's `rsyslogd`, `openssl`-free certificates of our own, and `python3` for a web
//! server; an S3 server where `PORTCULLIS_S3_SERVER` names one (`make test-s3`). Out: that what was
//! logged arrives, all of it, in order, whatever happened in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking; it is never part of the binary"
)]

mod authority;
mod faults;
mod hostile;
mod journal;
mod notify;
#[cfg(feature = "s3-tests")]
mod object_storage;
mod syslog_server;
mod web_server;
