//! Whether a change takes something away that protects production, or that keeps one person from
//! acting alone.
//!
//! Facts before and after flow in; the first reason found flows out. Such a change is not wrong,
//! it takes two people. Nothing here knows who asks.
//!
//! INVARIANT (nobody alone): what one person could reach in two steps is refused in the first. So
//! removing a production target counts too: afterwards its host could be declared anew outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_domain::lock::LockKind;
use portcullis_domain::{
    ActionKind, ApprovalRule, ControlAction, Environment, EnvironmentName, Facts, GroupName,
    LockSubject, Protocol, RequestTerms, Role, RoleName, SeparationMode, SeparationOfDuties,
    SshTarget, Target, Tier, User, UserName,
};

/// Why this change takes a second person; `None` if it does not.
pub(crate) fn weakens(before: &Facts, after: &Facts) -> Option<String> {
    None.or_else(|| environments(before, after))
        .or_else(|| production_targets(before, after))
        .or_else(|| dropped(before, after))
        .or_else(|| same_machine(before, after))
        .or_else(|| users(before, after))
        .or_else(|| rights(before, after))
        .or_else(|| administrators(before, after))
        .or_else(|| longer_uses(before, after))
        .or_else(|| denials(before, after))
        .or_else(|| policies(before, after))
        .or_else(|| invariants(before, after))
        .or_else(|| separations(before, after))
}

fn is_production(facts: &Facts, name: &EnvironmentName) -> bool {
    facts.environments.get(name).is_some_and(|found| found.tier == Tier::Production)
}

/// Production environments keep their tier and their terms.
fn environments(before: &Facts, after: &Facts) -> Option<String> {
    before.environments.values().filter(|old| old.tier == Tier::Production).find_map(|old| {
        let new = after.environments.get(&old.name)?;
        let what = loosened(old, new)?;
        Some(format!("{what} of production environment `{}`", old.name))
    })
}

fn loosened(old: &Environment, new: &Environment) -> Option<&'static str> {
    let longer = |old: Option<Duration>, new: Option<Duration>| match (old, new) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(old), Some(new)) => new > old,
    };
    let shorter = |old: Option<Duration>, new: Option<Duration>| match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
    };
    let checks = [
        (new.tier != old.tier, "changes the tier"),
        (new.access != old.access, "changes the access"),
        (approval_loosened(old.approval.as_ref(), new.approval.as_ref()), "loosens the approval"),
        (approval_for_loosened(old, new), "loosens the approval"),
        (requests_loosened(&old.requests, &new.requests), "loosens the terms of requests"),
        (
            longer(old.second_factor_max_age, new.second_factor_max_age),
            "takes older second factors in sessions",
        ),
        (new.recording < old.recording, "weakens the recording"),
        (shorter(old.recordings.keep, new.recordings.keep), "has recordings removed sooner"),
        (readers_added(old, new), "has more people read recordings"),
        (new.max_grant > old.max_grant, "lengthens the longest grant"),
        (longer(old.max_session, new.max_session), "lengthens the longest session"),
    ];
    checks.into_iter().find_map(|(holds, what)| holds.then_some(what))
}

fn readers_added(old: &Environment, new: &Environment) -> bool {
    match (&old.recordings.readers, &new.recordings.readers) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(old), Some(new)) => !new.is_subset(old),
    }
}

fn approval_loosened(old: Option<&ApprovalRule>, new: Option<&ApprovalRule>) -> bool {
    match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => !new.at_least_as_strict_as(old),
    }
}

/// A rule for one action stands in for the general one, so both are compared for every action.
fn approval_for_loosened(old: &Environment, new: &Environment) -> bool {
    ActionKind::ALL.into_iter().any(|kind| {
        let only = BTreeSet::from([kind]);
        approval_loosened(old.rule_for(&only).as_ref(), new.rule_for(&only).as_ref())
    })
}

/// Sooner or wider escalation lets others approve; a ticket not asked for any more is a trace less.
fn requests_loosened(old: &RequestTerms, new: &RequestTerms) -> bool {
    let escalates = match (&old.escalation, &new.escalation) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new.after < old.after || !new.groups.is_subset(&old.groups),
    };
    escalates || (old.ticket.is_some() && new.ticket != old.ticket)
}

/// Groups whose members approve here, at once or after a while.
pub(crate) fn approver_groups(environment: &Environment) -> BTreeSet<&GroupName> {
    let escalation = environment.requests.escalation.iter().flat_map(|to| &to.groups);
    environment.approval_rules().flat_map(ApprovalRule::groups).chain(escalation).collect()
}

/// Production targets stay what they are.
fn production_targets(before: &Facts, after: &Facts) -> Option<String> {
    let production = |target: &&Target| is_production(before, &target.environment);
    before.targets.values().filter(production).find_map(|old| {
        let what = match after.targets.get(&old.name) {
            None => "removes",
            Some(new) => moved(old, new)?,
        };
        Some(format!("{what} production target `{}`", old.name))
    })
}

fn moved(old: &Target, new: &Target) -> Option<&'static str> {
    let checks = [
        (new.environment != old.environment, "changes the environment of"),
        (new.host() != old.host() || new.port() != old.port(), "changes the address of"),
        (!old.aliases().is_subset(new.aliases()), "removes an alias of"),
    ];
    let moved = checks.into_iter().find_map(|(holds, what)| holds.then_some(what));
    moved.or_else(|| match (&old.protocol, &new.protocol) {
        (Protocol::Ssh(old), Protocol::Ssh(new)) => proved_otherwise(old, new),
        (Protocol::Postgres(old), Protocol::Postgres(new)) => {
            let credential = |login| new.credential(login) != old.credential(login);
            let checks = [
                (new.tls != old.tls, "changes how a server proves itself on"),
                (old.logins.iter().any(credential), "changes the credential of"),
            ];
            checks.into_iter().find_map(|(holds, what)| holds.then_some(what))
        }
        _ => Some("changes the protocol of"),
    })
}

/// How the two ends of an SSH connection prove themselves.
fn proved_otherwise(old: &SshTarget, new: &SshTarget) -> Option<&'static str> {
    let checks = [
        (new.host_keys != old.host_keys, "changes the host keys of"),
        (new.host_authorities != old.host_authorities, "changes the host authorities of"),
        (new.credential != old.credential, "changes the credential of"),
    ];
    checks.into_iter().find_map(|(holds, what)| holds.then_some(what))
}

/// A dropped gate is raised, not gone around.
fn dropped(before: &Facts, after: &Facts) -> Option<String> {
    let names = dropped_environments(before);
    let gone = names.iter().find(|name| {
        before.environments.contains_key(name) && !after.environments.contains_key(name)
    });
    if let Some(name) = gone {
        return Some(format!("removes environment `{name}`, whose gate is dropped"));
    }
    let left =
        before.targets.values().filter(|old| names.contains(&old.environment)).find(|old| {
            after.targets.get(&old.name).is_none_or(|new| new.environment != old.environment)
        })?;
    Some(format!(
        "takes target `{}` out of environment `{}`, whose gate is dropped",
        left.name, left.environment
    ))
}

fn dropped_environments(facts: &Facts) -> BTreeSet<EnvironmentName> {
    let dropped = facts.locks.iter().filter(|lock| matches!(lock.kind, LockKind::Drop { .. }));
    dropped
        .filter_map(|lock| match &lock.subject {
            LockSubject::Environment(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// A machine of production, or behind a dropped gate, is not declared once more elsewhere.
fn same_machine(before: &Facts, after: &Facts) -> Option<String> {
    let names = dropped_environments(before);
    let guarded = |target: &&Target| {
        is_production(before, &target.environment) || names.contains(&target.environment)
    };
    let mut marks: BTreeMap<String, &Target> = BTreeMap::new();
    for target in before.targets.values().filter(guarded) {
        marks.extend(marks_of(target).into_iter().map(|mark| (mark, target)));
    }
    let changed = |new: &&Target| before.targets.get(&new.name) != Some(*new);
    after.targets.values().filter(changed).find_map(|new| {
        let known: BTreeSet<String> = before
            .targets
            .get(&new.name)
            .filter(|old| old.environment == new.environment)
            .map(marks_of)
            .unwrap_or_default();
        let mut shared = marks_of(new).into_iter().filter(|mark| !known.contains(mark));
        let twin = shared
            .find_map(|mark| marks.get(&mark).filter(|twin| twin.environment != new.environment))?;
        Some(format!(
            "declares target `{}` in environment `{}` with an address or host key of `{}` in `{}`",
            new.name, new.environment, twin.name, twin.environment
        ))
    })
}

/// What tells that two targets are one machine: its addresses with the port, and its host keys.
fn marks_of(target: &Target) -> BTreeSet<String> {
    let host_keys = target.ssh().map(|ssh| ssh.host_keys.as_slice()).unwrap_or_default();
    let keys = host_keys.iter().map(|key| {
        // Without the comment.
        key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    });
    let port = target.port();
    target.hosts().map(|host| format!("{}:{port}", canonical(host))).chain(keys).collect()
}

/// Lower case without a final dot; addresses in one form, and every loopback is the same.
fn canonical(host: &str) -> String {
    let plain = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    match plain.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(ip) => ip.to_string(),
        Err(_) if plain == "localhost" => Ipv4Addr::LOCALHOST.to_string(),
        Err(_) => plain,
    }
}

/// A person's keys, and the groups that decide or reach production.
fn users(before: &Facts, after: &Facts) -> Option<String> {
    after.users.values().find_map(|new| {
        let old = before.users.get(&new.name);
        if let Some(old) = old
            && new.ssh_keys.iter().any(|key| !old.ssh_keys.contains(key))
        {
            return Some(format!("gives user `{}` another SSH key", new.name));
        }
        let joined = |group: &&GroupName| old.is_none_or(|old| !old.groups.contains(*group));
        let mut joined = new.groups.iter().filter(joined);
        joined
            .find_map(|group| power(before, after, old, group))
            .map(|power| format!("puts user `{}` into {power}", new.name))
    })
}

/// What a group is good for, where joining it takes a second person.
fn power(before: &Facts, after: &Facts, old: Option<&User>, group: &GroupName) -> Option<String> {
    let approves = |facts: &Facts, name: &EnvironmentName| {
        facts.environments.get(name).is_some_and(|found| approver_groups(found).contains(group))
    };
    // A new environment has nothing to protect yet.
    let environment =
        before.environments.keys().find(|name| approves(before, name) || approves(after, name));
    if let Some(name) = environment {
        return Some(format!("group `{group}`, which approves for environment `{name}`"));
    }
    // A new person needs an approval for production anyway, and has no history to borrow.
    old?;
    let given = after.assignments.values().filter(|given| given.groups.contains(group));
    let mut roles = given.filter_map(|given| after.roles.get(&given.role));
    let role = roles.find(|role| reaches_production(after, role))?;
    Some(format!("group `{group}`, whose role `{}` reaches production", role.name))
}

fn reaches_production(facts: &Facts, role: &Role) -> bool {
    let mut targets =
        facts.targets.values().filter(|target| is_production(facts, &target.environment));
    targets.any(|target| role.allow.iter().any(|rule| rule.selects(target)))
}

/// Nobody gains a right over Portcullis, by whatever path, while there are two who could agree. A
/// sole administrator must be able to make a second one.
fn rights(before: &Facts, after: &Facts) -> Option<String> {
    if holders(before, ControlAction::ApplyResources).len() < 2 {
        return None;
    }
    after.users.keys().find_map(|user| {
        let old = rights_of(before, user);
        let gained = rights_of(after, user).difference(&old).next().copied()?;
        Some(format!("gives user `{user}` the right `{gained}`"))
    })
}

/// Nobody makes themselves the only administrator.
fn administrators(before: &Facts, after: &Facts) -> Option<String> {
    let (old, new) = (
        holders(before, ControlAction::ApplyResources),
        holders(after, ControlAction::ApplyResources),
    );
    (old.len() >= 2 && new.len() < 2)
        .then(|| "leaves fewer than two people who can apply resources".to_owned())
}

pub(crate) fn holders(facts: &Facts, action: ControlAction) -> BTreeSet<&UserName> {
    facts.users.keys().filter(|user| rights_of(facts, user).contains(&action)).collect()
}

/// Rights of someone enabled. Locks do not count: they pass.
fn rights_of(facts: &Facts, user: &UserName) -> BTreeSet<ControlAction> {
    if facts.users.get(user).is_none_or(|found| found.disabled) {
        return BTreeSet::new();
    }
    let roles = facts.roles_of(user);
    let roles = roles.keys().filter_map(|role| facts.roles.get(role));
    roles.flat_map(|role| role.control.iter().copied()).collect()
}

/// A break-glass role stays one, and a use of it as short as it was.
fn longer_uses(before: &Facts, after: &Facts) -> Option<String> {
    let role = before.roles.values().find(|old| {
        let (Some(old_glass), Some(new)) = (&old.break_glass, after.roles.get(&old.name)) else {
            return false;
        };
        new.break_glass.as_ref().is_none_or(|new| new.max_duration > old_glass.max_duration)
    })?;
    Some(format!("lengthens uses of break-glass role `{}`, or makes it an ordinary one", role.name))
}

/// What is denied stays denied.
fn denials(before: &Facts, after: &Facts) -> Option<String> {
    let removed = before.roles.values().find(|old| {
        let kept = after.roles.get(&old.name).map(|new| new.deny.as_slice()).unwrap_or_default();
        !old.deny.iter().all(|rule| kept.contains(rule))
    });
    if let Some(role) = removed {
        return Some(format!("removes or changes a deny of role `{}`", role.name));
    }
    // Losing a role that only denies is a gain; losing one that allows too is not counted.
    let only_denies = |name: &RoleName| {
        before.roles.get(name).is_some_and(|role| role.allow.is_empty() && !role.deny.is_empty())
    };
    before.users.keys().filter(|user| after.users.contains_key(user)).find_map(|user| {
        let kept = after.roles_of(user);
        let held = before.roles_of(user);
        let lost = held.keys().find(|role| only_denies(role) && !kept.contains_key(*role))?;
        Some(format!("takes role `{lost}`, which only denies, from user `{user}`"))
    })
}

/// What is kept apart stays so.
fn separations(before: &Facts, after: &Facts) -> Option<String> {
    let weaker = |old: &&SeparationOfDuties| {
        after.separations.get(&old.name).is_none_or(|new| {
            !old.roles.is_subset(&new.roles)
                || (old.mode == SeparationMode::Static && new.mode == SeparationMode::Dynamic)
        })
    };
    let found = before.separations.values().find(weaker)?;
    Some(format!("removes or weakens the separation of duties `{}`", found.name))
}

/// Raw policies: no forbid goes, no permit comes.
fn policies(before: &Facts, after: &Facts) -> Option<String> {
    let forbid = before.policies.values().find(|old| {
        old.cedar.contains("forbid")
            && after.policies.get(&old.name).is_none_or(|new| new.cedar != old.cedar)
    });
    if let Some(policy) = forbid {
        return Some(format!("removes or changes policy `{}`, which forbids", policy.name));
    }
    let permit = after.policies.values().find(|new| {
        new.cedar.contains("permit")
            && before.policies.get(&new.name).is_none_or(|old| old.cedar != new.cedar)
    })?;
    Some(format!("adds or changes policy `{}`, which permits", permit.name))
}

/// What must never be possible stays so, and no exception comes.
fn invariants(before: &Facts, after: &Facts) -> Option<String> {
    let gone = before.invariants.values().find(|old| {
        old.never.is_some()
            && after.invariants.get(&old.name).is_none_or(|new| new.never != old.never)
    });
    if let Some(old) = gone {
        return Some(format!("removes or changes invariant `{}`", old.name));
    }
    let excepted = after.invariants.values().find(|new| {
        let old = before.invariants.get(&new.name).map(|old| old.exceptions.as_slice());
        new.exceptions.iter().any(|exception| !old.unwrap_or_default().contains(exception))
    })?;
    Some(format!("adds an exception to invariant `{}`", excepted.name))
}

#[cfg(test)]
#[path = "weakening_tests.rs"]
mod tests;
