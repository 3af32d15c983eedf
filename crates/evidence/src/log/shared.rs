//! A log that several nodes append to: the common sequence in front, a whole log of this node's
//! own behind it.
//!
//! Flows in: submissions of this node, and batches of all nodes. An append is acknowledged once
//! the sequence has it; the node follows the sequence and makes tiles and checkpoints of it by
//! itself, so that every node holds the whole log and the loss of a node loses nothing.
//!
//! INVARIANT: what is followed continues exactly what this node has. A gap, a sequence that was
//! set back, or another entry at the same place fails the log for good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::gathering::Gathering;
use super::handle::{AppendError, Log};
use super::merkle::{Hash, leaf_hash};
use super::recover::OpenError;
use super::sequence::{MAX_SEQUENCED_BYTES, Sequence, Sequenced};
use super::writer::Submission;

/// Submissions that may wait for their turn.
const QUEUE: usize = 8192;
/// Batches of this node under way to the sequence at a time.
const IN_FLIGHT: usize = 2;
/// Longest wait for one answer of the sequence.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the sequence is asked for what other nodes appended.
const POLL: Duration = Duration::from_millis(100);
/// How often a sequence that has nothing new is asked whether it still has all that it had.
const STILL_THERE: Duration = Duration::from_secs(2);
/// Pause after a failed question.
const PAUSE: Duration = Duration::from_millis(500);
/// Two bytes of length before each entry.
const FRAME_BYTES: usize = 2;

/// The way to the sequence, and the tasks that walk it. Dropping it stops them.
pub(super) struct Front {
    queue: Mutex<Option<mpsc::Sender<Submission>>>,
    sequence: Arc<dyn Sequence>,
    followed: watch::Receiver<u64>,
    poke: Arc<Notify>,
    tasks: Mutex<Option<(JoinHandle<()>, JoinHandle<()>)>>,
}

impl Front {
    /// Checks that the sequence continues what `replica` has, and begins to follow it.
    pub(super) async fn start(
        replica: Log,
        sequence: Arc<dyn Sequence>,
    ) -> Result<Self, OpenError> {
        check(&replica, sequence.as_ref()).await?;
        let (queue, submissions) = mpsc::channel(QUEUE);
        let poke = Arc::new(Notify::new());
        let (seen, followed) = watch::channel(replica.size());
        let appending = tokio::spawn(append(sequence.clone(), submissions, poke.clone()));
        let following = tokio::spawn(follow(replica, sequence.clone(), poke.clone(), seen));
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            sequence,
            followed,
            poke,
            tasks: Mutex::new(Some((appending, following))),
        })
    }

    /// Where to put a submission; `None` once closed.
    pub(super) fn queue(&self) -> Option<mpsc::Sender<Submission>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this node has everything the sequence has now.
    pub(super) async fn caught_up(&self) -> Result<(), AppendError> {
        let unavailable = |reason: String| AppendError::Unavailable { reason };
        let end = timeout(PATIENCE, self.sequence.end()).await;
        let end = end
            .map_err(|_| unavailable("it does not answer".into()))?
            .map_err(|error| unavailable(error.to_string()))?;
        self.poke.notify_one();
        let mut followed = self.followed.clone();
        let reached = timeout(PATIENCE, followed.wait_for(|size| *size >= end)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable("this node does not keep up with it".into())),
        }
    }

    /// Takes nothing more, and waits for what is under way.
    pub(super) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((appending, following)) = tasks else { return };
        // Every exchange with the sequence is bounded, so this ends.
        let _ = appending.await;
        following.abort();
        let _ = following.await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, following)) = tasks {
            // The appending task ends with its queue.
            following.abort();
        }
    }
}

/// Whether what this node has is what the sequence begins with: the lengths, and the last entry.
async fn check(replica: &Log, sequence: &dyn Sequence) -> Result<(), OpenError> {
    let size = replica.size();
    let unreachable =
        |error: super::SequenceError| OpenError::Sequence { reason: error.to_string() };
    let end = sequence.end().await.map_err(unreachable)?;
    if end < size {
        return Err(OpenError::SetBack { size, end });
    }
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let held = sequence.holding(last).await.map_err(unreachable)?;
    let common = held.as_ref().and_then(|batch| entry_of(batch, last));
    let reader = replica.reader();
    let own = tokio::task::spawn_blocking(move || reader.entry(last)).await;
    match (common, own) {
        (Some(common), Ok(Ok(own))) if *common == own => Ok(()),
        _ => Err(OpenError::Diverged { index: last }),
    }
}

fn entry_of(batch: &Sequenced, index: u64) -> Option<&Vec<u8>> {
    let offset = usize::try_from(index.checked_sub(batch.first)?).ok()?;
    batch.entries.get(offset)
}

/// Takes submissions, makes batches of them and brings those to the sequence.
async fn append(
    sequence: Arc<dyn Sequence>,
    mut queue: mpsc::Receiver<Submission>,
    poke: Arc<Notify>,
) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut carried = None;
    loop {
        // A place first: what arrives while both are taken goes together.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Some(batch) = collect(&mut queue, &mut carried).await else { break };
        let (sequence, poke) = (sequence.clone(), poke.clone());
        tokio::spawn(async move {
            bring(sequence.as_ref(), batch).await;
            poke.notify_one();
            drop(place);
        });
    }
    let all = u32::try_from(IN_FLIGHT).unwrap_or(1);
    let _ = places.acquire_many(all).await;
}

/// Waits for a submission and takes as many more as are there and fit.
async fn collect(
    queue: &mut mpsc::Receiver<Submission>,
    carried: &mut Option<Submission>,
) -> Option<Vec<Submission>> {
    let first = match carried.take() {
        Some(first) => first,
        None => queue.recv().await?,
    };
    let mut gathering = Gathering::begin(first, MAX_SEQUENCED_BYTES, FRAME_BYTES);
    while let Ok(submission) = queue.try_recv() {
        *carried = gathering.add(submission);
        if carried.is_some() {
            break;
        }
    }
    Some(gathering.batch())
}

type Waiting = (usize, oneshot::Sender<Result<u64, AppendError>>);

async fn bring(sequence: &dyn Sequence, batch: Vec<Submission>) {
    let mut entries = Vec::with_capacity(batch.iter().map(|one| one.entries.len()).sum());
    let mut waiting: Vec<Waiting> = Vec::with_capacity(batch.len());
    let mut budgets = Vec::with_capacity(batch.len());
    for submission in batch {
        waiting.push((submission.entries.len(), submission.done));
        budgets.push(submission.budget);
        entries.extend(submission.entries.into_iter().map(|(entry, _)| entry));
    }
    let answer = match timeout(PATIENCE, sequence.append(entries)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it did not answer in time".to_owned()),
    };
    if let Err(reason) = &answer {
        tracing::error!(reason, "entries did not reach the common sequence of the log");
    }
    let mut index = answer.as_ref().copied().unwrap_or(0);
    for (count, done) in waiting {
        let told = match &answer {
            Ok(_) => Ok(index),
            Err(reason) => Err(AppendError::Unavailable { reason: reason.clone() }),
        };
        // A caller that gave up waiting has its entry in the log all the same.
        let _ = done.send(told);
        index += count as u64;
    }
}

/// Copies the sequence into this node's log, for ever.
async fn follow(
    replica: Log,
    sequence: Arc<dyn Sequence>,
    poke: Arc<Notify>,
    seen: watch::Sender<u64>,
) {
    let mut silent = false;
    let mut looked: Option<Instant> = None;
    loop {
        let wanted = replica.size();
        let answer = match timeout(PATIENCE, sequence.after(wanted)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        };
        let batches = match answer {
            Ok(batches) => batches,
            Err(reason) => {
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(reason, "the common sequence of the log cannot be followed");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        silent = false;
        if batches.is_empty() {
            // Nothing to do; make sure now and then that it is not because the past is gone.
            let due = looked.is_none_or(|at| at.elapsed() >= STILL_THERE);
            if due {
                looked = Some(Instant::now());
            }
            if due
                && let Ok(Ok(end)) = timeout(PATIENCE, sequence.end()).await
                && end < wanted
            {
                let why = format!("it ends at {end}, and this node has {wanted} entries");
                return replica.fail("the common sequence was set back", &why);
            }
            tokio::select! {
                () = poke.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            continue;
        }
        for batch in batches {
            let size = replica.size();
            if batch.first != size {
                let why = format!("`{size}` is missing, `{}` comes next", batch.first);
                return replica.fail("the common sequence has a gap", &why);
            }
            if let Err(error) = replica.append_sequenced(with_leaves(batch.entries)).await {
                tracing::error!(%error, "this node's copy of the log cannot be written");
                return;
            }
            seen.send_replace(replica.size());
        }
    }
}

fn with_leaves(entries: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Hash)> {
    entries
        .into_iter()
        .map(|entry| {
            let leaf = leaf_hash(&entry);
            (entry, leaf)
        })
        .collect()
}
