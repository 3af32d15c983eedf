//! PostgreSQL as the store: a node on it, two nodes on one, and a node that has lost it.

use std::time::{Duration, Instant};

use portcullis_testkit::{Link, PostgresServer, PtyClient};
use serde_json::json;

use crate::gate::{Gate, Plan, SOON};
use crate::http::Api;
use crate::live::{AT_ONCE, Work};

/// How long a node trusts what it knows without hearing from its store.
const LEASE: Duration = Duration::from_secs(10);

#[test]
fn a_node_on_postgresql_is_set_up_asked_used_revoked_and_started_again() {
    let mut gate = on(&PostgresServer::shared().fresh_database()).start();
    let again = gate.apply("kind: Environment\nmetadata: {name: lab}\nspec: {tier: test}\n");
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(1), "{again}");
    let refused = gate.client("alice", "vault").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("portcullis request"), "{}", refused.describe());
    let grant = gate.grant("alice", "vault", "1h");
    let work = Work::begin(&gate);
    assert_eq!(gate.live_sessions().len(), 3);
    gate.revoke(&grant);
    work.ends_with("your grant was revoked", "revoke");
    gate.wait_for_sessions(0);
    gate.grant("alice", "vault", "1h");
    gate.kill_and_restart();
    let ran = gate.client("alice", "vault").run(&["echo in"]).assert_success();
    assert_eq!(ran.stdout_text(), "in\n", "a grant outlives a power cut");
    gate.verify_offline();
}

#[test]
fn what_one_node_takes_away_ends_on_the_other() {
    let here = on(&PostgresServer::shared().fresh_database()).start();
    let there = here.second_node("e2e-b");
    let key = |gate: &Gate| gate.known_host.split_once(' ').unwrap().1.to_owned();
    assert_eq!(key(&here), key(&there), "one gate, one host key");
    let grant = here.grant("alice", "vault", "1h");
    cause(
        &there,
        "revoke",
        "your grant was revoked",
        || here.revoke(&grant),
        || {
            here.grant("alice", "vault", "1h");
        },
    );

    let placed = std::cell::RefCell::new(String::new());
    let lock = || *placed.borrow_mut() = here.lock("target", "vault");
    cause(&there, "a lock", "access is locked", lock, || here.unlock(&placed.borrow()));

    let assignment = |who: &str| {
        format!(
            "kind: RoleAssignment\nmetadata: {{name: developers}}\nspec: {{role: developer, groups: [{who}]}}\n"
        )
    };
    let (without, with) = (assignment("leads"), assignment("developers"));
    let apply = |yaml: &str| drop(here.apply(yaml));
    let changed = "the rules have changed";
    cause(&there, "role removal", changed, || apply(&without), || apply(&with));

    let path = "/v1/environments/guarded/";
    let body = json!({"reason": "a test drop"});
    let drop_it = || drop(here.api("bob").post(&format!("{path}drop"), &body));
    let raise = || {
        // One of the two asks at each node.
        here.api("bob").post(&format!("{path}raise"), &body);
        let raised = there.api("carol").post(&format!("{path}raise"), &body);
        assert_eq!(raised["raised"], true, "{raised}");
    };
    cause(&there, "drop", "the gate has been dropped", drop_it, raise);
}

#[test]
fn what_is_approved_at_one_node_opens_at_the_other() {
    let here = on(&PostgresServer::shared().fresh_database()).start();
    let there = here.second_node("e2e-b");
    let body = json!({"target": "vault", "duration": "1h", "reason": "a test"});
    let request = there.api("alice").post("/v1/requests", &body);
    let path = format!("/v1/requests/{}/approve", request["id"].as_str().unwrap());
    let decided = here.api("bob").post(&path, &json!({}));
    settle(&there);
    let _ = here.client("alice", "vault").run(&["true"]).assert_success();
    // Approved once, whichever node is asked next.
    let (status, text) = there.api("bob").call("POST", &path, Some(&json!({})));
    assert_eq!(status, 409, "{text}");
    there.revoke(decided["grant"]["id"].as_str().unwrap());
    let _ = there.client("alice", "vault").run(&["true"]).assert_refused();
    // One log: what either did is read at both, in one order, and each can prove all of it.
    let at_here = here.audit();
    let at_there = there.audit();
    assert!(at_there.len() > at_here.len(), "reading is an entry too");
    for (one, other) in at_here.iter().zip(&at_there) {
        assert_eq!(one.0, other.0);
    }
    let text = |entry: &crate::gate::Entry| entry.0.to_string();
    assert!(at_here.iter().map(text).any(|text| text.contains("e2e-b")), "nothing of the other");
    here.verify_offline();
    there.verify_offline();
}

#[test]
fn one_code_works_at_one_node_once() {
    let here = on(&PostgresServer::shared().fresh_database()).start();
    let there = here.second_node("e2e-b");
    here.grant("alice", "core", "1h");
    let core = |gate: &Gate, code: &str| {
        let client = gate.client("alice", "core").option("NumberOfPasswordPrompts", "1");
        client.answer("One-time code", code).run(&["echo in"])
    };
    let code = here.code("alice");
    let _ = core(&here, &code).assert_success();
    let _ = core(&there, &code).assert_refused();
    there.wait_for_entry("the replay", |entry| {
        entry.activity() == "authenticate" && entry.why().contains("used before")
    });
    let raced = here.code("alice");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let logins = [&here, &there, &here, &there].map(|gate| {
            let person = here.person("alice");
            let body = json!({"user": "alice", "password": person.password, "code": raced});
            let api = Api::new(gate.node.api, None);
            scope.spawn(move || api.call("POST", "/v1/login", Some(&body)).0)
        });
        logins.map(|login| login.join().unwrap()).into()
    });
    let worked = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(worked, 1, "one code signed in {worked} times: {statuses:?}");
}

#[test]
fn a_node_cut_off_from_its_store_ends_grants_in_time_and_closes_when_its_lease_ends() {
    let server = PostgresServer::shared();
    let url = server.fresh_database();
    let link = Link::to(server.port());
    let here = on(&url).start();
    let through = url.replace(&format!(":{}/", server.port()), &format!(":{}/", link.port()));
    let there = here.second_node_on("e2e-b", &store(&through));
    let long = here.grant("alice", "vault", "1h");
    settle(&there);
    let mut kept = shell(&there, "vault");

    let ends = Instant::now() + Duration::from_secs(8);
    here.grant("alice", "cellar", "8s");
    let mut short = shell(&there, "cellar");
    link.cut();
    let cut = Instant::now();
    assert!(cut < ends - Duration::from_secs(3), "too slow to see the end of the grant");
    here.revoke(&long);
    assert_eq!(readiness(&there).0, 200, "nothing is known to be wrong yet");
    short.expect("your grant has ended", SOON);
    let late = Instant::now().saturating_duration_since(ends);
    assert!(late < AT_ONCE, "the grant outlived its end by {late:?} in a node without store");
    assert!(!kept.has_ended(), "the lease is not over");

    kept.expect("the gate has lost its store", SOON);
    kept.wait_exit(AT_ONCE);
    let after = cut.elapsed();
    assert!(after < LEASE + AT_ONCE, "the node served for {after:?} without its store");
    let (status, text) = readiness(&there);
    assert!(status == 503 && text.contains("the store has not answered"), "{status} {text}");
    let _ = there.client("alice", "web").run(&["true"]).assert_refused();
    assert_eq!(readiness(&here).0, 200);
    let _ = here.client("alice", "web").run(&["true"]).assert_success();

    link.restore();
    reopens(&there);
    let _ = there.client("alice", "web").run(&["true"]).assert_success();
    let _ = there.client("alice", "vault").run(&["true"]).assert_refused();
}

#[test]
fn a_node_whose_database_is_gone_closes_and_opens_when_it_is_back() {
    let mut server = PostgresServer::start();
    let gate = on(&server.fresh_database()).start();
    let mut work = shell(&gate, "web");
    let grant = gate.grant("alice", "vault", "1h");
    gate.revoke(&grant);
    // As a crash: nothing is flushed for the occasion.
    server.stop();
    let gone = Instant::now();
    let _ = gate.client("alice", "web").run(&["true"]).assert_refused();
    work.expect("the gate has lost its store", SOON);
    work.wait_exit(AT_ONCE);
    assert!(gone.elapsed() < LEASE + AT_ONCE, "open for {:?}", gone.elapsed());
    let (status, text) = readiness(&gate);
    assert!(status == 503 && text.contains("the store has not answered"), "{status} {text}");
    server.start_again();
    reopens(&gate);
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
    let refused = gate.client("alice", "vault").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("portcullis request"), "{}", refused.describe());
    gate.wait_for_sessions(0);
    gate.wait_for_entry("the end", |entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "store_lost"
    });
}

/// The base, with `cellar` beside `vault`, on this database.
fn on(url: &str) -> Plan {
    let mut plan = Plan { configuration: store(url), ..Plan::base() };
    plan.targets.push(("cellar".to_owned(), "guarded", "web"));
    plan
}

fn store(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\n")
}

fn readiness(gate: &Gate) -> (u16, String) {
    Api::new(gate.node.api, None).call("GET", "/readyz", None)
}

#[track_caller]
fn reopens(gate: &Gate) {
    let deadline = Instant::now() + SOON;
    while readiness(gate).0 != 200 {
        assert!(Instant::now() < deadline, "the gate stays closed: {}", readiness(gate).1);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A shell of alice's that runs.
fn shell(gate: &Gate, target: &str) -> PtyClient {
    let mut shell = gate.client("alice", target).pty(&[], &["sh"]);
    shell.send_line("echo in-$((40+2))");
    shell.expect("in-42", SOON);
    shell
}

/// Waits until alice can reach `vault`: news take a moment from node to node.
#[track_caller]
fn settle(gate: &Gate) {
    let begun = Instant::now();
    loop {
        let ran = gate.client("alice", "vault").run(&["true"]);
        if ran.success() {
            return;
        }
        assert!(
            begun.elapsed() < AT_ONCE,
            "the other node does not hear of it: {}",
            ran.describe()
        );
    }
}

/// Begins work at `gate`, has the right taken away elsewhere, expects the end with `told`, and has
/// the right given back.
fn cause(gate: &Gate, what: &str, told: &str, act: impl FnOnce(), undo: impl FnOnce()) {
    settle(gate);
    let work = Work::begin(gate);
    act();
    work.ends_with(told, what);
    gate.wait_for_sessions(0);
    undo();
}
