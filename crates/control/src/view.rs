//! What use cases take and give, as plain data with serde: the same types are the bodies of the
//! HTTP API and what the command line prints with `--json`.
//!
//! Names in here are names in the API; changing one is a change of the API.

use std::collections::BTreeSet;

use portcullis_domain::{
    AccessRequest, ActionKind, ControlAction, EnvironmentName, Grant, GrantId, Lock, LockSubject,
    Login, RequestId, SessionId, TargetName, Timestamp, UserName,
};
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
    /// Which second factors are set up (`totp`, `recovery_codes`).
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

/// A file of resources.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceFile {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Body of `POST /v1/plan` and `POST /v1/apply`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// The files.
    pub files: Vec<ResourceFile>,
    /// Remove resources in force that the files do not have.
    #[serde(default)]
    pub prune: bool,
    /// For apply: refuse if the store has moved on from this revision.
    #[serde(default)]
    pub expected_revision: Option<u64>,
}

/// What would change, or has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanView {
    /// The store's revision it was computed at (plan) or made (apply).
    pub revision: u64,
    /// Changes of resources.
    pub changes: Vec<ChangeView>,
    /// Changes of reach.
    pub reach: Vec<ReachView>,
}

/// One resource added, changed or removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeView {
    /// `Kind/name`.
    pub resource: String,
    /// `add`, `change` or `remove`.
    pub change: String,
    /// Changed fields.
    pub fields: Vec<FieldView>,
}

/// One field of a changed resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FieldView {
    /// Dotted path.
    pub path: String,
    /// Before, as JSON.
    pub before: serde_json::Value,
    /// After, as JSON.
    pub after: serde_json::Value,
}

/// Someone gains or loses an action on a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReachView {
    /// Who.
    pub user: UserName,
    /// Where.
    pub target: TargetName,
    /// What.
    pub action: ActionKind,
    /// How it was: `no`, `after approval`, `standing`.
    pub before: String,
    /// How it will be.
    pub after: String,
}

/// A resource in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceView {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Canonical YAML.
    pub yaml: String,
    /// Who last changed it.
    pub author: UserName,
    /// When.
    pub updated_at: Timestamp,
}

/// Query of `GET /v1/why`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// Who.
    pub user: String,
    /// Which action.
    pub action: ActionKind,
    /// Which target.
    pub target: String,
    /// As which account.
    #[serde(default)]
    pub login: Option<String>,
    /// Command, path or `host:port`.
    #[serde(default)]
    pub object: Option<String>,
    /// Assume a second factor proved just now.
    #[serde(default)]
    pub second_factor: bool,
}

/// A decision explained: for people as text, for programs as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhyView {
    /// `allow`, `step_up`, `request_access` or `deny`.
    pub decision: String,
    /// For people, several lines.
    pub text: String,
    /// Everything, structured.
    pub explanation: serde_json::Value,
}

/// One row of `who-can`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoCanView {
    /// Who.
    pub user: String,
    /// `now`, `after a second factor` or `after approval`.
    pub how: String,
    /// As which accounts.
    pub logins: Vec<String>,
    /// By which roles, policies and paths.
    pub via: Vec<String>,
}

/// Body of `POST /v1/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// For which target.
    pub target: String,
    /// For how long, as people write it (`1h`).
    pub duration: String,
    /// Why.
    pub reason: String,
    /// Only these actions; empty: all that the roles allow.
    #[serde(default)]
    pub actions: BTreeSet<ActionKind>,
    /// Only as this account.
    #[serde(default)]
    pub login: Option<Login>,
}

/// A request with what an approver wants to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestView {
    /// The request.
    #[serde(flatten)]
    pub request: AccessRequest,
    /// Whether the caller may decide it.
    pub can_decide: bool,
    /// The grant, once approved.
    pub grant: Option<Grant>,
}

/// Body with a reason: deny, revoke, kill, drop, raise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why.
    pub reason: String,
}

/// Body of `POST /v1/locks`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    /// What to lock.
    pub subject: LockSubject,
    /// Why.
    pub reason: String,
    /// For how long, as people write it; absent: until lifted.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// What raising led to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RaiseView {
    /// Whether the gate is up.
    pub raised: bool,
    /// How many more people must ask.
    pub waiting_for: usize,
    /// The lock.
    pub lock: Lock,
}

/// A session in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub user: UserName,
    /// Where.
    pub target: TargetName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// As which account.
    pub login: Option<Login>,
    /// From where.
    pub source: String,
    /// Since when.
    pub opened: Timestamp,
    /// Until when, if it has ended.
    pub closed: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Whether it is live on this node.
    pub live: bool,
    /// Summary of its recording.
    pub recording: Option<serde_json::Value>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Only live ones.
    #[serde(default)]
    pub live: bool,
    /// Only this person's.
    #[serde(default)]
    pub user: Option<String>,
    /// Only to this target.
    #[serde(default)]
    pub target: Option<String>,
    /// At most this many (default 100, at most 1000).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// Which requests or grants to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessQuery {
    /// Only one's own.
    #[serde(default)]
    pub mine: bool,
    /// Only pending requests, or grants in force.
    #[serde(default)]
    pub open: bool,
}

/// Which audit events to find. All conditions must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// By this person.
    #[serde(default)]
    pub user: Option<String>,
    /// On this target.
    #[serde(default)]
    pub target: Option<String>,
    /// In this environment.
    #[serde(default)]
    pub environment: Option<String>,
    /// Of this activity, such as `authorize` or `session.open`.
    #[serde(default)]
    pub activity: Option<String>,
    /// `success`, `refused` or `failed`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Of this session.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Not before.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Before.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// With this text anywhere.
    #[serde(default)]
    pub text: Option<String>,
    /// The latest this many (default 100, at most 10,000).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its index in the log.
    pub index: u64,
    /// The OCSF event.
    pub event: serde_json::Value,
}

/// The log's latest signed checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointView {
    /// C2SP signed note.
    pub checkpoint: String,
    /// Verifier key, C2SP vkey format.
    pub vkey: String,
}

/// What a full verification found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyView {
    /// How many entries.
    pub size: u64,
    /// Root hash, base64.
    pub root: String,
}

/// One frame of a watched or replayed session (newline-delimited JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrameView {
    /// Microseconds since the session began.
    pub at_us: u64,
    /// `output`, `error`, `input`, `resize`, `command`, `exit`, `note`, `lost`.
    pub kind: String,
    /// Channel within the session.
    pub channel: u32,
    /// Bytes, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// For resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cols: Option<u32>,
    /// For resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
}

/// A recording's format on export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingFormat {
    /// [`FrameView`]s.
    #[default]
    Frames,
    /// asciicast v2.
    AsciicastV2,
    /// asciicast v3.
    AsciicastV3,
}

/// Body of `POST /v1/me/password`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The present password.
    pub old: String,
    /// The new one.
    pub new: String,
}

/// Body of `POST /v1/me/totp` and `POST /v1/me/recovery-codes`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorBody {
    /// The password, again.
    pub password: String,
    /// A present code, where a second factor exists already.
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

/// Body of `PUT /v1/environments/{env}/secrets/{name}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretBody {
    /// The value.
    pub value: String,
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

/// The grant that was ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeView {
    /// Which.
    pub grant: GrantId,
    /// Whether it was still in force.
    pub was_active: bool,
}

/// A decided request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecidedView {
    /// Which.
    pub request: RequestId,
    /// Where it stands now.
    pub state: String,
    /// The grant, if it led to one.
    pub grant: Option<Grant>,
}
