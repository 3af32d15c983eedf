//! The files and directories a client has open on the target, by handle.
//!
//! In: openings, content, closings. Out: a [`FileEvent`] per file when it is closed or cut off.
//! A file outlives its handle until the target has answered the CLOSE, because answers to requests
//! sent before may still be on their way, and a target may give the same handle to the next file.

use std::collections::{BTreeMap, VecDeque};

use super::file_event::{FileEvent, FileOperation};
use super::sftp_transfer::{Reading, Writing};

/// Most files and directories open (or being opened or closed) at a time.
pub(super) const MAX_OPEN_FILES: usize = 1024;
/// Most bytes of their paths.
const MAX_OPEN_PATH_BYTES: usize = 1024 * 1024;
/// Most sizes remembered from STAT for the files opened next.
const MAX_REMEMBERED_SIZES: usize = 16;

/// Names an open file for as long as the conversation lasts; never given twice, unlike a handle.
pub(super) type FileKey = u64;

/// What can be done with an open file.
pub(super) enum OpenContent {
    /// A file, opened to write, to read, or both.
    File { writing: Option<Box<Writing>>, reading: Option<Box<Reading>> },
    /// A directory: bytes of its listing, and whether the target said that it ends.
    Directory { bytes: u64, ended: bool },
}

/// An open file or directory.
pub(super) struct OpenFile {
    path: String,
    content: OpenContent,
    /// Requests on it that the target has not answered.
    unanswered: usize,
    /// The first thing that went wrong with it.
    failure: Option<String>,
}

/// Everything open in one conversation.
#[derive(Default)]
pub(super) struct Files {
    by_handle: BTreeMap<Box<[u8]>, FileKey>,
    open: BTreeMap<FileKey, OpenFile>,
    next_key: FileKey,
    opening: usize,
    path_bytes: usize,
    ahead_bytes: usize,
    sizes: VecDeque<(Box<str>, u64)>,
}

impl Files {
    /// Counts a file that is about to be opened; false when there are too many.
    pub(super) fn begin_opening(&mut self, path: &str) -> bool {
        let path_bytes = self.path_bytes.saturating_add(path.len());
        if self.open.len() + self.opening >= MAX_OPEN_FILES || path_bytes > MAX_OPEN_PATH_BYTES {
            return false;
        }
        self.opening += 1;
        self.path_bytes = path_bytes;
        true
    }

    /// The file that was about to be opened is not.
    pub(super) fn end_opening(&mut self, path: &str) {
        self.opening = self.opening.saturating_sub(1);
        self.path_bytes = self.path_bytes.saturating_sub(path.len());
    }

    /// The target opened a file. The handle stands for no other.
    pub(super) fn opened(&mut self, handle: &[u8], path: String, content: OpenContent) {
        self.opening = self.opening.saturating_sub(1);
        let key = self.next_key;
        self.next_key += 1;
        self.by_handle.insert(handle.into(), key);
        self.open.insert(key, OpenFile { path, content, unanswered: 0, failure: None });
    }

    /// The file a handle stands for.
    pub(super) fn find(&self, handle: &[u8]) -> Option<(FileKey, &OpenFile)> {
        let key = *self.by_handle.get(handle)?;
        self.open.get(&key).map(|file| (key, file))
    }

    /// The client gives a handle up; its file stays until [`Files::close`].
    pub(super) fn release(&mut self, handle: &[u8]) -> Option<FileKey> {
        self.by_handle.remove(handle)
    }

    /// A request on a file is on its way.
    pub(super) fn asked(&mut self, key: FileKey) {
        if let Some(file) = self.open.get_mut(&key) {
            file.unanswered += 1;
        }
    }

    /// A request on a file was answered, or is not sent after all.
    pub(super) fn answered(&mut self, key: FileKey, outcome: Result<(), String>) {
        if let Some(file) = self.open.get_mut(&key) {
            file.unanswered = file.unanswered.saturating_sub(1);
            if let Err(reason) = outcome {
                file.failure.get_or_insert(reason);
            }
        }
    }

    /// Content on its way to a file.
    pub(super) fn wrote(&mut self, key: FileKey, offset: u64, content: &[u8]) {
        if let Some(OpenFile {
            content: OpenContent::File { writing: Some(writing), reading },
            ..
        }) = self.open.get_mut(&key)
        {
            writing.write(offset, content);
            if let Some(reading) = reading {
                // What was read is no longer what the file holds.
                reading.give_up(&mut self.ahead_bytes);
            }
        }
    }

    /// Content on its way from a file.
    pub(super) fn read(&mut self, key: FileKey, offset: u64, content: &[u8]) {
        if let Some(OpenFile {
            content: OpenContent::File { reading: Some(reading), .. }, ..
        }) = self.open.get_mut(&key)
        {
            reading.read(offset, content, &mut self.ahead_bytes);
        }
    }

    /// The target has nothing at `offset` of a file, or no more names in a directory.
    pub(super) fn ends_by(&mut self, key: FileKey, offset: u64) {
        match self.content(key) {
            Some(OpenContent::File { reading: Some(reading), .. }) => reading.ends_by(offset),
            Some(OpenContent::Directory { ended, .. }) => *ended = true,
            _ => {}
        }
    }

    /// Bytes of a directory's listing.
    pub(super) fn listed(&mut self, key: FileKey, length: u64) {
        if let Some(OpenContent::Directory { bytes, .. }) = self.content(key) {
            *bytes = bytes.saturating_add(length);
        }
    }

    /// The client sets the length of an open file.
    pub(super) fn resized(&mut self, key: FileKey, size: u64) {
        if let Some(OpenContent::File { writing: Some(writing), .. }) = self.content(key) {
            writing.resize(size);
        }
    }

    /// What went by is no longer what the file holds.
    pub(super) fn content_unknown(&mut self, key: FileKey) {
        if let Some(OpenContent::File { writing: Some(writing), .. }) = self.content(key) {
            writing.give_up();
        }
    }

    /// The target said how long an open file is.
    pub(super) fn has_size(&mut self, key: FileKey, size: u64) {
        if let Some(OpenContent::File { reading: Some(reading), .. }) = self.content(key) {
            reading.has_size(size);
        }
    }

    /// The target said how long the file at `path` is.
    pub(super) fn remember_size(&mut self, path: Box<str>, size: u64) {
        self.sizes.retain(|(known, _)| *known != path);
        if self.sizes.len() >= MAX_REMEMBERED_SIZES {
            self.sizes.pop_front();
        }
        self.sizes.push_back((path, size));
    }

    /// What the target said about the file at `path`, once.
    pub(super) fn take_size(&mut self, path: &str) -> Option<u64> {
        let found = self.sizes.iter().position(|(known, _)| **known == *path)?;
        self.sizes.remove(found).map(|(_, size)| size)
    }

    /// A file is closed.
    pub(super) fn close(
        &mut self,
        key: FileKey,
        outcome: Result<(), String>,
        events: &mut Vec<FileEvent>,
    ) {
        if let Some(file) = self.open.remove(&key) {
            self.path_bytes = self.path_bytes.saturating_sub(file.path.len());
            file.finish(outcome, &mut self.ahead_bytes, events);
        }
    }

    /// Everything still open is cut off, in the order it was opened.
    pub(super) fn cut_off(&mut self, reason: &str, events: &mut Vec<FileEvent>) {
        self.by_handle.clear();
        while let Some((_, file)) = self.open.pop_first() {
            file.finish(Err(reason.to_owned()), &mut self.ahead_bytes, events);
        }
    }

    /// Roughly what is kept, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.ahead_bytes + self.path_bytes + self.open.len() * size_of::<OpenFile>()
    }

    fn content(&mut self, key: FileKey) -> Option<&mut OpenContent> {
        self.open.get_mut(&key).map(|file| &mut file.content)
    }
}

impl OpenFile {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_readable(&self) -> bool {
        matches!(self.content, OpenContent::File { reading: Some(_), .. })
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self.content, OpenContent::File { writing: Some(_), .. })
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.content, OpenContent::Directory { .. })
    }

    fn finish(
        self,
        outcome: Result<(), String>,
        ahead_bytes: &mut usize,
        events: &mut Vec<FileEvent>,
    ) {
        let unanswered = match self.unanswered {
            0 => Ok(()),
            many => Err(format!("closed before {many} requests were answered")),
        };
        let outcome = self.failure.map_or(Ok(()), Err).and(outcome).and(unanswered);
        let path = self.path;
        let event = |operation, bytes, sha256, ended: bool| FileEvent {
            operation,
            path: path.clone(),
            to: None,
            bytes,
            sha256,
            complete: outcome.is_ok() && ended,
            outcome: outcome.clone(),
        };
        match self.content {
            OpenContent::Directory { bytes, ended } => {
                events.push(event(FileOperation::List, bytes, None, ended));
            }
            OpenContent::File { writing, reading } => {
                let also_written = writing.is_some();
                if let Some(writing) = writing {
                    let (bytes, sha256) = (writing.bytes, writing.sha256());
                    let sha256 = sha256.filter(|_| outcome.is_ok());
                    events.push(event(FileOperation::Upload, bytes, sha256, true));
                }
                if let Some(reading) = reading {
                    let (bytes, sha256) = (reading.bytes, reading.sha256(ahead_bytes));
                    if bytes > 0 || !also_written {
                        let sha256 = sha256.filter(|_| outcome.is_ok());
                        events.push(event(FileOperation::Download, bytes, sha256, true));
                    }
                }
            }
        }
    }
}
