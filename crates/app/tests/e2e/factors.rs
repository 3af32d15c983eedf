//! A second factor proved elsewhere: plain OpenSSH shows a code, the command line confirms it.

use portcullis_testkit::{SshClient, current_user};

use crate::gate::{Gate, Plan, SOON};
use crate::node::portcullis;

/// The command line as one person, signed in.
struct Terminal<'g> {
    gate: &'g Gate,
    home: tempfile::TempDir,
    name: &'static str,
}

impl<'g> Terminal<'g> {
    fn of(gate: &'g Gate, name: &'static str) -> Self {
        let terminal = Self { gate, home: tempfile::tempdir().unwrap(), name };
        let (code, text) = terminal.run(&["login", name], &gate.code(name));
        assert_eq!(code, Some(0), "{text}");
        terminal
    }

    fn run(&self, arguments: &[&str], code: &str) -> (Option<i32>, String) {
        let environment = [
            ("PORTCULLIS_HOME", self.home.path().to_str().unwrap()),
            ("PORTCULLIS_ADDRESS", &format!("http://{}", self.gate.node.api)),
            ("PORTCULLIS_PASSWORD", &self.gate.person(self.name).password),
            ("PORTCULLIS_CODE", code),
        ];
        let output = portcullis(arguments, &environment);
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&both).into_owned())
    }
}

/// The code a client shows before its prompt.
fn code_in(shown: &str) -> String {
    let after = shown.split("enter the code ").nth(1);
    after.and_then(|text| text.get(..9)).unwrap_or_else(|| panic!("no code: {shown}")).to_owned()
}

#[test]
fn a_plain_client_goes_on_once_its_person_has_confirmed_it_elsewhere() {
    let gate = Plan::base().start();
    gate.grant("alice", "core", "1h");
    let terminal = Terminal::of(&gate, "alice");
    let mut ssh = gate.client("alice", "core").pty(&[], &["echo in-$((40+2))"]);
    let code = code_in(&ssh.expect("One-time code:", SOON));
    ssh.send_line("");
    let (exit, text) = terminal.run(&["confirm", &code, "--yes"], &gate.code("alice"));
    assert_eq!(exit, Some(0), "{text}");
    for part in ["an SSH client", "127.0.0.1", "core", "the client goes on"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    ssh.expect("in-42", SOON);
    ssh.wait_exit(SOON);
    gate.wait_for_entry("the confirmation", |entry| {
        entry.activity() == "authenticate" && entry.detail("what") == "confirmation"
    });

    let jump = gate.client_as("alice", "alice");
    let client: SshClient =
        gate.client_as("alice", &current_user()).host("core.portcullis").jump(&jump);
    let mut inside = client.accept_any_host_key().pty(&[], &["echo inside-$((40+2))"]);
    let code = code_in(&inside.expect("One-time code:", SOON));
    let (exit, text) = terminal.run(&["confirm", &code, "--yes"], &gate.code("alice"));
    assert_eq!(exit, Some(0), "{text}");
    inside.send_line("");
    inside.expect("inside-42", SOON);
}

#[test]
fn a_client_whose_person_refuses_it_stays_outside() {
    let gate = Plan::base().start();
    gate.grant("alice", "core", "1h");
    let terminal = Terminal::of(&gate, "alice");
    let mut ssh = gate.client("alice", "core").pty(&[], &["echo in-$((40+2))"]);
    let code = code_in(&ssh.expect("One-time code:", SOON));
    ssh.send_line("");
    let (exit, text) = terminal.run(&["confirm", &code, "--refuse"], "");
    assert_eq!(exit, Some(0), "{text}");
    ssh.expect("it was refused where you are signed in", SOON);
    let (exit, text) = terminal.run(&["confirm", &code, "--yes"], &gate.code("alice"));
    assert_eq!(exit, Some(1), "{text}");
    ssh.kill();
    assert!(!ssh.transcript().contains("in-42"));
}
