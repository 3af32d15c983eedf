//! The real binary as a process: `init`, `serve`, and its end, polite or not.
//!
//! Must never know: who signs in.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
/// Longest wait for a node to open or to close.
const PATIENCE: Duration = Duration::from_secs(60);
/// Runs the node until standard input closes, which it does when the test process ends in any
/// way. SIGXFSZ is ignored, so that a file size limit is an error and not the end.
const WATCHED: &str = r#"trap '' XFSZ; "$@" </dev/null & node=$!
while read -r _; do :; done; kill -TERM "$node" 2>/dev/null; wait "$node""#;

/// A running node; dropped, it is stopped.
pub(crate) struct Node {
    child: Child,
    watcher: Option<ChildStdin>,
    log: PathBuf,
    /// Its process id.
    pub(crate) pid: u32,
    /// Its API.
    pub(crate) api: SocketAddr,
}

impl Node {
    /// Starts `serve` with the configuration in `directory` and these variables, and waits until
    /// both doors are open.
    pub(crate) fn start(directory: &Path, environment: &[(&str, String)]) -> Self {
        let (ready, log) = (directory.join("ready"), directory.join("node.log"));
        let _ = fs::remove_file(&ready);
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHED, "watched", PROGRAM, "serve", "--config"])
            .arg(directory.join("portcullis.toml"))
            .arg("--ready-file")
            .arg(&ready)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let watcher = child.stdin.take();
        let deadline = Instant::now() + PATIENCE;
        let facts: serde_json::Value = loop {
            if let Some(facts) =
                fs::read(&ready).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                break facts;
            }
            let text = || fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the node does not open: {}", text());
            std::thread::sleep(Duration::from_millis(20));
        };
        let api = facts["api"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        let pid = u32::try_from(facts["pid"].as_u64().unwrap()).unwrap();
        Self { child, watcher, log, pid, api }
    }

    /// What it has logged for operators.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal by name (`KILL`, `TERM`).
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "the node is gone already: {}", self.log());
    }

    /// Makes every write beyond `bytes` in any file fail, as a full disk does.
    pub(crate) fn limit_file_size(&self, bytes: &str) {
        let pid = self.pid.to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(done.expect("`prlimit` of util-linux").success());
    }

    /// Its resident memory, in bytes (proc(5), VmRSS).
    pub(crate) fn resident_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Ends it as an operator would and waits for its last words.
    pub(crate) fn stop(&mut self) {
        if self.watcher.take().is_none() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() >= deadline {
                let pid = self.pid.to_string();
                let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs one command of the program to its end.
pub(crate) fn portcullis(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK");
    for (name, value) in environment {
        command.env(name, value);
    }
    command.output().unwrap()
}
