//! Second factors, passkeys, and clients that wait for a factor proved elsewhere.

use std::net::IpAddr;

use portcullis_domain::{ChangeId, TargetName, Timestamp, UserCode, UserName};
use portcullis_identity::webauthn::{AuthenticationResponse, RegistrationResponse, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What somebody signed in proves with: a passkey's answer alone, or what they know and have. Body of
/// `POST /v1/me/totp`, `.../recovery-codes`, `.../step-up` and others. `Debug` hides what must not be
/// printed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofBody {
    /// The password, again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A present one-time or recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What a browser answered to `POST /v1/me/challenge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey: Option<AuthenticationResponse>,
}

impl std::fmt::Debug for ProofBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProofBody").finish_non_exhaustive()
    }
}

/// Options a browser is called with: `navigator.credentials.create` or `get`, in their JSON form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChallengeView {
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub public_key: Value,
}

/// Body of `POST /v1/me/passkeys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPasskeyBody {
    /// `passkey`: signs in alone; `security_key`: a second factor.
    pub kind: Wanted,
    /// Who registers it.
    pub proof: ProofBody,
}

/// Body of `POST /v1/me/passkeys/confirm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmPasskeyBody {
    /// What its owner calls it.
    pub name: String,
    /// What the browser answered.
    pub answer: RegistrationResponse,
}

/// Body of `PUT /v1/me/factors/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorNameBody {
    /// What its owner calls it.
    pub name: String,
}

/// Somebody's factors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FactorsView {
    /// Whose.
    pub user: UserName,
    /// Each of them.
    pub factors: Vec<FactorView>,
    /// Until when they stay out of production because these changed.
    pub production_opens: Option<Timestamp>,
}

/// One factor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FactorView {
    /// Points at it: `fct-...`, `totp` or `recovery_codes`.
    pub id: String,
    /// `passkey`, `security_key`, `totp` or `recovery_codes`.
    pub kind: String,
    /// What its owner calls it; of recovery codes, how many are left.
    pub name: String,
    /// Since when it counts.
    pub created: Option<Timestamp>,
    /// When it was used last, where that is known.
    pub used: Option<Timestamp>,
    /// Whether it may be on more than one device.
    pub on_several_devices: bool,
}

/// Body of `POST /v1/login/passkey`. `Debug` hides what must not be printed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyLoginBody {
    /// Who, where the passkey is the second factor; left out where it signs in alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Their password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl std::fmt::Debug for PasskeyLoginBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasskeyLoginBody").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/login/passkey/finish`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishPasskeyLoginBody {
    /// What the browser answered.
    pub answer: AuthenticationResponse,
    /// An SSH public key (OpenSSH format) to certify.
    #[serde(default)]
    pub public_key: Option<String>,
}

/// A client that waits for its person to prove a factor elsewhere. What the client says of itself is
/// not proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmationView {
    /// What the client shows.
    pub code: UserCode,
    /// What the client is.
    pub device: String,
    /// Where it is.
    pub source: IpAddr,
    /// What it wants to reach.
    pub target: Option<TargetName>,
    /// When it began to wait.
    pub at: Timestamp,
    /// Until when it waits.
    pub expires: Timestamp,
}

/// What became of a reset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetView {
    /// The change another administrator must approve before the reset is in force.
    pub change: ChangeId,
    /// Until when they can.
    pub expires: Timestamp,
}
