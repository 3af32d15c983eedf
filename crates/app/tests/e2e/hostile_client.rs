//! Hostile clients: what they can cost, and whether anybody else notices.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use portcullis_testkit::PtyClient;
use serde_json::{Value, json};

use crate::gate::{Gate, Plan, SOON};

const FLOOD: &str = include_str!("clients/flood.py");
/// What all strangers together may cost the node, in bytes: 512 half-open connections with room
/// for a key exchange each, and what the allocator keeps.
const MAX_GROWTH_BYTES: u64 = 96 << 20;
/// Time until signed in, in these tests.
const GRACE: &str = "login_grace = \"5s\"";

/// Strangers at work.
struct Flood {
    child: Child,
    stdin: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Flood {
    /// Begins and waits until all of them are there.
    fn begin(plan: &Value) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", FLOOD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{plan}").unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, stdin, said }
    }

    /// Ends; what it saw.
    fn end(mut self) -> Value {
        writeln!(self.stdin).unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let _ = self.child.wait();
        serde_json::from_str(&line).unwrap()
    }
}

/// The session of somebody honest.
fn honest(gate: &Gate) -> PtyClient {
    let mut shell = gate.client("alice", "web").pty(&[], &["sh"]);
    shell.send_line("echo up-$((40+2))");
    shell.expect("up-42", SOON);
    shell
}

/// It still answers.
fn goes_on(shell: &mut PtyClient, mark: &str) {
    shell.send_line(&format!("echo {mark}-$((40+2))"));
    shell.expect(&format!("{mark}-42"), Duration::from_secs(10));
}

#[test]
fn thousands_of_half_open_connections_cost_little_and_disturb_nobody() {
    let mut plan = Plan::base();
    plan.ssh = GRACE.to_owned();
    let gate = plan.start();
    let mut shell = honest(&gate);
    let before = gate.node.resident_bytes();
    let plan = json!({"port": gate.ssh_port, "kind": "half_open", "count": 2000});
    let flood = Flood::begin(&plan);
    goes_on(&mut shell, "during");
    let grown = gate.node.resident_bytes().saturating_sub(before);
    assert!(grown < MAX_GROWTH_BYTES, "{grown} bytes for strangers");
    gate.wait_for_entry("the flood", |entry| entry.activity() == "finding");
    std::thread::sleep(Duration::from_secs(6));
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
    let said = flood.end();
    assert!(said["held"].as_u64().unwrap() > 1500, "there was no flood: {said}");
    assert_eq!(said["open"], 0, "strangers outlive the time to sign in: {said}");
    goes_on(&mut shell, "after");
}

#[test]
fn strangers_who_send_garbage_are_cut_off_cheaply() {
    let mut plan = Plan::base();
    plan.ssh = GRACE.to_owned();
    let gate = plan.start();
    let mut shell = honest(&gate);
    let before = gate.node.resident_bytes();
    for kind in ["banner", "lines", "length", "slow"] {
        let plan = json!({"port": gate.ssh_port, "kind": kind, "count": 40, "seconds": 7});
        let flood = Flood::begin(&plan);
        goes_on(&mut shell, kind);
        let grown = gate.node.resident_bytes().saturating_sub(before);
        assert!(grown < MAX_GROWTH_BYTES, "{kind}: {grown} bytes for strangers");
        let _ = gate.client("alice", "web").run(&["true"]).assert_success();
        let said = flood.end();
        assert_eq!(said["open"], 0, "{kind}: not cut off: {said}");
    }
    goes_on(&mut shell, "after");
}
