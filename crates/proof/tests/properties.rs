//! Random organisations and requests never contradict a proof, and what questions take for granted
//! is true of every decision.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

mod worlds;

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_domain::conditions::{Weekday, Window};
use portcullis_domain::{
    Action, ActionKind, Authentication, Conditions, Decision, Denial, Factor, FactorKind, Facts,
    Grant, GrantId, GrantSource, PolicyText, Query, RequestId, Resource, Role, RoleAssignment,
    Rule, Timestamp, User,
};
use portcullis_policy::{Policies, decide};
use portcullis_proof::Status;
use proptest::prelude::*;
use worlds::*;

const INVARIANTS: &str = r#"kind: Invariant
metadata: {name: no-root}
spec: {never: {resource: {tiers: [production]}, when: 'context.login == "root"'}}
---
kind: Invariant
metadata: {name: developers}
spec: {never: {principal: {groups: [developers]}, actions: [shell, upload], resource: {environments: [production]}}}
---
kind: Invariant
metadata: {name: sudo}
spec: {never: {actions: [exec], when: 'context.command like "sudo *"'}}
---
kind: Invariant
metadata: {name: prod-db}
spec: {never: {resource: {targets: [prod-db]}, unless: 'principal in Group::"leads"'}}
---
kind: Invariant
metadata: {name: office-hours}
spec: {never: {actions: [shell], resource: {tiers: [production]}, unless: 'context.hours.contains("09:30-23:00 mon,tue,wed,thu,fri,sat,sun UTC")'}}
---
kind: Invariant
metadata: {name: from-home}
spec: {never: {actions: [exec], resource: {tiers: [staging]}, unless: 'context.source.isInRange(ip("10.0.0.0/8"))'}}
---
kind: Invariant
metadata: {name: dana}
spec: {never: {principal: {users: [dana]}, resource: {labels: {team: data}}}}
---
kind: Policy
metadata: {name: raw}
spec:
  cedar: |
    forbid (principal in Group::"contractors", action, resource);
    forbid (principal, action == Action::"forward", resource) when { context.port < 1024 };
"#;

fn some<T: Clone + std::fmt::Debug + Ord + 'static>(
    of: Vec<T>,
) -> impl Strategy<Value = BTreeSet<T>> {
    let most = of.len();
    proptest::sample::subsequence(of, 0..=most).prop_map(|v| v.into_iter().collect())
}

fn names<T: std::str::FromStr<Err: std::fmt::Debug>>(names: &[&str]) -> Vec<T> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn rule() -> impl Strategy<Value = Rule> {
    let patterns = || {
        let all =
            vec!["*".to_owned(), "sudo *".into(), "id".into(), "/srv/*".into(), "db:*".into()];
        proptest::sample::subsequence(all, 0..2)
    };
    (
        some(names(&["development", "staging", "production"])),
        some(names(&["dev-web", "prod-web", "prod-db"])),
        any::<bool>(),
        some(ActionKind::ALL.to_vec()),
        some(names(&["root", "deploy", "postgres"])),
        (patterns(), patterns(), patterns()),
    )
        .prop_map(|(environments, targets, label, mut actions, logins, patterns)| {
            if actions.is_empty() {
                actions.insert(ActionKind::Exec);
            }
            let labels = label.then(|| ("team".to_owned(), "web".to_owned())).into_iter().collect();
            let (commands, paths, destinations) = patterns;
            Rule {
                environments,
                targets,
                labels,
                actions,
                logins,
                commands,
                paths,
                destinations,
                databases: Vec::new(),
            }
        })
}

/// Circumstances a role asks for; the windows are such that moments of queries are in and out.
fn conditions() -> impl Strategy<Value = Conditions> {
    let window = |from: &str, to: &str| Window {
        time_zone: "UTC".parse().unwrap(),
        days: Weekday::ALL.into(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    };
    (
        proptest::option::weighted(0.3, 600_u64..50_000),
        some(names(&["10.0.0.0/8", "192.0.2.0/24"])),
        some(vec![window("00:00", "12:00"), window("09:30", "23:00")]),
        proptest::option::weighted(0.2, Just("OPS-#".to_owned())),
    )
        .prop_map(|(age, networks, hours, ticket)| Conditions {
            second_factor_max_age: age.map(Duration::from_secs),
            networks,
            hours,
            ticket,
        })
}

/// Allow and deny rules of a role, its conditions, and the groups and people it is given to.
type RandomRole = (
    Vec<Rule>,
    Vec<Rule>,
    BTreeSet<portcullis_domain::GroupName>,
    BTreeSet<portcullis_domain::UserName>,
    Conditions,
);

#[derive(Debug, Clone)]
struct Organisation {
    roles: Vec<RandomRole>,
}

fn organisation() -> impl Strategy<Value = Organisation> {
    let role = (
        proptest::collection::vec(rule(), 1..3),
        proptest::collection::vec(rule(), 0..2),
        some(names(&["developers", "leads", "contractors"])),
        some(names(&["dana", "lena", "rita"])),
        prop_oneof![Just(Conditions::default()), conditions()],
    );
    proptest::collection::vec(role, 1..3).prop_map(|roles| Organisation { roles })
}

fn built(organisation: &Organisation) -> Facts {
    let mut facts = facts(INVARIANTS);
    facts.insert(Resource::User(User {
        name: "rita".parse().unwrap(),
        full_name: None,
        groups: names(&["developers", "contractors"]).into_iter().collect(),
        ssh_keys: Vec::new(),
        disabled: false,
    }));
    for (number, (allow, deny, groups, users, conditions)) in organisation.roles.iter().enumerate()
    {
        let name: portcullis_domain::RoleName = format!("role-{number}").parse().unwrap();
        facts.insert(Resource::Role(Role {
            name: name.clone(),
            description: None,
            inherits: BTreeSet::new(),
            conditions: conditions.clone(),
            break_glass: None,
            allow: allow.clone(),
            deny: deny.clone(),
            control: BTreeSet::new(),
        }));
        facts.insert(Resource::RoleAssignment(RoleAssignment {
            name: name.clone(),
            role: name,
            users: users.clone(),
            groups: groups.clone(),
        }));
    }
    facts
}

/// A query, whether there is a grant for it, and when it is asked.
fn query() -> impl Strategy<Value = (Query, bool, Timestamp)> {
    let text = prop_oneof![Just("sudo id"), Just("id"), Just("/srv/a"), Just("db"), Just("")];
    let action = (text, any::<u16>(), 0..ActionKind::ALL.len()).prop_map(|(text, port, kind)| {
        let text = text.to_owned();
        match ActionKind::ALL[kind] {
            ActionKind::Shell => Action::Shell,
            ActionKind::Exec => Action::Exec { command: text },
            ActionKind::Upload => Action::Upload { path: text },
            ActionKind::Download => Action::Download { path: text },
            ActionKind::Forward => Action::Forward { host: text, port },
            ActionKind::AgentForward => Action::AgentForward,
            ActionKind::RemoteForward => Action::RemoteForward { host: text, port },
            database => Action::Database { act: database.database_act().unwrap(), database: text },
        }
    });
    let user = proptest::sample::select(vec!["dana", "lena", "rita"]);
    let target = proptest::sample::select(vec!["dev-web", "prod-web", "prod-db"]);
    let login = proptest::sample::select(vec!["root", "deploy", "postgres"]);
    let age = proptest::option::of(proptest::sample::select(vec![0_u64, 60, 3600, 40_000, 90_000]));
    let source = proptest::sample::select(vec!["10.1.2.3", "192.0.2.9", "2001:db8::1"]);
    let from = (source, 0_u64..24 * 60);
    (user, target, login, action, age, any::<bool>(), from).prop_map(
        |(user, target, login, action, age, granted, (source, minutes))| {
            let now = NOW.plus(Duration::from_secs(60 * minutes));
            let mut factors = vec![Factor { kind: FactorKind::Password, at: now }];
            factors.extend(age.map(|age| Factor {
                kind: FactorKind::Totp,
                at: now.minus(Duration::from_secs(age)),
            }));
            let source = source.parse().unwrap();
            let who = Authentication { user: user.parse().unwrap(), factors, source };
            let (target, login) = (target.parse().unwrap(), Some(login.parse().unwrap()));
            (Query { who, target, login, action }, granted, now)
        },
    )
}

fn granted(facts: &Facts, query: &Query) -> Facts {
    let mut facts = facts.clone();
    let grant = Grant {
        id: GrantId::new(NOW, [0; 10]),
        user: query.who.user.clone(),
        target: query.target.clone(),
        also: BTreeSet::new(),
        role: None,
        actions: BTreeSet::new(),
        login: None,
        ticket: Some("OPS-7".to_owned()),
        starts: NOW,
        ends: NOW.plus(Duration::from_secs(48 * 3600)),
        source: GrantSource::Request {
            request: RequestId::new(NOW, [0; 10]),
            approved_by: Vec::new(),
        },
        ended: None,
    };
    facts.grants.insert(query.who.user.clone(), vec![grant]);
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_request_is_allowed_that_a_proved_invariant_describes(
        organisation in organisation(),
        queries in proptest::collection::vec(query(), 1..60),
    ) {
        let facts = built(&organisation);
        let report = prove(&facts);
        // With all proved invariants as forbids, every decision that was an allow stays one.
        let mut enforced = facts.clone();
        for proof in report.invariants.iter().filter(|proof| proof.status == Status::Proved) {
            let name = format!("enforce-{}", proof.invariant);
            let name: portcullis_domain::PolicyName = name.parse().unwrap();
            let cedar = proof.cedar.clone();
            enforced.insert(Resource::Policy(PolicyText { name, description: None, cedar }));
        }
        let (open, strict) = (policies(&facts), policies(&enforced));
        for (query, has_grant, now) in &queries {
            let (facts, enforced) = if *has_grant {
                (granted(&facts, query), granted(&enforced, query))
            } else {
                (facts.clone(), enforced.clone())
            };
            if let Decision::Allow(_) = decide(&open, &facts, query, *now) {
                let with = decide(&strict, &enforced, query, *now);
                prop_assert!(matches!(with, Decision::Allow(_)), "{query:?}: {with:?}\n{report:#?}");
            }
        }
        // And what is said to be broken is.
        for proof in report.invariants.iter().filter(|proof| proof.status == Status::Broken) {
            prop_assert!(proof.counterexamples.iter().any(|c| c.confirmed), "{proof:#?}");
        }
    }

    #[test]
    fn what_questions_take_for_granted_is_true_of_every_decision(
        organisation in organisation(),
        queries in proptest::collection::vec(query(), 1..60),
    ) {
        let facts = built(&organisation);
        let mut doubted = facts.clone();
        let cedar = portcullis_proof::assumptions_refuted(&facts);
        let name = "assumptions".parse().unwrap();
        doubted.insert(Resource::Policy(PolicyText { name, description: None, cedar }));
        let doubting: Policies = policies(&doubted);
        for (query, has_grant, now) in &queries {
            let facts = if *has_grant { granted(&doubted, query) } else { doubted.clone() };
            let decision = decide(&doubting, &facts, query, *now);
            if let Decision::Deny(Denial::Forbidden { policies }) = &decision {
                let refuted = policies.iter().any(|id| id.starts_with("policy:assumptions:"));
                prop_assert!(!refuted, "{query:?}: {decision:?}");
            }
        }
    }
}
