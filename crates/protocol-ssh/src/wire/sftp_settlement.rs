//! What a target's answer means for the request it belongs to.
//!
//! In: the effect the request was to have, and the answer. Out: events, and the changed set of open
//! files. Knows nothing of packets that are not answers.

use super::file_event::{FileEvent, message};
use super::sftp_files::{Files, OpenContent};
use super::sftp_packet::{
    Attributes, Fields, MAX_HANDLE_BYTES, STATUS_BAD_MESSAGE, STATUS_EOF, STATUS_OK,
};
use super::sftp_request::{Access, Effect, Opening};
use super::sftp_transfer::{Reading, Writing};

/// What is recorded of a request whose answer never came.
const CUT_OFF: &str = "the connection ended before the target answered";
/// What is recorded of a request whose answer makes no sense.
const UNREADABLE: &str = "the target's answer cannot be read";
/// What is recorded of a file that was never closed.
const NOT_CLOSED: &str = "the connection ended before the file was closed";

/// The two fields of `SSH_FXP_STATUS` that matter (section 7).
pub(super) struct Status {
    code: u32,
    text: String,
}

impl Status {
    /// Old servers leave the text out.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(payload);
        let code = fields.uint32()?;
        let text = match fields.string() {
            Some(text) if !text.is_empty() => message(text),
            _ => name_of(code).to_owned(),
        };
        Some(Self { code, text })
    }

    /// Stands for an answer that is none, so that what was asked for is still told of.
    pub(super) fn unreadable() -> Self {
        Self { code: STATUS_BAD_MESSAGE, text: UNREADABLE.to_owned() }
    }

    fn outcome(self) -> Result<(), String> {
        if self.code == STATUS_OK { Ok(()) } else { Err(self.text) }
    }
}

/// Section 7 of the draft.
fn name_of(code: u32) -> &'static str {
    match code {
        0 => "no error",
        1 => "end of file",
        2 => "no such file",
        3 => "permission denied",
        4 => "failure",
        5 => "bad message",
        6 => "no connection",
        7 => "connection lost",
        8 => "operation unsupported",
        _ => "unknown error",
    }
}

/// A request was answered with a status.
pub(super) fn settle_status(
    files: &mut Files,
    effect: Effect,
    status: Status,
    events: &mut Vec<FileEvent>,
) {
    match effect {
        Effect::Open(opening) => {
            files.end_opening(&opening.path);
            let outcome = status.outcome().and(Err("the target opened nothing".to_owned()));
            events.push(not_opened(*opening, outcome));
        }
        Effect::Close { file } => files.close(file, status.outcome(), events),
        Effect::Read { file, offset, .. } if status.code == STATUS_EOF => {
            files.ends_by(file, offset);
            files.answered(file, Ok(()));
        }
        Effect::List { file } if status.code == STATUS_EOF => {
            files.ends_by(file, 0);
            files.answered(file, Ok(()));
        }
        Effect::Read { file, .. } | Effect::List { file } => {
            let outcome = status.outcome().and(Err("the target sent no content".to_owned()));
            files.answered(file, outcome);
        }
        Effect::Write { file } => files.answered(file, status.outcome()),
        Effect::HandleSetStat(set) => {
            let outcome = status.outcome();
            if set.resizes && outcome.is_err() {
                files.content_unknown(set.file);
            }
            // Mode and times that could not be set do not make the content incomplete.
            files.answered(set.file, Ok(()));
            events.push(attributes_set(set.path, outcome));
        }
        Effect::Operation(done) => {
            let outcome = status.outcome();
            events.push(FileEvent::plain(done.operation, done.path, done.to, outcome));
        }
        Effect::HandleStat { .. } | Effect::Stat { .. } | Effect::Harmless => {}
    }
}

/// A request was answered with a handle. The error says what is wrong with the answer.
pub(super) fn settle_handle(
    files: &mut Files,
    effect: Effect,
    payload: &[u8],
    events: &mut Vec<FileEvent>,
) -> Result<(), HandleFault> {
    let Effect::Open(opening) = effect else {
        return Ok(());
    };
    let handle = read_handle(payload).and_then(|handle| match files.find(handle) {
        Some(_) => Err(HandleFault::Taken),
        None => Ok(handle),
    });
    let handle = match handle {
        Ok(handle) => handle,
        Err(fault) => {
            events.push(not_opened(*opening, Err(UNREADABLE.to_owned())));
            return Err(fault);
        }
    };
    let Opening { path, access } = *opening;
    let content = match access {
        Access::Directory => OpenContent::Directory { bytes: 0, ended: false },
        Access::File { read, write, empty, append } => OpenContent::File {
            writing: write.then(|| Box::new(Writing::new(empty, append))),
            reading: read
                .then(|| Box::new(Reading::new(files.take_size(&path).filter(|_| !empty)))),
        },
    };
    files.opened(handle, path, content);
    Ok(())
}

fn read_handle(payload: &[u8]) -> Result<&[u8], HandleFault> {
    let mut fields = Fields::new(payload);
    let handle = fields.string().filter(|_| fields.is_empty()).ok_or(HandleFault::Unreadable)?;
    if handle.len() > MAX_HANDLE_BYTES { Err(HandleFault::TooLong) } else { Ok(handle) }
}

/// What can be wrong with a handle.
pub(super) enum HandleFault {
    Unreadable,
    TooLong,
    Taken,
}

/// A request was answered with attributes; `None` when they cannot be read.
pub(super) fn settle_attributes(files: &mut Files, effect: Effect, payload: &[u8]) -> Option<()> {
    let attributes = Attributes::read(&mut Fields::new(payload))?;
    match (effect, attributes.size) {
        (Effect::HandleStat { file }, Some(size)) => files.has_size(file, size),
        // The size of a link says nothing about the file behind it.
        (Effect::Stat { path, follow }, Some(size)) if follow || attributes.is_regular_file() => {
            files.remember_size(path, size);
        }
        _ => {}
    }
    Some(())
}

/// A request was answered with names, of `bytes` in all.
pub(super) fn settle_names(
    files: &mut Files,
    effect: Effect,
    bytes: u64,
    events: &mut Vec<FileEvent>,
) {
    match effect {
        Effect::List { file } => {
            files.listed(file, bytes);
            files.answered(file, Ok(()));
        }
        Effect::Operation(done) => {
            events.push(FileEvent::plain(done.operation, done.path, done.to, Ok(())));
        }
        _ => {}
    }
}

/// A held request is not sent.
pub(super) fn settle_refused(files: &mut Files, effect: Effect) {
    match effect {
        Effect::Open(opening) => files.end_opening(&opening.path),
        Effect::HandleSetStat(set) => {
            if set.resizes {
                files.content_unknown(set.file);
            }
            files.answered(set.file, Ok(()));
        }
        _ => {}
    }
}

/// The connection is over: sent requests were not answered, open files not closed.
pub(super) fn settle_cut_off(
    files: &mut Files,
    sent: impl Iterator<Item = Effect>,
    events: &mut Vec<FileEvent>,
) {
    for effect in sent {
        let outcome = Err(CUT_OFF.to_owned());
        match effect {
            Effect::Open(opening) => events.push(not_opened(*opening, outcome)),
            Effect::HandleSetStat(set) => events.push(attributes_set(set.path, outcome)),
            Effect::Operation(done) => {
                events.push(FileEvent::plain(done.operation, done.path, done.to, outcome));
            }
            _ => {}
        }
    }
    files.cut_off(NOT_CLOSED, events);
}

fn not_opened(opening: Opening, outcome: Result<(), String>) -> FileEvent {
    FileEvent::plain(opening.access.operation(), opening.path, None, outcome)
}

fn attributes_set(path: String, outcome: Result<(), String>) -> FileEvent {
    FileEvent::plain(super::FileOperation::SetAttributes, path, None, outcome)
}
