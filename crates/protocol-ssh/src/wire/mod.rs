//! File transfers on the wire: SFTP and the old scp protocol, read as file operations.
//!
//! In: the bytes of one channel, from the client and from the target, however they were cut.
//! Out: what to forward, what needs a decision first ([`sftp::SftpStep::Authorize`]) and what
//! happened to which file ([`FileEvent`]: path, size, digest).
//!
//! Both peers are hostile: every length, count and queue has a named bound, and nothing is
//! allocated by a claimed length. Pure: no sockets, no clock, no async; this module never learns
//! who the user is, what policy says or where the bytes go.

mod file_event;
#[doc(hidden)]
pub mod fuzzing;
pub mod scp;
mod scp_command;
mod scp_error;
mod scp_record;
pub mod sftp;
mod sftp_admission;
mod sftp_error;
mod sftp_files;
mod sftp_lane;
mod sftp_packet;
mod sftp_request;
mod sftp_settlement;
mod sftp_transfer;

#[cfg(test)]
mod scp_tests;
#[cfg(test)]
mod sftp_breach_tests;
#[cfg(test)]
mod sftp_property_tests;
#[cfg(test)]
mod sftp_tests;
#[cfg(test)]
mod sftp_transcript;

pub use file_event::{FileEvent, FileOperation};

/// One of the two peers of a channel; errors name the one to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The user's SSH client.
    Client,
    /// The SSH server behind the gate.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Target => "target",
        })
    }
}
