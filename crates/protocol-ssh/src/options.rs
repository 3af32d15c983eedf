//! Settings of the SSH room, with the bounds that keep a hostile peer small.
//!
//! Values flow in from the node's configuration and out to the other modules. Nothing here knows a
//! target or a person.

use std::time::Duration;

/// Largest SSH packet payload of channel data we ask peers for, in bytes (RFC 4253 section 6.1).
pub(crate) const MAX_PACKET_BYTES: u32 = 32 * 1024;
/// Receive window offered to clients for each channel, in bytes (RFC 4254 section 5.2).
pub(crate) const CLIENT_WINDOW_BYTES: u32 = 1024 * 1024;
/// Receive window offered to targets for each channel, in bytes. What a target sends into it waits
/// in the kernel while the client is slow, so it costs us nothing.
pub(crate) const TARGET_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Messages of one channel that may wait inside russh. Bytes are bounded by [`crate::flow`] long
/// before this; it only stops a flood of tiny messages.
pub(crate) const CHANNEL_MESSAGES: usize = 16 * 1024;
/// Messages that may wait to be written to one connection.
pub(crate) const EVENT_MESSAGES: usize = 16;
/// Session channels open at a time on one client connection.
pub(crate) const MAX_SESSION_CHANNELS: usize = 64;
/// Forwarded connections open at a time on one client connection, both directions and agent.
pub(crate) const MAX_FORWARDED_CHANNELS: usize = 256;
/// Listening ports one client connection may hold on its target.
pub(crate) const MAX_REMOTE_FORWARDS: usize = 64;
/// Jump channels open at a time on one client connection.
pub(crate) const MAX_JUMPS: usize = 32;
/// Failed signatures, passwords or codes after which russh disconnects a client. The sign-in flow
/// locks out long before; unknown keys of a client's agent count here too.
pub(crate) const MAX_AUTH_ATTEMPTS: usize = 20;
/// Shortest time a refused authentication takes.
pub(crate) const REJECTION_TIME: Duration = Duration::from_millis(150);
/// Silence after which a peer is asked whether it is there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(15);
/// Silence after which a peer that was asked is taken for gone.
pub(crate) const PEER_GONE: Duration = Duration::from_secs(60);
/// Bytes after which keys are renewed (RFC 4253 section 9), each way.
pub(crate) const REKEY_BYTES: usize = 1 << 30;
/// Age after which keys are renewed.
pub(crate) const REKEY_AGE: Duration = Duration::from_secs(3600);
/// Longest wait for a target's TCP connection and key exchange.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a target to accept our credential.
pub(crate) const TARGET_AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a target to answer a request.
pub(crate) const TARGET_REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a client to take the last words of a session.
pub(crate) const FAREWELL: Duration = Duration::from_millis(250);

/// What an operator may set. `Default` is what `portcullis serve` uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections that have not signed in yet, all sources together; more are closed at once.
    pub max_half_open: usize,
    /// The same for one source address, loopback included.
    pub max_half_open_per_source: usize,
    /// Time from accepting a TCP connection to a completed sign-in.
    pub login_grace: Duration,
    /// Text shown before authentication; empty for none.
    pub banner: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_half_open: 512,
            max_half_open_per_source: 32,
            login_grace: Duration::from_secs(60),
            banner: String::new(),
        }
    }
}
