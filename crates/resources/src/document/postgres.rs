//! How a PostgreSQL server is written in a Target.

use schemars::JsonSchema;
use serde::Serialize;

use super::SecretName;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresSpec {
    /// Host name or address as seen from the gate. The server's certificate must be for it.
    pub(super) host: String,
    /// TCP port.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    pub(super) port: u16,
    /// Other names and addresses of the server; forwards to them are refused in favour of the
    /// target's own room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<String>,
    /// Databases that may be entered, by their exact names; the first where a client names none.
    #[schemars(length(min = 1, max = 256))]
    pub(super) databases: Vec<String>,
    /// Roles of the server the gate signs in as, each with its credential.
    #[schemars(length(min = 1))]
    pub(super) logins: Vec<PostgresLoginSpec>,
    /// How the server proves itself. Default: `system_roots`.
    #[serde(default = "tls")]
    pub(super) tls: PostgresTlsSpec,
}

/// A role of the server and what the gate signs in with: a password or a certificate.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresLoginSpec {
    /// Name of the role on the server.
    pub(super) name: String,
    /// Its password, kept in the store. A secret serves targets of one environment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<SecretName>,
    /// A client certificate and its private key, both PEM in one stored secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<SecretName>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PostgresTlsSpec {
    /// A certificate for `host` by an authority the gate's machine trusts.
    SystemRoots,
    /// A certificate for `host` by one of these authorities alone, in PEM.
    Authority(String),
    /// No TLS: for servers on the gate's own machine, never in production.
    Plaintext,
}

fn port() -> u16 {
    crate::decode::POSTGRES_PORT
}

fn tls() -> PostgresTlsSpec {
    PostgresTlsSpec::SystemRoots
}
