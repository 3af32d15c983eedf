//! Targets: the systems behind the gate, with what each protocol's room needs to reach them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

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
    /// The SSH room's settings. Later protocols stand beside it as variants.
    pub ssh: SshTarget,
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
