//! The audit log as somebody sees it who trusts neither the node nor its operators: exports, proofs,
//! and what the program says of those that were changed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::gate::Gate;
use crate::node::portcullis;
use crate::plan::Plan;

#[test]
fn an_export_verifies_on_a_machine_with_nothing_else_and_a_changed_one_does_not() {
    let gate = Plan::base().start();
    let carol = Person::sign_in(&gate, "carol");
    let kept = carol.file("kept");
    let checkpoint: Value = carol.json(&["audit", "checkpoint", "--json"]);
    fs::write(&kept, checkpoint["checkpoint"].as_str().unwrap()).unwrap();
    let key = checkpoint["vkey"].as_str().unwrap();
    let _ = gate.client("alice", "web").run(&["true"]);
    let dir = carol.file("export");
    let made = carol.json(&["audit", "export", path(&dir), "--json"]);
    assert!(gate.audit().iter().any(|entry| entry.detail("kind") == "export"));
    let size = made["size"].as_u64().unwrap();
    assert_eq!(
        (made["entries"]["first"].as_u64(), made["entries"]["end"].as_u64()),
        (Some(0), Some(size))
    );
    assert_eq!(made["log_keys"][0], key);
    let verify = |more: &[&str]| {
        let all = [&["audit", "verify", path(&dir), "--key", key, "--json"], more].concat();
        alone(&all)
    };
    let (code, said) = verify(&["--whole", "--checkpoint", path(&kept)]);
    assert_eq!(code, 0, "{said}");
    assert_eq!((said["verified"].as_u64(), &said["holds"]), (Some(size), &Value::Bool(true)));
    // Somebody else's key is not this log's.
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(alone(&["audit", "verify", path(&dir), "--key", other, "--json"]).0, 5);
    // One letter in one entry.
    let bundle = bundle(&dir);
    let bytes = fs::read(&bundle).unwrap();
    let mark = b"sealed:v1:sub-";
    let changed = bytes.windows(mark.len()).position(|found| found == mark).unwrap() + mark.len();
    let mut edited = bytes.clone();
    edited[changed] ^= 1;
    fs::write(&bundle, &edited).unwrap();
    let (code, said) = verify(&[]);
    assert_eq!((code, &said["code"]), (5, &Value::from("entry_damaged")), "{said}");
    assert!(said["why"].as_str().unwrap().contains("event `evt-"), "{said}");
    fs::write(&bundle, &bytes).unwrap();
    // An older export under today's checkpoint: it was cut.
    assert_eq!(carol.run(&["audit", "verify"]).0, 0);
    fs::write(
        &kept,
        carol.json(&["audit", "checkpoint", "--json"])["checkpoint"].as_str().unwrap(),
    )
    .unwrap();
    let (code, said) = verify(&["--checkpoint", path(&kept)]);
    assert_eq!((code, &said["code"]), (5, &Value::from("rolled_back")), "{said}");
    assert_eq!(said["first_bad"].as_u64(), Some(size));
    // The reader of recordings may not read the log.
    let alice = Person::sign_in(&gate, "alice");
    let (code, _) = alice.run(&["audit", "export", path(&alice.file("export"))]);
    assert_eq!(code, 1);
}

#[test]
fn a_log_is_exported_from_its_files_when_the_node_is_off() {
    let mut gate = Plan::base().start();
    let carol = Person::sign_in(&gate, "carol");
    let checkpoint: Value = carol.json(&["audit", "checkpoint", "--json"]);
    let key = checkpoint["vkey"].as_str().unwrap().to_owned();
    gate.node.stop();
    let dir = carol.file("export");
    let log = gate.path("data/log");
    let (code, said) =
        alone(&["audit", "export", path(&dir), "--log", path(&log), "--key", &key, "--json"]);
    assert_eq!((code, &said["log_keys"][0]), (0, &Value::from(key.as_str())), "{said}");
    assert_eq!(alone(&["audit", "verify", path(&dir), "--key", &key, "--json"]).0, 0);
    // It is not written over.
    let again = alone(&["audit", "export", path(&dir), "--log", path(&log), "--json"]);
    assert_eq!(again.0, 1);
}

#[test]
fn one_event_is_proved_to_a_third_party() {
    let gate = Plan::base().start();
    let carol = Person::sign_in(&gate, "carol");
    let key = carol.json(&["audit", "checkpoint", "--json"])["vkey"].as_str().unwrap().to_owned();
    let signed_in = gate.wait_for_entry("the sign-in", |entry| entry.activity() == "authenticate");
    let id = signed_in.event()["metadata"]["uid"].as_str().unwrap().to_owned();
    let (proof, bare, entry) =
        (carol.file("a.tlog-proof"), carol.file("b.tlog-proof"), carol.file("e"));
    carol.json(&["audit", "prove", &id, "-o", path(&proof), "--json"]);
    let check = |file: &Path, more: &[&str]| {
        let all = [&["audit", "check-proof", path(file), "--key", &key, "--json"], more].concat();
        alone(&all)
    };
    let (code, said) = check(&proof, &[]);
    assert_eq!((code, said["event"].as_str()), (0, Some(id.as_str())), "{said}");
    assert_eq!(said["entry"]["metadata"]["uid"], id.as_str());
    let index = said["index"].to_string();
    carol.json(&["audit", "prove", &index, "-o", path(&bare), "--entry", path(&entry), "--json"]);
    assert_eq!(check(&bare, &["--entry", path(&entry)]).0, 0);
    assert_eq!(check(&bare, &[]).0, 2, "the entry is not in it");
    let mut bytes = fs::read(&entry).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&entry, bytes).unwrap();
    let (code, said) = check(&bare, &["--entry", path(&entry)]);
    assert_eq!((code, &said["code"]), (5, &Value::from("not_included")), "{said}");
    let (code, _) = carol.run(&["audit", "prove", "evt-0198f0000000700080000000000000aa"]);
    assert_eq!(code, 1);
}

/// Somebody with a home of their own, signed in at the command line.
pub(crate) struct Person {
    home: tempfile::TempDir,
    address: String,
}

impl Person {
    pub(crate) fn sign_in(gate: &Gate, name: &str) -> Self {
        let person = Self {
            home: tempfile::tempdir().unwrap(),
            address: format!("http://{}", gate.node.api),
        };
        let secrets = [
            ("PORTCULLIS_PASSWORD", &*gate.person(name).password),
            ("PORTCULLIS_CODE", &gate.code(name)),
        ];
        let (code, text) = person.with(&["login", name], &secrets);
        assert_eq!(code, 0, "{text}");
        person
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.with(arguments, &[])
    }

    fn with(&self, arguments: &[&str], more: &[(&str, &str)]) -> (i32, String) {
        let own = [
            ("PORTCULLIS_HOME", self.home.path().to_str().unwrap()),
            ("PORTCULLIS_ADDRESS", &self.address),
        ];
        let output = portcullis(arguments, &[own.as_slice(), more].concat());
        let both = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&both).into_owned())
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}"))
    }
}

/// The program without a home, a node or a configuration: its exit code and what it says.
pub(crate) fn alone(arguments: &[&str]) -> (i32, Value) {
    let nowhere = tempfile::tempdir().unwrap();
    let home = [("PORTCULLIS_HOME", nowhere.path().to_str().unwrap())];
    let output = portcullis(arguments, &home);
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&output.stderr).into_owned()));
    (output.status.code().unwrap(), said)
}

/// The file with the first entries of an export.
fn bundle(dir: &Path) -> PathBuf {
    let partial = dir.join("tile/entries/000.p");
    match fs::read_dir(&partial) {
        Ok(mut names) => names.next().unwrap().unwrap().path(),
        Err(_) => dir.join("tile/entries/000"),
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_replaced_key_of_the_log_is_followed_by_verification() {
    let mut gate = Plan::base().start();
    let config = gate.path("portcullis.toml");
    let old = key(&gate);
    let rotate = ["keys", "rotate-log", "--config", path(&config), "--json"];
    assert_eq!(alone(&rotate).0, 1, "the node runs");
    gate.node.stop();
    let (code, said) = alone(&rotate);
    assert_eq!((code, said["old"].as_str()), (0, Some(old.as_str())), "{said}");
    let new = said["new"].as_str().unwrap().to_owned();
    gate.restart();
    assert_eq!(key(&gate), new);
    let carol = Person::sign_in(&gate, "carol");
    let dir = carol.file("export");
    let made = carol.json(&["audit", "export", path(&dir), "--json"]);
    assert_eq!(made["log_keys"], serde_json::json!([new]));
    // Who knows only the old key is led to the new one; who knows the new one needs nothing.
    let verify = |key: &str| alone(&["audit", "verify", path(&dir), "--key", key, "--json"]);
    let (code, said) = verify(&old);
    assert_eq!((code, &said["log_keys"]), (0, &serde_json::json!([old, new])), "{said}");
    assert_eq!(verify(&new).0, 0);
    // A handover of which one byte is another leads nowhere.
    let handover = dir.join("handover/000");
    let good = fs::read_to_string(&handover).unwrap();
    let extra = good.find("extra ").unwrap() + 60;
    let mut bad = good.clone().into_bytes();
    bad[extra] = if bad[extra] == b'A' { b'B' } else { b'A' };
    fs::write(&handover, bad).unwrap();
    let (code, said) = verify(&old);
    assert_eq!((code, &said["code"]), (5, &Value::from("handover_refused")), "{said}");
    // The node itself and its doctor know the key in use, and it can be replaced again.
    assert_eq!(carol.run(&["audit", "verify"]).0, 0);
    gate.node.stop();
    let (code, said) = alone(&rotate);
    assert_eq!((code, said["old"].as_str()), (0, Some(new.as_str())), "{said}");
    gate.restart();
    let again = carol.file("again");
    let log = gate.path("data/log");
    assert_eq!(alone(&["audit", "export", path(&again), "--log", path(&log)]).0, 0);
    let (code, said) = alone(&["audit", "verify", path(&again), "--key", &old, "--json"]);
    assert_eq!((code, said["log_keys"].as_array().unwrap().len()), (0, 3), "{said}");
}

#[test]
fn old_entries_are_archived_and_the_log_verifies_with_and_without_them() {
    let mut gate = Plan::base().start();
    let config = gate.path("portcullis.toml");
    let key = key(&gate);
    for _ in 0..270 {
        // Each reading is an entry.
        gate.api("carol").lines("/v1/audit/search?limit=1");
    }
    gate.node.stop();
    let (dir, log) = (gate.path("archive"), gate.path("data/log"));
    let archive = |before: &str| {
        alone(&[
            "audit",
            "archive",
            path(&dir),
            "--before",
            before,
            "--config",
            path(&config),
            "--json",
        ])
    };
    assert_eq!(archive("5").0, 1, "less than a bundle");
    let (code, said) = archive("2999-01-01T00:00:00Z");
    assert_eq!((code, said["end"].as_u64()), (0, Some(256)), "{said}");
    gate.restart();
    // The archive by itself, the log by itself, and both together.
    let verify =
        |more: &[&str]| alone(&[&["audit", "verify"], more, &["--key", &key, "--json"]].concat());
    let (code, said) = verify(&[path(&dir)]);
    assert_eq!((code, said["verified"].as_u64()), (0, Some(256)), "{said}");
    let (code, said) = verify(&[path(&log)]);
    assert_eq!((code, &said["absent"][0]["end"]), (0, &Value::from(256)), "{said}");
    assert_eq!(verify(&[path(&log), "--whole"]).0, 5);
    assert_eq!(verify(&[path(&log), "--archive", path(&dir), "--whole"]).0, 0);
    // An entry of the archive is proved from there, and one of the log from the node.
    let carol = Person::sign_in(&gate, "carol");
    let proof = carol.file("proof");
    let proved = alone(&["audit", "prove", "3", "--log", path(&dir), "-o", path(&proof), "--json"]);
    assert_eq!(proved.0, 0, "{}", proved.1);
    assert_eq!(alone(&["audit", "check-proof", path(&proof), "--key", &key, "--json"]).0, 0);
    assert_eq!(carol.run(&["audit", "prove", "3"]).0, 1, "it is archived");
    assert_eq!(carol.run(&["audit", "prove", "260"]).0, 0);
    assert_eq!(carol.run(&["audit", "search", "--limit", "10000"]).0, 0);
    let export = carol.file("export");
    carol.json(&["audit", "export", path(&export), "--json"]);
    let (code, said) = verify(&[path(&export)]);
    assert_eq!((code, &said["absent"][0]["end"]), (0, &Value::from(256)), "{said}");
    // A byte of the archive is another.
    let bundle = dir.join("tile/entries/000");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[5000] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert_eq!(verify(&[path(&log), "--archive", path(&dir)]).0, 5);
}

fn key(gate: &Gate) -> String {
    gate.api("carol").get("/v1/audit/checkpoint")["vkey"].as_str().unwrap().to_owned()
}
