//! A whole gate for a test: a node set up through `init`, one real sshd that stands for every
//! target (a port each), and the people who use them.
//!
//! In: a [`Plan`]. Out: a [`Gate`], its people signed in to the API, clients aimed at targets, and
//! the audit log as [`Entry`]s.
//!
//! Must never know: what is tested with it.

use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::{SshClient, TempDir, free_port};
use serde_json::{Value, json};

use crate::http::Api;
use crate::node::{Node, portcullis};
use crate::people::{People, Person};
use crate::plan::{Install, Places};

pub(crate) use crate::plan::{Plan, target_yaml};

/// Longest wait for something a node does by itself.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running gate.
pub(crate) struct Gate {
    pub(crate) node: Node,
    pub(crate) places: Places,
    pub(crate) ssh_port: u16,
    /// Known hosts line of the gate.
    pub(crate) known_host: String,
    people: Arc<People>,
    install: Install,
    directory: TempDir,
}

impl Gate {
    /// Opens what has been set up in `directory`; carol signs in, to learn the host key.
    pub(crate) fn open(
        directory: TempDir,
        places: Places,
        people: Arc<People>,
        install: Install,
        ssh_port: u16,
    ) -> Self {
        let node = Node::start(directory.path(), &install.environment);
        let known_host = String::new();
        let mut gate = Self { node, places, ssh_port, known_host, people, install, directory };
        let known = gate.sign_in("carol")["gate_host_key"].as_str().unwrap().to_owned();
        gate.known_host = format!("[127.0.0.1]:{ssh_port} {known}");
        gate
    }

    /// Another node on the same store, with the same master key and for the same people, who are
    /// signed in there too. It has no targets of its own: ask this one for ports.
    pub(crate) fn second_node(&self, name: &str) -> Self {
        self.second_node_with(name, self.install.clone())
    }

    /// The same, with these tables of configuration.
    pub(crate) fn second_node_on(&self, name: &str, configuration: &str) -> Self {
        let configuration = configuration.to_owned();
        self.second_node_with(name, Install { configuration, ..self.install.clone() })
    }

    fn second_node_with(&self, name: &str, install: Install) -> Self {
        let directory = tempfile::Builder::new().prefix("gate").tempdir().unwrap();
        let ssh_port = free_port();
        install.write(directory.path(), name, ssh_port);
        let data = directory.path().join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
        std::fs::copy(self.path("data/master.key"), data.join("master.key")).unwrap();
        let people = Arc::clone(&self.people);
        Self::open(directory, Places::default(), people, install, ssh_port)
    }

    pub(crate) fn person(&self, name: &str) -> &Person {
        self.people.person(name)
    }

    /// The port of sshd a target stands for.
    pub(crate) fn port_of(&self, target: &str) -> u16 {
        self.places.port_of(target)
    }

    /// A file or directory of the node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets one of the node's environment variables, from its next start on.
    pub(crate) fn set_environment(&mut self, name: &'static str, value: &str) {
        self.install.environment.retain(|(known, _)| *known != name);
        self.install.environment.push((name, value.to_owned()));
    }

    /// Kills the node as a power cut would and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.node.signal("KILL");
        self.restart();
    }

    /// Stops the node, if it still runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.node.stop();
        self.node = Node::start(self.directory.path(), &self.install.environment);
    }

    /// A client of the gate as `name`, with their key and any user string.
    pub(crate) fn client_as(&self, name: &str, user: &str) -> SshClient {
        SshClient::new(self.ssh_port)
            .user(user)
            .identity(&self.person(name).key)
            .known_host(&self.known_host)
    }

    /// The same, aimed at a target in the direct form.
    pub(crate) fn client(&self, name: &str, target: &str) -> SshClient {
        self.client_as(name, &format!("{name}:{target}"))
    }

    /// A client without key.
    pub(crate) fn stranger(&self, user: &str) -> SshClient {
        SshClient::new(self.ssh_port).user(user).known_host(&self.known_host)
    }

    /// See [`People::code`].
    pub(crate) fn code(&self, name: &str) -> String {
        self.people.code(name)
    }

    /// Signs somebody in; what the API answers.
    pub(crate) fn sign_in(&self, name: &str) -> Value {
        let person = self.person(name);
        let mut body = json!({
            "user": name, "password": person.password, "public_key": person.key.public_line(),
        });
        if self.people.has_second_factor(name) {
            body["code"] = json!(self.code(name));
        }
        let view = Api::new(self.node.api, None).post("/v1/login", &body);
        self.people.keep_token(name, view["token"].as_str().unwrap());
        view
    }

    /// The API as somebody, signed in once.
    pub(crate) fn api(&self, name: &str) -> Api {
        let known = self.people.token(name);
        let token =
            known.unwrap_or_else(|| self.sign_in(name)["token"].as_str().unwrap().to_owned());
        Api::new(self.node.api, Some(token))
    }

    /// Asks for access and has bob approve it; the grant's id.
    pub(crate) fn grant(&self, name: &str, target: &str, duration: &str) -> String {
        let body = json!({"target": target, "duration": duration, "reason": "a test"});
        let request = self.api(name).post("/v1/requests", &body);
        let id = request["id"].as_str().unwrap();
        let decided = self.api("bob").post(&format!("/v1/requests/{id}/approve"), &json!({}));
        decided["grant"]["id"].as_str().unwrap().to_owned()
    }

    /// Carol revokes a grant.
    pub(crate) fn revoke(&self, grant: &str) {
        self.api("carol").post(&format!("/v1/grants/{grant}/revoke"), &json!({"reason": "enough"}));
    }

    /// Carol locks something; the lock's id.
    pub(crate) fn lock(&self, kind: &str, name: &str) -> String {
        let body = json!({"subject": {"kind": kind, "name": name}, "reason": "a test lock"});
        self.api("carol").post("/v1/locks", &body)["id"].as_str().unwrap().to_owned()
    }

    /// Carol lifts a lock.
    pub(crate) fn unlock(&self, lock: &str) {
        self.api("carol").delete(&format!("/v1/locks/{lock}"));
    }

    /// Carol applies resources beside those in force.
    pub(crate) fn apply(&self, yaml: &str) -> Value {
        let body = json!({"files": [{"name": "more.yaml", "text": yaml}]});
        self.api("carol").post("/v1/apply", &body)
    }

    /// Everything in the audit log, oldest first.
    pub(crate) fn audit(&self) -> Vec<Entry> {
        let lines = self.api("carol").lines("/v1/audit/search?limit=10000");
        lines.into_iter().map(Entry).collect()
    }

    /// Waits for an entry of the log; what is written a moment after its effect is waited for.
    #[track_caller]
    pub(crate) fn wait_for_entry(&self, what: &str, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let all = self.audit();
            if let Some(found) = all.iter().rev().find(|entry| wanted(entry)) {
                return Entry(found.0.clone());
            }
            if std::time::Instant::now() > deadline {
                let text = all.iter().rev().take(40).fold(String::new(), |mut text, entry| {
                    let _ = writeln!(text, "{}", entry.0);
                    text
                });
                panic!("no entry for {what}; the latest are\n{text}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Live sessions, as lists show them.
    pub(crate) fn live_sessions(&self) -> Vec<Value> {
        let value = self.api("carol").get("/v1/sessions?live=true&limit=1000");
        value.as_array().unwrap().clone()
    }

    /// Waits until that many sessions live.
    #[track_caller]
    pub(crate) fn wait_for_sessions(&self, count: usize) -> Vec<Value> {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let live = self.live_sessions();
            if live.len() == count {
                return live;
            }
            assert!(std::time::Instant::now() < deadline, "not {count} sessions: {live:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `audit verify` over the node's files, as somebody with a copy and the key would.
    pub(crate) fn verify_offline(&self) -> String {
        let view = self.api("carol").get("/v1/audit/checkpoint");
        let log = self.path("data/log").display().to_string();
        let vkey = view["vkey"].as_str().unwrap();
        let output = portcullis(&["audit", "verify", &log, "--key", vkey], &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "audit verify: {text}{error}");
        text
    }
}

/// One entry of the audit log.
pub(crate) struct Entry(pub(crate) Value);

impl Entry {
    pub(crate) fn event(&self) -> &Value {
        &self.0["event"]
    }
    /// What happened (`authorize`, `session.open`).
    pub(crate) fn activity(&self) -> &str {
        self.event()["metadata"]["event_code"].as_str().unwrap_or_default()
    }
    pub(crate) fn user(&self) -> &str {
        self.event()["actor"]["user"]["name"].as_str().unwrap_or_default()
    }
    pub(crate) fn target(&self) -> &str {
        portcullis_domain::audit::read::target(self.event()).unwrap_or_default()
    }
    /// A detail, as text.
    pub(crate) fn detail(&self, name: &str) -> &str {
        self.event()["unmapped"][name].as_str().unwrap_or_default()
    }
    pub(crate) fn succeeded(&self) -> bool {
        self.event()["status_id"] == 1
    }
    /// Why it was refused or failed.
    pub(crate) fn why(&self) -> &str {
        self.event()["status_detail"].as_str().unwrap_or_default()
    }
}
