//! The log on a real directory: append, read, reopen, verify, and what verification finds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_evidence::log::merkle::leaf_hash;
use portcullis_evidence::log::proof::{verify_consistency, verify_inclusion};
use portcullis_evidence::log::{
    AppendError, Checkpoint, Log, LogOptions, LogReader, NoteSigner, NoteVerifier, OpenError,
    VerifyError, verify_dir, verify_dir_against,
};
use proptest::prelude::*;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_appended_together_are_read_back_in_order_and_verify() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    let mut tasks = Vec::new();
    for task in 0..20 {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let mut own = Vec::new();
            for i in 0..50 {
                let entry = format!("{{\"task\":{task},\"n\":{i}}}").into_bytes();
                let appended = log.append(entry.clone()).await.unwrap();
                assert_eq!(appended.leaf_hash, leaf_hash(&entry));
                // What is acknowledged can be read at once.
                assert_eq!(log.reader().entry(appended.index).unwrap(), entry);
                own.push((appended.index, entry));
            }
            own
        }));
    }
    let mut expected = Vec::new();
    for task in tasks {
        expected.extend(task.await.unwrap());
    }
    expected.sort();
    log.close().await.unwrap();
    assert!(matches!(log.append(vec![1]).await, Err(AppendError::Closed)));
    let reader = LogReader::open(dir.path()).unwrap();
    assert_eq!(reader.size().unwrap(), 1000);
    let read: Vec<_> = reader.entries(0..u64::MAX).map(Result::unwrap).collect();
    assert_eq!(read, expected);
    assert_eq!(reader.entries(255..258).count(), 3);
    assert!(reader.entry(1000).is_err());
    let verified = verify_dir(dir.path(), &verifier()).unwrap();
    assert_eq!((verified.size, verified.origin.as_str()), (1000, "example.com/log"));
}

#[tokio::test]
async fn a_log_continues_where_it_ended_and_proves_it() {
    let dir = TempDir::new().unwrap();
    let mut checkpoints = Vec::new();
    for round in 0..6u64 {
        let log = open(dir.path()).unwrap();
        assert_eq!(log.size(), round * 150);
        log.append_many(entries(round * 150, 150)).await.unwrap();
        log.close().await.unwrap();
        let reader = LogReader::open(dir.path()).unwrap();
        let note = reader.checkpoint_note().unwrap();
        checkpoints.push(Checkpoint::open(&note, &verifier()).unwrap());
        verify_dir_against(dir.path(), &verifier(), &note).unwrap();
    }
    let reader = LogReader::open(dir.path()).unwrap();
    let last = checkpoints.last().unwrap().clone();
    for old in &checkpoints {
        let proof = reader.consistency_proof(old.size, last.size).unwrap();
        assert!(verify_consistency(old.size, last.size, &proof, &old.root, &last.root));
        for index in [0, 1, 255, 256, 511, old.size - 1].into_iter().filter(|i| *i < old.size) {
            let leaf = leaf_hash(&reader.entry(index).unwrap());
            let proof = reader.inclusion_proof(index, old.size).unwrap();
            assert!(verify_inclusion(&leaf, index, old.size, &proof, &old.root));
        }
    }
}

#[tokio::test]
async fn a_checkpoint_follows_soon_and_live_receivers_see_every_entry() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    let mut live = log.subscribe();
    let mut checkpoints = log.checkpoints();
    let appended = log.append(b"seen".to_vec()).await.unwrap();
    let (index, entry) = live.recv().await.unwrap();
    assert_eq!((index, &*entry), (appended.index, b"seen".as_slice()));
    let wait = checkpoints.wait_for(|checkpoint| checkpoint.size == 1);
    let checkpoint =
        tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap().unwrap().clone();
    // The running log verifies, and another process may read it.
    assert_eq!(verify_dir(dir.path(), &verifier()).unwrap().root, checkpoint.root);
    log.append(b"tail".to_vec()).await.unwrap();
    let other = LogReader::open(dir.path()).unwrap();
    assert_eq!(other.size().unwrap(), 2);
    assert_eq!(other.entry(1).unwrap(), b"tail");
}

#[tokio::test]
async fn limits_are_named_and_cost_nothing() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    let refused = log.append(vec![0; 65_536]).await;
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: 65_536 }));
    assert!(matches!(log.append_many(vec![vec![]; 8193]).await, Err(AppendError::TooMany { .. })));
    assert!(log.append_many(Vec::new()).await.unwrap().is_empty());
    assert_eq!(log.append(vec![7; 65_535]).await.unwrap().index, 0);
    assert_eq!(log.append(Vec::new()).await.unwrap().index, 1);
    assert!(log.healthy());
    log.close().await.unwrap();
    assert_eq!(verify_dir(dir.path(), &verifier()).unwrap().size, 2);
}

#[tokio::test]
async fn a_log_is_open_once() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    // What the running log has staged is left alone by whoever is refused.
    let staged = dir.path().join("tmp/checkpoint");
    fs::write(&staged, "half").unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Locked { .. })));
    assert!(staged.exists());
    drop(log);
    open(dir.path()).unwrap();
    assert!(!staged.exists());
}

#[tokio::test]
async fn segments_are_trimmed_and_partial_tiles_replaced() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    for round in 0..12u8 {
        log.append_many(vec![vec![round; 60_000]; 60]).await.unwrap();
    }
    log.close().await.unwrap();
    let segments = names(&dir.path().join("wal"));
    assert!(segments.len() < 3 && !segments.contains(&format!("{:020}.wal", 0)), "{segments:?}");
    assert!(!dir.path().join("tile/entries/000.p").exists());
    drop(log);
    let log = open(dir.path()).unwrap();
    assert_eq!(log.size(), 720);
    assert_eq!(log.reader().entry(719).unwrap(), vec![11; 60_000]);
    assert_eq!(verify_dir(dir.path(), &verifier()).unwrap().size, 720);
}

#[tokio::test]
async fn opening_refuses_what_does_not_fit_and_names_it() {
    let dir = filled(300).await;
    let path = dir.path();
    let checkpoint = fs::read(path.join("checkpoint")).unwrap();

    // Another key, no checkpoint, a checkpoint over other entries.
    let other = NoteSigner::new("example.com/log", &[2; 32]).unwrap();
    assert!(matches!(Log::open(path, other, LogOptions::default()), Err(OpenError::Checkpoint(_))));
    fs::remove_file(path.join("checkpoint")).unwrap();
    assert!(matches!(open(path), Err(OpenError::MissingCheckpoint)));
    let mut lie = Checkpoint::open(&checkpoint, &verifier()).unwrap();
    lie.root.0[0] ^= 1;
    fs::write(path.join("checkpoint"), lie.sign(&signer()).unwrap()).unwrap();
    assert!(matches!(open(path), Err(OpenError::RootMismatch { size: 300 })));
    fs::write(path.join("checkpoint"), &checkpoint).unwrap();

    // A byte of an acknowledged entry in the write-ahead segment, and that segment gone.
    let segment = path.join("wal").join(format!("{:020}.wal", 0));
    let whole = fs::read(&segment).unwrap();
    let at = whole.windows(8).position(|w| w == b"{\"n\":123").unwrap();
    let mut bad = whole.clone();
    bad[at + 5] = b'9';
    fs::write(&segment, &bad).unwrap();
    let refused = open(path).unwrap_err();
    assert!(matches!(refused, OpenError::EntryDamaged { index: 123, .. }), "{refused}");
    fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    assert!(open(path).is_err());
    fs::remove_file(&segment).unwrap();
    assert!(matches!(open(path), Err(OpenError::EntryMissing { index: 300 })));
    fs::write(&segment, &whole).unwrap();
    assert_eq!(open(path).unwrap().size(), 300);
}

#[tokio::test]
async fn a_torn_record_behind_the_checkpoint_is_dropped_and_one_before_another_is_not() {
    let dir = filled(10).await;
    let segment = dir.path().join("wal").join(format!("{:020}.wal", 0));
    let (one, two) = (batch(10, b"eleventh"), batch(11, b"twelfth"));
    let whole = fs::read(&segment).unwrap();
    let join = |parts: &[&[u8]]| fs::write(&segment, parts.concat()).unwrap();

    let mut damaged = one.clone();
    *damaged.last_mut().unwrap() ^= 1;
    join(&[&whole, &damaged, &two]);
    assert!(matches!(open(dir.path()), Err(OpenError::EntryDamaged { index: 10, .. })));
    join(&[&whole, &one, &two[..two.len() - 1]]);
    let log = open(dir.path()).unwrap();
    assert_eq!(log.size(), 11);
    assert_eq!(log.reader().entry(10).unwrap(), b"eleventh");
}

#[tokio::test]
async fn verification_names_the_first_bad_entry() {
    let dir = filled(700).await;
    let bundle = "tile/entries/001";
    let good = fs::read(dir.path().join(bundle)).unwrap();
    let index_of = |n: u64| {
        let text = format!("{{\"n\":{n},");
        good.windows(text.len()).position(|w| w == text.as_bytes()).unwrap() - 2
    };
    let with = |bytes: &[u8]| {
        fs::write(dir.path().join(bundle), bytes).unwrap();
        verify_dir(dir.path(), &verifier()).unwrap_err()
    };
    let (a, b, c) = (index_of(300), index_of(301), index_of(302));

    let mut edited = good.clone();
    edited[a + 5] ^= 1;
    assert!(matches!(with(&edited), VerifyError::EntryDamaged { index: 300, .. }));
    let deleted = [&good[..a], &good[b..]].concat();
    assert!(matches!(with(&deleted), VerifyError::EntryDamaged { index: 300, .. }));
    let swapped = [&good[..a], &good[b..c], &good[a..b], &good[c..]].concat();
    assert!(matches!(with(&swapped), VerifyError::EntryDamaged { index: 300, .. }));
    let added = [&good[..], &good[a..b]].concat();
    assert!(matches!(with(&added), VerifyError::EntryDamaged { index: 512, .. }));
    let cut = &good[..a];
    assert!(matches!(with(cut), VerifyError::EntryMissing { index: 300, .. }));
    fs::remove_file(dir.path().join(bundle)).unwrap();
    let missing = verify_dir(dir.path(), &verifier()).unwrap_err();
    assert!(matches!(missing, VerifyError::EntryMissing { index: 256, .. }));
    fs::write(dir.path().join(bundle), &good).unwrap();

    // Entry and leaf tile exchanged together: the tile above tells.
    let tile = dir.path().join("tile/0/001");
    let mut hashes = fs::read(&tile).unwrap();
    let good_hashes = hashes.clone();
    let (from, to) = (44 * 32, 45 * 32);
    hashes[from..to].copy_from_slice(&leaf_hash(&edited[a + 2..b]).0);
    fs::write(&tile, &hashes).unwrap();
    assert!(matches!(with(&edited), VerifyError::EntriesRewritten { first: 256, last: 511 }));
    // Only a tile: the entries are cleared.
    let tile_bad = with(&good);
    assert!(
        matches!(&tile_bad, VerifyError::TileDamaged { path } if path == "tile/0/001"),
        "{tile_bad}"
    );
    fs::write(&tile, &good_hashes).unwrap();
    verify_dir(dir.path(), &verifier()).unwrap();
}

#[tokio::test]
async fn a_log_cut_or_forked_and_signed_anew_is_found_by_an_earlier_checkpoint() {
    let long = filled(400).await;
    let trusted = fs::read(long.path().join("checkpoint")).unwrap();
    let short = filled(399).await;
    let cut = verify_dir_against(short.path(), &verifier(), &trusted).unwrap_err();
    assert!(matches!(cut, VerifyError::RolledBack { trusted: 400, size: 399 }));
    let fork = TempDir::new().unwrap();
    let log = open(fork.path()).unwrap();
    log.append_many(entries(1, 450)).await.unwrap();
    log.close().await.unwrap();
    verify_dir(fork.path(), &verifier()).unwrap();
    let forked = verify_dir_against(fork.path(), &verifier(), &trusted).unwrap_err();
    assert!(matches!(forked, VerifyError::Forked { trusted: 400 }));
}

#[test]
fn any_changed_byte_of_an_export_is_found() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = runtime.block_on(filled(600));
    let mut files = vec!["checkpoint".to_owned()];
    for path in [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
    ] {
        files.push(path.to_owned());
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: portcullis_testkit::cases(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let change = (0..files.len(), any::<prop::sample::Index>(), 0u8..4, 1u8..=255);
    runner
        .run(&change, |(file, at, kind, xor)| {
            let path = dir.path().join(&files[file]);
            let good = fs::read(&path).unwrap();
            let at = at.index(good.len());
            let mut bad = good.clone();
            match kind {
                0 => bad[at] ^= xor,
                1 => bad.truncate(at),
                2 => drop(bad.remove(at)),
                _ => bad.insert(at, xor),
            }
            if bad != good {
                fs::write(&path, &bad).unwrap();
                let found = verify_dir(dir.path(), &verifier());
                fs::write(&path, &good).unwrap();
                // A tile may be longer than needed; a signature line may be, too, by others.
                prop_assert!(found.is_err(), "{path:?} kind {kind} at {at}");
            }
            Ok(())
        })
        .unwrap();
}

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", &[1; 32]).unwrap()
}

fn verifier() -> NoteVerifier {
    NoteVerifier::from_vkey(&signer().verifier().to_vkey()).unwrap()
}

fn open(dir: &Path) -> Result<Log, OpenError> {
    Log::open(dir, signer(), LogOptions::default())
}

fn entries(from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(|n| format!("{{\"n\":{n},\"who\":\"alice\"}}").into_bytes()).collect()
}

async fn filled(count: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap();
    log.append_many(entries(0, count)).await.unwrap();
    log.close().await.unwrap();
    dir
}

fn batch(first: u64, entry: &[u8]) -> Vec<u8> {
    let mut encoder = portcullis_evidence::log::segment::BatchEncoder::default();
    encoder.push(entry, &leaf_hash(entry));
    encoder.finish(first).to_vec()
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
