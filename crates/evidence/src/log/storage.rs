//! Where a log's bytes lie: one trait for what readers see (tiles, bundles, the checkpoint) and
//! one for the writer's write-ahead segments; both on a directory here.
//!
//! Object storage implements [`TileStore`] only: segments need a local disk that can `fsync`.
//! Knows nothing of what the bytes mean.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Path of the latest checkpoint.
pub const CHECKPOINT_PATH: &str = "checkpoint";
/// Directory of the write-ahead segments.
const SEGMENT_DIRECTORY: &str = "wal";
/// Directory of files not yet in place.
const STAGING_DIRECTORY: &str = "tmp";
/// How a segment's name ends, behind 20 digits of its first index.
const SEGMENT_SUFFIX: &str = ".wal";

/// Tiles, entry bundles and the checkpoint, by their C2SP paths.
pub trait TileStore: Send + Sync {
    /// The bytes at `path`, or `None` where there is nothing.
    ///
    /// # Errors
    /// Those of the storage; more than `max_bytes` is an error too.
    fn read(&self, path: &str, max_bytes: usize) -> io::Result<Option<Vec<u8>>>;

    /// Puts bytes at `path`. Readers see all of them or what was there before; they may be lost
    /// in a power cut until [`TileStore::sync`].
    ///
    /// # Errors
    /// Those of the storage.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts bytes at `path` as [`TileStore::write`] does, and returns once they are durable.
    ///
    /// # Errors
    /// Those of the storage.
    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written at these paths is durable.
    ///
    /// # Errors
    /// Those of the storage.
    fn sync(&self, paths: &BTreeSet<String>) -> io::Result<()>;

    /// Names in a directory; none where it does not exist.
    ///
    /// # Errors
    /// Those of the storage.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Removes a directory of partial tiles; it is no error that there is none.
    ///
    /// # Errors
    /// Those of the storage.
    fn remove_directory(&self, directory: &str) -> io::Result<()>;
}

/// The writer's write-ahead segments, each named by the index of its first entry.
pub trait SegmentStore: Send + Sync {
    /// First indices of the segments there are, ascending.
    ///
    /// # Errors
    /// Those of the storage.
    fn list(&self) -> io::Result<Vec<u64>>;

    /// Opens a segment for reading from its start.
    ///
    /// # Errors
    /// Those of the storage.
    fn read(&self, first: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Opens a segment for appending after its first `length` bytes, dropping what follows, and
    /// creates it where there is none. Durable on return.
    ///
    /// # Errors
    /// Those of the storage.
    fn append_to(&self, first: u64, length: u64) -> io::Result<Box<dyn SegmentFile>>;

    /// Removes a segment. Durable on return: an older segment must not come back without the
    /// newer ones.
    ///
    /// # Errors
    /// Those of the storage.
    fn remove(&self, first: u64) -> io::Result<()>;
}

/// A segment open for appending.
pub trait SegmentFile: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Those of the storage; the segment's end is then unknown.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended is durable (`fdatasync`).
    ///
    /// # Errors
    /// Those of the storage; what is durable is then unknown.
    fn sync(&mut self) -> io::Result<()>;
}

/// A log in a directory.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// A log in `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Makes the directories a writer needs, durably, readable by this user only.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true);
        for directory in ["", "tile", SEGMENT_DIRECTORY, STAGING_DIRECTORY] {
            builder.create(self.root.join(directory))?;
        }
        sync_directory(&self.root)
    }

    /// Removes what a crash left half written. Only for whoever holds the log's lock: a running
    /// writer stages its files there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn clear_staging(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(STAGING_DIRECTORY))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    fn segment(&self, first: u64) -> PathBuf {
        self.root.join(SEGMENT_DIRECTORY).join(format!("{first:020}{SEGMENT_SUFFIX}"))
    }

    fn place(&self, path: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
        let to = self.root.join(path);
        let staged = self.root.join(STAGING_DIRECTORY).join(path.replace('/', "-"));
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        drop(file);
        match fs::rename(&staged, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
                fs::rename(&staged, &to)?;
            }
            other => other?,
        }
        if durable {
            // Every directory up to the log's own: any of them may be new.
            let parents = Path::new(path).ancestors().skip(1);
            for parent in parents {
                sync_directory(&self.root.join(parent))?;
            }
        }
        Ok(())
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl TileStore for Directory {
    fn read(&self, path: &str, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length > max_bytes as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{path}` has {length} bytes, more than the {max_bytes} it may have"),
            ));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(max_bytes as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.place(path, bytes, false)
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.place(path, bytes, true)
    }

    fn sync(&self, paths: &BTreeSet<String>) -> io::Result<()> {
        let mut directories = BTreeSet::new();
        for path in paths {
            match File::open(self.root.join(path)) {
                Ok(file) => file.sync_all()?,
                // A partial tile already replaced by its full one, which is in the set as well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            let mut parent = Path::new(path);
            while let Some(next) = parent.parent() {
                directories.insert(self.root.join(next));
                parent = next;
            }
        }
        directories.iter().try_for_each(|path| sync_directory(path))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        match fs::read_dir(self.root.join(directory)) {
            Ok(entries) => {
                entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl SegmentStore for Directory {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut firsts: Vec<u64> = TileStore::list(self, SEGMENT_DIRECTORY)?
            .iter()
            .filter_map(|name| name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok())
            .collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    fn read(&self, first: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.segment(first))?))
    }

    fn append_to(&self, first: u64, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().create(true).append(true).open(self.segment(first))?;
        file.set_len(length)?;
        file.sync_all()?;
        sync_directory(&self.root.join(SEGMENT_DIRECTORY))?;
        Ok(Box::new(file))
    }

    fn remove(&self, first: u64) -> io::Result<()> {
        fs::remove_file(self.segment(first))?;
        sync_directory(&self.root.join(SEGMENT_DIRECTORY))
    }
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
