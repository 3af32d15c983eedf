//! A real MariaDB server on 127.0.0.1 with a fresh data directory.
//!
//! Its administrator is [`MariaDbServer::ADMINISTRATOR`], without a password. As root the server
//! runs as the package's own user `mysql`.
//!
//! Must never know: what the databases hold.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{ServerProcess, find_program, run_tool};
use crate::{free_port, wait_for_port};

const PACKAGE: &str = "mariadb-server";
const SYSTEM_USER: &str = "mysql";
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Makes the administrator, who may come from any address; read at each start.
const INIT: &str = "create or replace user tester@'%' identified by '';
grant all on *.* to tester@'%' with grant option;
";

/// A running MariaDB server; dropped, it ends and its data are gone.
#[derive(Debug)]
pub struct MariaDbServer {
    _process: ServerProcess,
    port: u16,
    _directory: tempfile::TempDir,
}

impl MariaDbServer {
    /// Who may do everything.
    pub const ADMINISTRATOR: &str = "tester";

    /// Makes a data directory, starts the server on it and waits until it answers.
    ///
    /// # Panics
    /// When MariaDB is missing or does not start; the message says what to install.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mariadb").tempdir().unwrap();
        let path = directory.path();
        let user = if rustix::process::geteuid().is_root() {
            let entry = run_tool("libc-bin", "getent", &["passwd", SYSTEM_USER]);
            let id = |place| entry.split(':').nth(place).unwrap().parse().ok();
            chown(path, id(2), id(3)).unwrap();
            SYSTEM_USER.to_owned()
        } else {
            crate::current_user()
        };
        let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let data = option("datadir", &path.join("data"));
        let as_user = format!("--user={user}");
        let install = find_program(PACKAGE, "mariadb-install-db");
        run_tool(
            PACKAGE,
            install.to_str().unwrap(),
            &["--no-defaults", "--skip-test-db", "--skip-log-bin", &as_user, &data],
        );
        let init = path.join("init.sql");
        fs::write(&init, INIT).unwrap();
        let port = free_port();
        let words = [
            find_program(PACKAGE, "mariadbd").to_str().unwrap().to_owned(),
            "--no-defaults".to_owned(),
            as_user,
            data,
            option("init-file", &init),
            option("socket", &path.join("socket")),
            option("pid-file", &path.join("pid")),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-buffer-pool-size=32M".to_owned(),
            "--character-set-server=utf8mb4".to_owned(),
        ];
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let log = path.join("log");
        let process = ServerProcess::start(&words, Signal::TERM, path, &log);
        assert!(
            wait_for_port(port, START_TIMEOUT),
            "MariaDB does not start: {}",
            fs::read_to_string(&log).unwrap_or_default()
        );
        Self { _process: process, port, _directory: directory }
    }

    /// One server for all tests of this process, started on first use.
    ///
    /// # Panics
    /// As [`MariaDbServer::start`].
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDbServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
