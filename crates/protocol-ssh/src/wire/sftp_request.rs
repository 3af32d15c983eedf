//! Requests of the client that wait: for a decision, then for the target's answer.
//!
//! In: ids. Out: what an answer to that id means ([`Effect`]). The id is the client's; one id
//! stands for one request at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::file_event::FileOperation;
use super::sftp_error::SftpError;
use super::sftp_files::FileKey;
use super::sftp_packet::{ATTRS, DATA, EXTENDED_REPLY, HANDLE, NAME, STATUS};

/// Most requests without an answer. Some clients ask for a whole file at once (paramiko:
/// 32 KiB each, so this is 512 MiB); one request costs about 40 bytes.
pub(super) const MAX_REQUESTS: usize = 16_384;
/// From here on the client's data should wait; see `SftpObserver::wants_client_data`.
pub(super) const ENOUGH_REQUESTS: usize = 1024;

/// Most bytes of paths in requests without an answer.
const MAX_WAITING_PATH_BYTES: usize = 1024 * 1024;

/// What a request does when the target agrees.
#[derive(Debug)]
pub(super) enum Effect {
    /// A file or directory is opened.
    Open(Box<Opening>),
    /// A file or directory is closed.
    Close { file: FileKey },
    /// Content of a file.
    Read { file: FileKey, offset: u64, length: u32 },
    /// Content for a file.
    Write { file: FileKey },
    /// Names in a directory.
    List { file: FileKey },
    /// Attributes of an open file.
    HandleStat { file: FileKey },
    /// Attributes of the file at a path.
    Stat { path: Box<str>, follow: bool },
    /// Attributes of an open file are set.
    HandleSetStat(Box<HandleSetStat>),
    /// Anything that is one event when it is answered.
    Operation(Box<Operation>),
    /// Nothing anybody has to know.
    Harmless,
}

/// A file or directory being opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) path: String,
    pub(super) access: Access,
}

/// What it is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    File {
        read: bool,
        write: bool,
        /// It has no content once it is open: truncated or created.
        empty: bool,
        /// The target chooses where written content goes.
        append: bool,
    },
    Directory,
}

impl Access {
    /// The operation that stands for an attempt to open.
    pub(super) fn operation(self) -> FileOperation {
        match self {
            Self::File { write: true, .. } => FileOperation::Upload,
            Self::File { .. } => FileOperation::Download,
            Self::Directory => FileOperation::List,
        }
    }
}

/// Attributes of an open file being set.
#[derive(Debug)]
pub(super) struct HandleSetStat {
    pub(super) file: FileKey,
    pub(super) path: String,
    pub(super) resizes: bool,
}

/// A request that is one event when it is answered.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) operation: FileOperation,
    pub(super) path: String,
    pub(super) to: Option<String>,
}

impl Effect {
    fn path_bytes(&self) -> usize {
        match self {
            Self::Open(opening) => opening.path.len(),
            Self::Stat { path, .. } => path.len(),
            Self::HandleSetStat(set) => set.path.len(),
            Self::Operation(operation) => {
                operation.path.len() + operation.to.as_ref().map_or(0, String::len)
            }
            _ => 0,
        }
    }

    /// Whether the target may answer with a packet of this type (section 3 of the draft).
    pub(super) fn expects(&self, kind: u8) -> bool {
        match kind {
            STATUS => true,
            HANDLE => matches!(self, Self::Open(_)),
            DATA => matches!(self, Self::Read { .. }),
            NAME => match self {
                Self::List { .. } | Self::Harmless => true,
                Self::Operation(operation) => operation.operation == FileOperation::ReadLink,
                _ => false,
            },
            ATTRS => matches!(self, Self::Stat { .. } | Self::HandleStat { .. }),
            EXTENDED_REPLY => matches!(self, Self::Harmless),
            _ => false,
        }
    }
}

/// Every request without an answer, by id.
#[derive(Default)]
pub(super) struct Requests {
    waiting: BTreeMap<u32, Waiting>,
    path_bytes: usize,
}

struct Waiting {
    /// Not sent to the target yet.
    held: bool,
    effect: Effect,
}

impl Requests {
    /// Refuses an id that is taken, and one more request than are kept.
    pub(super) fn check(&self, id: u32) -> Result<(), SftpError> {
        if self.waiting.contains_key(&id) {
            return Err(SftpError::DuplicateRequest { id });
        }
        if self.waiting.len() >= MAX_REQUESTS || self.path_bytes > MAX_WAITING_PATH_BYTES {
            return Err(SftpError::TooManyRequests { limit: MAX_REQUESTS });
        }
        Ok(())
    }

    /// A request waits for a decision (`held`) or for its answer.
    pub(super) fn insert(&mut self, id: u32, held: bool, effect: Effect) {
        self.path_bytes += effect.path_bytes();
        self.waiting.insert(id, Waiting { held, effect });
    }

    /// A held request is sent.
    pub(super) fn send(&mut self, id: u32) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.held = false;
        }
    }

    /// Takes a request that is not going to be sent.
    pub(super) fn take_held(&mut self, id: u32) -> Option<Effect> {
        self.take(id, true)
    }

    /// Takes the request an answer belongs to.
    pub(super) fn take_sent(&mut self, id: u32) -> Option<Effect> {
        self.take(id, false)
    }

    /// Takes every request that was sent, in the order of ids; held ones are forgotten.
    pub(super) fn drain_sent(&mut self) -> impl Iterator<Item = Effect> {
        self.path_bytes = 0;
        std::mem::take(&mut self.waiting)
            .into_values()
            .filter(|waiting| !waiting.held)
            .map(|waiting| waiting.effect)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Roughly what is kept, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.path_bytes + self.waiting.len() * size_of::<(u32, Waiting)>()
    }

    fn take(&mut self, id: u32, held: bool) -> Option<Effect> {
        match self.waiting.entry(id) {
            Entry::Occupied(entry) if entry.get().held == held => {
                let effect = entry.remove().effect;
                self.path_bytes = self.path_bytes.saturating_sub(effect.path_bytes());
                Some(effect)
            }
            _ => None,
        }
    }
}
