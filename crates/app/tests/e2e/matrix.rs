//! The access matrix: every kind of channel in every state of access, each cell with a real client
//! and each with its entry in the audit log.
//!
//! States are targets of their own where they can be, so that cells do not disturb each other; the
//! last two states concern the whole node and come one after the other.

mod column;
mod state;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use self::column::{Column, Tools};
use self::state::{State, expected};
use crate::gate::{Entry, Gate};

/// Cells tried at the same time.
const AT_ONCE: usize = 4;

#[test]
fn every_channel_is_refused_or_allowed_as_its_state_says_and_audited() {
    for kind in column::host_kinds() {
        let columns = column::columns_of(kind);
        assert!(!columns.is_empty(), "`{kind}` has no column");
        assert!(columns.iter().all(|column| column::ALL.contains(column)), "`{kind}`");
    }
    let mut gate = state::stage();
    let tools = Tools::new();
    state::reach_all(&gate);
    let cells: VecDeque<(State, Column)> = State::apart()
        .into_iter()
        .flat_map(|state| column::ALL.map(|column| (state, column)))
        .collect();
    run_cells(&gate, &tools, cells);
    unrecordable(&gate, &tools);
    unaudited(&mut gate, &tools);
}

fn run_cells(gate: &Gate, tools: &Tools, cells: VecDeque<(State, Column)>) {
    let count = cells.len();
    let queue = Mutex::new(cells);
    let wrong = Mutex::new(Vec::new());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((state, column)) = queue.lock().unwrap().pop_front() else { return };
                    match try_cell(gate, tools, state, column) {
                        Ok(marker) => done.lock().unwrap().push((state, column, marker)),
                        Err(why) => wrong.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    let done = done.into_inner().unwrap();
    let log = gate.audit();
    for (state, column, marker) in &done {
        if !state::audited(&log, *state, *column, marker) {
            let user = state.person();
            wrong.push(format!("{state:?} x {column:?} ({user}, {marker}): no entry in the log"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(done.len(), count);
}

/// Tries one cell; the error says what was otherwise than expected.
fn try_cell(gate: &Gate, tools: &Tools, state: State, column: Column) -> Result<String, String> {
    let (person, target) = (state.person(), state.target());
    let marker = format!("{}-{}", target, column.name());
    let tried = column.attempt(gate, tools, person, &target, &marker);
    if tried.allowed == expected(state, column) {
        return Ok(tried.marker);
    }
    Err(format!(
        "{state:?} x {column:?}: {}, but expected otherwise: {}",
        if tried.allowed { "allowed" } else { "refused" },
        tried.seen
    ))
}

/// Recordings cannot be created: nothing opens, and the log says why.
fn unrecordable(gate: &Gate, tools: &Tools) {
    let (recordings, aside) = (gate.path("data/recordings"), gate.path("data/aside"));
    std::fs::rename(&recordings, &aside).unwrap();
    std::fs::write(&recordings, "not a directory").unwrap();
    let before = gate.audit().len();
    let mut wrong = Vec::new();
    for column in column::ALL {
        let tried = column.attempt(gate, tools, "alice", "granted", "unrecordable");
        let log = gate.audit();
        let said = |entry: &&Entry| {
            entry.activity() == "recording" && !entry.succeeded() && entry.target() == "granted"
        };
        // The refusal of a listening port has no room for a reason (RFC 4254 section 4).
        let told = tried.seen.contains("must be recorded and cannot be")
            || column == Column::RemoteForward;
        if tried.allowed || !told {
            wrong.push(format!("unrecordable x {column:?}: {}", tried.seen));
        }
        if log[before..].iter().filter(said).count() == 0 {
            wrong.push(format!("unrecordable x {column:?}: no entry in the log"));
        }
    }
    std::fs::remove_file(&recordings).unwrap();
    std::fs::rename(&aside, &recordings).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let again = Column::Exec.attempt(gate, tools, "alice", "granted", "recordable");
    assert!(again.allowed, "{}", again.seen);
}

/// The audit log cannot be written: nothing opens, what runs ends, and after a restart the log is
/// whole and holds nothing that was not answered.
fn unaudited(gate: &mut Gate, tools: &Tools) {
    let mut running = gate.client("alice", "granted").pty(&[], &[]);
    running.send_line("echo in-$((40+2))");
    running.expect("in-42", Duration::from_secs(20));
    gate.node.limit_file_size("1");
    let mut wrong = Vec::new();
    for column in column::ALL {
        let tried = column.attempt(gate, tools, "alice", "granted", "unaudited");
        if tried.allowed {
            wrong.push(format!("unaudited x {column:?}: {}", tried.seen));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    running.wait_exit(Duration::from_secs(10));
    assert!(running.transcript().contains("audit log"), "{}", running.transcript());
    gate.node.limit_file_size("unlimited");
    gate.restart();
    let log = gate.audit();
    let opened = log.iter().filter(|entry| {
        entry.activity() == "session.open" && entry.0.to_string().contains("unaudited")
    });
    assert_eq!(opened.count(), 0);
    gate.verify_offline();
    let again = Column::Exec.attempt(gate, tools, "alice", "granted", "audited");
    assert!(again.allowed, "{}", again.seen);
}
