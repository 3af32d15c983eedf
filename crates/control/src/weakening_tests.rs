//! Changes as people write them, each held against the same installation.

use portcullis_domain::{Lock, LockId, Timestamp};
use portcullis_resources::parse;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvYBsl/DgCvGh/DMo+nY6kmlyPI24+sT5OvcdsYbW6Q";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF";

const ENVIRONMENTS: &str = "kind: Environment
metadata: {name: production}
spec:
  tier: production
  approval: {groups: [leads], count: 2}
  max_grant: 4h
  max_session: 8h
---
kind: Environment
metadata: {name: lab}
spec: {tier: test}
---
kind: Environment
metadata: {name: staging}
spec: {tier: staging}
";
const GROUPS: &str = "kind: Group
metadata: {name: leads}
spec: {}
---
kind: Group
metadata: {name: administrators}
spec: {}
---
kind: Group
metadata: {name: developers}
spec: {}
---
kind: Group
metadata: {name: guests}
spec: {}
";
const ROLES: &str = "kind: Role
metadata: {name: administrator}
spec: {control: [apply_resources, lock]}
---
kind: RoleAssignment
metadata: {name: administrators}
spec: {role: administrator, groups: [administrators]}
---
kind: Role
metadata: {name: developer}
spec:
  allow: [{actions: [shell]}]
  deny: [{actions: [agent_forward]}]
---
kind: RoleAssignment
metadata: {name: developers}
spec: {role: developer, groups: [developers]}
---
kind: Role
metadata: {name: guest}
spec:
  allow: [{environments: [lab], actions: [shell]}]
---
kind: RoleAssignment
metadata: {name: guests}
spec: {role: guest, groups: [guests]}
---
kind: Role
metadata: {name: no-production}
spec:
  deny: [{environments: [production], actions: [shell]}]
---
kind: RoleAssignment
metadata: {name: no-production}
spec: {role: no-production, users: [bob]}
---
kind: Policy
metadata: {name: nights}
spec:
  cedar: 'forbid (principal, action, resource) when { resource in Environment::\"lab\" };'
";
const USERS: &str = "kind: User
metadata: {name: ann}
spec: {groups: [administrators]}
---
kind: User
metadata: {name: abe}
spec: {groups: [administrators]}
---
kind: User
metadata: {name: bob}
spec: {groups: []}
";

#[test]
fn what_changes_nothing_that_protects_takes_one_person() {
    unweakened("kind: User\nmetadata: {name: new}\nspec: {groups: [developers]}\n");
    unweakened("kind: User\nmetadata: {name: bob}\nspec: {groups: [guests], full_name: Bob}\n");
    unweakened(&target("lab-9", "lab", "lab-9.example", OTHER));
    unweakened("kind: Environment\nmetadata: {name: new}\nspec: {tier: development}\n");
    let stricter = "kind: Environment\nmetadata: {name: production}\nspec: {tier: production, \
        approval: {groups: [leads], count: 3}, max_grant: 1h, max_session: 1h}\n";
    unweakened(stricter);
    unweakened("kind: User\nmetadata: {name: bob}\nspec: {groups: [], disabled: true}\n");
}

#[test]
fn a_production_target_stays_what_it_is() {
    for (yaml, why) in [
        (target("web", "lab", "web.example", KEY), "changes the environment of"),
        (target("web", "production", "other.example", KEY), "changes the address of"),
        (target("web", "production", "web.example", OTHER), "changes the host keys of"),
    ] {
        weakened(&yaml, why);
    }
    let mut after = facts(&everything());
    after.targets.remove(&"web".parse().unwrap());
    let why = weakens(&facts(&everything()), &after).unwrap();
    assert!(why.contains("removes production target `web`"), "{why}");
}

#[test]
fn a_machine_of_production_is_not_declared_elsewhere() {
    for yaml in [
        target("twin", "lab", "WEB.example.", OTHER),
        target("twin", "staging", "innocent.example", &format!("{KEY} comment")),
        target("lab-1", "lab", "web.example", OTHER),
    ] {
        weakened(&yaml, "with an address or host key of `web`");
    }
    unweakened(&target("web-b", "production", "web.example", KEY));
}

#[test]
fn another_production_environment_is_elsewhere_too() {
    let yaml = format!(
        "kind: Environment\nmetadata: {{name: easy}}\nspec: {{tier: production, approval: \
         {{groups: [guests], count: 1}}}}\n---\n{}",
        target("twin", "easy", "web.example", OTHER)
    );
    weakened(&yaml, "with an address or host key of `web`");
}

#[test]
fn hosts_are_compared_as_machines() {
    assert_eq!(canonical("LOCALHOST."), canonical("127.8.9.1"));
    assert_eq!(canonical("[::1]"), canonical("::ffff:127.0.0.1"));
    assert_eq!(canonical("::ffff:10.0.0.1"), "10.0.0.1");
    assert_ne!(canonical("a.example"), canonical("b.example"));
}

#[test]
fn a_production_environment_keeps_its_terms() {
    let with = |spec: &str| {
        format!("kind: Environment\nmetadata: {{name: production}}\nspec: {{{spec}}}\n")
    };
    let approval = "approval: {groups: [leads], count: 2}";
    for (spec, why) in [
        (format!("tier: staging, access: on_request, {approval}"), "changes the tier"),
        (
            "tier: production, approval: {groups: [leads], count: 1}, max_grant: 4h, max_session: 8h"
                .to_owned(),
            "loosens the approval",
        ),
        (
            "tier: production, approval: {groups: [leads, guests], count: 2}, max_grant: 4h, \
             max_session: 8h"
                .to_owned(),
            "loosens the approval",
        ),
        (
            format!("tier: production, {approval}, max_grant: 4h, max_session: 8h, second_factor: {{max_age: 1h}}"),
            "takes older second factors",
        ),
        (format!("tier: production, {approval}, max_grant: 5h, max_session: 8h"), "longest grant"),
        (format!("tier: production, {approval}, max_grant: 4h"), "longest session"),
    ] {
        weakened(&with(&spec), why);
    }
}

#[test]
fn an_approval_rule_where_there_was_none_is_looser() {
    let rule = ApprovalRule::of(BTreeSet::new(), 9);
    assert!(approval_loosened(None, Some(&rule)));
    assert!(!approval_loosened(Some(&rule), None) && !approval_loosened(None, None));
}

#[test]
fn a_dropped_gate_is_not_gone_around() {
    let mut before = facts(&everything());
    before.locks.push(Lock {
        id: LockId::generate(NOW),
        subject: LockSubject::Environment("lab".parse().unwrap()),
        kind: LockKind::Drop { raised_by: Vec::new() },
        reason: "attack".into(),
        by: "ann".parse().unwrap(),
        at: NOW,
        expires: None,
    });
    let changed = |yaml: &str| {
        let mut after = before.clone();
        insert(&mut after, yaml);
        weakens(&before, &after).unwrap_or_default()
    };
    let moved = changed(&target("lab-1", "staging", "lab-1.example", OTHER));
    assert!(moved.contains("takes target `lab-1` out of environment `lab`"), "{moved}");
    let twin = changed(&target("twin", "staging", "lab-1.example", KEY));
    assert!(!twin.is_empty());
    let mut gone = before.clone();
    gone.targets.clear();
    gone.targets
        .extend(before.targets.clone().into_iter().filter(|(name, _)| name.as_str() == "web"));
    assert!(weakens(&before, &gone).unwrap().contains("takes target `lab-1` out"));
    gone.environments.remove(&"lab".parse().unwrap());
    assert!(weakens(&before, &gone).unwrap().contains("removes environment `lab`"));
}

#[test]
fn keys_and_groups_that_matter_take_two() {
    let user = |name: &str, spec: &str| {
        format!("kind: User\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
    };
    weakened(&user("bob", &format!("ssh_keys: [\"{KEY}\"]")), "gives user `bob` another SSH key");
    weakened(&user("bob", "groups: [leads]"), "which approves for environment `production`");
    weakened(&user("new", "groups: [leads]"), "which approves for environment `production`");
    weakened(&user("bob", "groups: [developers]"), "whose role `developer` reaches production");
    weakened(&user("bob", "groups: [administrators]"), "the right `apply_resources`");
    weakened(&user("new", "groups: [administrators]"), "the right `apply_resources`");
    weakened(
        "kind: RoleAssignment\nmetadata: {name: more}\nspec: {role: administrator, users: [bob]}\n",
        "gives user `bob` the right",
    );
}

#[test]
fn a_sole_administrator_can_make_a_second_one_and_nobody_makes_themselves_sole() {
    let mut sole = facts(&everything());
    sole.users.remove(&"abe".parse().unwrap());
    let mut two = sole.clone();
    insert(&mut two, "kind: User\nmetadata: {name: eve}\nspec: {groups: [administrators]}\n");
    assert_eq!(weakens(&sole, &two), None);
    assert!(weakens(&two, &sole).unwrap().contains("fewer than two people"));
}

#[test]
fn what_is_denied_stays_denied() {
    weakened(
        "kind: Role\nmetadata: {name: developer}\nspec: {allow: [{actions: [shell]}]}\n",
        "a deny of role `developer`",
    );
    weakened(
        "kind: RoleAssignment\nmetadata: {name: no-production}\nspec: {role: no-production, users: []}\n",
        "takes role `no-production`, which only denies, from user `bob`",
    );
    let policy = |name: &str, text: &str| {
        format!("kind: Policy\nmetadata: {{name: {name}}}\nspec:\n  cedar: '{text}'\n")
    };
    weakened(
        &policy("nights", "forbid (principal, action, resource) when { false };"),
        "policy `nights`, which forbids",
    );
    weakened(
        &policy("open", "permit (principal, action, resource);"),
        "policy `open`, which permits",
    );
    unweakened(&policy("more", "forbid (principal, action, resource);"));
    let mut gone = facts(&everything());
    gone.policies.clear();
    assert!(weakens(&facts(&everything()), &gone).unwrap().contains("`nights`"));
}

#[track_caller]
fn weakened(yaml: &str, why: &str) {
    let found = with(yaml);
    assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{why}: {found:?}\n{yaml}");
}

#[track_caller]
fn unweakened(yaml: &str) {
    assert_eq!(with(yaml), None, "{yaml}");
}

fn with(yaml: &str) -> Option<String> {
    let before = facts(&everything());
    let mut after = before.clone();
    insert(&mut after, yaml);
    weakens(&before, &after)
}

fn everything() -> String {
    [
        ENVIRONMENTS,
        GROUPS,
        ROLES,
        USERS,
        &target("web", "production", "web.example", KEY),
        &target("lab-1", "lab", "lab-1.example", OTHER),
    ]
    .join("---\n")
}

fn target(name: &str, environment: &str, host: &str, key: &str) -> String {
    format!(
        "kind: Target\nmetadata: {{name: {name}}}\nspec:\n  environment: {environment}\n  ssh: \
         {{host: {host}, logins: [app], host_keys: [\"{key}\"]}}\n"
    )
}

fn facts(yaml: &str) -> Facts {
    let mut facts = Facts::default();
    insert(&mut facts, yaml);
    facts
}

fn insert(facts: &mut Facts, yaml: &str) {
    let parsed = parse(&[("test.yaml", yaml)]).unwrap();
    parsed.into_iter().for_each(|found| facts.insert(found.value));
}
