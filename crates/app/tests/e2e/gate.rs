//! A whole gate for a test: a node set up through `init`, one real sshd that stands for every
//! target (a port each), and the people who use them.
//!
//! In: a [`Plan`]. Out: a [`Gate`], its people signed in to the API, clients aimed at targets, and
//! the audit log as [`Entry`]s.
//!
//! Must never know: what is tested with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_domain::{Secret, Timestamp};
use portcullis_identity::totp::{TotpSecret, current_code};
use portcullis_testkit::{SshClient, SshServer, TempDir, UserKey, current_user, free_port};
use serde_json::{Value, json};

use crate::http::Api;
use crate::node::{Node, portcullis};

/// Longest wait for something a node does by itself.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The second factor of everybody who has one; codes are kept apart per person.
const TOTP_SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
/// How many targets one sshd stands for; it takes at most 16 addresses.
const PORTS_OF_A_SERVER: usize = 12;
/// How long one code is good, in seconds (RFC 6238).
const STEP_SECONDS: i64 = 30;

/// What a gate shall have beside the base of every test.
#[derive(Default)]
pub(crate) struct Plan {
    /// Name, environment and the label `app` of each target.
    pub(crate) targets: Vec<(String, &'static str, &'static str)>,
    /// More people: name and groups. Everybody has a key and a password.
    pub(crate) people: Vec<(&'static str, &'static str)>,
    /// More resources.
    pub(crate) resources: String,
    /// More configuration for the table `[ssh]`.
    pub(crate) ssh: String,
}

/// Somebody with a key, a password and, if they are of the base cast, a second factor.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) key: UserKey,
    pub(crate) password: String,
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) node: Node,
    pub(crate) places: Places,
    pub(crate) ssh_port: u16,
    /// Known hosts line of the gate.
    pub(crate) known_host: String,
    people: BTreeMap<String, Person>,
    tokens: Mutex<BTreeMap<String, String>>,
    codes: Mutex<BTreeMap<String, i64>>,
    directory: TempDir,
}

/// Where the targets are.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) servers: Vec<SshServer>,
    /// Port and index of the server.
    ports: BTreeMap<String, (u16, usize)>,
}

/// Environments: `open` (a role is enough), `guarded` (on request) and `prod` (on request, and a
/// fresh second factor). Alice works, bob approves, carol looks after the gate.
const BASE: &str = r#"
kind: Environment
metadata: {name: open}
spec: {tier: development, recording: required}
---
kind: Environment
metadata: {name: guarded}
spec: {tier: staging, access: on_request, approval: {groups: [leads], count: 1}}
---
kind: Environment
metadata: {name: prod}
spec: {tier: production, approval: {groups: [leads], count: 1}}
---
kind: Group
metadata: {name: developers}
spec: {}
---
kind: Group
metadata: {name: leads}
spec: {}
---
kind: Group
metadata: {name: security}
spec: {}
---
kind: Role
metadata: {name: developer}
spec:
  allow:
    - labels: {app: web}
      actions: [shell, exec, upload, download, forward, agent_forward, remote_forward]
---
kind: Role
metadata: {name: lead}
spec: {control: [read_requests, drop, list_sessions]}
---
kind: Role
metadata: {name: security-officer}
spec:
  control:
    - read_resources
    - apply_resources
    - manage_credentials
    - read_requests
    - revoke_grants
    - lock
    - drop
    - list_sessions
    - read_recordings
    - kill_sessions
    - read_audit
---
kind: RoleAssignment
metadata: {name: developers}
spec: {role: developer, groups: [developers]}
---
kind: RoleAssignment
metadata: {name: leads}
spec: {role: lead, groups: [leads]}
---
kind: RoleAssignment
metadata: {name: security-officers}
spec: {role: security-officer, groups: [security]}
"#;
const CAST: [(&str, &str); 3] = [("alice", "developers"), ("bob", "leads"), ("carol", "security")];

impl Plan {
    /// The base with `web` in `open`, `vault` in `guarded` and `core` in `prod`.
    pub(crate) fn base() -> Self {
        let target = |name: &str, environment| (name.to_owned(), environment, "web");
        let targets =
            vec![target("web", "open"), target("vault", "guarded"), target("core", "prod")];
        Self { targets, ..Self::default() }
    }

    /// Sets it up and opens it.
    pub(crate) fn start(self) -> Gate {
        let directory = tempfile::Builder::new().prefix("gate").tempdir().unwrap();
        let places = self.places();
        let people: BTreeMap<String, Person> = CAST
            .iter()
            .chain(&self.people)
            .map(|(name, _)| ((*name).to_owned(), Person::new(name)))
            .collect();
        let ssh_port = free_port();
        self.write_files(directory.path(), &places, &people, ssh_port);
        let authority = initialise(directory.path());
        for server in &places.servers {
            server.trust_user_authority(&authority);
        }
        let node = Node::start(directory.path());
        let mut gate = Gate {
            node,
            places,
            ssh_port,
            known_host: String::new(),
            people,
            tokens: Mutex::default(),
            codes: Mutex::default(),
            directory,
        };
        let known = gate.sign_in("carol")["gate_host_key"].as_str().unwrap().to_owned();
        gate.known_host = format!("[127.0.0.1]:{ssh_port} {known}");
        gate
    }

    /// Servers for the targets: a port each, because no two targets may be the same place.
    fn places(&self) -> Places {
        let mut places = Places::default();
        for chunk in self.targets.chunks(PORTS_OF_A_SERVER) {
            let mut builder = SshServer::builder();
            for (name, ..) in chunk {
                let port = free_port();
                builder = builder.extra_line(format!("ListenAddress 127.0.0.1:{port}"));
                places.ports.insert(name.clone(), (port, places.servers.len()));
            }
            places.servers.push(builder.start());
        }
        places
    }

    fn write_files(
        &self,
        directory: &Path,
        places: &Places,
        people: &BTreeMap<String, Person>,
        ssh_port: u16,
    ) {
        let mut yaml = BASE.to_owned();
        for (name, environment, app) in &self.targets {
            let (port, server) = places.ports[name];
            let host_key = places.servers[server].host_key_line();
            yaml += &target_yaml(name, environment, app, port, &host_key);
        }
        for (name, groups) in CAST.iter().chain(&self.people) {
            yaml += &people[*name].yaml(groups, false);
        }
        yaml += &self.resources;
        fs::create_dir(directory.join("resources")).unwrap();
        fs::write(directory.join("resources/all.yaml"), yaml).unwrap();
        let cast: Vec<Value> = people
            .values()
            .map(|person| {
                let second = CAST.iter().any(|(name, _)| *name == person.name);
                json!({
                    "name": person.name, "password": person.password,
                    "totp_secret": second.then_some(TOTP_SECRET),
                })
            })
            .collect();
        fs::write(directory.join("people.json"), json!(cast).to_string()).unwrap();
        let config = format!(
            "[node]\nname = \"e2e\"\ndata_dir = \"data\"\n\n[ssh]\nlisten = \"127.0.0.1:{ssh_port}\"\n\
             {}\n\n[api]\nlisten = \"127.0.0.1:{}\"\n",
            self.ssh,
            free_port()
        );
        fs::write(directory.join("portcullis.toml"), config).unwrap();
    }
}

/// Runs `init`; hands back the line targets trust.
fn initialise(directory: &Path) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let (config, files, people) = (path("portcullis.toml"), path("resources"), path("people.json"));
    let arguments = [
        "init", "--json", "--config", &config, "--admin", "carol", "-f", &files, "--people",
        &people,
    ];
    let output = portcullis(&arguments, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "init: {text}{error}");
    let said: Value = serde_json::from_str(&text).unwrap();
    said["target_authority"].as_str().unwrap().to_owned()
}

/// A target that is the test's sshd at `port`.
pub(crate) fn target_yaml(
    name: &str,
    environment: &str,
    app: &str,
    port: u16,
    host_key: &str,
) -> String {
    format!(
        "---\nkind: Target\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nspec:\n  environment: \
         {environment}\n  ssh: {{host: 127.0.0.1, port: {port}, logins: [\"{}\"], host_keys: \
         [\"{host_key}\"]}}\n",
        current_user()
    )
}

impl Person {
    fn new(name: &str) -> Self {
        let password = format!("{name} likes long passwords");
        Self { name: name.to_owned(), key: UserKey::generate(), password }
    }

    /// Their resource.
    pub(crate) fn yaml(&self, groups: &str, disabled: bool) -> String {
        format!(
            "---\nkind: User\nmetadata: {{name: {}}}\nspec: {{groups: [{groups}], disabled: \
             {disabled}, ssh_keys: [\"{}\"]}}\n",
            self.name,
            self.key.public_line()
        )
    }
}

impl Gate {
    pub(crate) fn person(&self, name: &str) -> &Person {
        &self.people[name]
    }

    /// The port of sshd a target stands for.
    pub(crate) fn port_of(&self, target: &str) -> u16 {
        self.places.ports[target].0
    }

    /// A file or directory of the node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Kills the node as a power cut would and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.node.signal("KILL");
        self.restart();
    }

    /// Stops the node, if it still runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.node.stop();
        self.node = Node::start(self.directory.path());
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

    /// A one-time code of somebody's that has not been used, waiting for its time where need be.
    /// The gate takes the code before and after the present one, so three are there at any time.
    pub(crate) fn code(&self, name: &str) -> String {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            i64::try_from(since.as_secs()).unwrap()
        };
        let step = {
            let mut codes = self.codes.lock().unwrap();
            // A step that is about to leave the window is not worth a try.
            let oldest = (now() + 5) / STEP_SECONDS - 1;
            let step = codes.get(name).map_or(oldest, |used| oldest.max(used + 1));
            codes.insert(name.to_owned(), step);
            step
        };
        while step > now() / STEP_SECONDS + 1 {
            std::thread::sleep(Duration::from_millis(100));
        }
        let secret = TotpSecret::from_base32(&Secret::new(TOTP_SECRET.to_owned())).unwrap();
        current_code(&secret, Timestamp::from_millis(step * STEP_SECONDS * 1000)).expose().clone()
    }

    /// Signs somebody in; what the API answers.
    pub(crate) fn sign_in(&self, name: &str) -> Value {
        let person = self.person(name);
        let mut body = json!({
            "user": name, "password": person.password, "public_key": person.key.public_line(),
        });
        if CAST.iter().any(|(cast, _)| *cast == name) {
            body["code"] = json!(self.code(name));
        }
        let view = Api::new(self.node.api, None).post("/v1/login", &body);
        let token = view["token"].as_str().unwrap().to_owned();
        self.tokens.lock().unwrap().insert(name.to_owned(), token);
        view
    }

    /// The API as somebody, signed in once.
    pub(crate) fn api(&self, name: &str) -> Api {
        let known = self.tokens.lock().unwrap().get(name).cloned();
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
        let output = portcullis(&["audit", "verify", "--dir", &log, "--vkey", vkey], &[]);
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
        self.event()["dst_endpoint"]["name"].as_str().unwrap_or_default()
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
