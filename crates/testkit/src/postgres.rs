//! A real PostgreSQL server on 127.0.0.1 with a fresh data directory.
//!
//! PostgreSQL refuses to run as root; the package's own user `postgres` runs it then.
//!
//! Must never know: what the databases hold.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::free_port;
use crate::process::{ServerProcess, find_program, missing, run_tool};

const PACKAGE: &str = "postgresql";
const SYSTEM_USER: &str = "postgres";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_ATTEMPTS: u32 = 5;
/// Where Debian keeps each major version's programs, in VERSION/bin.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Fast and forgetful, as tests like it.
const FORGETFUL: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
const SETTINGS: [&str; 5] = [
    "shared_buffers=32MB",
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
];

/// A running PostgreSQL server; dropped, it ends and its data are gone.
#[derive(Debug)]
pub struct PostgresServer {
    process: ServerProcess,
    port: u16,
    databases: AtomicU32,
    directory: tempfile::TempDir,
    disk: Disk,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Forgetful,
    Durable,
}

impl PostgresServer {
    /// Makes a data directory, starts the server on it and waits until it answers.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start; the message says what to install.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(Disk::Forgetful)
    }

    /// The same with a commit that is on the disk when it is answered, as in production: for
    /// measurements.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_on(Disk::Durable)
    }

    fn start_on(disk: Disk) -> Self {
        let directory = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let user = RunAs::choose();
        user.own(directory.path());
        let data = directory.path().join("data");
        user.run(&[
            program("initdb").as_os_str(),
            OsStr::new("--pgdata"),
            data.as_os_str(),
            OsStr::new("--username=postgres"),
            OsStr::new("--auth=trust"),
            OsStr::new("--encoding=UTF8"),
            OsStr::new("--no-locale"),
            OsStr::new("--no-sync"),
        ]);
        let log = directory.path().join("log");
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            let mut process = launch(&user, disk, (&data, directory.path()), port, &log);
            if await_ready(&mut process, port) {
                return Self { process, port, databases: AtomicU32::new(0), directory, disk };
            }
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(log).unwrap_or_default())
    }

    /// One server for all tests of this process, started on first use; take a
    /// [`PostgresServer::fresh_database`] of it.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `postgres`, as its superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Creates an empty database and hands back its URL.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query(&format!("create database {name}"));
        self.url_of(&name)
    }

    /// Runs SQL in the database `postgres` through `psql`; values come back one row per
    /// line, columns separated by `|`.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let url = self.url();
        let psql = program("psql");
        let arguments = [&url, "-v", "ON_ERROR_STOP=1", "-XqAtc", sql];
        run_tool("postgresql-client", psql.to_str().unwrap(), &arguments)
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Ends the server at once; connections are cut.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts a stopped server again, on the same port and data.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn start_again(&mut self) {
        let (user, directory) = (RunAs::choose(), self.directory.path());
        let log = directory.join("log");
        self.process =
            launch(&user, self.disk, (&directory.join("data"), directory), self.port, &log);
        let back = await_ready(&mut self.process, self.port);
        assert!(back, "PostgreSQL does not come back: {}", self.log());
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Who runs the server: we ourselves, or the package's user when we are root.
struct RunAs {
    ids: Option<(u32, u32)>,
}

impl RunAs {
    fn choose() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self { ids: None };
        }
        let entry = run_tool("libc-bin", "getent", &["passwd", SYSTEM_USER]);
        let mut fields = entry.split(':').skip(2);
        let mut id = || fields.next()?.parse().ok();
        match (id(), id()) {
            (Some(user), Some(group)) => Self { ids: Some((user, group)) },
            _ => missing(PACKAGE, "the user postgres"),
        }
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.ids {
            std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
        }
    }

    /// The words that run `command` as this user, without a process in between.
    fn wrap(&self, command: &[&OsStr]) -> Vec<OsString> {
        let mut words = Vec::new();
        if self.ids.is_some() {
            words.push(find_program("util-linux", "setpriv").into_os_string());
            for option in ["--reuid", SYSTEM_USER, "--regid", SYSTEM_USER, "--init-groups", "--"] {
                words.push(option.into());
            }
        }
        words.extend(command.iter().map(|&word| word.to_owned()));
        words
    }

    fn run(&self, command: &[&OsStr]) {
        let words = self.wrap(command);
        let (first, rest) = words.split_first().unwrap();
        let output = Command::new(first).args(rest).current_dir("/").output().unwrap();
        assert!(
            output.status.success(),
            "{command:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn launch(
    user: &RunAs,
    disk: Disk,
    (data, directory): (&Path, &Path),
    port: u16,
    log: &Path,
) -> ServerProcess {
    let disk: &[&str] = if disk == Disk::Forgetful { &FORGETFUL } else { &[] };
    let postgres = program("postgres");
    let port = format!("port={port}");
    let mut command = vec![postgres.as_os_str(), OsStr::new("-D"), data.as_os_str()];
    for setting in SETTINGS.iter().chain(disk).copied().chain([port.as_str()]) {
        command.extend([OsStr::new("-c"), OsStr::new(setting)]);
    }
    let words = user.wrap(&command);
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    // SIGQUIT is "immediate shutdown": no goodbye, but no shared memory left behind either.
    ServerProcess::start(&words, Signal::QUIT, directory, log)
}

/// Whether the server answers before it ends or the time is up.
fn await_ready(process: &mut ServerProcess, port: u16) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    let probe = program("pg_isready");
    while Instant::now() < deadline {
        if process.ended().is_some() {
            return false;
        }
        let ready = Command::new(&probe)
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .unwrap();
        if ready.success() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// A program of the newest version installed; Debian keeps most of them out of `PATH`.
#[track_caller]
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path)| path.join("bin").join("postgres").is_file())
        .collect();
    versions.sort();
    match versions.pop() {
        Some((_, newest)) => newest.join("bin").join(name),
        None => find_program(PACKAGE, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_and_its_databases_are_apart() {
        let server = PostgresServer::shared();
        assert_eq!(server.query("select 1"), "1\n");
        let (first, second) = (server.fresh_database(), server.fresh_database());
        assert_ne!(first, second);
        let psql = program("psql");
        let run =
            |url: &str, sql: &str| run_tool(PACKAGE, psql.to_str().unwrap(), &[url, "-XqAtc", sql]);
        run(&first, "create table only_here (id int)");
        assert_eq!(run(&second, "select to_regclass('only_here') is null"), "t\n");
    }

    #[test]
    fn a_stopped_server_leaves_neither_process_nor_directory() {
        let mut server = PostgresServer::start();
        let (process, directory) = (server.process.id(), server.directory.path().to_owned());
        server.stop();
        drop(server);
        assert!(!Path::new(&format!("/proc/{process}")).exists() && !directory.exists());
    }
}
