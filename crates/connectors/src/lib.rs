//! Connectors: ways from the gate to the outside.
//!
//! Flows in: the audit log, to be read, and settings with their secrets opened. Flows out: bytes to
//! receivers ([`export`] with its [`sinks`]) and to object storage ([`s3`]); what stands in between
//! as plain data. Never knows who may read what, nor what an event means beyond its OCSF class.
//!
//! INVARIANT: nothing here is in the path of a session. A connector that is slow, broken or down
//! costs lag, which is shown and alarmed, and never a decision, a session or an event.

pub mod backoff;
pub mod export;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod s3;
pub mod sinks;
pub mod tls;
