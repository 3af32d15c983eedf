//! The log on a disk that fills up, and on one whose power is cut at every operation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod disk;

use std::sync::Arc;
use std::time::Duration;

use disk::Disk;
use portcullis_evidence::log::storage::{SegmentStore, TileStore};
use portcullis_evidence::log::verify::verify;
use portcullis_evidence::log::{AppendError, Health, Log, LogOptions, NoteSigner, OpenError};
use proptest::prelude::*;

#[tokio::test]
async fn a_full_disk_fails_the_log_for_good_and_says_so() {
    let disk = Disk::default();
    let log = open(&disk).unwrap();
    let first = log.append(b"one".to_vec()).await.unwrap();
    assert!(log.healthy());
    disk.fail_from(0);
    let refused = log.append(b"two".to_vec()).await.unwrap_err();
    assert!(matches!(refused, AppendError::Failed { .. }), "{refused}");
    assert!(!log.healthy());
    assert!(matches!(log.health(), Health::Failed { .. }));
    // Space again: the log stays failed until it is opened anew.
    disk.fail_from(u64::MAX);
    assert!(log.append(b"three".to_vec()).await.is_err());
    assert!(log.close().await.is_err());
    drop(log);

    let log = open(&disk).unwrap();
    assert_eq!(first.index, 0);
    assert_eq!(log.reader().entry(0).unwrap(), b"one");
    let next = log.append(b"four".to_vec()).await.unwrap();
    assert_eq!(log.reader().entry(next.index).unwrap(), b"four");
}

#[tokio::test]
async fn a_disk_that_refuses_only_tiles_fails_the_log_too() {
    let disk = Disk::default();
    let log = open(&disk).unwrap();
    // The write and the sync of the entry succeed; what follows does not.
    disk.fail_from(disk.operations() + 2);
    log.append(b"one".to_vec()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while log.healthy() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert!(log.append(b"two".to_vec()).await.is_err());
    drop(log);
    disk.fail_from(u64::MAX);
    assert_eq!(open(&disk).unwrap().reader().entry(0).unwrap(), b"one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_at_any_operation_loses_nothing_acknowledged(
        rounds in prop::collection::vec(prop::collection::vec(1usize..300, 1..8), 1..4),
        cuts in prop::collection::vec(1u64..60, 4),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut luck = lcg(seed);
        let mut disk = Disk::default();
        let mut acknowledged: Vec<Vec<u8>> = Vec::new();
        for (round, cut) in rounds.iter().zip(cuts) {
            disk.fail_from(disk.operations() + cut);
            if let Ok(log) = open(&disk) {
                // Found: everything acknowledged, and perhaps more that was written but never answered.
                let found: Vec<Vec<u8>> = log.reader().entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect();
                prop_assert!(found.starts_with(&acknowledged));
                acknowledged = found;
                runtime.block_on(async {
                    for (n, count) in round.iter().enumerate() {
                        let entries: Vec<Vec<u8>> = (0..*count).map(|i| format!("{n}-{i}-{}", acknowledged.len()).into_bytes()).collect();
                        if log.append_many(entries.clone()).await.is_err() {
                            break;
                        }
                        acknowledged.extend(entries);
                    }
                });
            }
            disk = disk.after_power_cut(&mut luck);
        }
        let log = open(&disk).unwrap();
        let found: Vec<Vec<u8>> = log.reader().entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect();
        prop_assert!(found.starts_with(&acknowledged), "{} of {}", found.len(), acknowledged.len());
        runtime.block_on(log.close()).unwrap();
        let verified = verify(&disk, log.verifier(), None).unwrap();
        prop_assert_eq!(verified.size, found.len() as u64);
    }
}

fn open(disk: &Disk) -> Result<Log, OpenError> {
    let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
    let options = LogOptions { checkpoint_interval: Duration::from_millis(1), segment_bytes: 3000 };
    let tiles: Arc<dyn TileStore> = Arc::new(disk.clone());
    let segments: Arc<dyn SegmentStore> = Arc::new(disk.clone());
    Log::open_on(tiles, segments, None, signer, options)
}

/// Chance that a failing case can be repeated with.
fn lcg(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    }
}
