//! The three threads behind a log: one makes batches of entries durable, one turns them into
//! tiles and checkpoints, one makes the tiles durable and trims the segments.
//!
//! Flows in: submissions over a bounded queue. Flows out: acknowledgements, and files. The first
//! failure of any thread fails the whole log for good ([`Shared::fail`]).

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot, watch};

use super::checkpoint::Checkpoint;
use super::gathering::Gathering;
use super::handle::{AppendError, Health, LogOptions};
use super::integrate::{Integrator, Unsynced};
use super::merkle::Hash;
use super::segment::{BatchEncoder, ENTRY_FRAME_BYTES, MAX_BATCH_BYTES};
use super::storage::{SegmentFile, SegmentStore, TileStore};

/// Batches that may wait for integration; beyond it the writer waits.
const INTEGRATION_QUEUE: usize = 8;
/// Jobs that may wait for being made durable; beyond it they are merged into later ones.
const SYNC_QUEUE: usize = 1;
/// Segments that may wait to be trimmed before integration waits for the disk.
const MAX_CLOSED_SEGMENTS: usize = 16;
/// How long full tiles wait to replace their partial ones where no segment is closed meanwhile.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// Longest sleep of an integrator with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// What the threads and the handles have in common.
pub(super) struct Shared {
    pub(super) failed: AtomicBool,
    pub(super) health: Mutex<Health>,
    pub(super) durable: Arc<AtomicU64>,
    pub(super) published: watch::Sender<Checkpoint>,
    pub(super) live: broadcast::Sender<(u64, Arc<[u8]>)>,
}

impl Shared {
    /// Fails the log; the first reason stays.
    pub(super) fn fail(&self, what: &str, error: &dyn std::fmt::Display) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Writable {
            let reason = format!("{what}: {error}");
            tracing::error!(reason, "the transparency log has failed; nothing more is accepted");
            *health = Health::Failed { reason };
        }
        self.failed.store(true, Ordering::SeqCst);
    }

    pub(super) fn health(&self) -> Health {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.clone()
    }

    pub(super) fn refusal(&self) -> AppendError {
        match self.health() {
            Health::Writable => AppendError::Closed,
            Health::Failed { reason } => AppendError::Failed { reason },
        }
    }
}

/// Entries to be made durable together, at consecutive indices.
pub(super) struct Submission {
    pub(super) entries: Vec<(Vec<u8>, Hash)>,
    pub(super) done: oneshot::Sender<Result<u64, AppendError>>,
    /// Held until the entries leave the queue.
    pub(super) budget: OwnedSemaphorePermit,
}

impl Submission {
    /// Bytes of its entries, each with so many that frame it.
    pub(super) fn bytes(&self, frame_bytes: usize) -> usize {
        let framed = |(entry, _): &(Vec<u8>, Hash)| entry.len() + frame_bytes;
        self.entries.iter().map(framed).sum()
    }
}

pub(super) enum Command {
    Append(Submission),
    Close,
}

enum Integrate {
    Entries(Vec<(Vec<u8>, Hash)>),
    SegmentClosed { first: u64, end: u64 },
}

#[derive(Default)]
struct SyncJob {
    unsynced: Unsynced,
    segments: Vec<u64>,
}

impl SyncJob {
    fn merge(&mut self, more: Unsynced) {
        self.unsynced.paths.extend(more.paths);
        self.unsynced.superseded.extend(more.superseded);
    }
}

/// What the threads are started with.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) tiles: Arc<dyn TileStore>,
    pub(super) segments: Arc<dyn SegmentStore>,
    pub(super) integrator: Integrator,
    pub(super) segment: Box<dyn SegmentFile>,
    pub(super) options: LogOptions,
    /// The directory's lock, kept until the last thread has ended.
    pub(super) lock: Option<File>,
}

/// Starts the threads. The handle ends once everything is durable and published.
pub(super) fn start(parts: Parts, queue: mpsc::Receiver<Command>) -> io::Result<JoinHandle<()>> {
    let (to_integrator, from_writer) = channel::sync_channel(INTEGRATION_QUEUE);
    let (to_syncer, from_integrator) = channel::sync_channel(SYNC_QUEUE);
    let Parts { shared, tiles, segments, integrator, segment, options, lock } = parts;
    let next = integrator.size();

    let (sync_shared, sync_tiles, sync_segments) = (shared.clone(), tiles, segments.clone());
    let syncer = spawn("log-sync", move || {
        run_syncer(&sync_shared, sync_tiles.as_ref(), sync_segments.as_ref(), &from_integrator);
    })?;
    let integration = Integration {
        shared: shared.clone(),
        integrator,
        interval: options.checkpoint_interval,
        closed: Vec::new(),
        job: None,
        to_syncer,
        last_sync: Instant::now(),
    };
    let integrator = spawn("log-tiles", move || integration.run(&from_writer))?;
    let writer = Writer {
        shared: shared.clone(),
        queue,
        segments,
        segment,
        segment_first: next,
        segment_bytes: 0,
        max_segment_bytes: options.segment_bytes,
        next,
        encoder: BatchEncoder::default(),
        to_integrator,
    };
    spawn("log-writer", move || {
        writer.run();
        for thread in [integrator, syncer] {
            if thread.join().is_err() {
                shared.fail("a thread of the log ended", &"it panicked");
            }
        }
        drop(lock);
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    segments: Arc<dyn SegmentStore>,
    segment: Box<dyn SegmentFile>,
    segment_first: u64,
    segment_bytes: u64,
    max_segment_bytes: u64,
    next: u64,
    encoder: BatchEncoder,
    to_integrator: channel::SyncSender<Integrate>,
}

impl Writer {
    fn run(mut self) {
        let mut carried = None;
        while let Some(batch) = self.collect(&mut carried) {
            if self.shared.failed.load(Ordering::SeqCst) {
                refuse(batch, &self.shared.refusal());
                continue;
            }
            match self.write(&batch) {
                Ok(first) => self.acknowledge(batch, first),
                Err(error) => {
                    self.shared.fail("an entry could not be written", &error);
                    refuse(batch, &self.shared.refusal());
                }
            }
            self.rotate();
        }
    }

    /// Waits for a submission and takes as many more as are there and fit in one batch.
    fn collect(&mut self, carried: &mut Option<Submission>) -> Option<Vec<Submission>> {
        let first = match carried.take() {
            Some(submission) => submission,
            None => match self.queue.blocking_recv()? {
                Command::Append(submission) => submission,
                Command::Close => {
                    self.queue.close();
                    match self.queue.blocking_recv()? {
                        Command::Append(submission) => submission,
                        Command::Close => return None,
                    }
                }
            },
        };
        let mut gathering = Gathering::begin(first, MAX_BATCH_BYTES, ENTRY_FRAME_BYTES);
        while let Ok(command) = self.queue.try_recv() {
            let Command::Append(submission) = command else {
                self.queue.close();
                continue;
            };
            *carried = gathering.add(submission);
            if carried.is_some() {
                break;
            }
        }
        Some(gathering.batch())
    }

    /// Writes a batch and waits until it is durable; returns its first index.
    fn write(&mut self, batch: &[Submission]) -> io::Result<u64> {
        let first = self.next;
        self.encoder.clear();
        for (entry, leaf) in batch.iter().flat_map(|submission| &submission.entries) {
            self.encoder.push(entry, leaf);
            self.next += 1;
        }
        let bytes = self.encoder.finish(first);
        self.segment_bytes += bytes.len() as u64;
        self.segment.append(bytes)?;
        self.segment.sync()?;
        Ok(first)
    }

    fn acknowledge(&mut self, batch: Vec<Submission>, first: u64) {
        // INVARIANT: readers of this process see an entry before its caller is answered.
        self.shared.durable.store(self.next, Ordering::SeqCst);
        let mut index = first;
        let mut entries = Vec::with_capacity(batch.iter().map(|s| s.entries.len()).sum());
        for submission in batch {
            let count = submission.entries.len() as u64;
            if self.shared.live.receiver_count() > 0 {
                for (at, (entry, _)) in (index..).zip(&submission.entries) {
                    // No receiver left is no failure.
                    let _ = self.shared.live.send((at, Arc::from(entry.as_slice())));
                }
            }
            // A caller that gave up waiting has its entry in the log all the same.
            let _ = submission.done.send(Ok(index));
            drop(submission.budget);
            entries.extend(submission.entries);
            index += count;
        }
        self.hand_on(Integrate::Entries(entries));
    }

    fn rotate(&mut self) {
        if self.segment_bytes < self.max_segment_bytes || self.shared.failed.load(Ordering::SeqCst)
        {
            return;
        }
        match self.segments.append_to(self.next, 0) {
            Ok(segment) => {
                let first = std::mem::replace(&mut self.segment_first, self.next);
                self.segment = segment;
                self.segment_bytes = 0;
                self.hand_on(Integrate::SegmentClosed { first, end: self.next });
            }
            Err(error) => self.shared.fail("a segment could not be created", &error),
        }
    }

    fn hand_on(&self, work: Integrate) {
        if self.to_integrator.send(work).is_err() {
            self.shared.fail("the log cannot be integrated", &"its thread has ended");
        }
    }
}

fn refuse(batch: Vec<Submission>, error: &AppendError) {
    for submission in batch {
        // A caller that gave up waiting needs no answer.
        let _ = submission.done.send(Err(error.clone()));
    }
}

struct Integration {
    shared: Arc<Shared>,
    integrator: Integrator,
    interval: Duration,
    /// Closed segments and the index behind their last entry.
    closed: Vec<(u64, u64)>,
    /// What the queue had no place for.
    job: Option<SyncJob>,
    to_syncer: channel::SyncSender<SyncJob>,
    last_sync: Instant,
}

impl Integration {
    fn run(mut self, work: &channel::Receiver<Integrate>) {
        let mut due: Option<Instant> = None;
        loop {
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            let done = match work.recv_timeout(wait) {
                Ok(Integrate::Entries(entries)) => {
                    due.get_or_insert_with(|| Instant::now() + self.interval);
                    entries.iter().try_for_each(|(entry, leaf)| self.integrator.add(entry, *leaf))
                }
                Ok(Integrate::SegmentClosed { first, end }) => {
                    self.closed.push((first, end));
                    Ok(())
                }
                Err(channel::RecvTimeoutError::Timeout) => Ok(()),
                Err(channel::RecvTimeoutError::Disconnected) => break,
            };
            let done = match done {
                Ok(()) if due.is_some_and(|due| due <= Instant::now()) => {
                    due = None;
                    self.publish(false)
                }
                other => other,
            };
            if let Err(error) = done {
                self.shared.fail("tiles or a checkpoint could not be written", &error);
                return;
            }
        }
        // A failed log does not sign anything more.
        if !self.shared.failed.load(Ordering::SeqCst)
            && let Err(error) = self.publish(true)
        {
            self.shared.fail("the last checkpoint could not be written", &error);
        }
    }

    fn publish(&mut self, last: bool) -> io::Result<()> {
        if self.integrator.size() > self.shared.published.borrow().size {
            let checkpoint = self.integrator.publish()?;
            self.shared.published.send_replace(checkpoint);
        }
        self.sync(last);
        Ok(())
    }

    /// Hands on what is to be made durable: at once where a segment can be trimmed thereby.
    fn sync(&mut self, last: bool) {
        let covered = self.shared.published.borrow().size;
        let trimmable = self.closed.iter().any(|(_, end)| *end <= covered);
        let waits = self.job.is_some() || self.integrator.has_superseded();
        let waited = waits && self.last_sync.elapsed() >= SYNC_INTERVAL;
        if !(last || trimmable || waited) {
            return;
        }
        let mut job = self.job.take().unwrap_or_default();
        job.merge(self.integrator.take_unsynced());
        self.closed.retain(|(first, end)| {
            let ready = *end <= covered;
            if ready {
                job.segments.push(*first);
            }
            !ready
        });
        if job.unsynced.is_empty() && job.segments.is_empty() {
            return;
        }
        self.last_sync = Instant::now();
        // A slow disk gets larger jobs; only beyond a bound of segments is it waited for.
        let sent = if last || job.segments.len() > MAX_CLOSED_SEGMENTS {
            self.to_syncer.send(job).is_ok()
        } else {
            match self.to_syncer.try_send(job) {
                Ok(()) => true,
                Err(channel::TrySendError::Full(job)) => {
                    self.job = Some(job);
                    true
                }
                Err(channel::TrySendError::Disconnected(_)) => false,
            }
        };
        if !sent {
            self.shared.fail("tiles could not be made durable", &"their thread has ended");
        }
    }
}

fn run_syncer(
    shared: &Shared,
    tiles: &dyn TileStore,
    segments: &dyn SegmentStore,
    jobs: &channel::Receiver<SyncJob>,
) {
    for job in jobs {
        // INVARIANT: a segment goes only after the tiles with its entries are durable.
        let done = job
            .unsynced
            .sync(tiles)
            .and_then(|()| job.segments.iter().try_for_each(|first| segments.remove(*first)));
        if let Err(error) = done {
            shared.fail("tiles could not be made durable", &error);
            return;
        }
    }
}
