//! A process appending under load is killed with SIGKILL, again and again on one log.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_evidence::log::{Log, LogOptions, LogReader, NoteSigner, verify_dir};
use tempfile::TempDir;

const DIRECTORY: &str = "PORTCULLIS_TEST_LOG_DIRECTORY";

#[test]
fn a_killed_process_loses_no_acknowledged_entry() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "appends_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut until = None;
        let mut count = 0;
        // Killed at another moment each round, checkpoints and segment trims included.
        while let Some(Ok(line)) = lines.next() {
            if let Some((index, entry)) =
                line.strip_prefix("ack ").and_then(|ack| ack.split_once(' '))
            {
                acknowledged.push((index.parse::<u64>().unwrap(), entry.to_owned()));
                count += 1;
                until.get_or_insert(Instant::now() + Duration::from_millis(150 + 170 * round));
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                // What was printed before the kill is still read to the end: it counts.
                child.kill().unwrap();
                until = Some(Instant::now() + Duration::from_secs(3600));
            }
        }
        child.wait().unwrap();
        assert!(count > 0, "the child acknowledged nothing");
    }
    let signer = signer();
    let verifier = signer.verifier();
    let log = Log::open(dir.path(), signer, LogOptions::default()).unwrap();
    let reader = log.reader();
    let entries: Vec<Vec<u8>> = reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect();
    for (index, entry) in &acknowledged {
        let found = &entries[usize::try_from(*index).unwrap()];
        assert!(found.starts_with(entry.as_bytes()), "entry {index}");
    }
    drop(log);
    let verified = verify_dir(dir.path(), &verifier).unwrap();
    assert!(verified.size >= acknowledged.len() as u64);
    assert_eq!(LogReader::open(dir.path()).unwrap().size().unwrap(), verified.size);
}

/// The child of the test above; does nothing in a run of its own.
#[test]
fn appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options =
            LogOptions { checkpoint_interval: Duration::from_millis(20), segment_bytes: 300_000 };
        let log = Log::open(std::path::Path::new(&dir), signer(), options).unwrap();
        let start = log.size();
        let mut tasks = Vec::new();
        for task in 0..64u64 {
            let log = log.clone();
            tasks.push(tokio::spawn(async move {
                for n in 0u64.. {
                    let name = format!("{start}-{task}-{n}");
                    let mut entry = name.clone().into_bytes();
                    entry.resize(1000, b'.');
                    let appended = log.append(entry).await.unwrap();
                    println!("ack {} {name}", appended.index);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", &[1; 32]).unwrap()
}
