//! What a gate of a test shall have: environments, targets, people, store and keys, and how they are
//! set up through `init`.
//!
//! In: a [`Plan`]. Out: a running [`Gate`].
//!
//! Must never know: what is tested with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use portcullis_testkit::{SshServer, current_user, free_port};
use serde_json::Value;

use crate::gate::Gate;
use crate::node::portcullis;
use crate::people::People;

/// How many targets one sshd stands for; it takes at most 16 addresses.
const PORTS_OF_A_SERVER: usize = 12;

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
    /// More tables of the configuration (`[store]`, `[master_key]`).
    pub(crate) configuration: String,
    /// The node's environment variables.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// How a node is configured and started.
#[derive(Clone)]
pub(crate) struct Install {
    pub(crate) configuration: String,
    pub(crate) environment: Vec<(&'static str, String)>,
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
        let names = |people: &'_ [(&'static str, &'static str)]| {
            people.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let people = People::new(&names(&CAST), &names(&self.people));
        let install = Install {
            configuration: format!("{}\n{}", self.ssh, self.configuration),
            environment: self.environment.clone(),
        };
        let ssh_port = free_port();
        install.write(directory.path(), "e2e", ssh_port);
        self.write_resources(directory.path(), &places, &people);
        let authority = initialise(directory.path(), &install);
        for server in &places.servers {
            server.trust_user_authority(&authority);
        }
        Gate::open(directory, places, Arc::new(people), install, ssh_port)
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

    fn write_resources(&self, directory: &Path, places: &Places, people: &People) {
        let mut yaml = BASE.to_owned();
        for (name, environment, app) in &self.targets {
            let (port, server) = places.ports[name];
            let host_key = places.servers[server].host_key_line();
            yaml += &target_yaml(name, environment, app, port, &host_key);
        }
        for (name, groups) in CAST.iter().chain(&self.people) {
            yaml += &people.person(name).yaml(groups, false);
        }
        yaml += &self.resources;
        fs::create_dir(directory.join("resources")).unwrap();
        fs::write(directory.join("resources/all.yaml"), yaml).unwrap();
        fs::write(directory.join("people.json"), people.to_json().to_string()).unwrap();
    }
}

impl Places {
    pub(crate) fn port_of(&self, target: &str) -> u16 {
        self.ports[target].0
    }
}

impl Install {
    /// Writes the configuration of a node of this name.
    pub(crate) fn write(&self, directory: &Path, name: &str, ssh_port: u16) {
        let config = format!(
            "[node]\nname = \"{name}\"\ndata_dir = \"data\"\n\n[api]\nlisten = \"127.0.0.1:{}\"\n\n\
             [ssh]\nlisten = \"127.0.0.1:{ssh_port}\"\n{}\n",
            free_port(),
            self.configuration
        );
        fs::write(directory.join("portcullis.toml"), config).unwrap();
    }
}

/// Runs `init`; hands back the line targets trust.
fn initialise(directory: &Path, install: &Install) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let (config, files, people) = (path("portcullis.toml"), path("resources"), path("people.json"));
    let arguments = [
        "init", "--json", "--config", &config, "--admin", "carol", "-f", &files, "--people",
        &people,
    ];
    let environment: Vec<(&str, &str)> =
        install.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = portcullis(&arguments, &environment);
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
