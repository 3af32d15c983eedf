//! Signing in and one's own credentials.

use portcullis_domain::{ControlAction, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/login`. `Debug` hides what must not be printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// Who.
    pub user: String,
    /// Their password.
    pub password: String,
    /// A one-time or recovery code.
    #[serde(default)]
    pub code: Option<String>,
    /// An SSH public key (OpenSSH format) to certify.
    #[serde(default)]
    pub public_key: Option<String>,
    /// A public key (PEM) to certify for TLS: databases, HTTPS.
    #[serde(default)]
    pub tls_public_key: Option<String>,
}

impl std::fmt::Debug for LoginBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginBody").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What signing in gives.
#[derive(Clone, Serialize, Deserialize)]
pub struct LoginView {
    /// Who.
    pub user: UserName,
    /// Bearer token for the API.
    pub token: String,
    /// Until when token and certificate are good.
    pub expires: Timestamp,
    /// OpenSSH certificate for the given key.
    pub certificate: Option<String>,
    /// Client certificate (PEM) for the given TLS key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<String>,
    /// The authority (PEM) that the gate's TLS listeners are certified by.
    #[serde(default)]
    pub tls_authority: String,
    /// `host:port` of the gate's PostgreSQL door, where it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_address: Option<String>,
    /// The gate's SSH host key, OpenSSH format.
    pub gate_host_key: String,
    /// `host:port` of the gate's SSH door.
    pub ssh_address: String,
}

/// Who the caller is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoamiView {
    /// Their name.
    pub user: UserName,
    /// Roles and by which paths.
    pub roles: Vec<RoleView>,
    /// What they may do with Portcullis itself.
    pub control: Vec<ControlAction>,
    /// Which second factors are set up (`totp`, `recovery_codes`, `passkeys`).
    pub second_factors: Vec<String>,
}

/// A role held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleView {
    /// The role.
    pub role: String,
    /// By which assignments and groups.
    pub via: Vec<String>,
}

/// Body of `POST /v1/me/password`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The present password.
    pub old: String,
    /// The new one.
    pub new: String,
    /// A present one-time or recovery code, where a second factor exists.
    #[serde(default)]
    pub code: Option<String>,
}

/// Body of `POST /v1/me/totp/confirm`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    /// A code from the new secret.
    pub code: String,
}

/// A new second factor to load into an authenticator.
#[derive(Clone, Serialize, Deserialize)]
pub struct TotpView {
    /// Base32.
    pub secret: String,
    /// `otpauth://` URI.
    pub uri: String,
}

/// New recovery codes; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct RecoveryCodesView {
    /// The codes.
    pub codes: Vec<String>,
}

/// Body of `POST /v1/users/{user}/credentials/reset`: a temporary password and no second factor.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// The temporary password.
    pub password: String,
    /// Why.
    pub reason: String,
}

/// Files for an unmodified OpenSSH client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SshConfigView {
    /// Text for `~/.ssh/config`.
    pub config: String,
    /// Text for `known_hosts`.
    pub known_hosts: String,
}

/// Public keys of the authorities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthoritiesView {
    /// Signs people's certificates; nothing but the gate needs it.
    pub sign_in: String,
    /// Put this into `TrustedUserCAKeys` of every target.
    pub target: String,
}
