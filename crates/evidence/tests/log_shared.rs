//! One log written by several nodes through a common sequence, here kept in memory; the real one is
//! the store's, which its own contract tests and the end-to-end suite run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_evidence::log::{
    AppendError, Health, Log, LogOptions, NoteSigner, OpenError, Sequence, SequenceError,
    Sequenced, Sequencing, verify_dir,
};
use tempfile::TempDir;

/// What a database does for real, and what a damaged one may do.
#[derive(Default)]
struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    batches: Vec<Sequenced>,
    down: bool,
}

impl Memory {
    fn with<T>(&self, run: impl FnOnce(&mut State) -> T) -> Result<T, SequenceError> {
        let mut state = self.0.lock().unwrap();
        if state.down { Err(SequenceError::new("it is down")) } else { Ok(run(&mut state)) }
    }

    fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    fn edit(&self, run: impl FnOnce(&mut Vec<Sequenced>)) {
        run(&mut self.0.lock().unwrap().batches);
    }
}

fn end(batches: &[Sequenced]) -> u64 {
    batches.last().map_or(0, |last| last.first + last.entries.len() as u64)
}

impl Sequence for Memory {
    fn append(&self, entries: Vec<Vec<u8>>) -> Sequencing<'_, u64> {
        Box::pin(async move {
            self.with(|state| {
                let first = end(&state.batches);
                state.batches.push(Sequenced { first, entries });
                first
            })
        })
    }

    fn after(&self, first: u64) -> Sequencing<'_, Vec<Sequenced>> {
        let found = self.with(|state| {
            state.batches.iter().filter(|batch| batch.first >= first).take(3).cloned().collect()
        });
        Box::pin(async move { found })
    }

    fn holding(&self, index: u64) -> Sequencing<'_, Option<Sequenced>> {
        let found = self.with(|state| {
            let holds = |batch: &&Sequenced| {
                batch.first <= index && index < batch.first + batch.entries.len() as u64
            };
            state.batches.iter().find(holds).cloned()
        });
        Box::pin(async move { found })
    }

    fn end(&self) -> Sequencing<'_, u64> {
        let found = self.with(|state| end(&state.batches));
        Box::pin(async move { found })
    }
}

async fn open(directory: &Path, sequence: &Arc<Memory>) -> Result<Log, OpenError> {
    let signer = NoteSigner::new("example.com/common", &[7; 32]).unwrap();
    Log::open_shared(directory, signer, LogOptions::default(), sequence.clone()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_write_one_log_and_each_holds_all_of_it() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let sequence = Arc::new(Memory::default());
    let logs =
        [open(one.path(), &sequence).await.unwrap(), open(two.path(), &sequence).await.unwrap()];
    let mut tasks = Vec::new();
    for task in 0..20 {
        let log = logs[task % 2].clone();
        tasks.push(tokio::spawn(async move {
            let mut own = Vec::new();
            for n in 0..50 {
                let entry = format!("{{\"task\":{task},\"n\":{n}}}").into_bytes();
                own.push((log.append(entry.clone()).await.unwrap().index, entry));
            }
            own
        }));
    }
    let mut expected = Vec::new();
    for task in tasks {
        expected.extend(task.await.unwrap());
    }
    expected.sort();
    let together = logs[0].append_many(vec![b"a".to_vec(), b"b".to_vec()]).await.unwrap();
    assert_eq!((together[0].index, together[1].index), (1000, 1001));
    expected.extend([(1000, b"a".to_vec()), (1001, b"b".to_vec())]);
    for log in &logs {
        log.caught_up().await.unwrap();
        let read: Vec<_> = log.reader().entries(0..u64::MAX).map(Result::unwrap).collect();
        assert_eq!(read, expected);
        log.close().await.unwrap();
        assert!(matches!(log.append(vec![1]).await, Err(AppendError::Closed)));
    }
    let verified = |directory: &TempDir, log: &Log| {
        let verified = verify_dir(directory.path(), log.verifier()).unwrap();
        (verified.size, verified.root)
    };
    assert_eq!(verified(&one, &logs[0]), verified(&two, &logs[1]));

    // A node that comes later, or lost its disk, follows from the beginning.
    let three = TempDir::new().unwrap();
    let late = open(three.path(), &sequence).await.unwrap();
    late.caught_up().await.unwrap();
    late.close().await.unwrap();
    assert_eq!(verified(&three, &late), verified(&one, &logs[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_is_down_refuses_entries_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let sequence = Arc::new(Memory::default());
    let log = open(directory.path(), &sequence).await.unwrap();
    log.append(b"before".to_vec()).await.unwrap();
    sequence.set_down(true);
    let refused = log.append(b"meanwhile".to_vec()).await;
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
    assert!(log.caught_up().await.is_err());
    sequence.set_down(false);
    assert_eq!(log.append(b"after".to_vec()).await.unwrap().index, 1);
    log.caught_up().await.unwrap();
    assert_eq!(log.reader().entry(1).unwrap(), b"after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_was_tampered_with_fails_the_log() {
    let gap: fn(&mut Vec<Sequenced>) = |batches| {
        let first = end(batches) + 1;
        batches.push(Sequenced { first, entries: vec![b"later".to_vec()] });
    };
    let set_back: fn(&mut Vec<Sequenced>) = |batches| drop(batches.pop());
    for (name, damage) in [("a gap", gap), ("set back", set_back)] {
        let directory = TempDir::new().unwrap();
        let sequence = Arc::new(Memory::default());
        let log = open(directory.path(), &sequence).await.unwrap();
        for n in 0..3 {
            log.append(vec![n]).await.unwrap();
            log.caught_up().await.unwrap();
        }
        sequence.edit(damage);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while log.healthy() {
            assert!(tokio::time::Instant::now() < deadline, "{name} went unnoticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Health::Failed { reason } = log.health() else { panic!("{name}") };
        assert!(reason.contains("common sequence"), "{name}: {reason}");
        assert!(matches!(log.append(vec![9]).await, Err(AppendError::Failed { .. })), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_follow_another_past_than_its_own() {
    let directory = TempDir::new().unwrap();
    let sequence = Arc::new(Memory::default());
    let log = open(directory.path(), &sequence).await.unwrap();
    for n in 0..3 {
        log.append(vec![n]).await.unwrap();
    }
    log.caught_up().await.unwrap();
    log.close().await.unwrap();
    drop(log);
    sequence.edit(|batches| batches.last_mut().unwrap().entries[0] = b"rewritten".to_vec());
    let diverged = open(directory.path(), &sequence).await;
    assert!(matches!(diverged, Err(OpenError::Diverged { index: 2 })), "{diverged:?}");
    sequence.edit(|batches| drop(batches.pop()));
    let set_back = open(directory.path(), &sequence).await;
    assert!(matches!(set_back, Err(OpenError::SetBack { size: 3, end: 2 })), "{set_back:?}");
}
