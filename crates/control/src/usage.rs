//! What was given and what was used of it, and the smaller role that would have done.
//!
//! The audit log is read from its end backwards, in bounded batches, to the beginning of the window:
//! out of it comes who did which action where. Held against the roles there are now, that is what
//! each role gives and nobody needed. In doubt something counts as used: an action counts for every
//! role of the person that allows it there, a file for reading and for writing.
//!
//! INVARIANT: nothing that was used is ever proposed away; the table of reach is asked before a
//! proposal is handed out. What the log does not reach back to is said, not guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::audit::{Activity, read};
use portcullis_domain::{
    ActionKind, ControlAction, Facts, GrantId, Resource, RoleName, TargetName, Timestamp, UserName,
};
use portcullis_evidence::log::LogReader;
use portcullis_gateway::{Authenticated, Subjects};
use portcullis_policy::Policies;
use portcullis_resources::to_yaml_file;
use portcullis_store::{GrantFilter, MAX_PAGE, Page, SessionFilter};
use serde_json::Value;

use crate::smaller::{Usage, smaller};
use crate::view::{PersonUsageView, UsageQuery, UsageView};
use crate::{Control, ControlError};

/// The window where none is asked for, and the longest.
const DEFAULT_WINDOW: Duration = Duration::from_secs(90 * 24 * 3600);
const MAX_WINDOW: Duration = Duration::from_secs(3 * 366 * 24 * 3600);
/// Entries read at once.
const BATCH: u64 = 4096;
/// Entries looked through at most, from the end of the log.
const MAX_ENTRIES: u64 = 5_000_000;
/// Pairs of a person and a target that are followed.
const MAX_PAIRS: usize = 500_000;
/// Pages of grants and of sessions.
const MAX_PAGES: usize = 100;

/// Who did what where.
pub(crate) type Used = BTreeMap<(UserName, TargetName), BTreeSet<ActionKind>>;

/// What the log says, and how far back it goes.
struct Read {
    used: Used,
    covers_from: Timestamp,
    entries: u64,
}

impl Control {
    /// What roles gave and what was used of it, for all or for one person or role.
    pub async fn usage(
        &self,
        who: &Authenticated,
        query: UsageQuery,
    ) -> Result<UsageView, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let person = query.person.as_deref().map(UserName::new).transpose();
        let person = person.map_err(|error| ControlError::invalid(error.to_string()))?;
        let role = query.role.as_deref().map(RoleName::new).transpose();
        let role = role.map_err(|error| ControlError::invalid(error.to_string()))?;
        let window = query.window_seconds.map_or(DEFAULT_WINDOW, Duration::from_secs);
        if window.is_zero() || window > MAX_WINDOW {
            return Err(ControlError::invalid("the window is from a second to three years long"));
        }
        let mut event = self.event(who, Activity::AuditRead).detail("kind", "usage");
        if let Some(person) = &person {
            event = event.person("of", person);
        }
        self.audit(event).await?;
        let snapshot = self.gateway().snapshot();
        if let Some(person) = person.as_ref().filter(|it| !snapshot.facts.users.contains_key(it)) {
            return Err(ControlError::not_found(format!("user `{person}`")));
        }
        if let Some(role) = role.as_ref().filter(|it| !snapshot.facts.roles.contains_key(it)) {
            return Err(ControlError::not_found(format!("role `{role}`")));
        }
        let now = self.gateway().now();
        let from = now.minus(window);
        let log = self.gateway().auditor().log();
        log.caught_up().await.map_err(ControlError::unavailable)?;
        let (reader, size) = (log.reader(), log.size());
        let subjects = self.gateway().auditor().subjects().clone();
        let read = tokio::task::spawn_blocking(move || read_log(&reader, &subjects, size, from));
        let read = read.await.map_err(|_| broke_off())??;
        let (given, used_grants) = self.grants_since(from).await?;
        let changed = self.changed_since(read.covers_from).await?;
        let worked = tokio::task::spawn_blocking(move || {
            let usage = Usage {
                facts: &snapshot.facts,
                policies: &snapshot.policies,
                used: &read.used,
                changed: &changed,
                now,
            };
            let people = people(&usage, person.as_ref(), &given, &used_grants);
            let found = smaller(&usage, person.as_ref(), role.as_ref())?;
            Ok(UsageView {
                from,
                to: now,
                covers_from: read.covers_from,
                complete: read.covers_from <= from,
                entries: read.entries,
                roles: found.roles,
                people: if role.is_none() { people } else { Vec::new() },
                notes: found.notes,
                losses: found.losses,
                resources: match found.changed.is_empty() {
                    true => String::new(),
                    false => to_yaml_file(&found.changed),
                },
            })
        });
        worked.await.map_err(|_| broke_off())?
    }

    /// Grants that were in force since then, by whom, and those of them under which a session ran.
    async fn grants_since(
        &self,
        from: Timestamp,
    ) -> Result<(BTreeMap<UserName, Vec<GrantId>>, BTreeSet<GrantId>), ControlError> {
        let store = self.gateway().store();
        let mut given: BTreeMap<UserName, Vec<GrantId>> = BTreeMap::new();
        let mut before = None;
        for _ in 0..MAX_PAGES {
            let page = Page { before, limit: MAX_PAGE };
            let grants = store.grants(&GrantFilter { page, ..GrantFilter::default() }).await?;
            before = grants.last().map(|grant| grant.id);
            let old = grants.last().is_none_or(|grant| grant.starts < from);
            for grant in grants.into_iter().filter(|grant| grant.starts >= from) {
                given.entry(grant.user).or_default().push(grant.id);
            }
            if old {
                break;
            }
        }
        let mut used = BTreeSet::new();
        let mut before = None;
        for _ in 0..MAX_PAGES {
            let page = Page { before, limit: MAX_PAGE };
            let filter = SessionFilter { page, ..SessionFilter::default() };
            let sessions = store.sessions(&filter).await?;
            before = sessions.last().map(|session| session.id);
            let old = sessions.last().is_none_or(|session| session.started_at < from);
            used.extend(sessions.into_iter().filter_map(|session| session.grant));
            if old {
                break;
            }
        }
        Ok((given, used))
    }

    /// Roles and assignments that are younger than that, by `Kind/name`.
    async fn changed_since(&self, from: Timestamp) -> Result<BTreeSet<String>, ControlError> {
        let (_, stored) = self.gateway().store().resources().await?;
        let young = stored.into_iter().filter(|stored| stored.updated_at > from);
        Ok(young.map(|stored| stored.resource.key().to_string()).collect())
    }
}

fn broke_off() -> ControlError {
    ControlError::unavailable("the usage could not be worked out")
}

/// From the end of the log to the beginning of the window, or as far as there is a log.
fn read_log(
    reader: &LogReader,
    subjects: &Subjects,
    size: u64,
    from: Timestamp,
) -> Result<Read, ControlError> {
    let runtime = tokio::runtime::Handle::current();
    let least = reader.first().unwrap_or(0).max(size.saturating_sub(MAX_ENTRIES));
    let mut found = Read { used: Used::new(), covers_from: from, entries: 0 };
    let (mut end, mut oldest) = (size, None);
    while end > least {
        let start = end.saturating_sub(BATCH).max(least);
        let mut batch = Vec::new();
        let mut before_window = false;
        for entry in reader.entries(start..end) {
            let (_, bytes) = entry.map_err(ControlError::unavailable)?;
            found.entries += 1;
            let sealed: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let Some(at) = read::time(&sealed) else { continue };
            oldest = Some(oldest.map_or(at, |known: Timestamp| known.min(at)));
            before_window |= at < from;
            if at >= from && !actions(&sealed).is_empty() {
                batch.push(bytes);
            }
        }
        let opened = runtime.block_on(subjects.open_entries(batch.iter()));
        for event in opened.map_err(ControlError::unavailable)? {
            note(&mut found.used, &event)?;
        }
        if before_window {
            return Ok(found);
        }
        end = start;
    }
    // The log is younger than the window, or longer than is read.
    found.covers_from = oldest.unwrap_or(from).max(from);
    Ok(found)
}

fn note(used: &mut Used, event: &Value) -> Result<(), ControlError> {
    let user = read::actor(event).and_then(|name| UserName::new(name).ok());
    let target = read::target(event).and_then(|name| TargetName::new(name).ok());
    // Whoever was erased holds no role any more.
    let (Some(user), Some(target)) = (user, target) else { return Ok(()) };
    used.entry((user, target)).or_default().extend(actions(event));
    if used.len() > MAX_PAIRS {
        return Err(ControlError::unavailable(format!(
            "more than {MAX_PAIRS} pairs of people and targets; ask for a shorter window"
        )));
    }
    Ok(())
}

/// The actions that an entry of the log shows.
fn actions(event: &Value) -> Vec<ActionKind> {
    use ActionKind::{AgentForward, Download, Forward, RemoteForward, Upload};
    if read::outcome(event) != "success" {
        return Vec::new();
    }
    match read::activity(event) {
        Some("authorize") => {
            let action = event.pointer("/unmapped/action").and_then(Value::as_str);
            action.and_then(|action| action.parse().ok()).into_iter().collect()
        }
        Some("file") => vec![Upload, Download],
        Some("forward" | "channel") => vec![Forward, RemoteForward, AgentForward],
        _ => Vec::new(),
    }
}

/// What each person was given and used; those who hold a role for targets or had a grant.
fn people(
    usage: &Usage<'_>,
    only: Option<&UserName>,
    given: &BTreeMap<UserName, Vec<GrantId>>,
    used_grants: &BTreeSet<GrantId>,
) -> Vec<PersonUsageView> {
    let users = usage.facts.users.values().filter(|user| !user.disabled);
    let users = users.filter(|user| only.is_none_or(|only| *only == user.name));
    let view = |user: &portcullis_domain::User| {
        let held = usage.facts.roles_of(&user.name);
        let (mut granted, mut unused_roles) = (BTreeSet::new(), Vec::new());
        for role in held.keys().filter_map(|name| usage.facts.roles.get(name)) {
            let gives: BTreeSet<_> = usage.gives(role).collect();
            let uses =
                |(target, kind): &(&TargetName, ActionKind)| usage.uses(&user.name, target, *kind);
            if !gives.is_empty() && !gives.iter().any(uses) {
                unused_roles.push(role.name.clone());
            }
            granted.extend(gives);
        }
        let grants = given.get(&user.name).map_or(&[][..], Vec::as_slice);
        let used = granted.iter().filter(|(target, kind)| usage.uses(&user.name, target, *kind));
        PersonUsageView {
            user: user.name.clone(),
            granted: granted.len(),
            used: used.count(),
            unused_roles,
            grants: grants.len(),
            grants_used: grants.iter().filter(|id| used_grants.contains(id)).count(),
        }
    };
    users.map(view).filter(|view| view.granted > 0 || view.grants > 0).collect()
}

/// Makes what the changes would leave, to see what is lost.
pub(crate) fn changed_facts(
    facts: &Facts,
    changed: &[Resource],
) -> Result<(Facts, Policies), ControlError> {
    let mut after = Facts { locks: Vec::new(), ..facts.clone() };
    changed.iter().cloned().for_each(|resource| after.insert(resource));
    let policies = Policies::compile(&after).map_err(ControlError::invalid)?;
    Ok((after, policies))
}
