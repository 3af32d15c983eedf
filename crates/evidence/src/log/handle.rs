//! The log as the gate holds it: append, watch, close.
//!
//! Flows in: entries, opaque bytes. Flows out: their indices, once durable. What an entry says
//! is not known here.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, leaf_hash};
use super::note::{NoteSigner, NoteVerifier};
use super::reader::LogReader;
use super::recover::{OpenError, Recovered, io, recover};
use super::segment::{ENTRY_FRAME_BYTES, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};
use super::sequence::{MAX_SEQUENCED_BYTES, Sequence};
use super::shared::Front;
use super::storage::{Directory, SegmentStore, TileStore};
use super::tile::MAX_ENTRY_BYTES;
use super::writer::{Command, Parts, Shared, Submission, start};

/// Appends that may wait for the writer.
const QUEUE: usize = 8192;
/// Bytes of entries that may wait for the writer; further callers wait for their turn.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// Unit of the byte budget, so that it fits the semaphore's 32-bit permits.
const BUDGET_UNIT: usize = 1024;
/// Entries a live receiver may lag behind before it is told that it missed some.
const LIVE_ENTRIES: usize = 1024;
/// Default size of a write-ahead segment.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Name of the file that is locked while a log is open.
const LOCK_FILE: &str = "lock";

/// How a log is run.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Longest time a new entry waits for a checkpoint that covers it. Half a second, so that
    /// one second holds on a busy disk.
    pub checkpoint_interval: Duration,
    /// Bytes of a write-ahead segment after which a new one begins; what is replayed after a
    /// crash is about one segment.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { checkpoint_interval: Duration::from_millis(500), segment_bytes: SEGMENT_BYTES }
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its index, from 0.
    pub index: u64,
    /// Its leaf hash, for inclusion proofs.
    pub leaf_hash: Hash,
}

/// Whether the log takes entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Writable,
    /// It never will again in this process: what was written last is uncertain until it is
    /// opened anew.
    Failed {
        /// What went wrong first.
        reason: String,
    },
}

/// Why an entry was not appended. Nothing may happen that would have needed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The entry is larger than tlog-tiles allows.
    #[error(
        "an entry of {bytes} bytes exceeds the {MAX_ENTRY_BYTES} a log entry may have; store the payload elsewhere and log its hash"
    )]
    TooLarge {
        /// Size of the entry.
        bytes: usize,
    },
    /// More entries at once than one batch holds.
    #[error(
        "{entries} entries of {bytes} bytes exceed one batch ({MAX_BATCH_ENTRIES} entries, {MAX_BATCH_BYTES} bytes); append them in parts"
    )]
    TooMany {
        /// Entries given.
        entries: usize,
        /// Their bytes with framing.
        bytes: usize,
    },
    /// The log has failed and takes nothing more.
    #[error(
        "the transparency log has failed ({reason}); free space or repair the disk, then restart the gate"
    )]
    Failed {
        /// What went wrong first.
        reason: String,
    },
    /// The sequence that several nodes share did not take the entry, or did not say so. It may
    /// be in the log all the same; nothing may happen that would have needed it.
    #[error(
        "the sequence of the transparency log cannot be reached ({reason}); see to the database, the gate tries again by itself"
    )]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The log was closed.
    #[error("the transparency log is closed: the gate is shutting down")]
    Closed,
}

/// A transparency log open for appending. Clones share it; it closes, cleanly, with the last.
///
/// Closing by drop waits for the disk: prefer [`Log::close`] on an async thread.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
    /// Where several nodes write this log; `inner` is this node's copy then.
    front: Option<Arc<Front>>,
}

struct Inner {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Command>>,
    budget: Arc<Semaphore>,
    shared: Arc<Shared>,
    tiles: Arc<dyn TileStore>,
    segments: Arc<dyn SegmentStore>,
    verifier: NoteVerifier,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log in `directory`, or starts one there. Acknowledged entries that had not
    /// reached the tree before a crash are brought there first. Blocks: run it before the
    /// runtime, or on a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        directory: &Path,
        signer: NoteSigner,
        options: LogOptions,
    ) -> Result<Self, OpenError> {
        let store = Directory::new(directory);
        store.prepare().map_err(io("its directory cannot be made"))?;
        let lock = lock(directory)?;
        store.clear_staging().map_err(io("what a crash left there cannot be removed"))?;
        let store = Arc::new(store);
        Self::open_on(store.clone(), store, Some(lock), signer, options)
    }

    /// Opens a log on given storage. The caller sees to it that nobody else writes there;
    /// `lock`, if given, is held until the log is closed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on(
        tiles: Arc<dyn TileStore>,
        segments: Arc<dyn SegmentStore>,
        lock: Option<File>,
        signer: NoteSigner,
        options: LogOptions,
    ) -> Result<Self, OpenError> {
        let signer = Arc::new(signer);
        let Recovered { integrator, checkpoint, segment } = recover(&tiles, &segments, &signer)?;
        let shared = Arc::new(Shared {
            failed: AtomicBool::new(false),
            health: Mutex::new(Health::Writable),
            durable: Arc::new(AtomicU64::new(integrator.size())),
            published: watch::Sender::new(checkpoint),
            live: broadcast::Sender::new(LIVE_ENTRIES),
        });
        let (queue, submissions) = mpsc::channel(QUEUE);
        let parts = Parts {
            shared: shared.clone(),
            tiles: tiles.clone(),
            segments: segments.clone(),
            integrator,
            segment,
            options,
            lock,
        };
        let thread = start(parts, submissions).map_err(io("its threads cannot be started"))?;
        Ok(Self {
            front: None,
            inner: Arc::new(Inner {
                queue: Some(queue),
                budget: Arc::new(Semaphore::new(QUEUE_BYTES / BUDGET_UNIT)),
                shared,
                tiles,
                segments,
                verifier: signer.verifier(),
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Opens this node's copy of a log that several nodes write through one `sequence`, and
    /// follows it from now on. All of them sign with the same key.
    ///
    /// # Errors
    /// [`OpenError`]; also where the copy does not begin as the sequence does.
    pub async fn open_shared(
        directory: &Path,
        signer: NoteSigner,
        options: LogOptions,
        sequence: Arc<dyn Sequence>,
    ) -> Result<Self, OpenError> {
        let directory = directory.to_owned();
        let opened =
            tokio::task::spawn_blocking(move || Self::open(&directory, signer, options)).await;
        let replica =
            opened.map_err(|error| OpenError::Sequence { reason: error.to_string() })??;
        let front = Front::start(replica.clone(), sequence).await?;
        Ok(Self { front: Some(Arc::new(front)), ..replica })
    }

    /// Waits until this node can read everything that has been acknowledged on any node. Where
    /// one node writes the log, that is always so.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] where the common sequence does not answer.
    pub async fn caught_up(&self) -> Result<(), AppendError> {
        match &self.front {
            Some(front) => front.caught_up().await,
            None => Ok(()),
        }
    }

    /// Appends what the common sequence has at this place.
    pub(super) async fn append_sequenced(
        &self,
        entries: Vec<(Vec<u8>, Hash)>,
    ) -> Result<u64, AppendError> {
        let queue = self.inner.queue.clone();
        self.submit_to(entries, queue, Command::Append).await
    }

    /// Fails the log; the first reason stays.
    pub(super) fn fail(&self, what: &str, error: &dyn std::fmt::Display) {
        self.inner.shared.fail(what, error);
    }

    /// Appends an entry and returns once it is durable. A caller that stops waiting may find
    /// its entry in the log all the same.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Failed`] every later append fails too.
    pub async fn append(&self, entry: Vec<u8>) -> Result<Appended, AppendError> {
        let leaf_hash = checked_leaf(&entry)?;
        let index = self.submit(vec![(entry, leaf_hash)]).await?;
        Ok(Appended { index, leaf_hash })
    }

    /// Appends entries at consecutive indices, all or none, and returns once they are durable.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append_many(&self, entries: Vec<Vec<u8>>) -> Result<Vec<Appended>, AppendError> {
        let bytes = entries.iter().map(|entry| entry.len() + ENTRY_FRAME_BYTES).sum();
        let most = if self.front.is_some() { MAX_SEQUENCED_BYTES } else { MAX_BATCH_BYTES };
        if entries.len() > MAX_BATCH_ENTRIES || bytes > most {
            return Err(AppendError::TooMany { entries: entries.len(), bytes });
        }
        let entries = entries
            .into_iter()
            .map(|entry| checked_leaf(&entry).map(|leaf| (entry, leaf)))
            .collect::<Result<Vec<_>, _>>()?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let hashes: Vec<Hash> = entries.iter().map(|(_, leaf)| *leaf).collect();
        let first = self.submit(entries).await?;
        Ok((first..).zip(hashes).map(|(index, leaf_hash)| Appended { index, leaf_hash }).collect())
    }

    async fn submit(&self, entries: Vec<(Vec<u8>, Hash)>) -> Result<u64, AppendError> {
        match &self.front {
            Some(front) => self.submit_to(entries, front.queue(), |submission| submission).await,
            None => self.submit_to(entries, self.inner.queue.clone(), Command::Append).await,
        }
    }

    async fn submit_to<T>(
        &self,
        entries: Vec<(Vec<u8>, Hash)>,
        queue: Option<mpsc::Sender<T>>,
        wrap: impl FnOnce(Submission) -> T,
    ) -> Result<u64, AppendError> {
        let shared = &self.inner.shared;
        if shared.failed.load(Ordering::SeqCst) {
            return Err(shared.refusal());
        }
        let bytes: usize = entries.iter().map(|(entry, _)| entry.len()).sum();
        let permits = u32::try_from(bytes / BUDGET_UNIT + 1).unwrap_or(u32::MAX);
        let budget = self.inner.budget.clone().acquire_many_owned(permits).await;
        let (Ok(budget), Some(queue)) = (budget, queue) else {
            return Err(shared.refusal());
        };
        let (done, answer) = oneshot::channel();
        let submission = Submission { entries, done, budget };
        if queue.send(wrap(submission)).await.is_err() {
            return Err(shared.refusal());
        }
        answer.await.unwrap_or_else(|_| Err(shared.refusal()))
    }

    /// Whether the log takes entries. Where it does not, the gate is closed.
    #[must_use]
    pub fn healthy(&self) -> bool {
        let open = self.inner.queue.as_ref().is_some_and(|queue| !queue.is_closed());
        open && !self.inner.shared.failed.load(Ordering::SeqCst)
    }

    /// Whether the log takes entries, and if not, what went wrong first.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Durable entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.shared.durable.load(Ordering::SeqCst)
    }

    /// The latest checkpoint, and notice of each new one.
    #[must_use]
    pub fn checkpoints(&self) -> watch::Receiver<Checkpoint> {
        self.inner.shared.published.subscribe()
    }

    /// The key that checks this log's checkpoints; its text form goes to whoever verifies.
    #[must_use]
    pub fn verifier(&self) -> &NoteVerifier {
        &self.inner.verifier
    }

    /// Every entry from now on, with its index. A receiver that lags is told how many it missed
    /// and can read them from [`Log::reader`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<(u64, Arc<[u8]>)> {
        self.inner.shared.live.subscribe()
    }

    /// A reader that sees every durable entry, under a checkpoint or not yet.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        let Inner { tiles, segments, shared, .. } = self.inner.as_ref();
        LogReader::on(tiles.clone(), segments.clone(), Some(shared.durable.clone()))
    }

    /// Stops taking entries, and returns once those taken are under a durable checkpoint.
    ///
    /// # Errors
    /// [`AppendError::Failed`] where the log failed before or meanwhile.
    pub async fn close(&self) -> Result<(), AppendError> {
        if let Some(front) = &self.front {
            front.close().await;
        }
        if let Some(queue) = &self.inner.queue {
            // Where the queue is closed already, the thread is on its way out.
            let _ = queue.send(Command::Close).await;
        }
        let thread = take(&self.inner.thread);
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                self.inner.shared.fail("the log's writer ended", &"it panicked");
            }
        }
        match self.health() {
            Health::Writable => Ok(()),
            Health::Failed { reason } => Err(AppendError::Failed { reason }),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("origin", &self.inner.verifier.name())
            .field("size", &self.size())
            .field("health", &self.health())
            .finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = take(&self.thread) {
            // A panic of the writer was logged by the panic itself; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn checked_leaf(entry: &[u8]) -> Result<Hash, AppendError> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(AppendError::TooLarge { bytes: entry.len() });
    }
    Ok(leaf_hash(entry))
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(LOCK_FILE))
        .map_err(io("its lock file cannot be opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(OpenError::Locked { directory: directory.display().to_string() })
        }
        Err(TryLockError::Error(source)) => Err(io("it cannot be locked")(source)),
    }
}
