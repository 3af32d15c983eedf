//! What happened to one file, in the words of the audit log.
//!
//! In: raw bytes of paths and messages from either peer. Out: [`FileEvent`]s whose texts are safe to
//! print. Never learns which protocol carried the file.

use std::fmt;

use aws_lc_rs::digest;

/// Longest message of a peer kept in an event, in bytes before escaping.
const MAX_MESSAGE_BYTES: usize = 512;

/// What was done to a file or directory on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileOperation {
    /// A file was opened for writing.
    Upload,
    /// A file was read.
    Download,
    /// The names in a directory were read.
    List,
    /// The destination of a symbolic link was read.
    ReadLink,
    /// A file was removed.
    Remove,
    /// `path` became `to`.
    Rename,
    /// A directory was created.
    MakeDirectory,
    /// A directory was removed.
    RemoveDirectory,
    /// Mode, owner, times or size were set.
    SetAttributes,
    /// `to` became another name of `path`.
    HardLink,
    /// `to` became a symbolic link holding `path` (argument order of OpenSSH; the draft has it the
    /// other way round, so a target that follows the draft swaps the two).
    SymbolicLink,
    /// The target copied `path` into `to` itself, without the bytes passing the gate.
    Copy,
}

impl FileOperation {
    /// The name in audit events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::List => "list",
            Self::ReadLink => "read_link",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::MakeDirectory => "make_directory",
            Self::RemoveDirectory => "remove_directory",
            Self::SetAttributes => "set_attributes",
            Self::HardLink => "hard_link",
            Self::SymbolicLink => "symbolic_link",
            Self::Copy => "copy",
        }
    }
}

impl fmt::Display for FileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One finished (or cut off) file operation. Every text in it is escaped: no control characters,
/// no text direction marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEvent {
    /// What was done.
    pub operation: FileOperation,
    /// The path on the target as the client sent it, escaped; `.` where the client sent an empty one.
    pub path: String,
    /// The second path of a rename, link or copy. For an scp upload to a path that may or may not
    /// be a directory on the target: the path written to if it is one.
    pub to: Option<String>,
    /// Bytes of file content (for [`FileOperation::List`]: of the listing) that went by.
    pub bytes: u64,
    /// SHA-256 in hex, only when the whole file went by once and in order.
    pub sha256: Option<String>,
    /// Whether the operation ran to its end: every request answered with success, the file closed.
    pub complete: bool,
    /// What the target (or, for scp, the receiving side) said; `Err` holds its message.
    pub outcome: Result<(), String>,
}

impl FileEvent {
    /// An operation that moves no content.
    pub(super) fn plain(
        operation: FileOperation,
        path: String,
        to: Option<String>,
        outcome: Result<(), String>,
    ) -> Self {
        let complete = outcome.is_ok();
        Self { operation, path, to, bytes: 0, sha256: None, complete, outcome }
    }
}

/// A peer's message, cut to a bounded length and escaped.
pub(super) fn message(bytes: &[u8]) -> String {
    printable(bytes.get(..MAX_MESSAGE_BYTES).unwrap_or(bytes))
}

/// The text of `bytes` as it may be shown: unchanged where it is plain UTF-8; otherwise with control
/// characters, text direction marks, backslashes and bytes that are not UTF-8 escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(misleads)
    {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if c.is_ascii_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if misleads(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Characters that change how a line of the log looks instead of standing for themselves:
/// controls, line and paragraph separators, bidirectional marks and overrides.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A finished SHA-256 in lower-case hex.
pub(super) fn hex(context: digest::Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fresh SHA-256.
pub(super) fn sha256() -> digest::Context {
    digest::Context::new(&digest::SHA256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_shown_as_they_are() {
        assert_eq!(printable("/srv/späße/日本".as_bytes()), "/srv/späße/日本");
        assert_eq!(printable(br"/srv/a\b"), r"/srv/a\b");
    }

    #[test]
    fn controls_and_foreign_bytes_are_escaped() {
        assert_eq!(printable(b"a\x1b[2Jb\n"), r"a\x1b[2Jb\x0a");
        assert_eq!(printable(b"caf\xe9\\"), r"caf\xe9\\");
        assert_eq!(printable("x\u{202e}gpj".as_bytes()), r"x\u{202e}gpj");
    }

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        assert_eq!(
            hex(sha256()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
