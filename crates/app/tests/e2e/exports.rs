//! Exports of the audit log by the real node: killed in the middle, held up by a receiver that is
//! down, read over the command line's own endpoint.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use portcullis_testkit::free_port;
use serde_json::Value;

use crate::gate::{Gate, Plan, SOON};
use crate::node::portcullis;

/// What a file export has written, in its order.
fn exported(gate: &Gate) -> Vec<Value> {
    let text = fs::read_to_string(gate.path("audit.jsonl")).unwrap_or_default();
    // The node may be writing the last line.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn sequence(event: &Value) -> u64 {
    event["metadata"]["sequence"].as_u64().unwrap()
}

fn stands(gate: &Gate, name: &str) -> Value {
    let all = gate.api("carol").get("/v1/audit/exports");
    all.as_array().unwrap().iter().find(|export| export["name"] == name).unwrap().clone()
}

#[test]
fn a_node_killed_again_and_again_exports_every_entry_in_order() {
    let down = free_port();
    let mut plan = Plan::base();
    plan.configuration = format!(
        "[[audit.export]]\nname = \"disk\"\nfile = {{ path = \"audit.jsonl\" }}\n\
         [[audit.export]]\nname = \"down\"\nalert_after = \"2s\"\nfilter = {{ activities = [\"lock.*\"] }}\n\
         syslog = {{ address = \"127.0.0.1:{down}\", transport = \"tcp\" }}\n"
    );
    let mut gate = plan.start();
    for round in 0..4 {
        for _ in 0..10 {
            gate.unlock(&gate.lock("target", "web"));
        }
        std::thread::sleep(Duration::from_millis(170 * round));
        gate.kill_and_restart();
    }
    gate.unlock(&gate.lock("target", "web"));
    // The receiver that is down is a finding, once, and holds nobody up.
    let overdue = |log: &[crate::gate::Entry]| {
        log.iter().filter(|entry| entry.detail("kind") == "export_overdue").count()
    };
    gate.wait_for_entry("the overdue export", |entry| entry.detail("export") == "down");
    let before = overdue(&gate.audit());
    std::thread::sleep(Duration::from_secs(3));
    let log = gate.audit();
    assert_eq!(overdue(&log), before, "told once, not per try");
    let behind = stands(&gate, "down");
    assert!(behind["failing"]["why"].as_str().unwrap().contains("cannot be reached"), "{behind}");

    let last = log.last().unwrap().0["index"].as_u64().unwrap();
    let deadline = Instant::now() + SOON;
    let events = loop {
        let events = exported(&gate);
        if events.last().is_some_and(|event| sequence(event) >= last) {
            break events;
        }
        assert!(Instant::now() < deadline, "{} of {last} entries", events.len());
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut reached = 0;
    for event in &events {
        assert!(sequence(event) <= reached, "a gap before {event}");
        reached = reached.max(sequence(event) + 1);
    }
    for entry in &log {
        let index = entry.0["index"].as_u64().unwrap();
        let found = events.iter().find(|event| sequence(event) == index).unwrap();
        assert_eq!(found["metadata"]["uid"], entry.event()["metadata"]["uid"]);
    }
    assert!(stands(&gate, "disk")["failing"].is_null());

    // It comes back, and takes what it missed.
    let receiver = TcpListener::bind(("127.0.0.1", down)).unwrap();
    let receiving = std::thread::spawn(move || {
        let (mut stream, _) = receiver.accept().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        text
    });
    let text = receiving.join().unwrap();
    assert!(text.matches(" portcullis - lock.place - ").count() >= 41, "{text}");
    let config = gate.path("portcullis.toml").display().to_string();
    let said = portcullis(&["doctor", "--no-targets", "--config", &config], &[]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("audit export: `disk` "), "{said}");
}
