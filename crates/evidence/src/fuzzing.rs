//! One function per parser that reads bytes nobody vouches for. Each must return, without a
//! panic and within bounded memory, whatever it is given; a fuzzer or the tests call them.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::log::checkpoint::Checkpoint;
use crate::log::cosignature::WitnessKey;
use crate::log::export::ExportSink;
use crate::log::export::tar::TarReader;
use crate::log::note::{Note, NoteVerifier};
use crate::log::segment::{Scanned, SegmentScanner, holds_batch};
use crate::log::tile::{BundleEntries, TilePath, decode_tile};
use crate::log::tlog_proof::TlogProof;
use crate::log::witness::AddCheckpoint;
use crate::recording::text::{MAX_LINE_CHARS, TextLine, TextRenderer};
use crate::recording::{
    Frame, FrameKind, KeyWrap, KeyWrapError, RecordingReader, SESSION_KEY_BYTES,
};

/// Signed notes, checkpoints and verifier keys.
pub fn fuzz_note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert!(note.signatures().len() <= crate::log::note::MAX_NOTE_SIGNATURES);
    }
    if let Ok(checkpoint) = Checkpoint::read_unverified(data) {
        assert_eq!(Checkpoint::from_text(&checkpoint.to_text()).as_ref(), Ok(&checkpoint));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(verifier) = NoteVerifier::from_vkey(text)
    {
        assert_eq!(NoteVerifier::from_vkey(&verifier.to_vkey()), Ok(verifier));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = WitnessKey::from_vkey(text)
    {
        assert_eq!(WitnessKey::from_vkey(&key.to_vkey()), Ok(key));
    }
}

/// Proofs of single entries.
pub fn fuzz_tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data)
        && let Ok(text) = proof.to_text()
    {
        assert_eq!(TlogProof::parse(text.as_bytes()).as_ref(), Ok(&proof));
    }
}

/// Requests to a witness.
pub fn fuzz_add_checkpoint(data: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(AddCheckpoint::parse(&request.to_bytes()).as_ref(), Ok(&request));
    }
}

/// Archives of exports.
pub fn fuzz_export_archive(data: &[u8]) {
    struct Names;
    impl ExportSink for Names {
        fn file(&mut self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
            let most = crate::log::export::max_bytes(path);
            assert!(most.is_some_and(|most| bytes.len() <= most));
            Ok(())
        }
    }
    let mut reader = TarReader::new();
    for piece in data.chunks(700) {
        if reader.push(piece, &mut Names).is_err() {
            return;
        }
    }
    let _ = reader.finish();
}

/// Paths of tiles.
pub fn fuzz_tile_path(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(path) = text.parse::<TilePath>()
    {
        assert_eq!(path.to_string(), text);
    }
}

/// Entry bundles and tiles.
pub fn fuzz_entry_bundle(data: &[u8]) {
    let entries = BundleEntries::new(data);
    let bytes: usize = entries.map_while(Result::ok).map(|entry| entry.len() + 2).sum();
    assert!(bytes <= data.len());
    if let Some(hashes) = decode_tile(data) {
        assert_eq!(crate::log::tile::encode_tile(&hashes), data);
    }
}

/// Write-ahead segments.
pub fn fuzz_segment(data: &[u8]) {
    let mut scanner = SegmentScanner::new(data);
    while let Ok(Scanned::Batch(batch)) = scanner.next_batch() {
        assert!(!batch.entries.is_empty());
    }
    assert!(scanner.position() <= data.len() as u64);
    let _ = holds_batch(data, 0);
}

/// Headers and chunks of recordings.
pub fn fuzz_recording(data: &[u8]) {
    let Ok(mut reader) = RecordingReader::new(data, &KnownKeys) else {
        return;
    };
    while let Ok(Some(frame)) = reader.next_frame() {
        assert!(frame.data.len() <= crate::recording::MAX_CHUNK_BYTES);
    }
}

/// Terminal output and typed input, rendered to text: as frames of up to 64 bytes.
pub fn fuzz_text(data: &[u8]) {
    let mut renderer = TextRenderer::new();
    let mut line = |line: TextLine| assert!(line.text.len() <= 4 * 2 * MAX_LINE_CHARS);
    for (number, piece) in data.chunks(64).enumerate() {
        let kind = if number % 3 == 2 { FrameKind::Input } else { FrameKind::Output };
        let channel = u32::from(number % 2 == 0);
        let size = FrameKind::Resize { cols: 20, rows: u16::from(channel == 0) };
        for kind in [size, kind].into_iter().skip(usize::from(channel == 0)) {
            let frame = Frame { at: Duration::ZERO, kind, channel, data: piece.to_vec() };
            renderer.frame(&frame, &mut line);
        }
    }
    renderer.finish(&mut line);
}

/// Wraps keys as themselves, so that a fuzzer can reach what stands behind the cipher.
pub struct KnownKeys;

impl KeyWrap for KnownKeys {
    fn wrap(&self, _: &str, key: &[u8; SESSION_KEY_BYTES]) -> Result<Vec<u8>, KeyWrapError> {
        Ok(key.to_vec())
    }

    fn unwrap(
        &self,
        _: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; SESSION_KEY_BYTES]>, KeyWrapError> {
        let key = wrapped.try_into().map_err(|_| KeyWrapError("not a key".into()))?;
        Ok(Zeroizing::new(key))
    }
}
