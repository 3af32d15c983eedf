//! Real parts for tests: an OpenSSH server and clients, an SSH agent, a PostgreSQL and a MariaDB
//! server, a WebAuthn authenticator, keys, ports and a pseudo terminal.
//!
//! In: what a test wants (which keys are trusted, what a prompt is answered with).
//! Out: running processes on 127.0.0.1, each ended with its whole process tree when its
//! handle is dropped, and also when the test process dies without dropping it.
//!
//! Everything here blocks and uses the standard library, so that it serves any test;
//! from an async test call it through `spawn_blocking`. What is missing on the machine
//! is a panic that names the package: a test never passes by being skipped.
//!
//! **Must never know:** any other crate of Portcullis. It is a dev-dependency only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test harness reports by panicking; it is never part of the binary"
)]

mod authenticator;
mod cases;
mod daemon;
mod keys;
mod link;
mod mariadb;
mod network;
mod outcome;
mod postgres;
mod process;
mod pty;
mod ssh_agent;
mod ssh_client;
mod ssh_password;
mod ssh_server;

pub use authenticator::Authenticator;
pub use cases::cases;
pub use daemon::Daemon;
pub use keys::{CertificateAuthority, KeyKind, UserKey};
pub use link::Link;
pub use mariadb::MariaDbServer;
pub use network::{free_port, wait_for_port};
pub use outcome::ClientOutput;
pub use postgres::PostgresServer;
pub use process::RunningClient;
pub use pty::{PtyClient, PtyTimeout};
pub use ssh_agent::SshAgent;
pub use ssh_client::SshClient;
pub use ssh_password::PasswordPrompt;
pub use ssh_server::{SshServer, SshServerBuilder};
pub use tempfile::TempDir;

/// The name of the user running the tests: the only login a server started without
/// root can offer, and one that always exists.
///
/// # Panics
/// When `id` cannot be run.
#[must_use]
pub fn current_user() -> String {
    process::run_tool("coreutils", "id", &["-un"]).trim().to_owned()
}
