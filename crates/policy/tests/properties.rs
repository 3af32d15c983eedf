//! Properties of compiled roles and of decisions over random organisations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise, in their own functions too"
)]

mod organisation;

use std::collections::{BTreeMap, BTreeSet};

use organisation::*;
use portcullis_domain::{
    Access, Action, ActionKind, Decision, Facts, LockSubject, Login, PolicyText, Query, Resource,
    Role, Rule, SeparationMode, SeparationOfDuties, Tier,
};
use portcullis_policy::{Policies, ReachTable, compile_role, decide, who_can};
use proptest::prelude::*;

/// A text as hostile as one can be in a role: quotes, escapes, stars, Cedar, any character.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        Just("\"); permit (principal, action, resource); //".to_owned()),
        Just("\\".to_owned()),
        Just("\\\"*\\*".to_owned()),
        Just("\u{202e}\u{0}\n\r".to_owned()),
        "[a-c*/ ]{1,8}",
        any::<String>().prop_map(|text| text.chars().take(40).collect()),
    ]
}

fn some<T: Clone + std::fmt::Debug + Ord + 'static>(
    of: Vec<T>,
) -> impl Strategy<Value = BTreeSet<T>> {
    let most = of.len();
    proptest::sample::subsequence(of, 0..=most).prop_map(|v| v.into_iter().collect())
}

fn rules() -> impl Strategy<Value = Rule> {
    let selectors = (
        some(vec!["development".parse().unwrap(), "production".parse().unwrap()]),
        some(vec!["dev-web".parse().unwrap(), "prod-web".parse().unwrap()]),
        proptest::option::of(prop_oneof![
            Just(("team".to_owned(), "web".to_owned())),
            (text(), text())
        ]),
        some(ActionKind::ALL.to_vec()),
        some(vec![login("root"), login("deploy")]),
    );
    let patterns = || proptest::collection::vec(text(), 0..3);
    (selectors, patterns(), patterns(), patterns(), patterns()).prop_map(
        |(
            (environments, targets, label, mut actions, logins),
            commands,
            paths,
            destinations,
            databases,
        )| {
            if actions.is_empty() {
                actions.insert(ActionKind::Shell);
            }
            let labels: BTreeMap<String, String> = label.into_iter().collect();
            Rule {
                environments,
                targets,
                labels,
                actions,
                logins,
                commands,
                paths,
                destinations,
                databases,
            }
        },
    )
}

fn roles() -> impl Strategy<Value = Role> {
    let rules = || proptest::collection::vec(rules(), 0..4);
    (rules(), rules()).prop_map(|(allow, deny)| role("random", "random", allow, deny))
}

fn queries() -> impl Strategy<Value = Query> {
    let texts = prop_oneof![text(), "[a-c/ ]{0,6}", Just("/a/b".to_owned()), Just(String::new())];
    let action = (texts, any::<u16>(), 0..ActionKind::ALL.len()).prop_map(|(text, port, kind)| {
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
    let target =
        prop_oneof![Just("dev-web"), Just("prod-web"), Just("staging-web"), Just("orders-db")];
    let login =
        prop_oneof![Just(None), Just(Some("root")), Just(Some("deploy")), Just(Some("app_ro"))];
    (target, login, action, proptest::option::of(0..200i64)).prop_map(
        |(target, login, action, age)| {
            let mut query = query("rita", target, login, action);
            query.who = who("rita", age.map(totp).into_iter().collect());
            query
        },
    )
}

/// The demo organisation with one more user who holds the random role.
fn with_role(role: Role) -> Facts {
    let mut facts = facts();
    facts.insert(Resource::User(user("rita", BTreeSet::new())));
    facts.insert(Resource::RoleAssignment(assignment("rita-random", "random", ["rita"], set([]))));
    facts.insert(Resource::Role(role));
    facts
}

/// Somebody holds one random role, somebody the other, two both, one of them by a group; with what
/// sets people and targets apart: grants, locks, raw policies, roles kept apart.
fn crowd(mut roles: [Role; 2], apart: u8) -> Facts {
    let mut facts = facts();
    for (role, name) in roles.iter_mut().zip(["random", "other"]) {
        role.name = name.parse().unwrap();
        facts.insert(Resource::Role(role.clone()));
    }
    for (name, role) in [("ann", "random"), ("ben", "other"), ("cem", "random"), ("cem", "other")] {
        let given = assignment(&format!("{name}-{role}"), role, [name], set([]));
        facts.insert(Resource::User(user(name, set([]))));
        facts.insert(Resource::RoleAssignment(given));
    }
    facts.insert(Resource::User(user("dora", set(["leads"]))));
    for role in ["random", "other"] {
        let given = assignment(&format!("leads-{role}"), role, [], set(["leads"]));
        facts.insert(Resource::RoleAssignment(given));
    }
    for name in ["dev-db", "dev-cache"] {
        facts.insert(Resource::Target(target(name, "development", "data", &["root"])));
    }
    if apart & 1 != 0 {
        facts.grants.insert("cem".parse().unwrap(), vec![grant("cem", "prod-web")]);
    }
    if apart & 2 != 0 {
        facts.locks.push(lock(LockSubject::Role("random".parse().unwrap())));
    }
    if apart & 4 != 0 {
        let cedar = "permit (principal in Group::\"leads\", action, resource) when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"data\" };";
        facts.insert(Resource::Policy(raw("leads", cedar)));
    }
    if apart & 8 != 0 {
        let cedar = "forbid (principal == User::\"ann\", action, resource) when { resource.name like \"dev-d*\" };";
        facts.insert(Resource::Policy(raw("ann", cedar)));
    }
    if apart & 16 != 0 {
        facts.insert(Resource::SeparationOfDuties(SeparationOfDuties {
            name: "one-of-two".parse().unwrap(),
            description: None,
            roles: set(["random", "other"]),
            mode: SeparationMode::Dynamic,
        }));
    }
    facts
}

fn set_of(texts: Vec<String>) -> BTreeSet<String> {
    texts.into_iter().collect()
}

fn raw(name: &str, cedar: &str) -> PolicyText {
    PolicyText { name: name.parse().unwrap(), description: None, cedar: cedar.to_owned() }
}

fn allows(facts: &Facts, query: &Query) -> Option<Login> {
    match decide(&Policies::compile(facts).unwrap(), facts, query, NOW) {
        Decision::Allow(terms) => Some(terms.login),
        _ => None,
    }
}

/// The same role with every free text replaced by a harmless one.
fn tamed(role: &Role) -> Role {
    let tame = |texts: &mut Vec<String>| {
        for text in
            texts.iter_mut().filter(|text| text.is_empty() || !text.chars().all(|c| c == '*'))
        {
            *text = "x".into();
        }
    };
    let mut role = role.clone();
    for rule in role.allow.iter_mut().chain(&mut role.deny) {
        rule.labels = rule.labels.keys().map(|_| ("x".into(), "x".into())).collect();
        [&mut rule.commands, &mut rule.paths, &mut rule.destinations, &mut rule.databases]
            .into_iter()
            .for_each(tame);
    }
    role
}

/// Cedar text without what its string literals hold.
fn skeleton(cedar: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::new(), false, false);
    for c in cedar.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => {
                inside = !inside;
                out.push('"');
            }
            _ if inside => {}
            _ => out.push(c),
        }
    }
    out
}

/// Wildcard matching as a child would explain it.
fn matches(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        Some((c, rest)) => {
            text.split_first().is_some_and(|(t, others)| t == c && matches(rest, others))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(96), ..ProptestConfig::default() })]

    #[test]
    fn every_role_compiles_validates_and_keeps_its_structure(role in roles()) {
        let made = compile_role(&role);
        let policies = Policies::compile(&with_role(role.clone())).unwrap();
        let in_force: Vec<_> =
            policies.all().into_iter().filter(|p| p.id.starts_with("role:random:")).collect();
        prop_assert_eq!(made.len(), in_force.len());
        for (made, policy) in made.iter().zip(&in_force) {
            prop_assert_eq!(&made.id, &policy.id);
            prop_assert_eq!(made.effect, policy.effect);
            prop_assert!(made.cedar.is_ascii());
        }
        let tame: Vec<String> = compile_role(&tamed(&role)).iter().map(|p| skeleton(&p.cedar)).collect();
        let wild: Vec<String> = made.iter().map(|p| skeleton(&p.cedar)).collect();
        prop_assert_eq!(tame, wild, "a text changed the structure of a policy");
    }

    #[test]
    fn a_deny_rule_never_opens_anything(role in roles(), more in rules(), query in queries()) {
        let mut facts = with_role(role);
        facts.grants.insert("rita".parse().unwrap(), vec![grant("rita", "prod-web")]);
        // Without a login a deny can leave one choice where there were two, so it is named.
        let named = Query { login: Some(query.login.clone().unwrap_or(login("root"))), ..query };
        let before = allows(&facts, &named);
        facts.roles.get_mut(&"random".parse().unwrap()).unwrap().deny.push(more);
        let after = allows(&facts, &named);
        prop_assert!(after.is_none() || after == before);
    }

    #[test]
    fn a_lock_never_opens_anything(role in roles(), which in 0..4usize, query in queries()) {
        let mut facts = with_role(role);
        facts.grants.insert("rita".parse().unwrap(), vec![grant("rita", "prod-web")]);
        let named = Query { login: Some(query.login.clone().unwrap_or(login("root"))), ..query };
        let before = allows(&facts, &named);
        facts.locks.push(lock(match which {
            0 => LockSubject::User("rita".parse().unwrap()),
            1 => LockSubject::Target(named.target.clone()),
            2 => LockSubject::Environment("production".parse().unwrap()),
            _ => LockSubject::Role("random".parse().unwrap()),
        }));
        let after = allows(&facts, &named);
        prop_assert!(after.is_none() || (after == before && which == 2));
    }

    #[test]
    fn nothing_on_request_opens_without_a_covering_grant(role in roles(), query in queries()) {
        let mut facts = with_role(role);
        let mut ended = grant("rita", "prod-web");
        ended.ends = NOW;
        facts.grants.insert("rita".parse().unwrap(), vec![ended, grant("rita", "prod-db")]);
        let target = &facts.targets[&query.target];
        let on_request = facts.environments[&target.environment].access == Access::OnRequest;
        prop_assert!(!on_request || allows(&facts, &query).is_none());
    }

    #[test]
    fn production_with_standing_access_opens_for_nobody(role in roles(), query in queries()) {
        let mut facts = with_role(role);
        for environment in facts.environments.values_mut() {
            environment.access = Access::Standing;
            environment.tier = Tier::Production;
        }
        prop_assert!(allows(&facts, &query).is_none());
    }

    #[test]
    fn the_table_of_reach_is_what_who_can_says_of_everyone(
        first in roles(),
        second in roles(),
        apart in 0..32u8,
    ) {
        let facts = crowd([first, second], apart);
        let policies = Policies::compile(&facts).unwrap();
        let mut table = ReachTable::new(&policies, &facts, NOW);
        let mut expected: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for target in facts.targets.keys() {
            for kind in ActionKind::ALL {
                for found in who_can(&policies, &facts, kind, target, NOW) {
                    let bounds = (set_of(found.only), set_of(found.except), set_of(found.under));
                    for login in found.logins {
                        let said = format!("{kind} {login} {:?} {bounds:?}", found.reach);
                        let pair = (found.user.clone(), target.clone());
                        expected.entry(pair).or_default().insert(said);
                    }
                }
            }
        }
        for user in facts.users.keys() {
            for target in facts.targets.keys() {
                let reaches = table.of(user, target);
                let cells = reaches.iter().flat_map(|(kind, accounts)| {
                    accounts.iter().map(move |(login, reached)| {
                        let bounds =
                            (reached.only.clone(), reached.except.clone(), reached.under.clone());
                        format!("{kind} {login} {:?} {bounds:?}", reached.reach)
                    })
                });
                let cells: BTreeSet<String> = cells.collect();
                let said = expected.remove(&(user.clone(), target.clone())).unwrap_or_default();
                prop_assert_eq!(cells, said, "{} on {}", user, target);
            }
        }
    }

    #[test]
    fn patterns_match_as_the_reference_does(pattern in "[a-c*/\\\\\" ]{1,8}", text in "[a-c/*\" ]{0,8}") {
        let trimmed = pattern.trim_matches(' ');
        prop_assume!(!trimmed.is_empty());
        let rule = Rule { commands: vec![pattern.clone()], ..rule(["development"], &[ActionKind::Exec]) };
        let facts = with_role(role("random", "random", vec![rule], vec![]));
        let found = allows(&facts, &query("rita", "dev-web", Some("root"), exec(&text)));
        let (pattern, text): (Vec<char>, Vec<char>) =
            (trimmed.chars().collect(), text.trim_matches(' ').chars().collect());
        prop_assert_eq!(found.is_some(), matches(&pattern, &text));
    }
}
