//! A node killed under load: what was answered is in the log, the log verifies, recordings read to
//! the last chunk, nothing outlives its end.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gate::{Gate, Plan, SOON};
use crate::recording::{export, output_of, row};

/// Clients that open sessions one after the other until the node dies.
const WORKERS: usize = 4;
/// How long they work before it is killed; what matters is that it happens in mid-air.
const LOAD: Duration = Duration::from_secs(5);

/// What people saw before the node died.
#[derive(Default)]
struct Seen {
    commands: Mutex<Vec<String>>,
    locks: Mutex<Vec<String>>,
}

#[test]
fn a_node_killed_under_load_loses_nothing_it_has_answered() {
    let mut plan = Plan::base();
    plan.people = vec![("nora", "developers")];
    let mut gate = plan.start();
    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    gate.grant("alice", "vault", "1h");
    let mut long = gate.client("alice", "vault").pty(&[], &["sh"]);
    long.send_line("seq 1 100000 | tail -n 3; echo long-$((40+2))");
    long.expect("long-42", SOON);
    let noisy = gate.client("alice", "web").spawn(&["while :; do seq 1 20000; sleep 0.2; done"]);
    // Long enough to be in force when the node dies, short enough to end while it is down.
    let ends = Instant::now() + LOAD + Duration::from_secs(1);
    gate.grant("alice", "core", "6s");
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (gate, seen, over) = (&gate, &seen, &over);
            scope.spawn(move || run_commands(gate, worker, seen, over));
        }
        scope.spawn(|| place_locks(&gate, &seen, &over));
        std::thread::sleep(LOAD);
        over.store(true, Ordering::Relaxed);
        gate.node.signal("KILL");
    });
    drop((long, noisy));
    std::thread::sleep(ends.saturating_duration_since(Instant::now()) + Duration::from_secs(1));
    gate.restart();

    let commands = seen.commands.into_inner().unwrap();
    let locks = seen.locks.into_inner().unwrap();
    assert!(commands.len() >= WORKERS && !locks.is_empty(), "there was no load");
    gate.verify_offline();
    let log = gate.audit();
    for command in &commands {
        let logged = |activity: &str| {
            log.iter().any(|entry| {
                entry.activity() == activity
                    && entry.succeeded()
                    && entry.0.to_string().contains(command)
            })
        };
        assert!(logged("authorize"), "`{command}` was seen and is not in the log");
    }
    for lock in &locks {
        let logged = log.iter().any(|entry| entry.detail("lock") == lock);
        assert!(logged, "the lock `{lock}` was answered and is not in the log");
    }
    sessions_are_closed(&gate);
    recordings_are_whole(&gate);
    let refused = gate.client("alice", "core").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("portcullis request"), "{}", refused.describe());
    gate.wait_for_entry("the end of the grant that nobody was there to see", |entry| {
        entry.activity() == "grant.expire" && entry.0.to_string().contains("core")
    });
    let _ = gate.client("alice", "vault").run(&["true"]).assert_success();
    // And it can be killed again, with nothing going on.
    gate.kill_and_restart();
    gate.verify_offline();
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
}

fn run_commands(gate: &Gate, worker: usize, seen: &Seen, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let marker = format!("load-{worker}-{number}-end");
        let command = format!("echo {marker}");
        let ran = gate.client("alice", "web").option("ConnectTimeout", "2").run(&[&command]);
        if ran.stdout_text().contains(&marker) {
            seen.commands.lock().unwrap().push(command);
        }
    }
}

/// Places and lifts locks; what the API answered must be in the log.
fn place_locks(gate: &Gate, seen: &Seen, over: &AtomicBool) {
    let api = gate.api("carol");
    while !over.load(Ordering::Relaxed) {
        let body = json!({"subject": {"kind": "user", "name": "nora"}, "reason": "load"});
        // The node may die between any two bytes; only a whole answer counts.
        let Some((201, text)) = api.try_call("POST", "/v1/locks", Some(&body)) else { return };
        let Ok(lock) = serde_json::from_str::<Value>(&text) else { return };
        let id = lock["id"].as_str().unwrap().to_owned();
        seen.locks.lock().unwrap().push(id.clone());
        if api.try_call("DELETE", &format!("/v1/locks/{id}"), None).is_none() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sessions the dead node left open are closed by the next one.
fn sessions_are_closed(gate: &Gate) {
    gate.wait_for_sessions(0);
    gate.wait_for_entry("the end of what the dead node left open", |entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "node_killed"
    });
    let opened = sessions(gate);
    assert!(opened.len() > WORKERS);
    for session in &opened {
        let deadline = Instant::now() + SOON;
        while row(gate, session)["closed"].is_null() {
            assert!(Instant::now() < deadline, "open for ever: {}", row(gate, session));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Every chunk that is in the log can be read.
fn recordings_are_whole(gate: &Gate) {
    let log = gate.audit();
    let (mut chunks, mut long) = (0, false);
    for session in sessions(gate) {
        let last = log
            .iter()
            .filter(|entry| entry.activity() == "recording" && entry.detail("session") == session)
            .filter_map(|entry| entry.event()["unmapped"]["to_us"].as_u64())
            .max();
        let (status, frames) = export(gate, &session, "frames");
        assert_eq!(status, 200, "{session}: {frames}");
        let reached = frames
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["at_us"].as_u64());
        let reached = reached.max().unwrap_or(0);
        assert!(reached >= last.unwrap_or(0), "{session} is readable to {reached} of {last:?} us");
        chunks += usize::from(last.is_some());
        let output = output_of(&frames, "output");
        long |= output.windows(6).any(|window| window == b"20000\n");
    }
    assert!(chunks > 0 && long, "no recording had a chunk in the log");
    let (status, text) = gate.api("carol").call("POST", "/v1/recordings/verify", None);
    assert_eq!(status, 200, "{text}");
    let lines: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let done = &lines.last().unwrap()["done"];
    assert!(done["bad"] == 0 && done["checked"].as_u64() > Some(0), "{text}");
    // What the dead node left is vouched for by the entry that closed its session.
    let left = |line: &Value| {
        let found = &line["recording"];
        found["state"] == "unfinished" && found["chunks"] == found["vouched"]
    };
    assert!(lines.iter().any(left), "{text}");
}

fn sessions(gate: &Gate) -> BTreeSet<String> {
    let log = gate.audit();
    let opened = log.iter().filter(|entry| entry.activity() == "session.open");
    opened.map(|entry| entry.detail("session").to_owned()).collect()
}

#[test]
fn a_node_that_is_told_to_stop_tells_its_people_and_closes_everything() {
    let mut gate = Plan::base().start();
    let mut shell = gate.client("alice", "web").pty(&[], &["sh"]);
    shell.send_line("echo up-$((40+2))");
    shell.expect("up-42", SOON);
    let begun = Instant::now();
    gate.node.stop();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    shell.wait_exit(SOON);
    assert!(shell.transcript().contains("the gate is shutting down"), "{}", shell.transcript());
    gate.restart();
    gate.wait_for_entry("the end", |entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "node_stopping"
    });
    gate.verify_offline();
}
