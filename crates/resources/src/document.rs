//! The documents as they are written: the shape [`crate::to_yaml`] writes and [`crate::schema`]
//! describes. The comments here are what an editor shows beside a field.
//!
//! In: resources. Out: serialisable documents. Reading is elsewhere (`decode`), because an error
//! message needs more than a derive knows; tests hold the two to the same fields.

mod conditions;
mod from_resource;
mod invariant;
mod postgres;
mod separation;

use std::collections::BTreeMap;

use portcullis_domain::{ActionKind, ControlAction};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use self::conditions::{BreakGlassSpec, ConditionsSpec};
use self::invariant::InvariantSpec;
use self::postgres::{PostgresLoginSpec, PostgresSpec, PostgresTlsSpec};
use self::separation::{SeparationModeSpec, SeparationSpec};

/// One resource of Portcullis.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", deny_unknown_fields)]
#[schemars(title = "Portcullis resource")]
pub(crate) enum Document {
    /// A room that production or another stage is separated in, with the terms of every session in it.
    Environment {
        /// What the environment is called.
        metadata: Metadata,
        /// How it is entered.
        spec: EnvironmentSpec,
    },
    /// A group of users. Who is in it is declared on the user.
    Group {
        /// What the group is called.
        metadata: Metadata,
        /// What it is for.
        spec: GroupSpec,
    },
    /// A person. Passwords and second factors are not declared; they are set up by the person.
    User {
        /// What the user is called.
        metadata: Metadata,
        /// Who it is.
        spec: UserSpec,
    },
    /// A system behind the gate.
    Target {
        /// What the target is called, and labels that roles select it by.
        metadata: TargetMetadata,
        /// Where it is and how it is reached.
        spec: TargetSpec,
    },
    /// A named set of rights. `deny` wins over every `allow` of every role.
    Role {
        /// What the role is called.
        metadata: Metadata,
        /// What its holders may and may not do.
        spec: RoleSpec,
    },
    /// Gives a role to users and groups.
    RoleAssignment {
        /// What the assignment is called.
        metadata: Metadata,
        /// Which role, to whom.
        spec: RoleAssignmentSpec,
    },
    /// Cedar policies beside the compiled roles.
    Policy {
        /// What the policy is called.
        metadata: Metadata,
        /// The policies.
        spec: PolicySpec,
    },
    /// What must never be possible, whatever roles and policies say. Proved before a change applies.
    Invariant {
        /// What the invariant is called.
        metadata: Metadata,
        /// What must never be possible, and who may break it for a while.
        spec: InvariantSpec,
    },
    /// Roles that nobody holds, or uses, together.
    SeparationOfDuties {
        /// What the separation is called.
        metadata: Metadata,
        /// Which roles, and how they are kept apart.
        spec: SeparationSpec,
    },
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// Letters, digits, `-`, `_` and `.`; at most 63; kept in lower case. Unique for its kind.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetMetadata {
    /// Letters, digits, `-`, `_` and `.`; at most 63; kept in lower case. Also the first label of
    /// `NAME.portcullis`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    name: String,
    /// Free labels that roles select targets by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentSpec {
    /// How much the environment matters; the defaults of other fields follow from it.
    tier: TierSpec,
    /// Whether a role alone lets someone in or an approved grant is needed beside it. Default:
    /// `on_request` for production, `standing` otherwise. Production cannot have `standing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<AccessSpec>,
    /// Who approves requests. Left out, nobody can, and requests are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalSpec>,
    /// Who approves requests for these actions instead. A request for several actions needs each
    /// of their rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "approval_for")]
    approval_for: BTreeMap<String, ApprovalSpec>,
    /// What else holds for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<RequestsSpec>,
    /// Longest grant that can be asked for. Default: `8h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    max_grant: Option<String>,
    /// How old the second factor may be when a session starts, or `none`. Default: `{max_age: 0s}`
    /// (asked for every session) for production, `none` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<SecondFactorSpec>,
    /// Whether sessions are recorded. Default: `required` for production and staging,
    /// `best_effort` otherwise. Production is always `required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<RecordingSpec>,
    /// What becomes of recordings, and who reads them. Default: kept for ever, read by all who may.
    #[serde(skip_serializing_if = "Option::is_none")]
    recordings: Option<RecordingsSpec>,
    /// Longest session, however long the grant. Default: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    max_session: Option<String>,
    /// A session without a byte in either direction for this long ends. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    idle_timeout: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TierSpec {
    /// Real users and real data.
    Production,
    /// A rehearsal of production.
    Staging,
    /// Automated and manual testing.
    Test,
    /// Where people build.
    Development,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccessSpec {
    /// A role makes someone eligible; an approved, unexpired grant lets them in.
    OnRequest,
    /// A role is enough.
    Standing,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordingSpec {
    /// If it cannot be recorded it does not happen.
    Required,
    /// Recorded while that works; a failure is said and the session goes on.
    BestEffort,
    /// Not recorded.
    Off,
}

/// Who must agree: `groups` with `count`, or rules combined by `all` or `any`. Nobody approves their
/// own request, and one person fills one place of a rule.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalSpec {
    /// Members of this group may approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Members of any of these groups may approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    groups: Option<Vec<String>>,
    /// How many different people of them must approve. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    count: Option<u32>,
    /// Every one of these rules must be met, by different people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    all: Option<Vec<ApprovalSpec>>,
    /// One of these rules must be met.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    any: Option<Vec<ApprovalSpec>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestsSpec {
    /// A request that nobody decides expires after this long. Default: `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    expire_after: Option<String>,
    /// Who else may approve once it has waited for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation: Option<EscalationSpec>,
    /// What a ticket must look like: `*` stands for any text, `#` for digits. Left out, no ticket
    /// is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscalationSpec {
    /// How long after the request was made.
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    after: String,
    /// Members of these groups count in every place of the rule from then on.
    #[schemars(length(min = 1))]
    groups: Vec<String>,
}

/// What becomes of recordings, and who reads them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingsSpec {
    /// How long after its session's end a recording is kept, unless an evidence hold covers it.
    /// Default: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    keep: Option<String>,
    /// Of those with `read_recordings`, only members of these groups read them. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    readers: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SecondFactorSpec {
    /// No second factor is asked for.
    None(NoneWord),
    /// A second factor is asked for.
    Rule(SecondFactorRule),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoneWord {
    /// Nothing.
    None,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondFactorRule {
    /// How old it may be when a session starts; `0s` asks for every session.
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    max_age: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupSpec {
    /// What the group is for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSpec {
    /// Name for people, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    full_name: Option<String>,
    /// Groups the user is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// SSH public keys the user may sign in with, as in a `.pub` file, without options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ssh_keys: Vec<String>,
    /// A disabled user can do nothing and loses live sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetSpec {
    /// The one environment the target belongs to.
    environment: String,
    /// How the gate reaches it over SSH. A target has this or `postgres`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh: Option<SshSpec>,
    /// How the gate reaches it as a PostgreSQL server. A target has this or `ssh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<PostgresSpec>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshSpec {
    /// Host name or address as seen from the gate.
    host: String,
    /// TCP port.
    #[serde(default = "ssh_port")]
    #[schemars(range(min = 1))]
    port: u16,
    /// Other names and addresses of the target; forwards to them are refused in favour of the
    /// target's own room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// Accounts on the target.
    #[schemars(length(min = 1))]
    logins: Vec<String>,
    /// Pinned host keys, as in a `.pub` file. These or `host_authorities` are needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    host_keys: Vec<String>,
    /// Certificate authorities that may certify the host key, as in a `.pub` file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    host_authorities: Vec<String>,
    /// How the gate proves itself: a certificate of its own for each connection, or a stored
    /// secret. A secret serves targets of one environment only.
    #[serde(default = "certificate")]
    credential: CredentialSpec,
    /// Algorithms outside the modern set, for network devices that have nothing better.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "legacy_algorithms")]
    legacy_algorithms: Vec<String>,
    /// Environment variables a client may set, `*` at the end allowed.
    #[serde(default = "accept_env")]
    accept_env: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum CredentialSpec {
    /// A certificate for one connection, signed by the gate's own authority.
    Certificate,
    /// A private key kept in the store.
    Key(SecretName),
    /// A password kept in the store.
    Password(SecretName),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretName {
    /// Name of the stored secret; never the secret itself.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,62}$"))]
    secret: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleSpec {
    /// What the role is for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Roles whose rights and denials holders have too; never in a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inherits: Vec<String>,
    /// When and from where it gives what it allows. Left out: whenever.
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<ConditionsSpec>,
    /// Makes it a break-glass role: holders have nothing by it until they take it out, without
    /// approval, with a fresh second factor and a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<BreakGlassSpec>,
    /// What holders may do with targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<RuleSpec>,
    /// What holders can never do, whatever other roles say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<RuleSpec>,
    /// What holders may do with Portcullis itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "control_actions")]
    control: Vec<String>,
}

/// A selection of targets and actions. A selector left out selects everything of its kind.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    /// Only in these environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    /// Only these targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    /// Only targets that carry all of these labels with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    /// Only these actions; at least one.
    #[schemars(schema_with = "actions")]
    actions: Vec<String>,
    /// Only as these accounts on the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logins: Vec<String>,
    /// With `exec`: only commands that match one of these, `*` standing for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    /// With `upload` or `download`: only paths that match one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    /// With `forward` or `remote_forward`: only `host:port` that match one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<String>,
    /// With actions in databases: only databases whose name matches one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    databases: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleAssignmentSpec {
    /// The role given.
    role: String,
    /// To these users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
    /// To everyone in these groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicySpec {
    /// What the policies are for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// One or more Cedar policies.
    #[schemars(length(min = 1))]
    cedar: String,
}

fn ssh_port() -> u16 {
    crate::decode::DEFAULT_PORT
}

fn certificate() -> CredentialSpec {
    CredentialSpec::Certificate
}

fn accept_env() -> Vec<String> {
    crate::decode::DEFAULT_ACCEPT_ENV.map(str::to_owned).into()
}

fn legacy_algorithms(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"enum": crate::decode::LEGACY_ALGORITHMS}})
}

fn control_actions(_: &mut SchemaGenerator) -> Schema {
    let names = ControlAction::ALL.map(ControlAction::as_str);
    json_schema!({"type": "array", "items": {"enum": names}})
}

fn approval_for(generator: &mut SchemaGenerator) -> Schema {
    let rule = generator.subschema_for::<ApprovalSpec>();
    let names = ActionKind::ALL.map(ActionKind::as_str);
    json_schema!({"type": "object", "propertyNames": {"enum": names}, "additionalProperties": rule})
}

fn actions(_: &mut SchemaGenerator) -> Schema {
    let names = ActionKind::ALL.map(ActionKind::as_str);
    json_schema!({"type": "array", "minItems": 1, "items": {"enum": names}})
}
