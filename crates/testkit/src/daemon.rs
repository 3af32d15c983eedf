//! Any server program in a directory of its own: started, waited for, ended with its test.
//!
//! In: a program, its arguments, and a port of loopback it will listen on. Out: a handle. Must never
//! know: what is spoken on the port.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{ServerProcess, find_program};
use crate::wait_for_port;

/// Longest wait for the port.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; dropped, it ends.
#[derive(Debug)]
pub struct Daemon {
    /// Ends it when dropped.
    _process: ServerProcess,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` (a name, of the Debian package `package`, or an absolute path) and waits
    /// until `port` answers. `directory` is removed should the test process be killed.
    ///
    /// # Panics
    /// When it is not installed, or does not listen in time.
    #[must_use]
    #[track_caller]
    pub fn start(
        package: &str,
        program: &str,
        arguments: &[&str],
        directory: &Path,
        port: u16,
    ) -> Self {
        let program = match Path::new(program).is_absolute() {
            true => PathBuf::from(program),
            false => find_program(package, program),
        };
        let log = directory.join("server.log");
        let mut command = vec![program.as_os_str()];
        command.extend(arguments.iter().map(OsStr::new));
        let process = ServerProcess::start(&command, Signal::TERM, directory, &log);
        let daemon = Self { _process: process, log };
        assert!(wait_for_port(port, PATIENCE), "it does not listen: {}", daemon.log());
        daemon
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}
