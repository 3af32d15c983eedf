//! What unmodified clients can do through the gate, compared with the same client run directly.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use portcullis_testkit::{SshClient, current_user, free_port};
use serde_json::{Value, json};

use crate::echo;
use crate::gate::{Entry, Gate, Plan, SOON};
use crate::node::portcullis;
use crate::python;

const PARAMIKO: &str = include_str!("clients/paramiko_client.py");

/// Straight to the server that stands for the targets, as alice.
fn direct(gate: &Gate) -> SshClient {
    let (server, alice) = (&gate.places.servers[0], gate.person("alice"));
    server.authorize_key(&alice.key.public_line());
    server.client(&alice.key)
}

#[test]
fn programs_end_as_they_end_without_a_gate() {
    let gate = Plan::base().start();
    let (direct, through) = (direct(&gate), gate.client("alice", "web"));
    for command in [
        "true",
        "exit 7",
        "exit 255",
        "echo out; echo err >&2; exit 3",
        "kill -TERM $$",
        "kill -KILL $$",
        "no-such-program-anywhere",
        "cat",
        "sh -c 'sleep 0.2; echo late' & exit 4",
    ] {
        let one = direct.run_with_input(&[command], b"input\n");
        let other = through.run_with_input(&[command], b"input\n");
        assert_eq!(one.code(), other.code(), "`{command}`: {}", other.describe());
        assert_eq!(one.stdout_text(), other.stdout_text(), "`{command}`");
        assert_eq!(one.stderr_text(), other.stderr_text(), "`{command}`");
    }
}

#[test]
fn a_terminal_has_its_size_its_signals_and_its_changes() {
    let gate = Plan::base().start();
    let mut shell = gate.client("alice", "web").pty(&[], &["sh"]);
    shell.send_line("stty size; echo $TERM");
    shell.expect("24 80", SOON);
    shell.expect("xterm", SOON);
    shell.send_line("sh -c 'trap \"stty size\" WINCH; while :; do sleep 0.1; done'");
    std::thread::sleep(Duration::from_millis(500));
    shell.resize(50, 132);
    shell.expect("50 132", SOON);
    shell.send_control('c');
    shell.send_line("echo between-$((40+2))");
    shell.expect("between-42", SOON);
    shell.send_line("sh -c 'echo sleeping; sleep 600'");
    shell.expect("sleeping\r\n", SOON);
    // The inner shell must be waiting for the program, not about to start it.
    std::thread::sleep(Duration::from_millis(500));
    shell.send_control('c');
    shell.send_line("echo interrupted-$?");
    shell.expect("interrupted-130", SOON);
    shell.send_line("exit 5");
    assert_eq!(shell.wait_exit(SOON).code(), Some(5));
}

#[test]
fn of_the_environment_only_what_the_target_names_passes() {
    let gate = Plan::base().start();
    let client = gate
        .client("alice", "web")
        .environment("LC_TEST", "through")
        .environment("LD_PRELOAD_TEST", "kept out")
        .option("SendEnv", "LC_TEST LD_PRELOAD_TEST");
    let ran = client.run(&["echo $LC_TEST/$LD_PRELOAD_TEST"]).assert_success();
    assert_eq!(ran.stdout_text(), "through/\n");
}

#[test]
fn every_file_is_logged_with_path_size_and_digest() {
    let gate = Plan::base().start();
    let client = gate.client("alice", "web");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i ^ (i >> 9)) as u8).collect();
    fs::write(path("source"), &data).unwrap();
    let summed = Command::new("sha256sum").arg(path("source")).output().unwrap();
    let digest = String::from_utf8(summed.stdout).unwrap()[..64].to_owned();
    for (protocol, options) in [("sftp", &[][..]), ("scp", &["-O"][..])] {
        let (up, down) = (path(&format!("{protocol}-up")), path(&format!("{protocol}-down")));
        let _ = client.scp(options, &path("source"), &client.remote(&up)).assert_success();
        assert!(fs::read(&up).unwrap() == data);
        let _ = client.scp(options, &client.remote(&up), &down).assert_success();
        assert!(fs::read(&down).unwrap() == data);
        for operation in ["upload", "download"] {
            let entry = gate.wait_for_entry(&format!("{protocol} {operation}"), |entry| {
                entry.activity() == "file"
                    && entry.detail("operation") == operation
                    && entry.detail("path") == up
            });
            assert_eq!(entry.detail("sha256"), digest, "{}", entry.0);
            assert_eq!(entry.event()["unmapped"]["bytes"], data.len(), "{}", entry.0);
        }
    }
    let batch = format!(
        "mkdir {0}/d\nrename {1} {0}/d/x\nls -l {0}/d\nrm {0}/d/x\nrmdir {0}/d\n",
        directory.path().display(),
        path("sftp-up")
    );
    let _ = client.sftp(&batch).assert_success();
    let about = |entry: &Entry| entry.activity() == "file" && entry.0.to_string().contains("/d/x");
    gate.wait_for_entry("the other file operations", about);
}

#[test]
fn forwarded_bytes_are_counted_and_other_targets_have_their_own_room() {
    let gate = Plan::base().start();
    let echo = echo::start();
    let (local, known) = (free_port(), free_port());
    let to_echo = format!("127.0.0.1:{local}:127.0.0.1:{echo}");
    let to_target = format!("127.0.0.1:{known}:127.0.0.1:{}", gate.port_of("vault"));
    let client = gate.client("alice", "web");
    let mut running = client.spawn_with(&["-N", "-L", &to_echo, "-L", &to_target], &[]);
    assert!(portcullis_testkit::wait_for_port(known, SOON));
    let mut stream = echo::connect(local).unwrap();
    for _ in 0..100 {
        assert!(echo::answers(&mut stream));
    }
    drop(stream);
    let entry = gate.wait_for_entry("the forwarded bytes", |entry| {
        entry.activity() == "forward" && entry.event()["unmapped"]["bytes_up"] == 500
    });
    assert_eq!(entry.event()["unmapped"]["bytes_down"], 500, "{}", entry.0);
    assert_eq!(entry.event()["unmapped"]["port"], echo, "{}", entry.0);
    let mut around = echo::connect(known).unwrap();
    assert!(!echo::answers(&mut around), "a target was reached around its room");
    running.wait_for_stderr("vault", SOON);
}

#[test]
fn several_sessions_share_a_connection_and_one_right_each() {
    let gate = Plan::base().start();
    let directory = tempfile::tempdir().unwrap();
    let control = directory.path().join("c");
    let client = gate
        .client("alice", "web")
        .option("ControlPath", control.to_str().unwrap())
        .option("ControlMaster", "auto")
        .option("ControlPersist", "20");
    for number in 0..4 {
        let command = format!("echo shared-{number}");
        let _ = client.run(&[&command]).assert_success();
    }
    assert_eq!(gate.live_sessions().len(), 1);
    let decided = gate.audit().into_iter().filter(|entry| {
        entry.activity() == "authorize" && entry.detail("object").contains("shared-")
    });
    assert_eq!(decided.count(), 4);
}

#[test]
fn keys_are_renewed_under_way_and_silence_is_kept_alive() {
    let gate = Plan::base().start();
    let data: Vec<u8> = (0..20_000_000_u32).map(|i| (i ^ (i >> 11)) as u8).collect();
    let client =
        gate.client("alice", "web").option("RekeyLimit", "1M").option("LogLevel", "DEBUG1");
    let ran = client.run_with_input(&["cat"], &data);
    assert!(ran.success() && ran.stdout == data, "{} bytes came back", ran.stdout.len());
    let renewed = ran.stderr_text().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(renewed > 10, "keys were renewed {renewed} times");
    let idle = gate
        .client("alice", "web")
        .option("ServerAliveInterval", "1")
        .option("ServerAliveCountMax", "2");
    let ran = idle.run(&["sleep 5; echo awake"]).assert_success();
    assert_eq!(ran.stdout_text(), "awake\n");
}

#[test]
fn graphical_forwarding_is_refused_and_said() {
    let gate = Plan::base().start();
    let client = gate
        .client("alice", "web")
        .environment("DISPLAY", "127.0.0.1:99")
        .option("ForwardX11", "yes")
        .option("ForwardX11Trusted", "yes");
    let ran = client.run(&["echo display=$DISPLAY"]).assert_success();
    assert_eq!(ran.stdout_text(), "display=\n", "{}", ran.describe());
    assert!(ran.stderr_text().contains("X11"), "{}", ran.describe());
}

#[test]
fn production_asks_for_a_code_in_both_forms() {
    let gate = Plan::base().start();
    let refused = gate.client("alice", "core").run(&["true"]).assert_refused();
    assert!(refused.prompts.is_empty(), "no code helps without a grant: {}", refused.describe());
    gate.grant("alice", "core", "1h");
    let client = gate.client("alice", "core").answer("One-time code", &gate.code("alice"));
    let ran = client.run(&["echo in"]).assert_success();
    assert_eq!(ran.stdout_text(), "in\n");
    assert_eq!(ran.prompts.len(), 1);
    let jump = gate.client_as("alice", "alice");
    let through = gate
        .client_as("alice", &current_user())
        .host("core.portcullis")
        .jump(&jump)
        .answer("One-time code", &gate.code("alice"))
        .accept_any_host_key();
    let ran = through.run(&["echo inside"]).assert_success();
    assert_eq!(ran.stdout_text(), "inside\n");
}

#[test]
fn the_command_line_and_plain_host_names_work_as_the_readme_says() {
    let gate = Plan::base().start();
    let home = tempfile::tempdir().unwrap();
    let address = format!("http://{}", gate.node.api);
    let run = |arguments: &[&str], code: &str| -> (Option<i32>, String) {
        let output = portcullis(
            arguments,
            &[
                ("PORTCULLIS_HOME", home.path().to_str().unwrap()),
                ("PORTCULLIS_ADDRESS", &address),
                ("PORTCULLIS_PASSWORD", &gate.person("alice").password),
                ("PORTCULLIS_CODE", code),
            ],
        );
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&both).into_owned())
    };
    let (code, text) = run(&["login", "alice"], &gate.code("alice"));
    assert_eq!(code, Some(0), "{text}");
    let config = home.path().join("ssh_config");
    let client = SshClient::with_config(&config, &format!("{}@web.portcullis", current_user()));
    let ran = client.run(&["echo by name"]).assert_success();
    assert_eq!(ran.stdout_text(), "by name\n");
    let asked = ["request", "vault", "--for", "1h", "--reason", "a test", "--json"];
    let (code, text) = run(&asked, "");
    assert_eq!(code, Some(0), "{text}");
    let request: Value = serde_json::from_str(&text).unwrap();
    let id = request["id"].as_str().unwrap();
    let (code, text) = run(&["approve", id], "");
    assert_eq!(code, Some(1), "nobody approves their own request: {text}");
    gate.api("bob").post(&format!("/v1/requests/{id}/approve"), &json!({}));
    let client = SshClient::with_config(&config, &format!("{}@vault.portcullis", current_user()));
    let _ = client.run(&["true"]).assert_success();
    let (code, text) = run(&["audit", "search"], "");
    assert_eq!(code, Some(1), "alice may not read the log: {text}");
}

#[test]
fn paramiko_runs_commands_shells_files_and_forwards() {
    let gate = Plan::base().start();
    let directory = tempfile::tempdir().unwrap();
    fs::File::create(directory.path().join("there")).unwrap().write_all(b"content").unwrap();
    let input = json!({
        "port": gate.ssh_port, "key": gate.person("alice").key.private_path(), "user": "alice:web",
        "directory": directory.path(), "echo": echo::start(),
    });
    let said = python::run(PARAMIKO, &input);
    assert_eq!(said["exec"], json!(["out\n", "err\n", 7]), "{said}");
    assert_eq!(said["stdin"], "fed in", "{said}");
    assert!(said["shell"].as_str().unwrap().contains("in-42"), "{said}");
    assert_eq!(said["size"], "33 101", "{said}");
    assert_eq!(said["get"], "content", "{said}");
    assert_eq!(said["list"], json!(["put", "there"]), "{said}");
    assert_eq!(said["forward"], "ping", "{said}");
    assert_eq!(fs::read_to_string(directory.path().join("put")).unwrap(), "x".repeat(300_000));
}
