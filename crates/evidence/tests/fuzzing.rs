//! Every parser of untrusted bytes on random bytes and on damaged good ones, briefly.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use portcullis_evidence::fuzzing::{
    KnownKeys, fuzz_add_checkpoint, fuzz_entry_bundle, fuzz_export_archive, fuzz_note,
    fuzz_recording, fuzz_segment, fuzz_text, fuzz_tile_path, fuzz_tlog_proof,
};
use portcullis_evidence::log::export::ExportSink;
use portcullis_evidence::log::export::tar::TarWriter;
use portcullis_evidence::log::merkle::leaf_hash;
use portcullis_evidence::log::segment::BatchEncoder;
use portcullis_evidence::log::{Checkpoint, Cosigner, Hash, NoteSigner, TlogProof};
use portcullis_evidence::recording::{
    ChunkFile, ChunkSync, FrameKind, RecordingMeta, RecordingWriter, SessionKey,
};
use proptest::prelude::*;

#[test]
fn notes() {
    let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
    let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 17, root: Hash([3; 32]) };
    let note = checkpoint.sign(&signer).unwrap();
    let witness = Cosigner::new("example.com/w", &[2; 32]).unwrap().key().to_vkey();
    run(fuzz_note, &[note, signer.verifier().to_vkey().into_bytes(), witness.into_bytes()]);
}

#[test]
fn tlog_proofs() {
    let proof = |extra: Option<&[u8]>| TlogProof {
        extra: extra.map(<[u8]>::to_vec),
        index: 7,
        hashes: vec![Hash([1; 32]), Hash([2; 32])],
        checkpoint: b"example.com/log\n9\n".to_vec(),
    };
    let text = |extra| proof(extra).to_text().unwrap().into_bytes();
    run(fuzz_tlog_proof, &[text(None), text(Some(b"entry"))]);
}

#[test]
fn requests_to_a_witness() {
    let hash = Hash([3; 32]).to_base64();
    run(fuzz_add_checkpoint, &[format!("old 7\n{hash}\n\nexample.com\n9\n").into_bytes()]);
}

#[test]
fn export_archives() {
    let mut tar = TarWriter::new(Vec::new());
    tar.file("manifest.json", b"{}").unwrap();
    tar.file("tile/0/000.p/2", &[7; 64]).unwrap();
    tar.file("checkpoint", b"note").unwrap();
    run(fuzz_export_archive, &[tar.finish().unwrap()]);
}

#[test]
fn tile_paths() {
    run(fuzz_tile_path, &[b"tile/0/x001/x234/067.p/12".to_vec(), b"tile/entries/000".to_vec()]);
}

#[test]
fn entry_bundles() {
    run(fuzz_entry_bundle, &[b"\x00\x03abc\x00\x00\x00\x01x".to_vec(), vec![9; 64]]);
}

#[test]
fn segments() {
    let mut encoder = BatchEncoder::default();
    for entry in [b"one".as_slice(), b"", b"three"] {
        encoder.push(entry, &leaf_hash(entry));
    }
    run(fuzz_segment, &[encoder.finish(5).to_vec()]);
}

#[test]
fn recordings() {
    let bytes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let meta = RecordingMeta { session: "s".into(), ..RecordingMeta::default() };
    let (key, start) = (SessionKey::generate().unwrap(), Instant::now());
    let file = Box::new(Memory(bytes.clone()));
    let mut writer =
        RecordingWriter::create_on(file, &meta, key, &KnownKeys, ChunkSync::AtClose, start)
            .unwrap();
    let _ =
        writer.push(FrameKind::Output, 0, start, b"hello hello hello hello hello hello").unwrap();
    writer.close().unwrap();
    let good = bytes.lock().unwrap().clone();
    run(fuzz_recording, &[good]);
}

#[test]
fn any_output_is_rendered_within_bounds() {
    let vim = b"\x1b[?1049h\x1b[2J\x1b[3;1Hhello \x1b[3;7Hworld\x1b[K\x1b[10L\x1b[5M\x1b[?1049l$ exit\r\n".to_vec();
    run(fuzz_text, &[vim]);
}

/// Random bytes, and good ones with changes, insertions, deletions and cuts.
fn run(target: fn(&[u8]), good: &[Vec<u8>]) {
    good.iter().for_each(|bytes| target(bytes));
    let config = ProptestConfig {
        cases: portcullis_testkit::cases(2000),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let change = (any::<prop::sample::Index>(), 0u8..5, any::<u8>());
    let mutated = (any::<prop::sample::Index>(), prop::collection::vec(change, 1..6));
    let input = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        mutated.prop_map({
            let good = good.to_vec();
            move |(which, changes)| {
                let mut bytes = good[which.index(good.len())].clone();
                for (at, kind, value) in changes {
                    let at = at.index(bytes.len() + 1);
                    match kind {
                        0 if at < bytes.len() => bytes[at] ^= value,
                        1 => bytes.insert(at, value),
                        2 if at < bytes.len() => drop(bytes.remove(at)),
                        3 => bytes.truncate(at),
                        _ => bytes.extend_from_within(at..),
                    }
                }
                bytes
            }
        }),
    ];
    proptest::test_runner::TestRunner::new(config)
        .run(&input, |bytes| {
            target(&bytes);
            Ok(())
        })
        .unwrap();
}

struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl ChunkFile for Memory {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
