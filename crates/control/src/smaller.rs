//! The smaller role: what is left of rules and assignments when what nobody used is taken away.
//!
//! Facts and who did what where flow in; for each role what is unused, and the changed resources,
//! flow out. A rule keeps its labels, patterns and accounts; of its environments, named targets and
//! actions it keeps what was used, in as many rules as it takes to say that. Denials, rights on
//! Portcullis itself and groups stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::DatabaseAct;
use portcullis_domain::{
    ActionKind, EnvironmentName, Facts, Resource, Role, RoleAssignment, RoleName, Rule, Target,
    TargetName, Timestamp, UserName,
};
use portcullis_policy::Policies;

use crate::ControlError;
use crate::reach::reach;
use crate::usage::{Used, changed_facts};
use crate::view::RoleUsageView;

/// Most targets that are listed as unused.
const MAX_LISTED: usize = 50;

/// What proposals are made of.
pub(crate) struct Usage<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) policies: &'a Policies,
    pub(crate) used: &'a Used,
    /// Resources that are younger than what the log covers: too young to tell.
    pub(crate) changed: &'a BTreeSet<String>,
    pub(crate) now: Timestamp,
}

/// What could go.
#[derive(Default)]
pub(crate) struct Smaller {
    pub(crate) roles: Vec<RoleUsageView>,
    pub(crate) notes: Vec<String>,
    pub(crate) changed: Vec<Resource>,
    pub(crate) losses: usize,
}

impl Usage<'_> {
    /// Whether this person did this there.
    pub(crate) fn uses(&self, user: &UserName, target: &TargetName, kind: ActionKind) -> bool {
        let done = self.used.get(&(user.clone(), target.clone()));
        done.is_some_and(|done| done.contains(&kind))
    }

    /// What a role's own rules let somebody do where.
    pub(crate) fn gives<'r>(
        &'r self,
        role: &'r Role,
    ) -> impl Iterator<Item = (&'r TargetName, ActionKind)> {
        let targets = self.facts.targets.values();
        targets.flat_map(move |target| {
            let rules = role.allow.iter().filter(move |rule| rule.selects(target));
            let given = rules.flat_map(|rule| rule.actions.iter().copied());
            given.filter(|kind| target.offers(*kind)).map(move |kind| (&target.name, kind))
        })
    }

    fn is_young(&self, role: &RoleName) -> bool {
        self.changed.contains(&format!("Role/{role}"))
            || self.facts.assignments.values().any(|given| {
                self.facts.with_inherited(&given.role).contains(role)
                    && self.changed.contains(&format!("RoleAssignment/{}", given.name))
            })
    }
}

/// The smaller roles and assignments, of one person or role if asked.
pub(crate) fn smaller(
    usage: &Usage<'_>,
    person: Option<&UserName>,
    role: Option<&RoleName>,
) -> Result<Smaller, ControlError> {
    let mut found = Smaller::default();
    let mut holders: BTreeMap<RoleName, BTreeSet<&UserName>> = BTreeMap::new();
    for user in usage.facts.users.keys() {
        for held in usage.facts.roles_of(user).into_keys() {
            holders.entry(held).or_default().insert(user);
        }
    }
    let nobody = BTreeSet::new();
    for one in usage.facts.roles.values().filter(|one| !one.allow.is_empty()) {
        let holders = holders.get(&one.name).unwrap_or(&nobody);
        let wanted = role.is_none_or(|role| *role == one.name)
            && person.is_none_or(|person| holders.contains(person));
        if !wanted {
            continue;
        }
        let is_young = usage.is_young(&one.name);
        let view = role_view(usage, one, holders, is_young);
        // What one person does not use says nothing about a role that others hold.
        if person.is_none() && !is_young && !holders.is_empty() {
            let allow: Vec<Rule> =
                one.allow.iter().flat_map(|rule| narrowed(usage, rule, holders)).collect();
            if allow != one.allow {
                found.changed.push(Resource::Role(Role { allow, ..one.clone() }));
            }
        }
        found.roles.push(view);
    }
    if role.is_none() {
        assignments(usage, person, &mut found);
    }
    check(usage, &mut found)?;
    Ok(found)
}

fn role_view(
    usage: &Usage<'_>,
    role: &Role,
    holders: &BTreeSet<&UserName>,
    is_young: bool,
) -> RoleUsageView {
    let gives: BTreeSet<(&TargetName, ActionKind)> = usage.gives(role).collect();
    let is_used = |(target, kind): &&(&TargetName, ActionKind)| {
        holders.iter().any(|user| usage.uses(user, target, *kind))
    };
    let used: BTreeSet<_> = gives.iter().filter(is_used).copied().collect();
    let actions = |of: &BTreeSet<(&TargetName, ActionKind)>| -> BTreeSet<ActionKind> {
        of.iter().map(|(_, kind)| *kind).collect()
    };
    let targets = |of: &BTreeSet<(&TargetName, ActionKind)>| -> BTreeSet<TargetName> {
        of.iter().map(|(target, _)| (*target).clone()).collect()
    };
    let unused: Vec<TargetName> = targets(&gives).difference(&targets(&used)).cloned().collect();
    RoleUsageView {
        role: role.name.clone(),
        holders: holders.len(),
        granted: gives.len(),
        used: used.len(),
        unused_actions: actions(&gives).difference(&actions(&used)).copied().collect(),
        unused_target_count: unused.len(),
        unused_targets: unused.into_iter().take(MAX_LISTED).collect(),
        is_young,
    }
}

/// A rule with what was used of its environments, named targets and actions; several where
/// environments differ in it, none where nothing was used.
fn narrowed(usage: &Usage<'_>, rule: &Rule, holders: &BTreeSet<&UserName>) -> Vec<Rule> {
    let selected: Vec<&Target> =
        usage.facts.targets.values().filter(|target| rule.selects(target)).collect();
    let mut of_environment: BTreeMap<&EnvironmentName, BTreeSet<ActionKind>> = BTreeMap::new();
    let mut used_targets = BTreeSet::new();
    let everywhere: BTreeSet<EnvironmentName> =
        selected.iter().map(|target| target.environment.clone()).collect();
    for target in selected {
        for kind in rule.actions.iter().copied() {
            if holders.iter().any(|user| usage.uses(user, &target.name, kind)) {
                of_environment.entry(&target.environment).or_default().insert(kind);
                used_targets.insert(target.name.clone());
            }
        }
    }
    let mut alike: BTreeMap<BTreeSet<ActionKind>, BTreeSet<EnvironmentName>> = BTreeMap::new();
    for (environment, kinds) in of_environment {
        alike.entry(kinds).or_default().insert(environment.clone());
    }
    let narrow = |(actions, environments): (BTreeSet<ActionKind>, BTreeSet<EnvironmentName>)| {
        // A rule that names no environment goes on naming none where it is used in all it reaches.
        let unbound = rule.environments.is_empty() && environments == everywhere;
        let any = |kinds: &[ActionKind]| kinds.iter().any(|kind| actions.contains(kind));
        let keep = |patterns: &Vec<String>, kinds: &[ActionKind]| match any(kinds) {
            true => patterns.clone(),
            false => Vec::new(),
        };
        Rule {
            environments: if unbound { BTreeSet::new() } else { environments },
            targets: rule.targets.intersection(&used_targets).cloned().collect(),
            labels: rule.labels.clone(),
            logins: rule.logins.clone(),
            commands: keep(&rule.commands, &[ActionKind::Exec]),
            paths: keep(&rule.paths, &[ActionKind::Upload, ActionKind::Download]),
            destinations: keep(
                &rule.destinations,
                &[ActionKind::Forward, ActionKind::RemoteForward],
            ),
            databases: keep(&rule.databases, &DatabaseAct::ALL.map(DatabaseAct::kind)),
            actions,
        }
    };
    alike.into_iter().map(narrow).collect()
}

/// People who were given a role by name and used nothing of it.
fn assignments(usage: &Usage<'_>, person: Option<&UserName>, found: &mut Smaller) {
    for given in usage.facts.assignments.values() {
        let roles = usage.facts.with_inherited(&given.role);
        let roles: Vec<&Role> =
            roles.iter().filter_map(|name| usage.facts.roles.get(name)).collect();
        // Whether somebody used a right on Portcullis itself is not looked at.
        let tells = roles.iter().any(|role| !role.allow.is_empty())
            && roles.iter().all(|role| role.control.is_empty() && role.deny.is_empty());
        if !tells || usage.is_young(&given.role) {
            continue;
        }
        let uses = |user: &UserName| {
            let mut gives = roles.iter().flat_map(|role| usage.gives(role));
            gives.any(|(target, kind)| usage.uses(user, target, kind))
        };
        let idle: BTreeSet<UserName> = given
            .users
            .iter()
            .filter(|user| person.is_none_or(|person| person == *user) && !uses(user))
            .filter(|user| !usage.changed.contains(&format!("User/{user}")))
            .cloned()
            .collect();
        if idle.is_empty() {
            continue;
        }
        let users: BTreeSet<UserName> = given.users.difference(&idle).cloned().collect();
        if users.is_empty() && given.groups.is_empty() {
            found.notes.push(format!(
                "nobody of RoleAssignment/{} used anything of role `{}`; remove it",
                given.name, given.role
            ));
        }
        let less = RoleAssignment { users, ..given.clone() };
        found.changed.push(Resource::RoleAssignment(less));
    }
}

/// Only losses of what was not used come of the changes, or there is no proposal.
fn check(usage: &Usage<'_>, found: &mut Smaller) -> Result<(), ControlError> {
    if found.changed.is_empty() {
        return Ok(());
    }
    let before = Facts { locks: Vec::new(), ..usage.facts.clone() };
    let (after, policies) = changed_facts(usage.facts, &found.changed)?;
    let rows = reach(usage.policies, &before, &policies, &after, usage.now);
    let wrong = rows.iter().find(|row| {
        row.gains || (row.after == "no" && usage.uses(&row.user, &row.target, row.action))
    });
    if let Some(row) = wrong {
        found.changed.clear();
        found.notes.push(format!(
            "there is no proposal: it would change what `{}` does on `{}` ({})",
            row.user, row.target, row.action
        ));
        return Ok(());
    }
    found.losses = rows.len();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_resources::parse;

    const RESOURCES: &str = "
kind: Environment
metadata: {name: lab}
spec: {tier: development}
---
kind: Environment
metadata: {name: stage}
spec: {tier: staging}
---
kind: Group
metadata: {name: team}
spec: {}
---
kind: User
metadata: {name: ann}
spec: {groups: [team]}
---
kind: User
metadata: {name: ben}
spec: {groups: [team]}
---
kind: User
metadata: {name: cem}
spec: {}
---
kind: Role
metadata: {name: worker}
spec:
  allow:
    - {environments: [lab, stage], actions: [shell, exec, upload], commands: [uptime], paths: ['/srv/*']}
    - {targets: [lab-1, lab-2], actions: [forward]}
---
kind: Role
metadata: {name: helper}
spec: {allow: [{environments: [lab], actions: [shell]}]}
---
kind: RoleAssignment
metadata: {name: workers}
spec: {role: worker, groups: [team]}
---
kind: RoleAssignment
metadata: {name: helpers}
spec: {role: helper, users: [ann, cem]}
";

    fn facts() -> Facts {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF";
        let mut yaml = RESOURCES.to_owned();
        for (port, (name, room)) in
            (2000..).zip([("lab-1", "lab"), ("lab-2", "lab"), ("s-1", "stage")])
        {
            yaml.push_str(&format!(
                "---\nkind: Target\nmetadata: {{name: {name}}}\nspec: {{environment: {room}, ssh: {{host: 192.0.2.1, port: {port}, logins: [app], host_keys: [\"{key}\"]}}}}\n"
            ));
        }
        let mut facts = Facts::default();
        let parsed = parse(&[("f", yaml)]).unwrap();
        parsed.into_iter().for_each(|located| facts.insert(located.into_value()));
        facts
    }

    fn proposed(facts: &Facts, used: &Used, changed: &[&str]) -> Smaller {
        let policies = Policies::compile(facts).unwrap();
        let changed = changed.iter().map(|name| (*name).to_owned()).collect();
        let now = Timestamp::from_millis(1_795_000_000_000);
        let usage = Usage { facts, policies: &policies, used, changed: &changed, now };
        smaller(&usage, None, None).unwrap()
    }

    fn used(all: &[(&str, &str, ActionKind)]) -> Used {
        let mut used = Used::new();
        for (user, target, kind) in all {
            let pair = (user.parse().unwrap(), target.parse().unwrap());
            used.entry(pair).or_default().insert(*kind);
        }
        used
    }

    #[test]
    fn a_role_keeps_what_somebody_used_of_it_and_nothing_else() {
        use ActionKind::{Exec, Forward, Shell, Upload};
        let facts = facts();
        let used = used(&[
            ("ann", "lab-1", Shell),
            ("ben", "lab-2", Exec),
            ("ben", "s-1", Exec),
            ("ben", "lab-2", Forward),
            // What somebody who does not hold the role does says nothing about it.
            ("cem", "s-1", Upload),
        ]);
        let found = proposed(&facts, &used, &[]);
        let worker = found.changed.iter().find_map(|resource| match resource {
            Resource::Role(role) if role.name.as_str() == "worker" => Some(role),
            _ => None,
        });
        let allow = &worker.unwrap().allow;
        let [lab, exec, forward] = allow.as_slice() else { panic!("{allow:#?}") };
        assert_eq!((exec.actions.len(), exec.environments.len()), (1, 1));
        assert_eq!(lab.actions, [Shell, Exec].into());
        assert!(lab.paths.is_empty() && lab.commands == ["uptime"], "{lab:#?}");
        assert_eq!(forward.targets, ["lab-2".parse().unwrap()].into());
        let kept: Vec<_> =
            found.changed.iter().map(|resource| resource.key().to_string()).collect();
        assert_eq!(kept, ["Role/worker", "RoleAssignment/helpers"], "cem did not use `helper`");
        assert!(found.losses > 0 && found.notes.is_empty(), "{:?}", found.notes);
        let (after, policies) = changed_facts(&facts, &found.changed).unwrap();
        let before = Policies::compile(&facts).unwrap();
        let rows = reach(&before, &facts, &policies, &after, Timestamp::from_millis(0));
        for row in rows {
            let done = used.get(&(row.user.clone(), row.target.clone()));
            let used = done.is_some_and(|done| done.contains(&row.action));
            assert!(!row.gains && (!used || row.after != "no"), "{row:?}");
        }
        // What is proposed is a file that `plan` takes, and asks for nothing more.
        let text = portcullis_resources::to_yaml_file(&found.changed);
        assert_eq!(parse(&[("usage.yaml", text)]).unwrap().len(), 2);
        assert!(proposed(&after, &used, &[]).changed.is_empty());
    }

    #[test]
    fn what_is_too_young_and_what_is_used_whole_stays() {
        use ActionKind::{Exec, Forward, Shell, Upload};
        let facts = facts();
        let found = proposed(&facts, &Used::new(), &["Role/worker", "RoleAssignment/helpers"]);
        assert!(found.changed.is_empty(), "{:#?}", found.changed);
        assert!(found.roles.iter().all(|role| role.is_young));
        let mut all = Vec::new();
        for target in ["lab-1", "lab-2", "s-1"] {
            all.extend([Shell, Exec, Upload, Forward].map(|kind| ("ann", target, kind)));
        }
        all.push(("cem", "lab-1", Shell));
        let found = proposed(&facts, &used(&all), &[]);
        assert!(found.changed.is_empty(), "{:#?}", found.changed);
    }

    #[test]
    fn a_role_nobody_used_keeps_no_rule() {
        let facts = facts();
        let found = proposed(&facts, &Used::new(), &[]);
        let worker = found.changed.iter().find(|resource| resource.key().name == "worker");
        let Some(Resource::Role(role)) = worker else { panic!("{:#?}", found.changed) };
        assert!(role.allow.is_empty());
        assert!(found.notes.iter().any(|note| note.contains("RoleAssignment/helpers")));
    }
}
