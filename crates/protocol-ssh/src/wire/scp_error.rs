//! Why an scp conversation is ended.
//!
//! These are breaches after which nobody in between can tell content from records any more.

use thiserror::Error;

use super::Side;
use super::scp_record::RecordError;

/// A conversation that cannot be followed any further. The channel has to be closed, and the bytes
/// of the call that returned it must not be forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScpError {
    /// A record that is none.
    #[error(
        "the {side} sent an scp record that cannot be followed: {source}; use `scp` without `-O`"
    )]
    BadRecord {
        /// Who sent it.
        side: Side,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// A record or message without end.
    #[error("the {side} sent an scp line longer than `{limit}` bytes; use `scp` without `-O`")]
    LineTooLong {
        /// Who sent it.
        side: Side,
        /// The bound.
        limit: usize,
    },
    /// The source did not wait for the sink.
    #[error(
        "the {side} sent scp data before the other side had answered; use a client that waits, or `scp` without `-O`"
    )]
    DidNotWait {
        /// Who sent it.
        side: Side,
    },
    /// The sink answered what was not asked, or with a byte that is no answer.
    #[error("the {side} sent an scp answer where none belongs; use `scp` without `-O`")]
    UnexpectedAnswer {
        /// Who sent it.
        side: Side,
    },
    /// A byte that does not belong behind a file's content.
    #[error("the {side} did not end a file with a status; use `scp` without `-O`")]
    MissingStatus {
        /// Who sent it.
        side: Side,
    },
    /// A directory although `-r` was not given, or its end although none began.
    #[error("the {side} sent an scp directory record out of place; use `scp -r` for directories")]
    UnexpectedDirectory {
        /// Who sent it.
        side: Side,
    },
    /// More than was asked for.
    #[error("the {side} sent another file than the one asked for; check the target's scp")]
    UnaskedFile {
        /// Who sent it.
        side: Side,
    },
    /// More messages than are kept.
    #[error("the {side} sent more than `{limit}` scp messages; transfer fewer files at once")]
    TooManyMessages {
        /// Who sent it.
        side: Side,
        /// The bound.
        limit: usize,
    },
    /// A tree that is too deep or a path that is too long.
    #[error(
        "the {side} sent a directory tree deeper than `{depth}` or a path longer than `{path_bytes}` bytes; transfer an archive instead"
    )]
    TooDeep {
        /// Who sent it.
        side: Side,
        /// The bound on depth.
        depth: usize,
        /// The bound on paths.
        path_bytes: usize,
    },
}
