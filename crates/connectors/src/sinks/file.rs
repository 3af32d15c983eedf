//! JSON lines in a file of this machine, rotated by size.
//!
//! A batch is acknowledged once it is on the disk (`fdatasync`). A file that is full is renamed
//! beside itself, `NAME.FIRST-LAST`, with the indices of its first and last line where they can be
//! read; other programs may take the renamed ones away. Readable by the node's user only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use portcullis_domain::Timestamp;
use serde_json::Value;

use super::{DeliverError, Kind, Sink};
use crate::export::Batch;

/// Bytes looked at from the end of a file for its last line: more than one entry.
const TAIL_BYTES: u64 = 256 * 1024;
/// Rotated files looked at when old ones are removed.
const MAX_ROTATED: usize = 100_000;

/// Settings of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// The file.
    pub path: PathBuf,
    /// Size at which it is rotated, in bytes.
    pub rotate_bytes: u64,
    /// Rotated files kept; all where it is not given.
    pub keep: Option<usize>,
}

/// Appends to a file.
pub struct FileSink {
    options: FileOptions,
    /// Held while a batch is written: a try that was given up on ends before the next begins.
    writing: Arc<Mutex<()>>,
}

impl FileSink {
    /// A sink for this file, which need not exist.
    #[must_use]
    pub fn new(options: FileOptions) -> Self {
        Self { options, writing: Arc::default() }
    }
}

impl Sink for FileSink {
    fn kind(&self) -> Kind {
        Kind::File
    }

    fn destination(&self) -> String {
        self.options.path.display().to_string()
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        let (lines, options, writing) = (batch.lines(), self.options.clone(), self.writing.clone());
        Box::pin(async move {
            let path = options.path.display().to_string();
            let written = tokio::task::spawn_blocking(move || {
                let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
                append(&options, &lines)
            });
            match written.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(DeliverError::Local { path, source }),
                Err(error) => Err(DeliverError::unreachable(error)),
            }
        })
    }
}

fn append(options: &FileOptions, lines: &[u8]) -> io::Result<()> {
    let path = &options.path;
    let mut file = open(path)?;
    let mut length = cut_torn_line(&mut file)?;
    if length > 0 && length.saturating_add(lines.len() as u64) > options.rotate_bytes {
        rotate(options, &mut file)?;
        file = open(path)?;
        length = 0;
    }
    file.seek(SeekFrom::Start(length))?;
    file.write_all(lines)?;
    file.sync_data()?;
    if length == 0 {
        sync_directory(path)?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)
}

/// Removes what a crash left of a line, and returns the length.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let tail = read_tail(file, length)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = (tail.len() - whole) as u64;
    if torn == 0 {
        return Ok(length);
    }
    if whole == 0 && length > TAIL_BYTES {
        let why = "its last line is longer than any entry: it is not an export; move it away";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    file.set_len(length - torn)?;
    Ok(length - torn)
}

fn read_tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

fn rotate(options: &FileOptions, file: &mut File) -> io::Result<()> {
    file.sync_data()?;
    let (first, last) = (first_index(file)?, last_index(file)?);
    let index = |index: Option<u64>| index.map_or("unknown".into(), |index| format!("{index:020}"));
    let name = format!("{}-{}", index(first), index(last));
    let mut to = beside(&options.path, &name);
    // After a crash the same entries may be in two files: neither replaces the other.
    let mut copy = 1;
    while to.exists() {
        to = beside(&options.path, &format!("{name}.{copy}"));
        copy += 1;
    }
    fs::rename(&options.path, &to)?;
    sync_directory(&options.path)?;
    match options.keep {
        Some(keep) => remove_old(&options.path, keep),
        None => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn first_index(file: &mut File) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut head)?;
    Ok(head.split(|byte| *byte == b'\n').next().and_then(sequence))
}

fn last_index(file: &mut File) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let tail = read_tail(file, length)?;
    Ok(tail.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).and_then(sequence))
}

fn sequence(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(line).ok()?.pointer("/metadata/sequence")?.as_u64()
}

/// Removes the oldest rotated files beyond `keep`; their names sort by index.
fn remove_old(path: &Path, keep: usize) -> io::Result<()> {
    let mut prefix = path.file_name().unwrap_or_default().to_os_string();
    prefix.push(".");
    let prefix = prefix.to_string_lossy().into_owned();
    let directory = directory_of(path);
    let mut rotated = Vec::new();
    for entry in fs::read_dir(directory)?.take(MAX_ROTATED) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let indices = name
            .strip_prefix(&prefix)
            .filter(|rest| rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')));
        if indices.is_some() {
            rotated.push(name);
        }
    }
    rotated.sort_unstable();
    let old = rotated.len().saturating_sub(keep);
    rotated.iter().take(old).try_for_each(|name| fs::remove_file(directory.join(name)))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn lines(range: std::ops::Range<u64>) -> Vec<u8> {
        range
            .flat_map(|n| format!("{{\"metadata\":{{\"sequence\":{n}}}}}\n").into_bytes())
            .collect()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_full_file_is_renamed_whole_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut options = FileOptions { path, rotate_bytes: 100, keep: None };
        for batch in 0..4 {
            append(&options, &lines(batch * 3..batch * 3 + 3)).unwrap();
        }
        let rotated = |first: u64, last: u64| format!("audit.jsonl.{first:020}-{last:020}");
        let wanted = [rotated(0, 2), rotated(3, 5), rotated(6, 8)];
        assert_eq!(names(directory.path())[1..], wanted);
        let mode = options.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        options.keep = Some(2);
        append(&options, &lines(12..15)).unwrap();
        assert_eq!(names(directory.path())[1..], [rotated(6, 8), rotated(9, 11)]);
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_removed_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let options = FileOptions { path: path.clone(), rotate_bytes: 1 << 20, keep: None };
        append(&options, &lines(0..2)).unwrap();
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"metadata\":{\"seq");
        fs::write(&path, torn).unwrap();
        append(&options, &lines(1..4)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [lines(0..2), lines(1..4)].concat());
    }
}
