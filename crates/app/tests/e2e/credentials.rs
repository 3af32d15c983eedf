//! How the gate proves itself to targets and they to it: stored passwords and keys, host
//! certificates, and algorithms a network device has nothing better than. Each against a real sshd.

use std::io::Write;
use std::process::{Command, Stdio};

use portcullis_testkit::{
    CertificateAuthority, KeyKind, PasswordPrompt, SshServer, UserKey, current_user,
};
use serde_json::json;

use crate::gate::{Gate, Plan};
use crate::node::PROGRAM;

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn a_stored_password_opens_its_target_and_is_seen_nowhere() {
    let servers = [PasswordPrompt::Method, PasswordPrompt::Interactive]
        .map(|prompt| SshServer::builder().password(PASSWORD, prompt).start());
    let mut plan = Plan::base();
    for (name, server) in ["asks", "prompts"].into_iter().zip(&servers) {
        plan.resources += &target(name, server, "credential: {password: {secret: switch}}");
    }
    let gate = plan.start();
    let refused = gate.client("alice", "asks").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("no usable credential"), "{}", refused.describe());
    // A secret of the same name in another environment is another secret.
    put(&gate, "guarded", "switch", PASSWORD);
    let _ = gate.client("alice", "asks").run(&["true"]).assert_refused();
    put(&gate, "open", "switch", "another-password");
    let refused = gate.client("alice", "asks").run(&["true"]).assert_refused();
    let said = format!("does not let the gate in as `{}`", current_user());
    assert!(refused.stderr_text().contains(&said), "{}", refused.describe());

    put_by_command_line(&gate, "open", "switch", PASSWORD);
    for name in ["asks", "prompts"] {
        let mut shell = gate.client("alice", name).pty(&[], &["sh"]);
        shell.send_line("echo in-$((40+2)); exit");
        shell.expect("in-42", crate::gate::SOON);
        shell.wait_exit(crate::gate::SOON);
        assert!(!shell.transcript().contains(PASSWORD));
        let ran = gate.client("alice", name).option("LogLevel", "DEBUG3").run(&["env"]);
        let ran = ran.assert_success();
        assert!(!ran.describe().contains(PASSWORD));
    }
    // Somebody who has no business at the gate gets in nowhere with it.
    let stranger = gate.stranger("alice:asks").option("NumberOfPasswordPrompts", "1");
    let _ = stranger.answer("Password:", PASSWORD).run(&["true"]).assert_refused();
    for entry in gate.audit() {
        assert!(!entry.0.to_string().contains(PASSWORD), "{}", entry.0);
    }
    assert!(!gate.node.log().contains(PASSWORD));
    for file in ["data/portcullis.db", "data/portcullis.db-wal"] {
        let bytes = std::fs::read(gate.path(file)).unwrap_or_default();
        let found = bytes.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes());
        assert!(!found, "the password is readable in {file}");
    }
    let names = gate.api("carol").get("/v1/environments/open/secrets");
    assert_eq!(names, json!(["switch"]), "names can be read back, values cannot");
}

#[test]
fn a_stored_key_of_every_kind_opens_its_target() {
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa] {
        let key = UserKey::generate_kind(kind);
        let server = SshServer::builder().authorize_key(key.public_line()).start();
        let mut plan = Plan::base();
        plan.resources += &target("device", &server, "credential: {key: {secret: device-key}}");
        let gate = plan.start();
        put(&gate, "open", "device-key", &UserKey::generate().private_text());
        let _ = gate.client("alice", "device").run(&["true"]).assert_refused();
        put(&gate, "open", "device-key", "not a key");
        let refused = gate.client("alice", "device").run(&["true"]).assert_refused();
        assert!(refused.stderr_text().contains("no usable credential"), "{}", refused.describe());
        put(&gate, "open", "device-key", &key.private_text());
        let ran = gate.client("alice", "device").run(&["echo in"]).assert_success();
        assert_eq!(ran.stdout_text(), "in\n", "{kind:?}");
        // Her own key is not the target's.
        let _ = server.client(&gate.person("alice").key).run(&["true"]).assert_refused();
        gate.wait_for_entry("the refusal", |entry| {
            entry.activity() == "connect" && entry.target() == "device" && !entry.succeeded()
        });
    }
}

#[test]
fn a_host_is_known_by_its_certificate_where_an_authority_is_named() {
    let (authority, rogue) = (CertificateAuthority::generate(), CertificateAuthority::generate());
    let certified = |authority: &CertificateAuthority, names: &[&str], validity: &str| {
        SshServer::builder().host_certificate(authority, names, validity).start()
    };
    let servers = [
        ("by-address", certified(&authority, &["127.0.0.1"], "+1h"), Ok(())),
        ("by-name", certified(&authority, &["elsewhere", "by-name"], "+1h"), Ok(())),
        ("other-host", certified(&authority, &["another"], "+1h"), Err("for other hosts")),
        ("expired", certified(&authority, &["127.0.0.1"], "-2h:-1h"), Err("not valid now")),
        ("rogue", certified(&rogue, &["127.0.0.1"], "+1h"), Err("SHA256:")),
        ("bare", SshServer::start(), Err("SHA256:")),
    ];
    let mut plan = Plan::base();
    let line = authority.public_line();
    let line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    for (name, server, _) in &servers {
        plan.resources +=
            &target_of(name, server.port(), &format!("host_authorities: [\"{line}\"]"));
    }
    let gate = plan.start();
    let trusted = &gate.api("carol").get("/v1/authorities")["target"];
    let trusted = trusted.as_str().unwrap();
    for (name, server, expected) in &servers {
        server.trust_user_authority(trusted);
        let ran = gate.client("alice", name).run(&["echo in"]);
        let Err(why) = expected else {
            assert_eq!(ran.assert_success().stdout_text(), "in\n", "{name}");
            continue;
        };
        let ran = ran.assert_refused();
        assert_eq!(ran.stdout_text(), "", "{name}");
        assert!(ran.stderr_text().contains("host key"), "{}", ran.describe());
        assert!(!server.log().contains("Accepted"), "{name}: {}", server.log());
        let finding = gate
            .wait_for_entry(name, |entry| entry.activity() == "finding" && entry.target() == *name);
        assert_eq!(finding.detail("finding"), "host_key_changed");
        assert!(finding.detail("expected").contains(why), "{}", finding.0);
    }
}

#[test]
fn older_algorithms_work_only_where_the_target_names_them() {
    let key = UserKey::generate_kind(KeyKind::Rsa);
    let only = |lines: &[&str]| {
        let builder = SshServer::builder().host_key(KeyKind::Rsa).authorize_key(key.public_line());
        let all = lines.iter().fold(builder, |builder, line| builder.extra_line(*line));
        all.start()
    };
    let cases: [(&str, &[&str]); 10] = [
        ("diffie-hellman-group1-sha1", &["KexAlgorithms diffie-hellman-group1-sha1"]),
        ("diffie-hellman-group14-sha1", &["KexAlgorithms diffie-hellman-group14-sha1"]),
        (
            "diffie-hellman-group-exchange-sha1",
            &["KexAlgorithms diffie-hellman-group-exchange-sha1"],
        ),
        ("aes128-cbc", &["Ciphers aes128-cbc"]),
        ("aes192-cbc", &["Ciphers aes192-cbc"]),
        ("aes256-cbc", &["Ciphers aes256-cbc"]),
        ("hmac-sha1", &["Ciphers aes128-ctr", "MACs hmac-sha1"]),
        ("hmac-sha1-etm@openssh.com", &["Ciphers aes128-ctr", "MACs hmac-sha1-etm@openssh.com"]),
        ("ssh-rsa", &["HostKeyAlgorithms ssh-rsa", "PubkeyAcceptedAlgorithms ssh-rsa"]),
        (
            "diffie-hellman-group14-sha1, aes128-cbc, hmac-sha1, ssh-rsa",
            &[
                "KexAlgorithms diffie-hellman-group14-sha1",
                "Ciphers aes128-cbc",
                "MACs hmac-sha1",
                "HostKeyAlgorithms ssh-rsa",
                "PubkeyAcceptedAlgorithms ssh-rsa",
            ],
        ),
    ];
    let servers = cases.map(|(_, lines)| only(lines));
    let credential = "credential: {key: {secret: device-key}}";
    let name = |number: usize| format!("device-{number}");
    let mut plan = Plan::base();
    for (number, server) in servers.iter().enumerate() {
        plan.resources += &target(&name(number), server, credential);
    }
    let gate = plan.start();
    put(&gate, "open", "device-key", &key.private_text());
    let reach = |number: usize| gate.client("alice", &name(number)).run(&["echo in"]);
    for (number, (legacy, _)) in cases.iter().enumerate() {
        let refused = reach(number).assert_refused();
        let said = refused.stderr_text();
        assert!(said.contains(&name(number)), "{legacy}: {}", refused.describe());
        let first = legacy.split(", ").next().unwrap_or_default();
        assert!(said.contains("legacy_algorithms") && said.contains(first), "{legacy}: {said}");
        assert!(!servers[number].log().contains("Accepted"), "{legacy}");
    }
    for (number, (legacy, _)) in cases.iter().enumerate() {
        let more = format!("{credential}, legacy_algorithms: [{legacy}]");
        gate.apply(&target(&name(number), &servers[number], &more));
    }
    let failed: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, (legacy, _))| (*legacy, reach(number)))
        .filter(|(_, ran)| ran.stdout_text() != "in\n")
        .map(|(legacy, ran)| format!("{legacy}: {}", ran.describe()))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A target in `open` that is this server, known by its key.
fn target(name: &str, server: &SshServer, more: &str) -> String {
    let pinned = format!("host_keys: [\"{}\"], {more}", server.host_key_line());
    target_of(name, server.port(), &pinned)
}

fn target_of(name: &str, port: u16, more: &str) -> String {
    format!(
        "---\nkind: Target\nmetadata: {{name: {name}, labels: {{app: web}}}}\nspec:\n  environment: \
         open\n  ssh: {{host: 127.0.0.1, port: {port}, logins: [\"{}\"], {more}}}\n",
        current_user()
    )
}

/// Carol stores a secret.
fn put(gate: &Gate, environment: &str, name: &str, value: &str) {
    let path = format!("/v1/environments/{environment}/secrets/{name}");
    let (status, text) = gate.api("carol").call("PUT", &path, Some(&json!({"value": value})));
    assert_eq!(status, 204, "{text}");
}

/// The same as she would type it.
fn put_by_command_line(gate: &Gate, environment: &str, name: &str, value: &str) {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .env("PORTCULLIS_HOME", home.path())
            .env("PORTCULLIS_ADDRESS", format!("http://{}", gate.node.api))
            .env("PORTCULLIS_PASSWORD", &gate.person("carol").password)
            .env("PORTCULLIS_CODE", gate.code("carol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    run(&["login", "carol"], "");
    run(&["secret", "put", environment, name], &format!("{value}\n"));
}
