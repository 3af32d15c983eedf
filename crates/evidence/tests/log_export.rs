//! Exports: made, carried through an archive, verified, changed in every way, and found out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use portcullis_evidence::log::export::tar::{TarReader, TarWriter};
use portcullis_evidence::log::export::{Export, ExportDirectory, ExportSink};
use portcullis_evidence::log::lookup::{find_event, index_at};
use portcullis_evidence::log::storage::Directory;
use portcullis_evidence::log::tile::{BundleEntries, push_entry};
use portcullis_evidence::log::{
    Checkpoint, Described, Log, LogOptions, LogReader, Meaning, NoteSigner, TlogProof, Trust,
    Verification, Verified, VerifyError,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Entries of the log most tests export: two full bundles and a partial one.
const SIZE: u64 = 700;

#[tokio::test]
async fn an_export_verifies_alone_and_continues_a_checkpoint_kept_elsewhere() {
    let log = TempDir::new().unwrap();
    append(log.path(), "one", 300).await;
    let earlier = LogReader::open(log.path()).unwrap().checkpoint_note().unwrap();
    append(log.path(), "two", 400).await;
    let copy = TempDir::new().unwrap();
    write(&exported(log.path(), 0..u64::MAX), copy.path());
    let mut seen = Vec::new();
    let store = Directory::new(copy.path());
    let verified = Verification::new(&store, trust())
        .continuing(earlier)
        .progress(|done, of| seen.push((done, of)))
        .run()
        .unwrap();
    assert_eq!((verified.size, verified.continues), (700, Some(300)));
    assert!(verified.absent.is_empty());
    assert_eq!(seen, [(256, 700), (512, 700), (700, 700)]);
}

#[tokio::test]
async fn a_part_of_a_log_verifies_and_says_what_it_does_not_hold() {
    let log = TempDir::new().unwrap();
    append(log.path(), "one", SIZE).await;
    let files = exported(log.path(), 300..301);
    assert!(files.contains_key("tile/entries/001") && !files.contains_key("tile/entries/000"));
    let copy = TempDir::new().unwrap();
    write(&files, copy.path());
    let verified = verify(copy.path(), None).unwrap();
    assert_eq!(verified.absent, [0..256, 512..700]);
    // What it says it holds must be there.
    fs::remove_file(copy.path().join("tile/entries/001")).unwrap();
    let missing = verify(copy.path(), None).unwrap_err();
    assert!(matches!(missing, VerifyError::EntryMissing { index: 256, .. }), "{missing}");
    // The hashes of what it does not hold are verified all the same.
    write_over(copy.path(), "tile/entries/001", &files["tile/entries/001"]);
    let mut tile = files["tile/0/000"].clone();
    tile[5] ^= 1;
    write_over(copy.path(), "tile/0/000", &tile);
    let bad = verify(copy.path(), None).unwrap_err();
    assert!(matches!(bad, VerifyError::EntriesRewritten { first: 0, last: 255 }), "{bad}");
}

#[tokio::test]
async fn the_first_bad_entry_is_named_with_its_event_where_that_can_be_read() {
    let log = TempDir::new().unwrap();
    append(log.path(), "one", SIZE).await;
    let mut files = exported(log.path(), 0..u64::MAX);
    let bundle = String::from_utf8(files["tile/entries/001"].clone()).unwrap();
    let bundle = bundle.replace("evt-one-300", "evt-one-3OO");
    files.insert("tile/entries/001".into(), bundle.into_bytes());
    let copy = TempDir::new().unwrap();
    write(&files, copy.path());
    let store = Directory::new(copy.path());
    let found = Verification::new(&store, trust()).meaning(meaning()).run().unwrap_err();
    assert_eq!((found.first_bad(), found.code()), (Some(300), "entry_damaged"));
    let text = found.to_string();
    assert!(text.contains("entry `300`") && text.contains("event `evt-one-3OO` of 300"), "{text}");
}

#[tokio::test]
async fn an_export_is_unpacked_from_its_archive_and_not_when_it_breaks_off() {
    let log = TempDir::new().unwrap();
    append(log.path(), "one", SIZE).await;
    let mut tar = TarWriter::new(Vec::new());
    let reader = LogReader::open(log.path()).unwrap();
    plan(&reader, 0..u64::MAX).write(reader.tiles(), &mut tar, |_, _| {}).unwrap();
    let archive = tar.finish().unwrap();
    let copy = TempDir::new().unwrap();
    let (mut unpack, mut to) = (TarReader::new(), ExportDirectory::create(copy.path()).unwrap());
    for piece in archive.chunks(1000) {
        unpack.push(piece, &mut to).unwrap();
    }
    unpack.finish().unwrap();
    to.finish().unwrap();
    verify(copy.path(), None).unwrap();
    assert!(ExportDirectory::create(copy.path()).is_err(), "it is not empty");
    let other = TempDir::new().unwrap();
    let (mut unpack, mut to) = (TarReader::new(), ExportDirectory::create(other.path()).unwrap());
    unpack.push(&archive[..archive.len() - 3000], &mut to).unwrap();
    assert!(unpack.finish().is_err() && to.finish().is_err());
    assert!(matches!(verify(other.path(), None), Err(VerifyError::NoCheckpoint)));
}

#[tokio::test]
async fn events_are_found_by_time_and_by_id() {
    let log = TempDir::new().unwrap();
    append(log.path(), "one", 2000).await;
    // An event written down long after it was made.
    let late = Log::open(log.path(), signer(), LogOptions::default()).unwrap();
    late.append(b"{\"id\":\"evt-late\",\"at\":5}".to_vec()).await.unwrap();
    late.close().await.unwrap();
    let reader = LogReader::open(log.path()).unwrap();
    for (at, index) in [(0, 0), (5, 0), (255, 0), (256, 256), (1000, 768), (5000, 2001)] {
        assert_eq!(index_at(&reader, 2001, at, &meaning()).unwrap(), index, "{at}");
    }
    for (id, at, index) in [
        ("evt-one-0", 0, 0),
        ("evt-one-1234", 1234, 1234),
        ("evt-one-1999", 1999, 1999),
        // The clock was wrong by a lot.
        ("evt-one-1999", 3, 1999),
        ("evt-late", 5, 2000),
    ] {
        let found = find_event(&reader, 2001, id, at, &meaning()).unwrap();
        assert_eq!(found.unwrap().index, index, "{id}");
    }
    assert_eq!(find_event(&reader, 2001, "evt-one-12345", 1234, &meaning()).unwrap(), None);
}

#[tokio::test]
async fn a_proof_of_one_entry_holds_without_the_log() {
    let dir = TempDir::new().unwrap();
    append(dir.path(), "one", SIZE).await;
    let reader = LogReader::open(dir.path()).unwrap();
    for index in [0, 255, 256, 511, 699] {
        let proof = TlogProof {
            extra: None,
            index,
            hashes: reader.inclusion_proof(index, SIZE).unwrap(),
            checkpoint: reader.checkpoint_note().unwrap(),
        };
        let proof = TlogProof::parse(proof.to_text().unwrap().as_bytes()).unwrap();
        let entry = reader.entry(index).unwrap();
        assert_eq!(proof.check(&entry, &trust()).unwrap().checkpoint.size, SIZE);
        assert!(proof.check(b"another", &trust()).is_err());
    }
}

/// One way to change an export. Numbers choose what is changed.
#[derive(Debug, Clone)]
enum Mutation {
    FlipBit(prop::sample::Index, prop::sample::Index, u8),
    DeleteFile(prop::sample::Index),
    TruncateFile(prop::sample::Index, prop::sample::Index),
    ExtendFile(prop::sample::Index, u8),
    SwapFiles(prop::sample::Index, prop::sample::Index),
    EditEntry(prop::sample::Index, u8),
    DeleteEntry(prop::sample::Index),
    SwapEntries(prop::sample::Index, prop::sample::Index),
    InsertEntry(prop::sample::Index, u8),
    /// A file of a log with other entries, signed by the same key: a fork.
    GraftFile(prop::sample::Index),
    /// The whole fork in place of the log.
    GraftLog,
    /// The log as it was earlier, rightly signed: truncation.
    Rewind,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (index(), index(), 0u8..8).prop_map(|(f, at, bit)| Mutation::FlipBit(f, at, bit)),
        1 => index().prop_map(Mutation::DeleteFile),
        1 => (index(), index()).prop_map(|(file, at)| Mutation::TruncateFile(file, at)),
        1 => (index(), any::<u8>()).prop_map(|(file, byte)| Mutation::ExtendFile(file, byte)),
        1 => (index(), index()).prop_map(|(a, b)| Mutation::SwapFiles(a, b)),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::EditEntry(at, byte)),
        1 => index().prop_map(Mutation::DeleteEntry),
        1 => (index(), index()).prop_map(|(a, b)| Mutation::SwapEntries(a, b)),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::InsertEntry(at, byte)),
        2 => index().prop_map(Mutation::GraftFile),
        1 => Just(Mutation::GraftLog),
        1 => Just(Mutation::Rewind),
    ]
}

type Files = BTreeMap<String, Vec<u8>>;

/// The exports the mutations begin with, made once.
struct Exports {
    whole: Files,
    earlier: Files,
    fork: Files,
}

fn exports() -> &'static Exports {
    static EXPORTS: std::sync::OnceLock<Exports> = std::sync::OnceLock::new();
    EXPORTS.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (log, fork) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            append(log.path(), "one", SIZE - 200).await;
            let earlier = exported(log.path(), 0..u64::MAX);
            append(log.path(), "two", 200).await;
            append(fork.path(), "fork", SIZE).await;
            let whole = exported(log.path(), 0..u64::MAX);
            Exports { whole, earlier, fork: exported(fork.path(), 0..u64::MAX) }
        })
    })
}

/// Files whose every byte counts: the manifest is for people and programs that read no proofs, and
/// the instructions are for people.
fn counted(files: &Files) -> Vec<String> {
    let told = |path: &str| path == "manifest.json" || path == "README.txt";
    files.keys().filter(|path| !told(path)).cloned().collect()
}

fn entries(files: &Files) -> Vec<Vec<u8>> {
    let bundles = files.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
    bundles
        .flat_map(|(_, bytes)| BundleEntries::new(bytes).map_while(Result::ok).map(<[u8]>::to_vec))
        .collect()
}

fn put_entries(files: &mut Files, entries: &[Vec<u8>]) {
    files.retain(|path, _| !path.starts_with("tile/entries/"));
    for (n, bundle) in entries.chunks(256).enumerate() {
        let mut bytes = Vec::new();
        bundle.iter().for_each(|entry| assert!(push_entry(&mut bytes, entry)));
        let partial =
            if bundle.len() < 256 { format!(".p/{}", bundle.len()) } else { String::new() };
        files.insert(format!("tile/entries/{n:03}{partial}"), bytes);
    }
}

fn mutate(files: &mut Files, mutation: &Mutation) {
    let paths = counted(files);
    let pick = |index: &prop::sample::Index| paths[index.index(paths.len())].clone();
    let mut all = entries(files);
    match mutation {
        Mutation::FlipBit(file, at, bit) => {
            let bytes = files.get_mut(&pick(file)).unwrap();
            let at = at.index(bytes.len().max(1));
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
        }
        Mutation::DeleteFile(file) => drop(files.remove(&pick(file))),
        Mutation::TruncateFile(file, at) => {
            let bytes = files.get_mut(&pick(file)).unwrap();
            bytes.truncate(at.index(bytes.len().max(1)));
        }
        Mutation::ExtendFile(file, byte) => files.get_mut(&pick(file)).unwrap().push(*byte),
        Mutation::SwapFiles(a, b) => {
            let (a, b) = (pick(a), pick(b));
            let (first, second) = (files[&a].clone(), files[&b].clone());
            files.insert(a, second);
            files.insert(b, first);
        }
        Mutation::EditEntry(at, byte) => {
            let at = at.index(all.len());
            let place = all[at].len() / 2;
            all[at].get_mut(place).into_iter().for_each(|old| *old = *byte);
            put_entries(files, &all);
        }
        Mutation::DeleteEntry(at) => {
            all.remove(at.index(all.len()));
            put_entries(files, &all);
        }
        Mutation::SwapEntries(a, b) => {
            let count = all.len();
            all.swap(a.index(count), b.index(count));
            put_entries(files, &all);
        }
        Mutation::InsertEntry(at, byte) => {
            all.insert(at.index(all.len()), vec![*byte; 9]);
            put_entries(files, &all);
        }
        Mutation::GraftFile(file) => {
            let path = pick(file);
            let graft = exports().fork.get(&path).cloned();
            graft.into_iter().for_each(|bytes| drop(files.insert(path.clone(), bytes)));
        }
        Mutation::GraftLog => files.clone_from(&exports().fork),
        Mutation::Rewind => files.clone_from(&exports().earlier),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(600), ..ProptestConfig::default() })]

    #[test]
    fn every_change_to_an_export_is_found(mutations in prop::collection::vec(mutation(), 1..3)) {
        let kept = exports().whole["checkpoint"].clone();
        let mut files = exports().whole.clone();
        for mutation in &mutations {
            mutate(&mut files, mutation);
        }
        // Two swaps, or an edit to what was there, may change nothing.
        prop_assume!(files != exports().whole);
        let copy = TempDir::new().unwrap();
        write(&files, copy.path());
        let found = verify(copy.path(), Some(kept));
        prop_assert!(found.is_err(), "{mutations:?} went unnoticed");
    }

    #[test]
    fn a_changed_manifest_hides_no_entry(at: prop::sample::Index, bit in 0u8..8) {
        let mut files = exports().whole.clone();
        let manifest = files.get_mut("manifest.json").unwrap();
        let at = at.index(manifest.len());
        manifest[at] ^= 1 << bit;
        let copy = TempDir::new().unwrap();
        write(&files, copy.path());
        if let Ok(verified) = verify(copy.path(), None) {
            prop_assert_eq!(verified.size, SIZE);
            prop_assert!(verified.absent.is_empty());
        }
    }
}

fn verify(copy: &Path, kept: Option<Vec<u8>>) -> Result<Verified, VerifyError> {
    let store = Directory::new(copy);
    let verification = Verification::new(&store, trust());
    match kept {
        Some(kept) => verification.continuing(kept).run(),
        None => verification.run(),
    }
}

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", &[7; 32]).unwrap()
}

fn trust() -> Trust {
    Trust::new(signer().verifier())
}

/// Entries here are `{"id": ..., "at": ...}`.
fn meaning() -> Meaning {
    Meaning {
        describe: |entry| {
            let value: serde_json::Value = serde_json::from_slice(entry).ok()?;
            let at_millis = value["at"].as_i64()?;
            let event = value["id"].as_str()?.to_owned();
            Some(Described { event, time: at_millis.to_string(), at_millis })
        },
        ..Meaning::default()
    }
}

async fn append(log: &Path, name: &str, count: u64) {
    let log = Log::open(log, signer(), LogOptions::default()).unwrap();
    let from = log.size();
    let entry = |n: u64| format!("{{\"id\":\"evt-{name}-{n}\",\"at\":{n}}}").into_bytes();
    log.append_many((from..from + count).map(entry).collect()).await.unwrap();
    log.close().await.unwrap();
}

fn plan(reader: &LogReader, entries: std::ops::Range<u64>) -> Export {
    let note = reader.checkpoint_note().unwrap();
    Export {
        checkpoint: Checkpoint::read_unverified(&note).unwrap(),
        note,
        entries,
        handovers: Vec::new(),
        log_keys: vec![signer().verifier().to_vkey()],
        witness_keys: Vec::new(),
        made_at: "2026-11-22T17:00:00Z".into(),
    }
}

struct Collected(Files);

impl ExportSink for Collected {
    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.insert(path.into(), bytes.into());
        Ok(())
    }
}

fn exported(log: &Path, entries: std::ops::Range<u64>) -> Files {
    let reader = LogReader::open(log).unwrap();
    let mut files = Collected(Files::new());
    plan(&reader, entries).write(reader.tiles(), &mut files, |_, _| {}).unwrap();
    files.0
}

fn write(files: &Files, to: &Path) {
    for (path, bytes) in files {
        write_over(to, path, bytes);
    }
}

fn write_over(to: &Path, path: &str, bytes: &[u8]) {
    let path = to.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
