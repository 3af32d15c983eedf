//! The columns: one way through the gate each, tried with a real client.
//!
//! Must never know: whether the attempt should succeed.

use std::fs;
use std::time::{Duration, Instant};

use portcullis_domain::ActionKind;
use portcullis_testkit::{
    ClientOutput, RunningClient, SshAgent, SshClient, TempDir, UserKey, current_user, free_port,
};

use crate::echo;
use crate::gate::Gate;

/// Longest wait for a forward to stand or to be refused.
const FORWARD_PATIENCE: Duration = Duration::from_secs(30);

/// A way through the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Shell,
    Exec,
    ExecPattern,
    SftpUpload,
    SftpDownload,
    ScpUpload,
    ScpDownload,
    LocalForward,
    DynamicForward,
    RemoteForward,
    AgentForward,
    JumpForm,
    DirectForm,
}

pub(super) const ALL: [Column; 13] = [
    Column::Shell,
    Column::Exec,
    Column::ExecPattern,
    Column::SftpUpload,
    Column::SftpDownload,
    Column::ScpUpload,
    Column::ScpDownload,
    Column::LocalForward,
    Column::DynamicForward,
    Column::RemoteForward,
    Column::AgentForward,
    Column::JumpForm,
    Column::DirectForm,
];

/// The columns that exercise a kind of action: a new kind does not compile without.
pub(super) fn columns_of(kind: ActionKind) -> &'static [Column] {
    match kind {
        ActionKind::Shell => &[Column::Shell],
        ActionKind::Exec => {
            &[Column::Exec, Column::ExecPattern, Column::JumpForm, Column::DirectForm]
        }
        ActionKind::Upload => &[Column::SftpUpload, Column::ScpUpload],
        ActionKind::Download => &[Column::SftpDownload, Column::ScpDownload],
        ActionKind::Forward => &[Column::LocalForward, Column::DynamicForward],
        ActionKind::AgentForward => &[Column::AgentForward],
        ActionKind::RemoteForward => &[Column::RemoteForward],
        // Tried in the matrix of databases.
        _ => &[],
    }
}

/// What is done on hosts: the kinds this matrix is about.
pub(super) fn host_kinds() -> impl Iterator<Item = ActionKind> {
    ActionKind::ALL.into_iter().filter(|kind| kind.database_act().is_none())
}

/// What every attempt needs.
pub(super) struct Tools {
    agent: SshAgent,
    key: UserKey,
    echo: u16,
    files: TempDir,
}

/// What came of an attempt.
pub(super) struct Tried {
    pub(super) allowed: bool,
    /// What a person saw.
    pub(super) seen: String,
    /// What the log's entry for it must name; empty where the action names nothing.
    pub(super) marker: String,
}

impl Tools {
    pub(super) fn new() -> Self {
        let (agent, key) = (SshAgent::start(), UserKey::generate());
        agent.add(&key);
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("source"), "content").unwrap();
        Self { agent, key, echo: echo::start(), files }
    }
}

impl Column {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }

    /// Which kind it is decided as.
    pub(super) fn kind(self) -> ActionKind {
        let found = ActionKind::ALL.into_iter().find(|kind| columns_of(*kind).contains(&self));
        found.unwrap()
    }

    /// Tries it; everything the attempt leaves behind carries `marker`.
    pub(super) fn attempt(
        self,
        gate: &Gate,
        tools: &Tools,
        person: &str,
        target: &str,
        marker: &str,
    ) -> Tried {
        let client = gate.client(person, target);
        let (source, path) = (tools.files.path().join("source"), tools.files.path().join(marker));
        let (source, path) = (source.to_str().unwrap(), path.to_str().unwrap());
        match self {
            Self::Shell => shell(&client),
            Self::Exec => exec(&client, &format!("printf %s {marker}"), marker),
            Self::ExecPattern => exec(&client, &format!("echo pattern {marker}"), marker),
            Self::SftpUpload => {
                let output = client.sftp(&format!("put {source} {path}\n"));
                arrived(output, path)
            }
            Self::ScpUpload => arrived(client.scp(&["-O"], source, &client.remote(path)), path),
            Self::SftpDownload => {
                let remote = format!("{path}.remote");
                fs::write(&remote, "content").unwrap();
                arrived(client.sftp(&format!("get {remote} {path}\n")), path)
            }
            Self::ScpDownload => {
                let remote = format!("{path}.remote");
                fs::write(&remote, "content").unwrap();
                arrived(client.scp(&["-O"], &client.remote(&remote), path), path)
            }
            Self::LocalForward => forward(&client, "-L", tools.echo),
            Self::DynamicForward => forward(&client, "-D", tools.echo),
            Self::RemoteForward => forward(&client, "-R", tools.echo),
            Self::AgentForward => {
                let client = client.agent(&tools.agent).option("ForwardAgent", "yes");
                let output = client.run(&["ssh-add -l"]);
                let allowed = output.stdout_text().contains(&tools.key.fingerprint());
                Tried { allowed, seen: output.describe(), marker: String::new() }
            }
            Self::JumpForm => {
                exec(&jump(gate, tools, person, target), &format!("echo {marker}"), marker)
            }
            Self::DirectForm => {
                let user = format!("{person}:{}@{target}", current_user());
                exec(&gate.client_as(person, &user), &format!("echo {marker}"), marker)
            }
        }
    }
}

/// `ssh -F FILE LOGIN@TARGET.portcullis` with the generated configuration.
fn jump(gate: &Gate, tools: &Tools, person: &str, target: &str) -> SshClient {
    let key = gate.person(person).key.private_path();
    let view = gate.api("carol").get("/v1/ssh-config");
    let config = view["config"].as_str().unwrap().replace("User carol", &format!("User {person}"));
    let known = tools.files.path().join(format!("known-{person}-{target}"));
    fs::write(&known, view["known_hosts"].as_str().unwrap()).unwrap();
    let text = format!(
        "{config}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n",
        key.display(),
        known.display()
    );
    let file = tools.files.path().join(format!("config-{person}-{target}"));
    fs::write(&file, text).unwrap();
    SshClient::with_config(&file, &format!("{target}.portcullis")).user(&current_user())
}

fn shell(client: &SshClient) -> Tried {
    let mut running = client.spawn_with(&["-T"], &[]);
    running.send("echo in-$((40+2)); exit\n");
    let output = running.wait();
    let allowed = output.success() && output.stdout_text().contains("in-42");
    Tried { allowed, seen: output.describe(), marker: String::new() }
}

fn exec(client: &SshClient, command: &str, marker: &str) -> Tried {
    let output = client.run(&[command]);
    let allowed = output.success() && output.stdout_text().contains(marker);
    Tried { allowed, seen: output.describe(), marker: marker.to_owned() }
}

/// A transfer that was to end in a file at `path`, here or there: both are this machine.
fn arrived(output: ClientOutput, path: &str) -> Tried {
    let there = fs::read_to_string(path).is_ok_and(|text| text == "content");
    let allowed = output.success() && there;
    assert!(allowed || !there, "a refused transfer left a file: {}", output.describe());
    let _ = fs::remove_file(path);
    let marker = path.rsplit('/').next().unwrap_or_default().to_owned();
    Tried { allowed, seen: output.describe(), marker }
}

/// A forward of the kind `flag` to the echo server.
fn forward(client: &SshClient, flag: &str, echo: u16) -> Tried {
    let port = free_port();
    let specification = match flag {
        "-D" => format!("127.0.0.1:{port}"),
        _ => format!("127.0.0.1:{port}:127.0.0.1:{echo}"),
    };
    let client = client.clone().option("ExitOnForwardFailure", "yes");
    let mut running = client.spawn_with(&["-N", flag, &specification], &[]);
    let mut allowed = false;
    if stands(&mut running, port) {
        // The target listens a moment before the gate and the client know that it does.
        allowed = (0..5).find_map(|_| {
            let answered = match flag {
                "-D" => echo::answers_through_socks(port, echo),
                _ => echo::connect(port).is_some_and(|mut stream| echo::answers(&mut stream)),
            };
            if !answered && flag == "-R" {
                std::thread::sleep(Duration::from_millis(200));
            }
            (answered || flag != "-R").then_some(answered)
        }) == Some(true);
    }
    // What was refused is said on standard error a moment after the connection closes.
    let deadline = Instant::now() + Duration::from_secs(2);
    while !allowed && !running.stderr_so_far().contains("portcullis") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill();
    let marker = if flag == "-R" { port } else { echo };
    let seen = running.wait().describe();
    Tried { allowed, seen, marker: format!("127.0.0.1:{marker}") }
}

/// Whether the client listens, or lets the server listen, at `port` before it gives up.
fn stands(running: &mut RunningClient, port: u16) -> bool {
    let deadline = Instant::now() + FORWARD_PATIENCE;
    while Instant::now() < deadline && !running.has_ended() {
        if echo::connect(port).is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
