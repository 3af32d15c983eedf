//! Attacks on signing in: each is refused, each is in the log, and none disturbs anybody else.

use std::time::Duration;

use portcullis_testkit::{CertificateAuthority, ClientOutput, SshClient, UserKey};
use serde_json::{Value, json};

use crate::gate::{Gate, Plan, SOON};
use crate::http::Api;
use crate::python;

const RAW: &str = include_str!("clients/raw_auth.py");
/// RFC 4252 section 6: success.
const SUCCESS: u64 = 52;
/// RFC 4252 section 7: a key would do. A prompt in keyboard-interactive has the same number.
const KEY_OK: u64 = 60;

#[test]
fn offering_a_key_is_not_signing_in() {
    let gate = Plan::base().start();
    let offer = json!({"do": "offer", "user": "alice:web"});
    let said = raw(&gate, "alice", &json!([offer, {"do": "channel"}]));
    assert!(got(&said).contains(&KEY_OK), "the offer itself is answered: {said}");
    assert!(!got(&said).contains(&SUCCESS), "{said}");
    assert_eq!(said["opened"], false, "{said}");
    let refused = |entry: &crate::gate::Entry| entry.activity() == "session.open";
    assert!(!gate.audit().iter().any(refused));
}

#[test]
fn the_user_cannot_change_while_signing_in() {
    let mut plan = Plan::base();
    plan.people = vec![("mallory", "developers")];
    let gate = plan.start();
    gate.grant("mallory", "core", "1h");
    let changed = |count: usize| {
        let found = gate.audit().into_iter().filter(|entry| {
            entry.activity() == "authenticate"
                && !entry.succeeded()
                && entry.why().contains("the user changed")
        });
        assert_eq!(found.count(), count);
    };
    let begun_as_alice = json!([
        {"do": "none", "user": "alice:web"},
        {"do": "sign", "user": "mallory:web"},
        {"do": "channel"},
    ]);
    let said = raw(&gate, "mallory", &begun_as_alice);
    assert!(!got(&said).contains(&SUCCESS) && said["opened"] == false, "{said}");
    changed(1);
    let half_way = json!([
        {"do": "sign", "user": "mallory:core"},
        {"do": "interactive", "user": "alice:core"},
        {"do": "answer", "answers": [gate.code("alice")]},
        {"do": "channel"},
    ]);
    let said = raw(&gate, "mallory", &half_way);
    assert_eq!(said["partial"][0], true, "the first factor counts: {said}");
    assert!(!got(&said).contains(&SUCCESS) && said["opened"] == false, "{said}");
    changed(2);
    let another_target = json!([
        {"do": "none", "user": "mallory:web"},
        {"do": "sign", "user": "mallory:vault"},
        {"do": "channel"},
    ]);
    let said = raw(&gate, "mallory", &another_target);
    assert!(!got(&said).contains(&SUCCESS) && said["opened"] == false, "{said}");
    changed(3);
    let honest = json!([{"do": "sign", "user": "mallory:web"}]);
    assert!(got(&raw(&gate, "mallory", &honest)).contains(&SUCCESS));
}

#[test]
fn strange_names_are_refused_and_logged_harmlessly() {
    let gate = Plan::base().start();
    let long = "a".repeat(64);
    let longest = "a".repeat(30_000);
    for name in [
        "ali\u{1b}[2Jce:web",
        "alice\n:web",
        "alice\0:web",
        "alice:web\u{202e}",
        "",
        ":web",
        "alice:",
        "alice:web:web",
        "alice:@web",
        "../alice:web",
        "alice:root\r@web",
        long.as_str(),
        longest.as_str(),
    ] {
        let steps = json!([{"do": "sign", "user": name}, {"do": "channel"}]);
        let said = raw(&gate, "alice", &steps);
        let shown: String = name.escape_debug().take(40).collect();
        assert!(!got(&said).contains(&SUCCESS), "`{shown}`: {said}");
        assert_eq!(said["opened"], false, "`{shown}`: {said}");
    }
    let log = gate.audit();
    let refused: Vec<_> = log
        .iter()
        .filter(|entry| entry.activity() == "authenticate" && !entry.succeeded())
        .collect();
    assert!(refused.len() >= 12, "only {} refusals in the log", refused.len());
    for entry in refused {
        let text = entry.0.to_string();
        assert!(text.len() < 2_000, "{text}");
        assert!(!text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
    }
    assert!(!gate.node.log().contains('\u{1b}'), "an escape sequence reached the operator's log");
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
}

#[test]
fn keys_and_certificates_that_prove_nothing_are_refused() {
    let mut plan = Plan::base();
    plan.people = vec![("mallory", "developers")];
    let gate = plan.start();
    let (key, view) = certified(&gate, "alice");
    let certificate = view["certificate"].as_str().unwrap();
    std::fs::write(key.certificate_path(), certificate).unwrap();
    let output = gate.stranger("alice:web").identity(&key).run(&["true"]);
    let _ = output.assert_success();
    let refused = |what: &str, user: &str, key: &UserKey| {
        let client = gate.stranger(&format!("{user}:web")).identity(key);
        let before = refusals(&gate, user);
        let output = client.run(&["true"]).assert_refused();
        assert!(
            output.stderr_text().contains("Permission denied"),
            "{what}: {}",
            output.describe()
        );
        assert!(refusals(&gate, user) > before, "{what}: no entry in the log");
    };
    refused("a stranger's key", "alice", &UserKey::generate());
    refused("alice's certificate", "mallory", &key);
    refused("somebody else's key", "alice", &gate.person("mallory").key);

    let rogue = CertificateAuthority::generate();
    let key = UserKey::generate();
    rogue.sign_user(&key, &["alice"], "+5m", &[]);
    refused("a rogue authority's certificate", "alice", &key);
    rogue.sign_host(&key.public_path(), &["alice"], "+5m");
    refused("a host certificate", "alice", &key);

    let thief = UserKey::generate();
    std::fs::write(thief.certificate_path(), certificate).unwrap();
    refused("alice's certificate without its key", "alice", &thief);
}

#[test]
fn a_certificate_ends_with_the_sign_in() {
    let mut plan = Plan::base();
    plan.ssh = "[sign_in]\nlifetime = \"6s\"".to_owned();
    let gate = plan.start();
    let (key, view) = certified(&gate, "alice");
    std::fs::write(key.certificate_path(), view["certificate"].as_str().unwrap()).unwrap();
    let client = gate.stranger("alice:web").identity(&key);
    let _ = client.run(&["true"]).assert_success();
    std::thread::sleep(Duration::from_secs(7));
    let output = client.run(&["true"]).assert_refused();
    assert!(output.stderr_text().contains("Permission denied"), "{}", output.describe());
    let api = Api::new(gate.node.api, view["token"].as_str().map(str::to_owned));
    let (status, text) = api.call("GET", "/v1/whoami", None);
    assert_eq!(status, 401, "the token has ended too: {text}");
    gate.sign_in("carol");
    assert!(refusals(&gate, "alice") > 0);
}

#[test]
fn a_code_works_once_also_for_many_at_once_and_across_doors() {
    let gate = Plan::base().start();
    gate.grant("alice", "core", "1h");
    let code = gate.code("alice");
    let logins: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| log_in(&gate, "alice", Some(&code)).0)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = logins.iter().filter(|status| **status == 200).count();
    assert_eq!(count, 1, "one code signed in {count} times: {logins:?}");
    let core = |code: &str| -> ClientOutput {
        let client = gate.client("alice", "core").option("NumberOfPasswordPrompts", "1");
        client.answer("One-time code", code).run(&["echo in"])
    };
    let _ = core(&code).assert_refused();
    let used = gate.wait_for_entry("the replay", |entry| {
        entry.activity() == "authenticate" && entry.why().contains("used before")
    });
    assert_eq!(used.user(), "alice");
    let fresh = gate.code("alice");
    assert_eq!(core(&fresh).assert_success().stdout_text(), "in\n");
    let _ = core(&fresh).assert_refused();
}

#[test]
fn guessing_locks_the_one_who_is_guessed_at_and_nobody_else() {
    let mut plan = Plan::base();
    plan.people = vec![("mallory", "developers"), ("nora", "developers")];
    let gate = plan.start();
    let guess = |user: &str, password: &str| -> (u16, String) {
        let body = json!({"user": user, "password": password});
        Api::new(gate.node.api, None).call("POST", "/v1/login", Some(&body))
    };
    let password = gate.person("mallory").password.clone();
    assert_eq!(guess("mallory", &password).0, 200);
    let statuses: Vec<u16> = (0..8).map(|_| guess("mallory", "wrong").0).collect();
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    let (status, text) = guess("mallory", &password);
    assert_eq!(status, 429, "the right password is not looked at either: {text}");
    assert!(text.contains("try again in"), "{text}");
    let output = interactive(&gate.stranger("mallory:web"), &password).assert_refused();
    assert!(output.stderr_text().contains("Permission denied"), "{}", output.describe());
    let nora = gate.person("nora").password.clone();
    assert_eq!(guess("nora", &nora).0, 200, "others sign in as before");
    let output = interactive(&gate.stranger("nora:web"), &nora).assert_success();
    assert_eq!(output.stdout_text(), "in\n");
    let _ = gate.client("mallory", "web").run(&["true"]).assert_success();
    gate.wait_for_entry("the lockout", |entry| {
        entry.user() == "mallory" && entry.why().contains("too many failed attempts")
    });
    // Unknown people are answered as known ones are.
    let (known, unknown) = (guess("alice", "wrong"), guess("nobody", "wrong"));
    assert_eq!(known, unknown);
}

/// `ssh` with a password at the prompt.
fn interactive(client: &SshClient, password: &str) -> ClientOutput {
    let client = client.clone().option("NumberOfPasswordPrompts", "1").timeout(SOON);
    client
        .option("PreferredAuthentications", "keyboard-interactive")
        .answer("Password:", password)
        .run(&["echo in"])
}

fn log_in(gate: &Gate, name: &str, code: Option<&str>) -> (u16, String) {
    let body = json!({"user": name, "password": gate.person(name).password, "code": code});
    Api::new(gate.node.api, None).call("POST", "/v1/login", Some(&body))
}

/// A fresh key and the answer to a sign-in that had it certified for `name`.
fn certified(gate: &Gate, name: &str) -> (UserKey, Value) {
    let key = UserKey::generate();
    let body = json!({
        "user": name, "password": gate.person(name).password, "code": gate.code(name),
        "public_key": key.public_line(),
    });
    (key, Api::new(gate.node.api, None).post("/v1/login", &body))
}

/// Refused sign-ins of `user` in the log.
fn refusals(gate: &Gate, user: &str) -> usize {
    let log = gate.audit();
    let refused = log.iter().filter(|entry| {
        entry.activity() == "authenticate" && !entry.succeeded() && entry.user() == user
    });
    refused.count()
}

/// Has `name`'s key speak the steps; see the script.
fn raw(gate: &Gate, name: &str, steps: &Value) -> Value {
    let key = gate.person(name).key.private_path();
    python::run(RAW, &json!({"port": gate.ssh_port, "key": key, "steps": steps}))
}

fn got(said: &Value) -> Vec<u64> {
    said["got"].as_array().unwrap().iter().filter_map(Value::as_u64).collect()
}

#[test]
fn one_person_holds_so_many_connections_and_nobody_else_is_kept_out() {
    let mut plan = Plan::base();
    plan.people = vec![("mallory", "developers")];
    plan.configuration = "[sign_in]\nmax_connections_per_person = 2\n".into();
    let gate = plan.start();
    let first = gate.client("mallory", "web").spawn(&["sleep 60"]);
    let second = gate.client("mallory", "web").spawn(&["sleep 60"]);
    gate.wait_for_sessions(2);
    let third = gate.client("mallory", "web").run(&["true"]);
    assert_eq!(third.code(), Some(255), "{third:?}");
    let told = |entry: &crate::gate::Entry| entry.why().contains("too many connections");
    assert_eq!(gate.audit().into_iter().filter(told).count(), 1);
    assert_eq!(gate.client("alice", "web").run(&["true"]).assert_success().code(), Some(0));
    assert_eq!(gate.sign_in("mallory")["user"], "mallory", "the API holds no connection");
    drop(first);
    gate.wait_for_sessions(1);
    let _ = gate.client("mallory", "web").run(&["true"]).assert_success();
    drop(second);
}
