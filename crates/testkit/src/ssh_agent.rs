//! A real `ssh-agent` of the test's own.
//!
//! Must never know: who asks it to sign.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::UserKey;
use crate::keys::CLIENT_PACKAGE;
use crate::process::{ServerProcess, find_program};

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running agent; dropped, it ends and forgets its keys.
#[derive(Debug)]
pub struct SshAgent {
    // Ends before its directory goes.
    _process: ServerProcess,
    directory: tempfile::TempDir,
}

impl SshAgent {
    /// Starts an agent without keys.
    ///
    /// # Panics
    /// When `ssh-agent` is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("agent").tempdir().unwrap();
        let (socket, log) = (directory.path().join("socket"), directory.path().join("log"));
        let program = find_program(CLIENT_PACKAGE, "ssh-agent");
        let command = [program.as_os_str(), OsStr::new("-D"), OsStr::new("-a"), socket.as_os_str()];
        let process = ServerProcess::start(&command, Signal::TERM, directory.path(), &log);
        let deadline = Instant::now() + START_TIMEOUT;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "ssh-agent does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { _process: process, directory }
    }

    /// The socket clients speak to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Gives it a key, with its certificate when it has one.
    ///
    /// # Panics
    /// When `ssh-add` refuses.
    pub fn add(&self, key: &UserKey) {
        let output = Command::new(find_program(CLIENT_PACKAGE, "ssh-add"))
            .arg("-q")
            .arg(key.private_path())
            .env("SSH_AUTH_SOCK", self.socket())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
