//! Exports as asciicast: their structure, and asciinema playing them where it is installed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::recording::asciicast::{AsciicastOptions, AsciicastVersion, export};
use portcullis_evidence::recording::{
    ChunkSync, End, FrameKind, Push, RecordingMeta, RecordingReader, RecordingWriter, SessionKey,
};
use tempfile::TempDir;

#[test]
fn exports_are_what_asciinema_plays() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let start = Instant::now();
    let meta = RecordingMeta {
        session: "session-1".into(),
        started_unix_ms: 1_700_000_000_000,
        cols: Some(80),
        rows: Some(24),
        term: Some("xterm-256color".into()),
        title: "alice@prod-web".into(),
        ..RecordingMeta::default()
    };
    let key = SessionKey::generate().unwrap();
    let mut writer =
        RecordingWriter::create(&path, &meta, key, &KnownKeys, ChunkSync::AtClose, start).unwrap();
    let at = |ms| start + Duration::from_millis(ms);
    let euro = "€\r\n".as_bytes();
    for (ms, kind, data) in [
        (0, FrameKind::Output, b"$ ".as_slice()),
        (500, FrameKind::Input, b"l*"),
        (600, FrameKind::Output, &euro[..1]),
        (700, FrameKind::Output, &euro[1..]),
        (800, FrameKind::Resize { cols: 100, rows: 30 }, b""),
        (900, FrameKind::Marker, b"mark"),
        (950, FrameKind::Event, b"{}"),
        (1000, FrameKind::Output, b"\x1b[1mdone\"\xff\x1b[0m\xe2"),
    ] {
        assert_eq!(writer.push(kind, 0, at(ms), data), Ok(Push::Buffered));
    }
    assert_eq!(writer.push(FrameKind::Output, 1, at(1000), b"other"), Ok(Push::Buffered));
    writer.close().unwrap();

    let cast = |version, input| {
        let mut out = Vec::new();
        let mut reader = RecordingReader::open(&path, &KnownKeys).unwrap();
        export(&mut reader, AsciicastOptions { version, channel: Some(0), input }, &mut out)
            .unwrap();
        assert!(matches!(reader.end(), Some(End::Finished(_))));
        String::from_utf8(out).unwrap()
    };
    let lines = |text: &str| {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<serde_json::Value>>()
    };

    let v2 = cast(AsciicastVersion::V2, true);
    let read = lines(&v2);
    assert_eq!(read[0]["version"], 2);
    assert_eq!((&read[0]["width"], &read[0]["height"]), (&80.into(), &24.into()));
    assert_eq!(read[2], serde_json::json!([0.5, "i", "l*"]));
    assert_eq!(read[3], serde_json::json!([0.7, "o", "€\r\n"]));
    assert_eq!(read[4], serde_json::json!([0.8, "r", "100x30"]));
    assert_eq!(read[5], serde_json::json!([0.9, "m", "mark"]));
    assert_eq!(read[6], serde_json::json!([0.95, "m", "{}"]), "an event is a marker");
    assert_eq!(read[7], serde_json::json!([1.0, "o", "\u{1b}[1mdone\"\u{fffd}\u{1b}[0m"]));
    assert_eq!(read.len(), 9);

    let v3 = lines(&cast(AsciicastVersion::V3, false));
    assert_eq!(v3[0]["version"], 3);
    assert_eq!(v3[0]["term"]["cols"], 80);
    assert_eq!(v3[2], serde_json::json!([0.7, "o", "€\r\n"]));
    assert_eq!(v3[3], serde_json::json!([0.1, "r", "100x30"]));
    assert_eq!(v3[4], serde_json::json!([0.1, "m", "mark"]));

    // asciinema wants a terminal; `script` (bsdutils) gives it one.
    let file = dir.path().join("a.cast");
    fs::write(&file, &v2).unwrap();
    if std::process::Command::new("asciinema").arg("--version").output().is_ok() {
        let command = format!("asciinema cat {}", file.display());
        let played = std::process::Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let shown = String::from_utf8(played.stdout).unwrap();
        assert!(played.status.success(), "{shown}");
        assert!(shown.starts_with("$ €") && shown.contains("done\""), "{shown:?}");
    }
}
