//! What a principal does to a target. Every channel and request of every protocol maps to one of
//! these before it is authorised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::database::DatabaseAct;

/// Longest command, path or host taken into a decision, in bytes. Longer ones are refused, not cut.
pub const MAX_ACTION_TEXT_BYTES: usize = 32 * 1024;

/// One thing done to a target, with what the decision depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// An interactive shell (RFC 4254 section 6.5 `shell`).
    Shell,
    /// One command (`exec`).
    Exec {
        /// The command line as the client sent it.
        command: String,
    },
    /// Writing a file on the target (SFTP, scp).
    Upload {
        /// Path on the target as the client sent it; empty when opening the subsystem.
        path: String,
    },
    /// Reading a file or listing a directory on the target (SFTP, scp).
    Download {
        /// Path on the target as the client sent it; empty when opening the subsystem.
        path: String,
    },
    /// A connection from the client through the target to somewhere (`direct-tcpip`).
    Forward {
        /// Destination host as the client named it.
        host: String,
        /// Destination port.
        port: u16,
    },
    /// Letting the target use the client's SSH agent.
    AgentForward,
    /// Listening on the target for connections carried back to the client (`tcpip-forward`).
    RemoteForward {
        /// Bind address on the target as the client named it.
        host: String,
        /// Bind port; 0 lets the target choose.
        port: u16,
    },
    /// Something done in a database, or connecting to one.
    Database {
        /// What.
        act: DatabaseAct,
        /// Name of the database on the server, as the client named it.
        database: String,
    },
}

impl Action {
    /// Which kind of action this is.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Shell => ActionKind::Shell,
            Self::Exec { .. } => ActionKind::Exec,
            Self::Upload { .. } => ActionKind::Upload,
            Self::Download { .. } => ActionKind::Download,
            Self::Forward { .. } => ActionKind::Forward,
            Self::AgentForward => ActionKind::AgentForward,
            Self::RemoteForward { .. } => ActionKind::RemoteForward,
            Self::Database { act, .. } => act.kind(),
        }
    }

    /// Bytes of the text a decision must look at.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Shell | Self::AgentForward => 0,
            Self::Exec { command } => command.len(),
            Self::Upload { path } | Self::Download { path } => path.len(),
            Self::Forward { host, .. } | Self::RemoteForward { host, .. } => host.len(),
            Self::Database { database, .. } => database.len(),
        }
    }

    /// What the action is about, for people and the log: command, path, `host:port` or
    /// database.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Shell | Self::AgentForward => None,
            Self::Exec { command } => Some(command.clone()),
            Self::Upload { path } | Self::Download { path } => Some(path.clone()),
            Self::Forward { host, port } | Self::RemoteForward { host, port } => {
                Some(format!("{host}:{port}"))
            }
            Self::Database { database, .. } => Some(database.clone()),
        }
    }
}

/// The kinds of action, as written in roles, policies and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// See [`Action::Shell`].
    Shell,
    /// See [`Action::Exec`].
    Exec,
    /// See [`Action::Upload`].
    Upload,
    /// See [`Action::Download`].
    Download,
    /// See [`Action::Forward`].
    Forward,
    /// See [`Action::AgentForward`].
    AgentForward,
    /// See [`Action::RemoteForward`].
    RemoteForward,
    /// See [`DatabaseAct::Connect`].
    DbConnect,
    /// See [`DatabaseAct::Read`].
    DbRead,
    /// See [`DatabaseAct::Write`].
    DbWrite,
    /// See [`DatabaseAct::Ddl`].
    DbDdl,
    /// See [`DatabaseAct::Privilege`].
    DbPrivilege,
    /// See [`DatabaseAct::Session`].
    DbSession,
    /// See [`DatabaseAct::Call`].
    DbCall,
    /// See [`DatabaseAct::CopyIn`].
    DbCopyIn,
    /// See [`DatabaseAct::CopyOut`].
    DbCopyOut,
    /// See [`DatabaseAct::Replicate`].
    DbReplicate,
    /// See [`DatabaseAct::Server`].
    DbServer,
    /// See [`DatabaseAct::Unclassified`].
    DbUnclassified,
}

/// A text that names no action.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not an action; the actions are shell, exec, upload, download, forward, agent_forward, remote_forward, db_connect, db_read, db_write, db_ddl, db_privilege, db_session, db_call, db_copy_in, db_copy_out, db_replicate, db_server, db_unclassified"
)]
pub struct ActionError(String);

impl ActionKind {
    /// Every kind, in the order they are printed.
    pub const ALL: [Self; 19] = [
        Self::Shell,
        Self::Exec,
        Self::Upload,
        Self::Download,
        Self::Forward,
        Self::AgentForward,
        Self::RemoteForward,
        Self::DbConnect,
        Self::DbRead,
        Self::DbWrite,
        Self::DbDdl,
        Self::DbPrivilege,
        Self::DbSession,
        Self::DbCall,
        Self::DbCopyIn,
        Self::DbCopyOut,
        Self::DbReplicate,
        Self::DbServer,
        Self::DbUnclassified,
    ];

    /// What is done in a database, where it is that; `None` for what is done on a host.
    pub const fn database_act(self) -> Option<DatabaseAct> {
        Some(match self {
            Self::Shell
            | Self::Exec
            | Self::Upload
            | Self::Download
            | Self::Forward
            | Self::AgentForward
            | Self::RemoteForward => return None,
            Self::DbConnect => DatabaseAct::Connect,
            Self::DbRead => DatabaseAct::Read,
            Self::DbWrite => DatabaseAct::Write,
            Self::DbDdl => DatabaseAct::Ddl,
            Self::DbPrivilege => DatabaseAct::Privilege,
            Self::DbSession => DatabaseAct::Session,
            Self::DbCall => DatabaseAct::Call,
            Self::DbCopyIn => DatabaseAct::CopyIn,
            Self::DbCopyOut => DatabaseAct::CopyOut,
            Self::DbReplicate => DatabaseAct::Replicate,
            Self::DbServer => DatabaseAct::Server,
            Self::DbUnclassified => DatabaseAct::Unclassified,
        })
    }

    /// The name in roles, Cedar and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Forward => "forward",
            Self::AgentForward => "agent_forward",
            Self::RemoteForward => "remote_forward",
            Self::DbConnect => "db_connect",
            Self::DbRead => "db_read",
            Self::DbWrite => "db_write",
            Self::DbDdl => "db_ddl",
            Self::DbPrivilege => "db_privilege",
            Self::DbSession => "db_session",
            Self::DbCall => "db_call",
            Self::DbCopyIn => "db_copy_in",
            Self::DbCopyOut => "db_copy_out",
            Self::DbReplicate => "db_replicate",
            Self::DbServer => "db_server",
            Self::DbUnclassified => "db_unclassified",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ActionKind {
    type Err = ActionError;
    fn from_str(text: &str) -> Result<Self, ActionError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text.replace('-', "_"))
            .ok_or_else(|| ActionError(text.escape_debug().to_string()))
    }
}
