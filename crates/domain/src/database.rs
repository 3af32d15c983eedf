//! Databases: what can be done in one, told apart as far as a policy should, and how the gate
//! reaches a PostgreSQL server.
//!
//! The acts are the same for every database protocol. A statement may be several of them at once
//! (`insert into a select from b` writes and reads); each is decided on by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::name::Login;

/// Longest name of a database taken into a decision, in bytes (PostgreSQL's own names end at 63,
/// MySQL's at 256).
pub const MAX_DATABASE_BYTES: usize = 256;

/// Something done in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseAct {
    /// Connecting to a database; every statement comes after it. Transaction control, and settings
    /// that only change how answers look, are part of it.
    Connect,
    /// Reading rows.
    Read,
    /// Changing rows: insert, update, delete, merge, truncate.
    Write,
    /// Changing the shape of the database: create, alter, drop, index maintenance.
    Ddl,
    /// Changing who may do what, or who the connection acts as: roles, grants, ownership, security
    /// policies, `SET ROLE`.
    Privilege,
    /// Changing what confines the connection: read-only mode, search path, row security, timeouts.
    Session,
    /// Running code the gate has not reviewed: `CALL`, `DO`, functions that are not reviewed
    /// built-ins, the protocol's function call.
    Call,
    /// Sending rows in bulk (`COPY ... FROM STDIN`, `LOAD DATA LOCAL`).
    CopyIn,
    /// Fetching rows in bulk (`COPY ... TO STDOUT`).
    CopyOut,
    /// Following the server's log of changes, or copying the whole server.
    Replicate,
    /// Reaching the server's machine, other sessions or other servers: files, programs, server
    /// settings.
    Server,
    /// A statement the gate cannot read, or one it knows to be none of the above. Granting it is
    /// granting everything the login may do.
    Unclassified,
}

impl DatabaseAct {
    /// Every act, in the order they are printed.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Read,
        Self::Write,
        Self::Ddl,
        Self::Privilege,
        Self::Session,
        Self::Call,
        Self::CopyIn,
        Self::CopyOut,
        Self::Replicate,
        Self::Server,
        Self::Unclassified,
    ];

    /// The kind of action it is in roles and policies.
    pub const fn kind(self) -> ActionKind {
        match self {
            Self::Connect => ActionKind::DbConnect,
            Self::Read => ActionKind::DbRead,
            Self::Write => ActionKind::DbWrite,
            Self::Ddl => ActionKind::DbDdl,
            Self::Privilege => ActionKind::DbPrivilege,
            Self::Session => ActionKind::DbSession,
            Self::Call => ActionKind::DbCall,
            Self::CopyIn => ActionKind::DbCopyIn,
            Self::CopyOut => ActionKind::DbCopyOut,
            Self::Replicate => ActionKind::DbReplicate,
            Self::Server => ActionKind::DbServer,
            Self::Unclassified => ActionKind::DbUnclassified,
        }
    }

    /// Whether it may leave something changed in the database. What is not known to leave nothing
    /// counts as changing.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Connect | Self::Read | Self::CopyOut)
    }
}

/// How the PostgreSQL room reaches a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresTarget {
    /// Host name or address, as seen from the gate.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Other names or addresses by which a forward could name this target.
    pub aliases: BTreeSet<String>,
    /// Databases that may be entered through the gate; the first is the default. INVARIANT: not
    /// empty.
    pub databases: Vec<String>,
    /// Roles of the server the gate signs in as, each with its credential; as people name them.
    pub logins: Vec<Login>,
    /// What the gate proves itself with, one per login, in the order of `logins`.
    pub credentials: Vec<PostgresCredential>,
    /// How the server proves itself.
    pub tls: PostgresTls,
}

impl PostgresTarget {
    /// What the gate signs in as `login` with.
    pub fn credential(&self, login: &Login) -> Option<&PostgresCredential> {
        let position = self.logins.iter().position(|known| known == login)?;
        self.credentials.get(position)
    }

    /// Every secret its credentials name.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(|credential| match credential {
            PostgresCredential::Password { secret }
            | PostgresCredential::Certificate { secret } => secret.as_str(),
        })
    }
}

/// How the gate proves itself to a PostgreSQL server. The client never sees any of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum PostgresCredential {
    /// A password kept in the store: for SCRAM-SHA-256, MD5, or in clear inside TLS.
    Password {
        /// Name of the secret, in the target's environment.
        secret: String,
    },
    /// A client certificate and its private key (PEM, one after the other) kept in the store.
    Certificate {
        /// Name of the secret, in the target's environment.
        secret: String,
    },
}

/// How a PostgreSQL server proves itself to the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum PostgresTls {
    /// A certificate for `host`, issued by an authority the gate's machine trusts.
    SystemRoots,
    /// A certificate for `host`, issued by one of these authorities alone.
    Authority {
        /// Certificates in PEM.
        certificates: String,
    },
    /// No TLS. Never in production: the gate refuses to connect.
    Plaintext,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_is_a_kind_of_action_of_its_own_and_back() {
        let kinds: BTreeSet<ActionKind> = DatabaseAct::ALL.map(DatabaseAct::kind).into();
        assert_eq!(kinds.len(), DatabaseAct::ALL.len());
        for act in DatabaseAct::ALL {
            assert_eq!(act.kind().database_act(), Some(act));
        }
        let others = ActionKind::ALL.into_iter().filter(|kind| kind.database_act().is_none());
        assert_eq!(others.count() + DatabaseAct::ALL.len(), ActionKind::ALL.len());
    }
}
