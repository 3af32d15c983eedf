//! Live means live: whatever takes the right away ends what runs, a shell, a transfer and a
//! forward, and says why.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use portcullis_testkit::{PtyClient, RunningClient, TempDir, current_user, free_port};
use serde_json::json;

use crate::echo;
use crate::gate::{Gate, Plan, SOON};

/// A second is promised; the rest is for a busy machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);

/// Three clients at work, each on a connection of its own.
pub(crate) struct Work {
    shell: PtyClient,
    transfer: Child,
    forward: RunningClient,
    held: TcpStream,
    _files: (TempDir, TempDir),
}

#[test]
fn a_grants_end_ends_what_runs() {
    let gate = Plan::base().start();
    let begun = Instant::now();
    gate.grant("alice", "vault", "12s");
    let work = Work::begin(&gate);
    assert!(begun.elapsed() < Duration::from_secs(11), "too slow to see the end");
    std::thread::sleep(Duration::from_secs(12).saturating_sub(begun.elapsed()));
    work.ends_with("your grant has ended", "the grant's end");
    gate.wait_for_entry("the end", |entry| {
        entry.activity() == "session.close" && entry.detail("reason") == "grant_ended"
    });
    let refused = gate.client("alice", "vault").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("portcullis request"), "{}", refused.describe());
}

#[test]
fn whatever_takes_the_right_away_ends_what_runs() {
    let mut plan = Plan::base();
    // What forbids takes two people to remove.
    plan.resources += "---\nkind: RoleAssignment\nmetadata: {name: second}\nspec: {role: \
        security-officer, users: [bob]}\n";
    let gate = plan.start();
    let grant = gate.grant("alice", "vault", "1h");
    cause(&gate, "revoke", "your grant was revoked", || gate.revoke(&grant), || {});
    gate.grant("alice", "vault", "1h");

    let assignment = |who: &str| {
        format!(
            "kind: RoleAssignment\nmetadata: {{name: developers}}\nspec: {{role: developer, groups: [{who}]}}\n"
        )
    };
    let apply = |yaml: &str| drop(gate.apply(yaml));
    // What gives somebody more of production takes two people, giving it back too.
    let two = |yaml: &str| {
        let body = json!({"files": [{"name": "more.yaml", "text": yaml}]});
        let (status, answer) = gate.api("bob").call("POST", "/v1/apply", Some(&body));
        assert_eq!(status, 409, "{answer}");
        apply(yaml);
    };
    let changed = "the rules have changed";
    let (without, with) = (assignment(""), assignment("developers"));
    cause(&gate, "role removal", changed, || apply(&without), || two(&with));

    let alice = gate.person("alice");
    let (disabled, enabled) = (alice.yaml("developers", true), alice.yaml("developers", false));
    cause(&gate, "disabling", changed, || apply(&disabled), || two(&enabled));

    let policy = |tier: &str| {
        format!(
            "kind: Policy\nmetadata: {{name: closed}}\nspec:\n  cedar: |\n    forbid (principal, \
             action, resource) when {{ resource.tier == \"{tier}\" }};\n"
        )
    };
    let (forbids, does_not) = (policy("staging"), policy("test"));
    cause(&gate, "a policy", changed, || apply(&forbids), || two(&does_not));

    for (kind, name) in
        [("user", "alice"), ("role", "developer"), ("target", "vault"), ("environment", "guarded")]
    {
        let placed = std::cell::RefCell::new(String::new());
        cause(
            &gate,
            &format!("a lock on the {kind}"),
            "access is locked",
            || *placed.borrow_mut() = gate.lock(kind, name),
            || gate.unlock(&placed.borrow()),
        );
    }

    let kill = || {
        for session in gate.live_sessions() {
            let id = session["id"].as_str().unwrap();
            let path = format!("/v1/sessions/{id}/kill");
            gate.api("carol").post(&path, &json!({"reason": "a test"}));
        }
    };
    cause(&gate, "kill", "the session was ended by carol: a test", kill, || {});
    let path = "/v1/environments/guarded/drop";
    let drop_it = || drop(gate.api("bob").post(path, &json!({"reason": "a test drop"})));
    cause(&gate, "drop", "the gate has been dropped", drop_it, || raise(&gate));
}

/// Two different people raise a dropped gate; one of them twice is not two.
fn raise(gate: &Gate) {
    let raise = |who: &str| {
        let body = json!({"reason": "over"});
        gate.api(who).post("/v1/environments/guarded/raise", &body)
    };
    for _ in 0..2 {
        assert_eq!(raise("bob")["raised"], false);
    }
    let refused = gate.client("alice", "vault").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("a test drop"), "{}", refused.describe());
    assert_eq!(raise("carol")["raised"], true);
    let _ = gate.client("alice", "vault").run(&["true"]).assert_success();
}

/// Begins work, takes the right away, and expects the end everywhere with `told`.
fn cause(gate: &Gate, what: &str, told: &str, act: impl FnOnce(), undo: impl FnOnce()) {
    let work = Work::begin(gate);
    act();
    work.ends_with(told, what);
    gate.wait_for_sessions(0);
    undo();
}

impl Work {
    /// All three run and have moved something.
    pub(crate) fn begin(gate: &Gate) -> Self {
        let files = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let client = gate.client("alice", "vault");
        let mut shell = client.pty(&[], &[]);
        let (source, there) = (files.0.path().join("big"), files.0.path().join("there"));
        std::fs::write(&source, vec![7; 8 << 20]).unwrap();
        let remote = client.remote(there.to_str().unwrap());
        let arguments = ["-l", "2000", source.to_str().unwrap(), &remote];
        let (mut command, directory) = client.prepare("scp", &arguments);
        let transfer =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let port = free_port();
        let specification = format!("127.0.0.1:{port}:127.0.0.1:{}", echo::start());
        let forward = client.spawn_with(&["-N", "-L", &specification], &[]);
        assert!(portcullis_testkit::wait_for_port(port, SOON));
        let mut held = echo::connect(port).unwrap();
        assert!(echo::answers(&mut held));
        shell.send_line("echo in-$((40+2))");
        shell.expect("in-42", SOON);
        let deadline = Instant::now() + SOON;
        while !there.metadata().is_ok_and(|file| file.len() > 0) {
            assert!(Instant::now() < deadline, "the transfer does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut files = files;
        files.1 = directory;
        Self { shell, transfer: transfer.unwrap(), forward, held, _files: files }
    }

    /// All three end soon, and each client says `told`.
    #[track_caller]
    pub(crate) fn ends_with(mut self, told: &str, cause: &str) {
        let begun = Instant::now();
        let running = |work: &mut Self| {
            [
                !work.shell.has_ended(),
                work.transfer.try_wait().unwrap().is_none(),
                !work.forward.has_ended(),
            ]
        };
        while running(&mut self).contains(&true) {
            let left = running(&mut self);
            assert!(
                begun.elapsed() < AT_ONCE,
                "{cause}: shell, transfer, forward still run: {left:?}\n{}",
                self.shell.transcript()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shell.wait_exit(AT_ONCE);
        let mut transfer = String::new();
        self.transfer.stderr.take().unwrap().read_to_string(&mut transfer).unwrap();
        let _ = self.held.write_all(b"after the end");
        assert_eq!(self.held.read(&mut [0; 16]).unwrap_or(0), 0, "{cause}: the forward goes on");
        for (what, said) in [
            ("shell", self.shell.transcript()),
            ("transfer", transfer),
            ("forward", self.forward.wait().stderr_text()),
        ] {
            assert!(said.contains(told), "{cause}: the {what} was told {said:?}");
        }
    }
}

#[test]
fn nobody_approves_their_own_request() {
    let mut plan = Plan::base();
    plan.people = vec![("olga", "developers, leads, security")];
    let gate = plan.start();
    let body = json!({"target": "vault", "duration": "1h", "reason": "for myself"});
    let request = gate.api("olga").post("/v1/requests", &body);
    let path = format!("/v1/requests/{}/approve", request["id"].as_str().unwrap());
    let (status, text) = gate.api("olga").call("POST", &path, Some(&json!({})));
    assert!(status >= 400 && text.contains("nobody approves their own request"), "{status} {text}");
    let refused = gate.client("olga", "vault").run(&["true"]).assert_refused();
    assert!(refused.stderr_text().contains("portcullis"), "{}", refused.describe());
    gate.api("bob").post(&path, &json!({}));
    let user = format!("olga:{}@vault", current_user());
    let _ = gate.client_as("olga", &user).run(&["true"]).assert_success();
}
