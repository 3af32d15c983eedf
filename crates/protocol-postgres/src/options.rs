//! Settings of the PostgreSQL room, with the bounds that keep a hostile peer small.

use std::time::Duration;

/// Bytes read at a time from either side. With what is being written, all that a session holds of
/// a result, however large.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// Largest message that is read whole, in bytes: statements, errors. What is longer and needs to be
/// looked at is refused; what need not be is passed on in pieces.
pub(crate) const MAX_WHOLE_BYTES: usize = 4 * 1024 * 1024;
/// How much of a Bind message is looked at, in bytes; the rest are values that are passed on.
pub(crate) const BIND_PREFIX_BYTES: usize = 64 * 1024;
/// Largest message that says nothing but a name or a number, in bytes.
pub(crate) const MAX_SMALL_BYTES: usize = 64 * 1024;
/// Longest list of parameters in a server's start-up, in bytes.
pub(crate) const MAX_GREETING_BYTES: usize = 256 * 1024;
/// Messages of a client whose answers are still due. PostgreSQL itself bounds them only by its
/// buffers; drivers send some thousands at most.
pub(crate) const MAX_PENDING: usize = 64 * 1024;
/// Statements a client may have prepared by name at a time.
pub(crate) const MAX_PREPARED: usize = 16 * 1024;
/// Portals a client may have open at a time.
pub(crate) const MAX_PORTALS: usize = 16 * 1024;
/// Text of prepared statements kept of one session, in bytes.
pub(crate) const MAX_PREPARED_BYTES: usize = 64 * 1024 * 1024;
/// Text of one statement in the recording, in bytes; a longer one is cut and its hash stands there.
pub(crate) const RECORDED_TEXT_BYTES: usize = 32 * 1024;
/// One value of a parameter in the recording, in bytes.
pub(crate) const RECORDED_VALUE_BYTES: usize = 512;
/// Parameters of one statement in the recording.
pub(crate) const RECORDED_VALUES: usize = 32;
/// Longest wait for a server's TCP connection, TLS and sign-in together.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a cancellation to reach a server.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a client to take the last words of a session.
pub(crate) const FAREWELL: Duration = Duration::from_millis(250);
/// Silence after which a peer is asked whether it is there, and how often it is asked.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(15);

/// What an operator may set. `Default` is what `portcullis serve` uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections that have not signed in yet, all sources together; more are closed at once.
    pub max_half_open: usize,
    /// The same for one source address.
    pub max_half_open_per_source: usize,
    /// Time from accepting a TCP connection to a completed sign-in.
    pub login_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_half_open: 512,
            max_half_open_per_source: 64,
            login_grace: Duration::from_secs(30),
        }
    }
}
