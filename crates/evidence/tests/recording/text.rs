//! The text beside a recording: found again, of no use without it, built again when it is not its.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::recording::text::{TextKind, TextReader, TextState, build};
use portcullis_evidence::recording::{FrameKind, Push, RecordingReader};
use tempfile::TempDir;

use crate::{chunk_starts, create, recorded};

fn built(recording: &Path, text: &Path) -> TextState {
    let frames = RecordingReader::open(recording, &KnownKeys).unwrap();
    build(recording, frames, &KnownKeys, text).unwrap()
}

/// The lines that hold `wanted`, with their times; `None` where the text is to be built.
fn search(recording: &Path, text: &Path, wanted: &str) -> Option<Vec<(u64, TextKind, String)>> {
    let reader = TextReader::open(text, recording, &KnownKeys).unwrap()?;
    let mut found = Vec::new();
    let read = reader.lines(wanted, &mut |line| {
        if line.text.contains(wanted) {
            found.push((line.at.as_millis() as u64, line.kind, line.text));
        }
        true
    });
    read.unwrap().map(|_| found)
}

#[test]
fn what_was_on_the_screen_and_what_was_typed_is_found_with_its_time() {
    let dir = TempDir::new().unwrap();
    let (path, text) = (dir.path().join("a.rec"), dir.path().join("a.text"));
    let start = Instant::now();
    let mut writer = create(&path, start);
    let mut push = |ms: u64, kind: FrameKind, data: &[u8]| {
        let at = start + Duration::from_millis(ms);
        if writer.push(kind, 0, at, data).unwrap() != Push::Buffered {
            writer.flush().unwrap();
            assert_eq!(writer.push(kind, 0, at, data), Ok(Push::Buffered));
        }
    };
    push(0, FrameKind::Resize { cols: 40, rows: 10 }, b"");
    push(100, FrameKind::Output, b"$ ");
    push(200, FrameKind::Input, b"drop table users\r");
    push(210, FrameKind::Output, b"dr\x1b[31mop\x1b[0m table users\r\nDROP TABLE\r\n");
    for n in 0..60_000u64 {
        push(300 + n, FrameKind::Output, format!("row {n} of many, filler\r\n").as_bytes());
    }
    push(90_000, FrameKind::Output, "na\u{ef}ve end".as_bytes());
    writer.close().unwrap();
    assert_eq!(search(&path, &text, "drop"), None, "there is none yet");
    assert_eq!(built(&path, &text), TextState::Whole);
    let found = search(&path, &text, "drop table users").unwrap();
    let expected =
        [(200, TextKind::Typed, "drop table users"), (100, TextKind::Screen, "$ drop table users")];
    assert_eq!(found, expected.map(|(at, kind, text)| (at, kind, text.to_owned())));
    assert_eq!(search(&path, &text, "row 59999 of").unwrap()[0].0, 60_299);
    assert_eq!(search(&path, &text, "na\u{ef}ve").unwrap().len(), 1);
    assert_eq!(search(&path, &text, "nowhere").unwrap(), []);
    let sealed = fs::read(&text).unwrap();
    assert!(!sealed.windows(5).any(|bytes| bytes == b"users"), "it is encrypted");
    assert!(sealed.len() < 400_000, "{} bytes", sealed.len());
}

#[test]
fn a_text_that_is_not_this_recordings_is_built_again_and_useless_without_it() {
    let dir = TempDir::new().unwrap();
    let (path, text) = (dir.path().join("a.rec"), dir.path().join("a.text"));
    recorded(&path, &[b"first words\r\n".to_vec(), b"second words\r\n".to_vec()]);
    built(&path, &text);
    let good = fs::read(&text).unwrap();
    assert_eq!(search(&path, &text, "words").unwrap().len(), 2);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&text, bad).unwrap();
        assert_eq!(search(&path, &text, "words"), None, "byte {at}");
    }
    for length in 0..good.len() {
        fs::write(&text, &good[..length]).unwrap();
        assert_eq!(search(&path, &text, "words"), None, "cut at {length}");
    }
    // Built twice, it is sealed under another key.
    built(&path, &text);
    assert_ne!(fs::read(&text).unwrap()[150..], good[150..]);
    assert_eq!(search(&path, &text, "words").unwrap().len(), 2);
    // With the key in the recording's header gone, it is noise.
    let mut bytes = fs::read(&path).unwrap();
    let key = bytes.windows(13).position(|found| found == b"\"wrapped_key\"").unwrap() + 20;
    bytes[key] = if bytes[key] == b'A' { b'B' } else { b'A' };
    fs::write(&path, &bytes).unwrap();
    let opened = TextReader::open(&text, &path, &KnownKeys).unwrap_or_default();
    let read = opened.and_then(|reader| reader.lines("words", &mut |_| true).unwrap());
    assert_eq!(read, None);
}

#[test]
fn the_text_of_a_damaged_recording_ends_before_the_damage_and_says_so() {
    let dir = TempDir::new().unwrap();
    let (path, text) = (dir.path().join("a.rec"), dir.path().join("a.text"));
    recorded(&path, &[b"before\r\n".to_vec(), b"within\r\n".to_vec(), b"after\r\n".to_vec()]);
    let mut bytes = fs::read(&path).unwrap();
    let at = chunk_starts(&bytes)[1] + 20;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(built(&path, &text), TextState::Damaged { chunk: 1 });
    let reader = TextReader::open(&text, &path, &KnownKeys).unwrap().unwrap();
    let mut lines = Vec::new();
    let state = reader.lines("", &mut |line| {
        lines.push(line.text);
        true
    });
    assert_eq!(state.unwrap(), Some(TextState::Damaged { chunk: 1 }));
    assert_eq!(lines, ["before"]);
}
