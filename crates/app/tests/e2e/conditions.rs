//! Conditions of roles at the door and while a session lives.

use std::time::Duration;

use crate::gate::{Gate, Plan, SOON};
use crate::live::AT_ONCE;

/// A gate where everybody's role for web servers has conditions.
fn under(conditions: &str) -> Gate {
    let gate = Plan::base().start();
    gate.apply(&format!(
        "kind: Role\nmetadata: {{name: developer}}\nspec:\n  conditions: {conditions}\n  allow:\n  \
         - {{labels: {{app: web}}, actions: [shell, exec]}}\n"
    ));
    gate
}

/// A minute of the day in UTC, so many seconds from the Unix epoch.
fn of_day(seconds: u64) -> String {
    let minutes = seconds / 60 % 1440;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_session_ends_when_the_hours_of_its_role_do() {
    // The first full minute that leaves enough time to get in.
    let closes = (unix_now() + 25).div_ceil(60) * 60;
    let (from, to) = (of_day(closes - 3600), of_day(closes));
    let gate = under(&format!("{{hours: [{{time_zone: UTC, from: \"{from}\", to: \"{to}\"}}]}}"));
    let mut shell = gate.client("alice", "web").pty(&[], &[]);
    shell.send_line("echo in-$((40+2))");
    shell.expect("in-42", SOON);
    let left = Duration::from_secs(closes.saturating_sub(unix_now()));
    assert!(!left.is_zero(), "too slow to see the end");
    std::thread::sleep(left);
    shell.expect("this is allowed only within", AT_ONCE);
    let entry = gate.wait_for_entry("the end", |entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "outside_conditions"
    });
    let late = entry.event()["time"].as_u64().unwrap().saturating_sub(closes * 1000);
    assert!(late < 3000, "{late} ms after the hours were over");
    let refused = gate.client("alice", "web").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("within"), "{}", refused.describe());
}

#[test]
fn a_role_for_other_networks_lets_nobody_in_and_why_says_so() {
    let gate = under("{networks: [203.0.113.0/24]}");
    let refused = gate.client("alice", "web").run(&["true"]).assert_refused();
    let text = refused.stderr_text();
    assert!(text.contains("from 203.0.113.0/24"), "{}", refused.describe());
    let why = gate.api("carol").get("/v1/why?user=alice&target=web&action=shell");
    assert!(why.to_string().contains("203.0.113.0/24"), "{why}");
}
