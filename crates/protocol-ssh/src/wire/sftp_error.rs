//! Why an SFTP conversation is ended.
//!
//! These are breaches of the protocol after which neither side can be followed any more; what can
//! be answered (an unknown handle, an unsupported request) is answered with a status instead.

use thiserror::Error;

use super::Side;

/// A conversation that cannot be followed any further. The channel has to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SftpError {
    /// A packet's length is beyond what is accepted for its kind.
    #[error(
        "the {side} sent an sftp packet of type `{kind}` with `{length}` bytes where at most `{limit}` are accepted; use smaller requests (`sftp -B 32768`)"
    )]
    PacketTooLong {
        /// Who sent it.
        side: Side,
        /// Its type (draft-ietf-secsh-filexfer-02 section 3).
        kind: u8,
        /// Its claimed length.
        length: u32,
        /// The bound.
        limit: usize,
    },
    /// A packet whose fields do not fit into it.
    #[error(
        "the {side} sent an sftp packet of type `{kind}` that cannot be read ({what}); try another version of that program"
    )]
    MalformedPacket {
        /// Who sent it.
        side: Side,
        /// Its type.
        kind: u8,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The first packet of the client is not `SSH_FXP_INIT`.
    #[error(
        "the client began with an sftp packet of type `{kind}` instead of a version; is it an sftp client?"
    )]
    MissingInit {
        /// Its type.
        kind: u8,
    },
    /// The client negotiated the version twice.
    #[error("the client negotiated the sftp version twice; reconnect")]
    RepeatedInit,
    /// The client did not wait for the version.
    #[error(
        "the client sent an sftp packet of type `{kind}` before the version was agreed; try another client"
    )]
    RequestBeforeVersion {
        /// Its type.
        kind: u8,
    },
    /// Neither side's version but 3 can be followed.
    #[error(
        "the {side} speaks sftp version `{version}` and the gate follows version `3` only; use a program that does"
    )]
    UnsupportedVersion {
        /// Who offered it.
        side: Side,
        /// The version.
        version: u32,
    },
    /// A request id that is still waiting for its answer.
    #[error("the client used the sftp request id `{id}` again before it was answered; reconnect")]
    DuplicateRequest {
        /// The id.
        id: u32,
    },
    /// More unanswered requests than are kept.
    #[error(
        "the client sent more than `{limit}` sftp requests without waiting for an answer; limit its requests (`sftp -R 64`)"
    )]
    TooManyRequests {
        /// The bound.
        limit: usize,
    },
    /// More refusals wait for the target to finish a packet than are kept.
    #[error(
        "more than `{limit}` refused sftp requests wait for the target to finish a packet; reconnect"
    )]
    TooManyReplies {
        /// The bound.
        limit: usize,
    },
    /// An answer to nothing, or of a type the request cannot have.
    #[error(
        "the target answered the sftp request `{id}` with a packet of type `{kind}` that does not belong to it; check the target's sftp server"
    )]
    UnexpectedResponse {
        /// The id.
        id: u32,
        /// The answer's type.
        kind: u8,
    },
    /// A handle that already stands for an open file.
    #[error(
        "the target gave the same sftp handle to two open files; check the target's sftp server"
    )]
    DuplicateHandle,
}
