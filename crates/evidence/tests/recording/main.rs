//! Recordings on real files: written, read back, damaged in every way, exported, played.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod filling;
mod text;
mod vouched;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filling::Filling;
use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::log::Hash;
use portcullis_evidence::recording::{
    ChunkFile, ChunkSync, End, Frame, FrameKind, MAX_CHUNK_BYTES, Push, ReadError, RecordError,
    Recorder, RecordingMeta, RecordingReader, RecordingWriter, SessionKey, Summary, Vouched,
};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;

#[test]
fn frames_are_read_back_as_they_were_seen() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let start = Instant::now();
    let mut writer = create(&path, start);
    let frames = [
        (0, FrameKind::Resize { cols: 132, rows: 50 }, 0, b"".as_slice()),
        (10, FrameKind::Output, 0, b"$ "),
        (1_000_000, FrameKind::Input, 0, b"ls\r"),
        (1_000_001, FrameKind::Output, 7, b"\xff\x00 binary"),
        (1_000_001, FrameKind::Marker, 0, b"here"),
        (90_000_000_000, FrameKind::Event, u32::MAX, b"{\"file\":\"a\"}"),
    ];
    for (micros, kind, channel, data) in frames {
        let pushed = writer.push(kind, channel, start + Duration::from_micros(micros), data);
        assert_eq!(pushed, Ok(Push::Buffered));
    }
    let due = writer.next_due().unwrap();
    assert_eq!(due, start + Duration::from_secs(10));
    let (receipt, summary) = writer.close().unwrap();
    let receipt = receipt.unwrap();
    assert_eq!((receipt.index, &*receipt.session), (0, "session-1"));
    assert_eq!(receipt.to, Duration::from_secs(90_000));
    assert_eq!(fs::metadata(&path).unwrap().len(), summary.bytes);

    let (read, end) = read(&path).unwrap();
    let expected: Vec<Frame> = frames
        .iter()
        .map(|(micros, kind, channel, data)| Frame {
            at: Duration::from_micros(*micros),
            kind: *kind,
            channel: *channel,
            data: data.to_vec(),
        })
        .collect();
    assert_eq!(read, expected);
    assert_eq!(end, End::Finished(summary.clone()));
    assert_eq!(check(&path, &[receipt.hash, summary.head]).unwrap(), 2);
}

#[test]
fn nothing_readable_is_in_the_file_and_only_its_key_opens_it() {
    let dir = TempDir::new().unwrap();
    let (path, other) = (dir.path().join("a"), dir.path().join("b"));
    let (_, summary) = recorded(&path, &[b"top secret ".repeat(20)]);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(10).any(|window| window == b"top secret"));
    recorded(&other, &[b"another".to_vec()]);
    // The chunks of one under the header, and so the key, of the other.
    let header = header_bytes(&fs::read(&other).unwrap());
    let mixed = [&fs::read(&other).unwrap()[..header], &bytes[header_bytes(&bytes)..]].concat();
    fs::write(&other, mixed).unwrap();
    assert!(matches!(read(&other), Err(ReadError::ChunkDamaged { index: 0 })));
    assert!(summary.chunks == 2);
}

#[test]
fn a_session_that_changes_its_description_afterwards_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    recorded(&path, &[b"x".to_vec()]);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"alice").unwrap();
    bytes[at..at + 5].copy_from_slice(b"mason");
    fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&path), Err(ReadError::ChunkDamaged { index: 0 })));
}

#[test]
fn any_changed_byte_is_found_and_what_stands_before_it_is_still_read() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let data: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n; 300]).collect();
    let (hashes, _) = recorded(&path, &data);
    let good = fs::read(&path).unwrap();
    let starts = chunk_starts(&good);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let whole = starts.iter().filter(|start| **start <= at).count();
        match read(&path) {
            Err(ReadError::ChunkDamaged { index }) => assert_eq!(index as usize, whole.max(1) - 1),
            Err(ReadError::NotARecording | ReadError::Key(_)) => assert_eq!(whole, 0),
            other => panic!("byte {at}: {other:?}"),
        }
        if whole > 0 {
            let found = check(&path, &hashes);
            assert!(
                matches!(found, Err(ReadError::ChunkDamaged { index }) if index as usize == whole - 1)
            );
        }
    }
}

#[test]
fn dropped_swapped_repeated_and_cut_chunks_are_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let data: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n; 300]).collect();
    let (hashes, summary) = recorded(&path, &data);
    let good = fs::read(&path).unwrap();
    let mut starts = chunk_starts(&good);
    starts.push(good.len());
    let chunk = |n: usize| good[starts[n]..starts[n + 1]].to_vec();
    let head = good[..starts[0]].to_vec();
    let with = |chunks: &[Vec<u8>]| {
        fs::write(&path, [std::slice::from_ref(&head), chunks].concat().concat()).unwrap();
        (read(&path), check(&path, &hashes))
    };
    for order in [[0, 2, 3, 4].as_slice(), &[0, 2, 1, 3, 4], &[0, 0, 1, 2, 3, 4]] {
        let chunks: Vec<Vec<u8>> = order.iter().map(|n| chunk(*n)).collect();
        let (read, check) = with(&chunks);
        assert!(matches!(read, Err(ReadError::ChunkDamaged { index: 1 })), "{order:?}: {read:?}");
        assert!(matches!(check, Err(ReadError::ChunkDamaged { index: 1 })));
    }
    // Cut between chunks: readable, unfinished, and the log knows better.
    let (cut, check_cut) = with(&[chunk(0), chunk(1)]);
    let (frames, end) = cut.unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(end, End::Unfinished { chunks: 2, head: hashes[1], cut_bytes: 0 });
    assert!(matches!(check_cut, Err(ReadError::ChunkMissing { index: 2 })));
    // Cut within a chunk, as a crash leaves it.
    let (cut, _) = with(&[chunk(0), chunk(1)[..50].to_vec()]);
    assert!(matches!(cut.unwrap().1, End::Unfinished { chunks: 1, cut_bytes: 50, .. }));
    // More behind the end.
    let mut all: Vec<Vec<u8>> = (0..5).map(chunk).collect();
    all.push(b"tail".to_vec());
    assert!(matches!(with(&all).0, Err(ReadError::Trailing { index: 5 })));
    assert_eq!(summary.chunks, 5);
}

#[test]
fn large_and_incompressible_output_is_split_and_stored() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let mut noise = vec![0; 1_000_000];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    let start = Instant::now();
    let mut writer = create(&path, start);
    let mut rest = noise.as_slice();
    let mut chunks = 0;
    while let Push::Full { taken } = writer.push(FrameKind::Output, 0, start, rest).unwrap() {
        rest = &rest[taken..];
        let receipt = writer.flush().unwrap().unwrap();
        assert!(receipt.bytes as usize <= MAX_CHUNK_BYTES + 64);
        chunks += 1;
    }
    let (_, summary) = writer.close().unwrap();
    assert_eq!((chunks, summary.chunks), (3, 5));
    assert!(summary.bytes < 1_002_000);
    let (frames, _) = read(&path).unwrap();
    assert_eq!(frames.iter().flat_map(|frame| frame.data.clone()).collect::<Vec<u8>>(), noise);
}

#[test]
fn text_is_compressed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let text: String =
        (0..20_000).map(|n| format!("drwxr-xr-x 2 root root 4096 file-{n}\r\n")).collect();
    let (_, summary) = recorded(&path, &[text.clone().into_bytes()]);
    assert!(summary.bytes < text.len() as u64 / 4, "{} of {}", summary.bytes, text.len());
}

#[test]
fn a_full_device_fails_the_recording_for_good() {
    let full: Box<dyn ChunkFile> =
        Box::new(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let start = Instant::now();
    let refused = RecordingWriter::create_on(
        full,
        &meta(),
        SessionKey::generate().unwrap(),
        &KnownKeys,
        ChunkSync::AtClose,
        start,
    );
    assert!(refused.is_err());
    let mut writer = on(Filling::after(1), start);
    assert_eq!(writer.push(FrameKind::Output, 0, start, b"x"), Ok(Push::Buffered));
    assert!(matches!(writer.flush(), Err(RecordError::Failed { .. })));
    assert!(matches!(
        writer.push(FrameKind::Output, 0, start, b"x"),
        Err(RecordError::Failed { .. })
    ));
    assert!(writer.close().is_err());
}

#[tokio::test]
async fn a_recorder_on_a_full_disk_refuses_every_later_observation() {
    let start = Instant::now();
    let recorder = Recorder::new(on(Filling::after(2), start), None);
    let chunk = vec![7; MAX_CHUNK_BYTES];
    let mut failed = None;
    for n in 0..6 {
        if let Err(error) = recorder.observe(FrameKind::Output, 0, start, &chunk).await {
            failed = Some((n, error));
            break;
        }
    }
    // At most one chunk is under way and one gathering when the failure is known.
    let (n, error) = failed.unwrap();
    assert!(n <= 4 && matches!(error, RecordError::Failed { .. }), "{n}: {error}");
    assert!(recorder.has_failed() && recorder.next_due().is_none());
    let later = recorder.observe(FrameKind::Output, 0, start, b"x").await;
    assert!(matches!(later, Err(RecordError::Failed { .. })));
    assert!(recorder.flush().await.is_err() && recorder.close().await.is_err());
}

#[tokio::test]
async fn channels_observe_into_one_recording_and_every_chunk_is_told() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let (receipts, mut told) = mpsc::channel(1);
    let start = Instant::now();
    let recorder = Arc::new(
        Recorder::create(&path, &meta(), &KnownKeys, ChunkSync::EveryChunk, start, Some(receipts))
            .unwrap(),
    );
    let collector = tokio::spawn(async move {
        let mut hashes = Vec::new();
        while let Some(receipt) = told.recv().await {
            assert_eq!(receipt.index as usize, hashes.len());
            hashes.push(receipt.hash);
        }
        hashes
    });
    let mut channels = Vec::new();
    for channel in 0..4u32 {
        let recorder = recorder.clone();
        channels.push(tokio::spawn(async move {
            for n in 0..200u32 {
                let data = vec![n as u8; 5000];
                recorder.observe(FrameKind::Output, channel, Instant::now(), &data).await.unwrap();
            }
        }));
    }
    for channel in channels {
        channel.await.unwrap();
    }
    let summary = recorder.close().await.unwrap();
    assert_eq!(recorder.observe(FrameKind::Output, 0, start, b"x").await, Err(RecordError::Closed));
    drop(recorder);
    let hashes = collector.await.unwrap();
    assert_eq!(hashes.len() as u32 + 1, summary.chunks);
    assert_eq!(check(&path, &hashes).unwrap(), summary.chunks);
    let (frames, _) = read(&path).unwrap();
    for channel in 0..4u32 {
        let bytes: usize = frames
            .iter()
            .filter(|frame| frame.channel == channel)
            .map(|frame| frame.data.len())
            .sum();
        assert_eq!(bytes, 1_000_000);
    }
    assert!(frames.is_sorted_by_key(|frame| frame.at));
}

#[tokio::test]
async fn a_chunk_is_due_after_ten_seconds_and_an_idle_recorder_is_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let start = Instant::now();
    let recorder =
        Recorder::create(&path, &meta(), &KnownKeys, ChunkSync::AtClose, start, None).unwrap();
    assert_eq!(recorder.next_due(), None);
    recorder.observe(FrameKind::Output, 0, start, b"one").await.unwrap();
    assert_eq!(recorder.next_due(), Some(start + Duration::from_secs(10)));
    recorder.observe(FrameKind::Output, 0, start + Duration::from_secs(10), b"two").await.unwrap();
    assert_eq!(recorder.next_due(), None);
    recorder.flush().await.unwrap();
    // As after kill -9: what was flushed is there, without a trailer.
    let (frames, end) = read(&path).unwrap();
    assert_eq!(frames.len(), 2);
    assert!(matches!(end, End::Unfinished { chunks: 1, cut_bytes: 0, .. }));
    // Dropped unclosed, it still writes what it holds.
    recorder
        .observe(FrameKind::Output, 0, start + Duration::from_secs(11), b"three")
        .await
        .unwrap();
    drop(recorder);
    assert_eq!(read(&path).unwrap().0.len(), 3);
}

#[tokio::test]
async fn watchers_see_frames_and_are_told_what_they_missed() {
    let dir = TempDir::new().unwrap();
    let start = Instant::now();
    let recorder = Recorder::create(
        &dir.path().join("a"),
        &meta(),
        &KnownKeys,
        ChunkSync::AtClose,
        start,
        None,
    )
    .unwrap();
    recorder.observe(FrameKind::Output, 0, start, b"before").await.unwrap();
    let mut watcher = recorder.watch();
    recorder.observe(FrameKind::Output, 3, start, b"seen").await.unwrap();
    let frame = watcher.recv().await.unwrap();
    assert_eq!((frame.channel, frame.data.as_slice()), (3, b"seen".as_slice()));
    for _ in 0..300 {
        recorder.observe(FrameKind::Output, 0, start, b"x").await.unwrap();
    }
    assert!(watcher.recv().await.is_err());
    drop(watcher);
    recorder.observe(FrameKind::Output, 0, start, b"x").await.unwrap();
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn a_chunk_whose_hash_nobody_logs_fails_the_recording() {
    let dir = TempDir::new().unwrap();
    let (receipts, told) = mpsc::channel(1);
    let start = Instant::now();
    let recorder = Recorder::create(
        &dir.path().join("a"),
        &meta(),
        &KnownKeys,
        ChunkSync::AtClose,
        start,
        Some(receipts),
    )
    .unwrap();
    drop(told);
    recorder.observe(FrameKind::Output, 0, start, b"x").await.unwrap();
    assert!(matches!(recorder.flush().await, Err(RecordError::Failed { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(32), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_survive(frames in prop::collection::vec((any::<u32>(), 0u8..5, any::<u32>(), prop::collection::vec(any::<u8>(), 0..5000), any::<bool>()), 0..60)) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        let start = Instant::now();
        let mut writer = create(&path, start);
        let mut expected: Vec<Frame> = Vec::new();
        let mut at = Duration::ZERO;
        for (micros, kind, channel, data, flush) in frames {
            // Times that go back are taken as not having moved.
            at = at.max(Duration::from_micros(u64::from(micros)));
            let kind = match kind {
                0 => FrameKind::Output,
                1 => FrameKind::Input,
                2 => FrameKind::Resize { cols: channel as u16, rows: micros as u16 },
                3 => FrameKind::Marker,
                _ => FrameKind::Event,
            };
            let data = if matches!(kind, FrameKind::Resize { .. }) { Vec::new() } else { data };
            let pushed = writer.push(kind, channel, start + Duration::from_micros(u64::from(micros)), &data).unwrap();
            if let Push::Full { taken } = pushed {
                if taken > 0 {
                    expected.push(Frame { at, kind, channel, data: data[..taken].to_vec() });
                }
                writer.flush().unwrap();
                let rest = writer.push(kind, channel, start, &data[taken..]).unwrap();
                prop_assert_eq!(rest, Push::Buffered);
                expected.push(Frame { at, kind, channel, data: data[taken..].to_vec() });
            } else {
                expected.push(Frame { at, kind, channel, data });
            }
            if flush {
                writer.flush().unwrap();
            }
        }
        let (_, summary) = writer.close().unwrap();
        let (read, end) = read(&path).unwrap();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(end, End::Finished(summary));
    }
}

fn meta() -> RecordingMeta {
    RecordingMeta {
        session: "session-1".into(),
        started_unix_ms: 1_700_000_000_000,
        cols: Some(80),
        rows: Some(24),
        term: Some("xterm-256color".into()),
        title: "alice@prod-web".into(),
        labels: [("environment".to_owned(), "production".to_owned())].into(),
    }
}

fn create(path: &Path, start: Instant) -> RecordingWriter {
    RecordingWriter::create(
        path,
        &meta(),
        SessionKey::generate().unwrap(),
        &KnownKeys,
        ChunkSync::AtClose,
        start,
    )
    .unwrap()
}

fn on(file: Filling, start: Instant) -> RecordingWriter {
    RecordingWriter::create_on(
        Box::new(file),
        &meta(),
        SessionKey::generate().unwrap(),
        &KnownKeys,
        ChunkSync::AtClose,
        start,
    )
    .unwrap()
}

/// Records each piece as chunks of its own; returns all chunk hashes, the trailer's included.
fn recorded(path: &Path, pieces: &[Vec<u8>]) -> (Vec<Hash>, Summary) {
    let start = Instant::now();
    let mut writer = create(path, start);
    let mut hashes = Vec::new();
    for piece in pieces {
        let mut rest = piece.as_slice();
        while let Push::Full { taken } = writer.push(FrameKind::Output, 0, start, rest).unwrap() {
            rest = &rest[taken..];
            hashes.extend(writer.flush().unwrap().map(|receipt| receipt.hash));
        }
        hashes.extend(writer.flush().unwrap().map(|receipt| receipt.hash));
    }
    let (_, summary) = writer.close().unwrap();
    hashes.push(summary.head);
    (hashes, summary)
}

fn read(path: &Path) -> Result<(Vec<Frame>, End), ReadError> {
    let mut reader = RecordingReader::open(path, &KnownKeys)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    let end = reader.end().unwrap().clone();
    Ok((frames, end))
}

/// Checks without the key, where the log has these hashes.
fn check(path: &Path, logged: &[Hash]) -> Result<u32, ReadError> {
    let chunks = (0..).zip(logged.iter().copied()).collect();
    let vouched = Vouched { session: "session-1".into(), chunks, closing: None };
    portcullis_evidence::recording::check(path, &vouched)
}

fn header_bytes(file: &[u8]) -> usize {
    12 + u32::from_be_bytes(file[8..12].try_into().unwrap()) as usize
}

fn chunk_starts(file: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = header_bytes(file);
    while at < file.len() {
        starts.push(at);
        at += 12 + u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    }
    starts
}
