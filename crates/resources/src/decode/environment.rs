//! `kind: Environment`.

use std::time::Duration;

use portcullis_domain::{Access, Environment, Kind, Recording, Recordings, Tier};

use super::approval::{approval, approval_for, requests};
use super::{Parts, reference};
use crate::node::{Node, Value};
use crate::reader::{Fields, Read, Reader};

/// Longest grant where nothing else is said.
pub(crate) const DEFAULT_MAX_GRANT: Duration = Duration::from_secs(8 * 3600);
/// Durations that cannot be zero are at least this.
const ONE_SECOND: Duration = Duration::from_secs(1);

pub(crate) const SPEC: &[&str] = &[
    "tier",
    "access",
    "approval",
    "approval_for",
    "requests",
    "max_grant",
    "second_factor",
    "recording",
    "recordings",
    "max_session",
    "idle_timeout",
];
pub(crate) const SECOND_FACTOR: &[&str] = &["max_age"];
pub(crate) const RECORDINGS: &[&str] = &["keep", "readers"];

pub(super) fn environment(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<Environment> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of an Environment", SPEC)?;
    let tier = fields.required(
        reader,
        "tier",
        "`tier:` with `production`, `staging`, `test` or `development`",
        tier,
    );
    let access = fields.optional(reader, "access", access);
    let approval = fields.optional(reader, "approval", approval);
    let approval_for = fields.or_default(reader, "approval_for", approval_for);
    let requests = fields.or_default(reader, "requests", requests);
    let max_grant = fields.optional(reader, "max_grant", at_least_a_second);
    let second_factor = fields.optional(reader, "second_factor", second_factor);
    let recording = fields.optional(reader, "recording", recording);
    let recordings = fields.optional(reader, "recordings", recordings);
    let max_session = fields.optional(reader, "max_session", at_least_a_second);
    let idle_timeout = fields.optional(reader, "idle_timeout", at_least_a_second);
    if let (Ok(tier), Ok(access), Ok(recording)) = (tier, access, recording) {
        check_production(reader, &fields, tier, access, recording)?;
    }
    let tier = tier?;
    Ok(Environment {
        name: name?,
        tier,
        access: access?.unwrap_or(default_access(tier)),
        approval: approval?,
        approval_for: approval_for?,
        requests: requests?,
        max_grant: max_grant?.unwrap_or(DEFAULT_MAX_GRANT),
        second_factor_max_age: second_factor?.unwrap_or(default_second_factor(tier)),
        recording: recording?.unwrap_or(default_recording(tier)),
        recordings: recordings?.unwrap_or_default(),
        max_session: max_session?,
        idle_timeout: idle_timeout?,
    })
}

/// Production is entered on request, by everyone, and on the record.
fn check_production(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    tier: Tier,
    access: Option<Access>,
    recording: Option<Recording>,
) -> Read<()> {
    if tier != Tier::Production {
        return Ok(());
    }
    let mut outcome = Ok(());
    if access == Some(Access::Standing) {
        let message = "a production environment cannot have standing access";
        let help = "write `access: on_request` or leave it out";
        outcome = Err(reader.note(fields.place("access"), message, Some(help.into())));
    }
    if recording.is_some_and(|recording| recording != Recording::Required) {
        let message = "sessions in a production environment are always recorded";
        let help = "write `recording: required` or leave it out";
        outcome = Err(reader.note(fields.place("recording"), message, Some(help.into())));
    }
    outcome
}

fn default_access(tier: Tier) -> Access {
    match tier {
        Tier::Production => Access::OnRequest,
        Tier::Staging | Tier::Test | Tier::Development => Access::Standing,
    }
}

fn default_second_factor(tier: Tier) -> Option<Duration> {
    match tier {
        Tier::Production => Some(Duration::ZERO),
        Tier::Staging | Tier::Test | Tier::Development => None,
    }
}

fn default_recording(tier: Tier) -> Recording {
    match tier {
        Tier::Production | Tier::Staging => Recording::Required,
        Tier::Test | Tier::Development => Recording::BestEffort,
    }
}

fn tier(reader: &mut Reader<'_>, node: &Node) -> Read<Tier> {
    let tiers = [Tier::Production, Tier::Staging, Tier::Test, Tier::Development];
    reader.one_of(node, "a tier", &tiers.map(|tier| (tier.as_str(), tier)))
}

fn access(reader: &mut Reader<'_>, node: &Node) -> Read<Access> {
    let words = [("on_request", Access::OnRequest), ("standing", Access::Standing)];
    reader.one_of(node, "a kind of access", &words)
}

fn recording(reader: &mut Reader<'_>, node: &Node) -> Read<Recording> {
    let words = [
        ("required", Recording::Required),
        ("best_effort", Recording::BestEffort),
        ("off", Recording::Off),
    ];
    reader.one_of(node, "a way to record", &words)
}

pub(super) fn at_least_a_second(reader: &mut Reader<'_>, node: &Node) -> Read<Duration> {
    reader.duration(node, ONE_SECOND)
}

fn recordings(reader: &mut Reader<'_>, node: &Node) -> Read<Recordings> {
    let fields = reader.fields(node, "`recordings`", RECORDINGS)?;
    let keep = fields.optional(reader, "keep", at_least_a_second);
    let readers = fields.optional(reader, "readers", |r, node| {
        let groups = r.set(node, reference(Kind::Group))?;
        if groups.is_empty() {
            let help = "name at least one group, or leave `readers` out: then everyone with the right reads";
            return Err(r.note(node.at, "no group may read recordings", Some(help.into())));
        }
        Ok(groups)
    });
    Ok(Recordings { keep: keep?, readers: readers? })
}

/// `none`, or how old it may be.
fn second_factor(reader: &mut Reader<'_>, node: &Node) -> Read<Option<Duration>> {
    if matches!(node.value, Value::Map(_)) {
        let fields = reader.fields(node, "`second_factor`", SECOND_FACTOR)?;
        let hint = "`max_age: 0s` to ask for every session, or a longer duration";
        return fields
            .required(reader, "max_age", hint, |r, node| r.duration(node, Duration::ZERO))
            .map(Some);
    }
    reader.one_of(
        node,
        "a rule for the second factor: `none` or `{max_age: 0s}`",
        &[("none", None)],
    )
}
