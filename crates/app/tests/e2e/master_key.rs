//! The master key from a file, from the environment and from a command: what it seals opens with it,
//! with no other, and still after it has been replaced.

use std::fs;

use portcullis_testkit::{PasswordPrompt, SshServer, current_user};
use serde_json::{Value, json};

use crate::gate::{Gate, Plan};
use crate::node::portcullis;

const VARIABLE: &str = "PORTCULLIS_TEST_MASTER_KEY";
const NEXT_VARIABLE: &str = "PORTCULLIS_NEW_MASTER_KEY";
const PASSWORD: &str = "correct-horse-battery";

#[test]
fn a_key_in_the_environment_seals_and_is_replaced() {
    let (first, second) = (key(1), key(2));
    let mut gate = used(&format!("[master_key]\nenv = \"{VARIABLE}\"\n"), Some(&first));
    assert!(!gate.path("data/master.key").exists(), "a key was written to disk");
    let again = try_rotate(&gate, &[(VARIABLE, &first), (NEXT_VARIABLE, &second)]);
    assert!(again.contains("the node `e2e` is using the store"), "{again}");
    gate.node.stop();
    refuses(&gate, &[(VARIABLE, &key(3))], &["is `", "but this store's is `"]);
    refuses(&gate, &[], &[VARIABLE, "is not set"]);
    refuses(&gate, &[(VARIABLE, "0123456789-oh-no")], &[VARIABLE, "64 hexadecimal digits"]);
    rotate(&gate, &[(VARIABLE, &first), (NEXT_VARIABLE, &second)]);
    refuses(&gate, &[(VARIABLE, &first)], &["was retired at"]);
    gate.set_environment(VARIABLE, &second);
    opens_all(&mut gate);
}

#[test]
fn a_key_from_a_command_seals_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, key(1)).unwrap();
    let command = format!("[master_key]\ncommand = [\"cat\", \"{}\"]\n", path.display());
    let mut gate = used(&command, None);
    assert!(!gate.path("data/master.key").exists(), "a key was written to disk");
    gate.node.stop();
    fs::write(&path, key(3)).unwrap();
    refuses(&gate, &[], &["but this store's is `"]);
    fs::remove_file(&path).unwrap();
    refuses(&gate, &[], &["the command `cat` for the master key failed"]);
    fs::write(&path, key(1)).unwrap();
    rotate(&gate, &[(NEXT_VARIABLE, &key(2))]);
    refuses(&gate, &[], &["was retired at"]);
    fs::write(&path, key(2)).unwrap();
    opens_all(&mut gate);
}

#[test]
fn a_key_in_a_file_seals_and_is_replaced() {
    let mut gate = used("", None);
    gate.node.stop();
    let path = gate.path("data/master.key");
    let first = fs::read_to_string(&path).unwrap();
    rotate(&gate, &[]);
    let second = fs::read_to_string(&path).unwrap();
    assert_ne!(first, second);
    fs::write(&path, &first).unwrap();
    refuses(&gate, &[], &["was retired at"]);
    fs::remove_file(&path).unwrap();
    refuses(&gate, &[], &["is missing; restore it from your backup"]);
    fs::write(&path, &second).unwrap();
    refuses(&gate, &[], &["chmod 600"]);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, private).unwrap();
    opens_all(&mut gate);
}

/// A gate with this configuration that holds a target's secret and a recording.
fn used(configuration: &str, key: Option<&str>) -> Gate {
    let server = SshServer::builder().password(PASSWORD, PasswordPrompt::Method).start();
    let mut plan = Plan { configuration: configuration.to_owned(), ..Plan::base() };
    plan.environment = key.map(|key| (VARIABLE, key.to_owned())).into_iter().collect();
    plan.resources = format!(
        "---\nkind: Target\nmetadata: {{name: switch, labels: {{app: web}}}}\nspec:\n  environment: \
         open\n  ssh: {{host: 127.0.0.1, port: {}, logins: [\"{}\"], host_keys: [\"{}\"], \
         credential: {{password: {{secret: switch}}}}}}\n",
        server.port(),
        current_user(),
        server.host_key_line(),
    );
    let mut gate = plan.start();
    gate.places.servers.push(server);
    let path = "/v1/environments/open/secrets/switch";
    let stored = gate.api("carol").call("PUT", path, Some(&json!({"value": PASSWORD})));
    assert_eq!(stored.0, 204, "{}", stored.1);
    works(&gate);
    gate
}

/// Everything sealed opens: a one-time code's secret, a target's, the authorities' and a recording's.
fn works(gate: &Gate) {
    gate.sign_in("alice");
    for target in ["switch", "web"] {
        let ran = gate.client("alice", target).run(&["echo recorded-$((40+2))"]).assert_success();
        assert_eq!(ran.stdout_text(), "recorded-42\n", "{target}");
    }
    gate.wait_for_sessions(0);
}

fn opens_all(gate: &mut Gate) {
    gate.restart();
    works(gate);
    let sessions = gate.api("carol").get("/v1/sessions?limit=100");
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.len(), 4);
    for session in sessions {
        let id = session["id"].as_str().unwrap();
        let path = format!("/v1/sessions/{id}/recording?format=asciicast-v2");
        let (status, text) = gate.api("carol").call("GET", &path, None);
        assert!(status == 200 && text.contains("recorded-42"), "{status} {text}");
    }
    gate.wait_for_entry("the rotation", |entry| {
        entry.activity() == "key.change" && entry.detail("state") == "done"
    });
    gate.verify_offline();
}

fn rotate(gate: &Gate, environment: &[(&str, &str)]) {
    let said = try_rotate(gate, environment);
    let value: Value = serde_json::from_str(&said).expect(&said);
    assert!(value["values"].as_u64().unwrap() > 5, "{value}");
}

fn try_rotate(gate: &Gate, environment: &[(&str, &str)]) -> String {
    let config = gate.path("portcullis.toml");
    let arguments = ["keys", "rotate-master", "--json", "--config", config.to_str().unwrap()];
    let output = portcullis(&arguments, environment);
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// `serve` ends at once and says why; no key is in what it says.
#[track_caller]
fn refuses(gate: &Gate, environment: &[(&str, &str)], told: &[&str]) {
    let config = gate.path("portcullis.toml");
    let output = portcullis(&["serve", "--config", config.to_str().unwrap()], environment);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success(), "{said}");
    for text in told {
        assert!(said.contains(text), "`{text}` is not in: {said}");
    }
    for (_, value) in environment {
        assert!(!said.contains(value), "{said}");
    }
}

fn key(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}
