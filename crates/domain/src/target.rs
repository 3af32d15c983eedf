//! Targets: the systems behind the gate, with what each protocol's room needs to reach them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::database::PostgresTarget;
use crate::name::{EnvironmentName, Login, TargetName};

/// A system behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, unique across environments.
    pub name: TargetName,
    /// The one environment it belongs to.
    pub environment: EnvironmentName,
    /// Free labels roles select by.
    pub labels: BTreeMap<String, String>,
    /// How it is spoken to, with that room's settings.
    #[serde(flatten)]
    pub protocol: Protocol,
}

/// How a target is spoken to: one variant per room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A host or network device, over SSH.
    Ssh(SshTarget),
    /// A PostgreSQL server.
    Postgres(PostgresTarget),
}

impl Protocol {
    /// The name in resources, session lists and the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ssh(_) => "ssh",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl Target {
    /// The SSH room's settings, where it is entered over SSH.
    pub const fn ssh(&self) -> Option<&SshTarget> {
        match &self.protocol {
            Protocol::Ssh(ssh) => Some(ssh),
            Protocol::Postgres(_) => None,
        }
    }

    /// The PostgreSQL room's settings, where it is a PostgreSQL server.
    pub const fn postgres(&self) -> Option<&PostgresTarget> {
        match &self.protocol {
            Protocol::Postgres(postgres) => Some(postgres),
            Protocol::Ssh(_) => None,
        }
    }

    /// Host name or address, as seen from the gate.
    pub fn host(&self) -> &str {
        match &self.protocol {
            Protocol::Ssh(ssh) => &ssh.host,
            Protocol::Postgres(postgres) => &postgres.host,
        }
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        match &self.protocol {
            Protocol::Ssh(ssh) => ssh.port,
            Protocol::Postgres(postgres) => postgres.port,
        }
    }

    /// Other names or addresses of it.
    pub const fn aliases(&self) -> &BTreeSet<String> {
        match &self.protocol {
            Protocol::Ssh(ssh) => &ssh.aliases,
            Protocol::Postgres(postgres) => &postgres.aliases,
        }
    }

    /// Every name and address it is known by.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.host()).chain(self.aliases().iter().map(String::as_str))
    }

    /// Accounts on it; the first is the default when only one is allowed.
    pub fn logins(&self) -> &[Login] {
        match &self.protocol {
            Protocol::Ssh(ssh) => &ssh.logins,
            Protocol::Postgres(postgres) => &postgres.logins,
        }
    }

    /// Whether its protocol knows actions of this kind at all. Whatever policies say, nothing
    /// else is allowed on it.
    pub const fn offers(&self, kind: ActionKind) -> bool {
        match &self.protocol {
            Protocol::Ssh(_) => kind.database_act().is_none(),
            Protocol::Postgres(_) => kind.database_act().is_some(),
        }
    }
}
/// How the SSH room reaches a host or network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshTarget {
    /// Host name or address, as seen from the gate.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Other names or addresses by which a forward could name this target (used to refuse
    /// forwards that would go around the room).
    pub aliases: BTreeSet<String>,
    /// Accounts that exist there; the first is the default when only one is allowed.
    pub logins: Vec<Login>,
    /// Pinned host keys in OpenSSH public key format (`ssh-ed25519 AAAA...`).
    pub host_keys: Vec<String>,
    /// Certificate authorities that may certify the host key, same format.
    pub host_authorities: Vec<String>,
    /// How the gate proves itself to the target.
    pub credential: SshCredential,
    /// Algorithms outside the modern set, each named: for network devices only.
    pub legacy_algorithms: BTreeSet<String>,
    /// Names of environment variables the client may set, `*` at the end allowed.
    pub accept_env: Vec<String>,
}

/// How the gate proves itself to an SSH target. The client never sees any of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum SshCredential {
    /// A certificate for one connection, signed by the gate's own authority.
    Certificate,
    /// A private key kept in the store under this secret name.
    Key {
        /// Name of the secret, in the target's environment.
        secret: String,
    },
    /// A password kept in the store under this secret name.
    Password {
        /// Name of the secret, in the target's environment.
        secret: String,
    },
}
