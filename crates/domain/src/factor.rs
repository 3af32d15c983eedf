//! Evidence of identity: which factors a principal has proved, and when.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::UserName;
use crate::time::Timestamp;

/// What kind of proof was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// A password.
    Password,
    /// A signature by a registered SSH key.
    SshKey,
    /// A signature by a key the gate certified at sign-in.
    SshCertificate,
    /// A signature by a key the gate certified at sign-in, in a TLS handshake.
    TlsCertificate,
    /// A bearer token the gate issued at sign-in.
    Token,
    /// A time-based one-time code (RFC 6238).
    Totp,
    /// A single-use recovery code.
    RecoveryCode,
    /// A signature by a registered WebAuthn credential; somebody was there to touch it.
    SecurityKey,
    /// The same, and the authenticator verified who was there: two factors in one.
    Passkey,
}

impl FactorKind {
    /// Whether this counts as a first factor.
    pub const fn is_first(self) -> bool {
        !self.is_second() || matches!(self, Self::Passkey)
    }

    /// Whether this counts as the second factor.
    pub const fn is_second(self) -> bool {
        matches!(self, Self::Totp | Self::RecoveryCode | Self::SecurityKey | Self::Passkey)
    }

    /// The name in the log and in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SshKey => "ssh_key",
            Self::SshCertificate => "ssh_certificate",
            Self::TlsCertificate => "tls_certificate",
            Self::Token => "token",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::SecurityKey => "security_key",
            Self::Passkey => "passkey",
        }
    }
}

/// One factor and when it was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// What was proved.
    pub kind: FactorKind,
    /// When. A certificate or token carries the time of the sign-in it came from.
    pub at: Timestamp,
}

/// Who someone has proved to be, by what, from where: the facts a decision uses.
///
/// This is plain data. The proof that it is true is the gateway's `Authenticated`, which wraps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The person.
    pub user: UserName,
    /// What they proved.
    pub factors: Vec<Factor>,
    /// Where they came from.
    pub source: IpAddr,
}

impl Authentication {
    /// When the latest second factor was proved, if any.
    pub fn second_factor_at(&self) -> Option<Timestamp> {
        self.factors.iter().filter(|f| f.kind.is_second()).map(|f| f.at).max()
    }
}
