//! What a client's request needs before it may reach the target.
//!
//! In: a request and the files that are open. Out: forward it, ask for these actions first, or
//! refuse it here. Default deny: what is not understood is refused. Never learns what policy says.

use portcullis_domain::Action;

use super::file_event::{FileOperation, printable};
use super::sftp_files::{FileKey, Files, OpenFile};
use super::sftp_packet::{
    ClientRequest, FLAG_APPEND, FLAG_CREATE, FLAG_EXCLUSIVE, FLAG_READ, FLAG_TRUNCATE, FLAG_WRITE,
    MAX_PATH_BYTES, STATUS_BAD_MESSAGE, STATUS_FAILURE, STATUS_OP_UNSUPPORTED,
    STATUS_PERMISSION_DENIED,
};
use super::sftp_request::{Access, Effect, HandleSetStat, Opening, Operation};

/// What is done with a request.
pub(super) enum Admission {
    /// It goes on.
    Forward(Effect),
    /// It goes on when every one of these actions is allowed.
    Ask(Effect, Vec<Action>),
}

/// A request that is answered here, with this status.
pub(super) struct Refusal {
    pub(super) code: u32,
    pub(super) reason: &'static str,
}

/// Decides about one request, and notes it in `files` as being on its way.
pub(super) fn admit(files: &mut Files, request: ClientRequest<'_>) -> Result<Admission, Refusal> {
    match request {
        ClientRequest::Open { path, flags } => open(files, path, flags),
        ClientRequest::OpenDirectory { path } => {
            let path = text(path)?;
            let actions = vec![Action::Download { path: path.clone() }];
            opening(files, Opening { path, access: Access::Directory }, actions)
        }
        ClientRequest::Close { handle } => {
            let file = files.release(handle).ok_or(UNKNOWN_HANDLE)?;
            Ok(Admission::Forward(Effect::Close { file }))
        }
        ClientRequest::Read { handle, offset, length } => {
            let file = usable(files, handle, OpenFile::is_readable)?;
            files.asked(file);
            Ok(Admission::Forward(Effect::Read { file, offset, length }))
        }
        ClientRequest::Write { handle, .. } => {
            let file = usable(files, handle, OpenFile::is_writable)?;
            files.asked(file);
            Ok(Admission::Forward(Effect::Write { file }))
        }
        ClientRequest::ReadDirectory { handle } => {
            let file = usable(files, handle, OpenFile::is_directory)?;
            files.asked(file);
            Ok(Admission::Forward(Effect::List { file }))
        }
        ClientRequest::Stat { path, follow } => {
            let path = text(path)?.into_boxed_str();
            Ok(Admission::Forward(Effect::Stat { path, follow }))
        }
        ClientRequest::HandleStat { handle } => {
            let file = usable(files, handle, |_| true)?;
            Ok(Admission::Forward(Effect::HandleStat { file }))
        }
        ClientRequest::OnHandle { handle } => {
            usable(files, handle, |_| true)?;
            Ok(Admission::Forward(Effect::Harmless))
        }
        ClientRequest::Harmless => Ok(Admission::Forward(Effect::Harmless)),
        ClientRequest::HandleSetStat { handle, size } => handle_set_stat(files, handle, size),
        ClientRequest::CopyData { from, to } => copy_data(files, from, to),
        ClientRequest::ReadLink { path } => {
            let path = text(path)?;
            let actions = vec![Action::Download { path: path.clone() }];
            Ok(operation(FileOperation::ReadLink, path, None, actions))
        }
        ClientRequest::SetStat { path } => change(FileOperation::SetAttributes, path, None),
        ClientRequest::Remove { path } => change(FileOperation::Remove, path, None),
        ClientRequest::MakeDirectory { path } => change(FileOperation::MakeDirectory, path, None),
        ClientRequest::RemoveDirectory { path } => {
            change(FileOperation::RemoveDirectory, path, None)
        }
        ClientRequest::Rename { from, to } => change(FileOperation::Rename, from, Some(to)),
        ClientRequest::SymbolicLink { from, to } => {
            change(FileOperation::SymbolicLink, from, Some(to))
        }
        ClientRequest::HardLink { from, to } => change(FileOperation::HardLink, from, Some(to)),
        ClientRequest::Unsupported => Err(Refusal {
            code: STATUS_OP_UNSUPPORTED,
            reason: "the gate does not let this request through; use another one",
        }),
    }
}

const UNKNOWN_HANDLE: Refusal =
    Refusal { code: STATUS_FAILURE, reason: "no file is open under this handle; open it first" };
const WRONG_ACCESS: Refusal = Refusal {
    code: STATUS_PERMISSION_DENIED,
    reason: "the file is not open for this; open it for reading or writing as needed",
};

fn open(files: &mut Files, path: &[u8], flags: u32) -> Result<Admission, Refusal> {
    const KNOWN: u32 =
        FLAG_READ | FLAG_WRITE | FLAG_APPEND | FLAG_CREATE | FLAG_TRUNCATE | FLAG_EXCLUSIVE;
    let path = text(path)?;
    let unknown = flags & !KNOWN != 0;
    // Servers open for reading when neither is asked for; flags nobody knows may mean either.
    let read = unknown || flags & FLAG_READ != 0 || flags & FLAG_WRITE == 0;
    let write = unknown || flags & !FLAG_READ != 0;
    let created = flags & FLAG_CREATE != 0 && flags & FLAG_EXCLUSIVE != 0;
    let access = Access::File {
        read,
        write,
        empty: created || flags & FLAG_TRUNCATE != 0,
        append: unknown || flags & FLAG_APPEND != 0,
    };
    let mut actions = Vec::with_capacity(2);
    if read {
        actions.push(Action::Download { path: path.clone() });
    }
    if write {
        actions.push(Action::Upload { path: path.clone() });
    }
    opening(files, Opening { path, access }, actions)
}

fn opening(
    files: &mut Files,
    opening: Opening,
    actions: Vec<Action>,
) -> Result<Admission, Refusal> {
    if !files.begin_opening(&opening.path) {
        return Err(Refusal {
            code: STATUS_FAILURE,
            reason: "too many files are open; close some first",
        });
    }
    Ok(Admission::Ask(Effect::Open(Box::new(opening)), actions))
}

fn handle_set_stat(
    files: &mut Files,
    handle: &[u8],
    size: Option<u64>,
) -> Result<Admission, Refusal> {
    let (file, open) = files.find(handle).ok_or(UNKNOWN_HANDLE)?;
    let path = open.path().to_owned();
    files.asked(file);
    if let Some(size) = size {
        // Taken back when it is refused: requests behind it count on the order they were sent in.
        files.resized(file, size);
    }
    let actions = vec![Action::Upload { path: path.clone() }];
    let effect = HandleSetStat { file, path, resizes: size.is_some() };
    Ok(Admission::Ask(Effect::HandleSetStat(Box::new(effect)), actions))
}

fn copy_data(files: &mut Files, from: &[u8], to: &[u8]) -> Result<Admission, Refusal> {
    let (_, source) = files.find(from).ok_or(UNKNOWN_HANDLE)?;
    let (written, destination) = files.find(to).ok_or(UNKNOWN_HANDLE)?;
    if !source.is_readable() || !destination.is_writable() {
        return Err(WRONG_ACCESS);
    }
    let (path, to) = (source.path().to_owned(), destination.path().to_owned());
    files.content_unknown(written);
    let copy = Operation { operation: FileOperation::Copy, path, to: Some(to) };
    // Reading the one and writing the other were allowed when they were opened.
    Ok(Admission::Forward(Effect::Operation(Box::new(copy))))
}

/// A request that changes what is at one path, or at two.
fn change(name: FileOperation, path: &[u8], to: Option<&[u8]>) -> Result<Admission, Refusal> {
    let path = text(path)?;
    let to = to.map(text).transpose()?;
    let actions = std::iter::once(&path)
        .chain(&to)
        .map(|path| Action::Upload { path: path.clone() })
        .collect();
    Ok(operation(name, path, to, actions))
}

fn operation(
    operation: FileOperation,
    path: String,
    to: Option<String>,
    actions: Vec<Action>,
) -> Admission {
    Admission::Ask(Effect::Operation(Box::new(Operation { operation, path, to })), actions)
}

fn usable(
    files: &Files,
    handle: &[u8],
    is_open_for: impl FnOnce(&OpenFile) -> bool,
) -> Result<FileKey, Refusal> {
    let (key, file) = files.find(handle).ok_or(UNKNOWN_HANDLE)?;
    if is_open_for(file) { Ok(key) } else { Err(WRONG_ACCESS) }
}

/// A path as policy and the log see it. The empty path is the login directory; it must not look
/// like the empty path of an action that only opens the subsystem.
fn text(path: &[u8]) -> Result<String, Refusal> {
    if path.len() > MAX_PATH_BYTES {
        return Err(Refusal { code: STATUS_FAILURE, reason: "the path is longer than 4096 bytes" });
    }
    if path.contains(&0) {
        return Err(Refusal { code: STATUS_BAD_MESSAGE, reason: "the path contains a zero byte" });
    }
    Ok(if path.is_empty() { ".".to_owned() } else { printable(path) })
}
