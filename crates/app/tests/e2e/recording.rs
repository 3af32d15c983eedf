//! Recordings as people use them: read back, exported, watched, and what happens when one cannot
//! be written.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_testkit::PtyClient;
use serde_json::{Value, json};

use crate::gate::{Entry, Gate, Plan, SOON};

/// Larger than what a node writes into any other file during the test.
const FILE_LIMIT_BYTES: &str = "12582912";

/// What the target wrote, from frames as JSON lines.
pub(crate) fn output_of(frames: &str, kind: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for line in frames.lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        if frame["kind"] == kind {
            all.extend(STANDARD.decode(frame["data"].as_str().unwrap_or_default()).unwrap());
        }
    }
    all
}

/// The recording of a session, in a format, with what was typed.
pub(crate) fn export(gate: &Gate, session: &str, format: &str) -> (u16, String) {
    let path = format!("/v1/sessions/{session}/recording?format={format}&input=true");
    gate.api("carol").call("GET", &path, None)
}

fn reads(gate: &Gate) -> usize {
    gate.audit().iter().filter(|entry| entry.activity() == "recording.read").count()
}

#[test]
fn a_session_plays_back_without_the_password_that_was_typed_in_it() {
    let gate = Plan::base().start();
    let mut shell = gate.client("alice", "web").pty(&[], &["bash --norc"]);
    shell.send_line("echo begin-$((40+2))");
    shell.expect("begin-42", SOON);
    shell.send_line("read -s -p 'Secret: ' secret; echo; echo length=${#secret}");
    shell.expect("Secret: ", SOON);
    std::thread::sleep(Duration::from_millis(300));
    shell.send_line("hunter2-correct-horse");
    shell.expect("length=21", SOON);
    shell.send_line("exit");
    shell.wait_exit(SOON);
    let opened = gate.wait_for_entry("the end", |entry| entry.activity() == "session.close");
    let session = opened.detail("session");

    let (status, frames) = export(&gate, session, "frames");
    assert_eq!(status, 200, "{frames}");
    let output = String::from_utf8_lossy(&output_of(&frames, "output")).into_owned();
    let input = String::from_utf8_lossy(&output_of(&frames, "input")).into_owned();
    assert!(output.contains("begin-42") && output.contains("length=21"), "{output}");
    assert!(input.contains("begin-$((40+2))"), "what was typed with echo is there: {input}");
    assert!(!input.contains("hunter2") && !output.contains("hunter2"), "{input}\n{output}");

    let directory = tempfile::tempdir().unwrap();
    for (format, version) in [("asciicast-v2", 2), ("asciicast-v3", 3)] {
        let (status, cast) = export(&gate, session, format);
        assert_eq!(status, 200, "{cast}");
        assert!(!cast.contains("hunter2"));
        let header: Value = serde_json::from_str(cast.lines().next().unwrap()).unwrap();
        assert_eq!(header["version"], version, "{header}");
        let file = directory.path().join(format);
        std::fs::write(&file, &cast).unwrap();
        if version == 2 {
            // It insists on a terminal of its own.
            let mut command = Command::new("asciinema");
            let mut played = PtyClient::start(command.arg("cat").arg(&file));
            let status = played.wait_exit(SOON);
            let text = played.transcript();
            assert!(status.success(), "`asciinema` (run `make test`): {text}");
            assert!(text.contains("begin-42") && text.contains("length=21"), "{text}");
        }
    }
    assert_eq!(reads(&gate), 3);
    let path = format!("/v1/sessions/{session}/recording");
    let (status, text) = gate.api("bob").call("GET", &path, None);
    assert_eq!(status, 403, "{text}");
    gate.wait_for_entry("the refusal", |entry| {
        entry.activity() == "recording.read" && entry.user() == "bob" && !entry.succeeded()
    });
}

#[test]
fn a_running_session_is_watched_as_it_happens() {
    let gate = Plan::base().start();
    let mut shell = gate.client("alice", "web").pty(&[], &["sh"]);
    shell.send_line("echo up-$((40+2))");
    shell.expect("up-42", SOON);
    let session = gate.wait_for_sessions(1)[0]["id"].as_str().unwrap().to_owned();
    let answer = gate.api("carol").open("GET", &format!("/v1/sessions/{session}/watch"), None);
    assert_eq!(answer.status, 200);
    assert_eq!(reads(&gate), 1, "watching is in the log before anything is seen");
    let typed = Instant::now();
    shell.send_line("echo watched-$((40+2))");
    let mut seen = Vec::new();
    for line in BufReader::new(answer).lines() {
        seen.extend(output_of(&line.unwrap(), "output"));
        if String::from_utf8_lossy(&seen).contains("watched-42") {
            break;
        }
    }
    assert!(String::from_utf8_lossy(&seen).contains("watched-42"));
    assert!(typed.elapsed() < Duration::from_secs(5), "not live: {:?}", typed.elapsed());
    let path = format!("/v1/sessions/{session}/watch");
    assert_eq!(gate.api("bob").call("GET", &path, None).0, 403);
}

#[test]
fn a_recording_that_fails_under_way_ends_its_session_and_says_so() {
    let gate = Plan::base().start();
    let mut quiet = gate.client("alice", "web").pty(&[], &["sh"]);
    quiet.send_line("echo quiet-$((40+2))");
    quiet.expect("quiet-42", SOON);
    gate.node.limit_file_size(FILE_LIMIT_BYTES);
    let ran = gate.client("alice", "web").run(&["head -c 40000000 /dev/urandom"]);
    let ran = ran.assert_refused();
    assert!(ran.stdout.len() < 40_000_000, "everything came although it was not recorded");
    assert!(ran.stderr_text().contains("cannot be recorded any more"), "{}", ran.stderr_text());
    let failed = |entry: &Entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "recording_failed"
    };
    let entry = gate.wait_for_entry("the failed recording", failed);
    assert!(!entry.succeeded(), "{}", entry.0);
    quiet.send_line("echo still-$((40+2))");
    quiet.expect("still-42", SOON);
    gate.node.limit_file_size("unlimited");
    gate.verify_offline();
}

#[test]
fn a_recording_that_was_changed_on_disk_is_not_played() {
    let gate = Plan::base().start();
    let _ = gate.client("alice", "web").run(&["seq 1 2000"]).assert_success();
    let closed = gate.wait_for_entry("the end", |entry| entry.activity() == "session.close");
    let session = closed.detail("session").to_owned();
    let file = gate.path(&format!("data/recordings/{session}.rec"));
    let (status, whole) = export(&gate, &session, "frames");
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&output_of(&whole, "output")).contains("2000"));
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"\n1999\n"), "it is not encrypted");
    let middle = bytes.len() * 2 / 3;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (status, text) = export(&gate, &session, "frames");
    assert!(status >= 500 && text.contains("\"detail\""), "{status} {text}");
}

/// What a list shows of a session.
pub(crate) fn row(gate: &Gate, session: &str) -> Value {
    let all = gate.api("carol").get("/v1/sessions?limit=1000");
    let found = all.as_array().unwrap().iter().find(|row| row["id"] == session).cloned();
    found.unwrap_or(json!(null))
}
