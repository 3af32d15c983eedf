//! What `decide`, `explain`, `who_can` and `control` answer in the demo organisation.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise, in their own functions too"
)]

mod organisation;

use std::time::Duration;

use organisation::*;
use portcullis_domain::{
    Action, ActionKind, ControlAction, Decision, Denial, FactorKind, Facts, LockSubject,
    PolicyText, Query, Resource, Terms, Timestamp,
};
use portcullis_policy::control::{self, ControlDecision, ControlDenial};
use portcullis_policy::{CompileError, Policies, Reach, decide, explain, who_can};

fn ask(facts: &Facts, query: &Query) -> Decision {
    decide(&Policies::compile(facts).unwrap(), facts, query, NOW)
}

fn allowed(decision: Decision) -> Terms {
    match decision {
        Decision::Allow(terms) => terms,
        other => panic!("not allowed: {other:?}"),
    }
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("not denied: {other:?}"),
    }
}

fn prod_shell() -> Query {
    query("dana", "prod-web", None, Action::Shell)
}

#[test]
fn production_asks_for_a_request_then_a_factor_then_allows_until_the_grant_ends() {
    let mut facts = facts();
    let mut query = prod_shell();
    match ask(&facts, &query) {
        Decision::RequestAccess { rule, max_grant, reasons } => {
            assert_eq!(rule.unwrap().to_string(), "1 of leads or security");
            assert_eq!(max_grant, Duration::from_secs(8 * 3600));
            assert_eq!(reasons, ["role:developer:allow:4"]);
        }
        other => panic!("{other:?}"),
    }
    facts.grants.insert("dana".parse().unwrap(), vec![grant("dana", "prod-web")]);
    assert!(matches!(
        ask(&facts, &query),
        Decision::StepUp { max_age: Duration::ZERO, reasons } if reasons == ["role:developer:allow:4"]
    ));
    query.who = who("dana", vec![totp(60)]);
    let terms = allowed(ask(&facts, &query));
    assert_eq!(terms.login, login("deploy"), "the only login that is allowed is meant");
    assert_eq!(terms.ends, Some(Timestamp::from_millis(NOW.as_millis() + 3_600_000)));
    assert!(terms.grant.is_some());
    assert_eq!(terms.idle_timeout, Some(Duration::from_secs(900)));
    let later = NOW.plus(Duration::from_secs(3600));
    query.who = who("dana", vec![totp(-3600)]);
    let policies = Policies::compile(&facts).unwrap();
    assert!(matches!(decide(&policies, &facts, &query, later), Decision::RequestAccess { .. }));
}

#[test]
fn the_factor_must_be_second_recent_and_not_from_the_future() {
    let mut facts = facts();
    facts.grants.insert("dana".parse().unwrap(), vec![grant("dana", "prod-web")]);
    for (age, fresh) in [(0, true), (120, true), (121, false), (-5, true), (-6, false)] {
        let mut query = prod_shell();
        query.who = who("dana", vec![totp(age)]);
        let allowed = matches!(ask(&facts, &query), Decision::Allow(_));
        assert_eq!(allowed, fresh, "{age} s");
    }
    let mut query = prod_shell();
    query.who = who("dana", vec![totp(0)]);
    query.who.factors[0].kind = FactorKind::Password;
    assert!(matches!(ask(&facts, &query), Decision::StepUp { .. }));
    let mut query = query_staging();
    query.who = who("dana", vec![totp(12 * 3600), totp(-100)]);
    assert!(matches!(ask(&facts, &query), Decision::Allow(_)), "an older one still counts");
    query.who = who("dana", vec![totp(12 * 3600 + 1)]);
    assert!(matches!(ask(&facts, &query), Decision::StepUp { .. }));
}

fn query_staging() -> Query {
    query("dana", "staging-web", Some("deploy"), Action::Shell)
}

#[test]
fn a_grant_for_another_login_action_or_target_does_not_count() {
    let mut facts = facts();
    let mut query = query("lee", "prod-web", Some("root"), Action::Shell);
    query.who = who("lee", vec![totp(0)]);
    for change in 0..4 {
        let mut grant = grant("lee", "prod-web");
        match change {
            0 => grant.login = Some(login("deploy")),
            1 => grant.actions = [ActionKind::Exec].into(),
            2 => grant.target = "prod-db".parse().unwrap(),
            _ => grant.ends = NOW,
        }
        facts.grants.insert("lee".parse().unwrap(), vec![grant]);
        assert!(matches!(ask(&facts, &query), Decision::RequestAccess { .. }), "{change}");
    }
    let (short, mut long) = (grant("lee", "prod-web"), grant("lee", "prod-web"));
    long.ends = long.ends.plus(Duration::from_secs(60));
    facts.grants.insert("lee".parse().unwrap(), vec![long.clone(), short]);
    assert_eq!(allowed(ask(&facts, &query)).ends, Some(long.ends));
}

#[test]
fn standing_access_does_not_end_with_a_grant_it_does_not_need() {
    let mut facts = facts();
    facts.grants.insert("dana".parse().unwrap(), vec![grant("dana", "dev-web")]);
    let terms = allowed(ask(&facts, &query("dana", "dev-web", Some("root"), Action::Shell)));
    assert_eq!((terms.ends, terms.grant), (None, None));
}

#[test]
fn logins_are_the_targets_and_a_choice_is_asked_for_only_where_there_is_one() {
    let facts = facts();
    let choices = |decision| match denied(decision) {
        Denial::Login { choices } => choices,
        other => panic!("{other:?}"),
    };
    let dev = |login| ask(&facts, &query("dana", "dev-web", login, Action::Shell));
    assert_eq!(choices(dev(None)), [login("deploy"), login("root")]);
    assert_eq!(choices(dev(Some("nobody"))), [login("deploy"), login("root")]);
    let root = ask(&facts, &query("dana", "staging-web", Some("root"), Action::Shell));
    assert_eq!(denied(root), Denial::NoPolicy);
    let no_login = ask(&facts, &query("sam", "dev-web", None, Action::Shell));
    assert_eq!(denied(no_login), Denial::NoPolicy);
    assert!(matches!(
        ask(&facts, &query("lee", "prod-web", None, Action::Shell)),
        Decision::RequestAccess { .. }
    ));
}

#[test]
fn patterns_restrict_commands_paths_and_destinations_and_cannot_be_smuggled_past() {
    let mut facts = facts();
    facts.grants.insert("dana".parse().unwrap(), vec![grant("dana", "prod-web")]);
    let as_dana = |target: &str, action: Action| {
        let mut query = query("dana", target, Some("deploy"), action);
        query.who = who("dana", vec![totp(0)]);
        matches!(ask(&facts, &query), Decision::Allow(_))
    };
    let download = |path: &str| Action::Download { path: path.into() };
    let forward = |host: &str, port| Action::Forward { host: host.into(), port };
    for (target, action, expected) in [
        ("prod-web", exec("uptime"), true),
        ("prod-web", exec(" uptime "), true),
        ("prod-web", exec("systemctl status 'nginx'"), true),
        ("prod-web", exec("systemctl status nginx; reboot"), false),
        ("prod-web", exec("systemctl status $(reboot)"), false),
        ("prod-web", exec("systemctl status x\nreboot"), false),
        ("prod-web", exec("reboot"), false),
        ("prod-web", exec(""), false),
        ("prod-web", download(""), true),
        ("prod-web", download("/var/log/nginx/access.log"), true),
        ("prod-web", download("//var/./log/x"), true),
        ("prod-web", download("/var/log/../../etc/shadow"), false),
        ("prod-web", download("var/log/x"), false),
        ("prod-web", download("/etc/shadow"), false),
        ("staging-web", forward("LOCALHOST", 8080), true),
        ("staging-web", forward("db.staging.internal.", 5432), true),
        ("staging-web", forward("db.staging.internal", 22), false),
        ("staging-web", forward("127.0.0.1", 8080), false),
        ("staging-web", forward("x y.staging.internal", 5432), false),
        ("dev-web", exec("anything; at all"), true),
    ] {
        assert_eq!(as_dana(target, action.clone()), expected, "{target} {action:?}");
    }
}

#[test]
fn a_deny_by_pattern_also_holds_for_what_it_cannot_read() {
    let mut facts = facts();
    facts.grants.insert("lee".parse().unwrap(), vec![grant("lee", "prod-web")]);
    for (path, expected) in [
        ("/srv/x", true),
        ("", true),
        ("/etc/passwd", false),
        ("/srv/../etc/passwd", false),
        ("etc/passwd", false),
        ("//etc//passwd", false),
    ] {
        let mut query =
            query("lee", "prod-web", Some("root"), Action::Upload { path: path.into() });
        query.who = who("lee", vec![totp(0)]);
        let decision = ask(&facts, &query);
        assert_eq!(matches!(decision, Decision::Allow(_)), expected, "{path}: {decision:?}");
    }
    let query = query("lee", "prod-web", Some("root"), Action::AgentForward);
    let forbidden = Denial::Forbidden { policies: vec!["role:guardrails:deny:1".into()] };
    assert_eq!(denied(ask(&facts, &query)), forbidden);
}

#[test]
fn locks_stop_user_target_environment_and_what_a_role_allows() {
    for subject in [
        LockSubject::User("dana".parse().unwrap()),
        LockSubject::Target("dev-web".parse().unwrap()),
        LockSubject::Environment("development".parse().unwrap()),
        LockSubject::Role("developer".parse().unwrap()),
    ] {
        let mut facts = facts();
        facts.locks.push(lock(subject.clone()));
        let denial = denied(ask(&facts, &query("dana", "dev-web", Some("root"), Action::Shell)));
        assert!(matches!(&denial, Denial::Locked { reason, .. } if reason == "laptop stolen"));
        facts.locks[0].expires = Some(NOW);
        allowed(ask(&facts, &query("dana", "dev-web", Some("root"), Action::Shell)));
    }
}

#[test]
fn a_locked_role_leaves_other_roles_and_its_own_denials_in_force() {
    let mut facts = facts();
    facts.locks.push(lock(LockSubject::Role("developer".parse().unwrap())));
    let mut staging = query("lee", "staging-web", Some("root"), Action::Shell);
    staging.who = who("lee", vec![totp(0)]);
    assert_eq!(allowed(ask(&facts, &staging)).reasons, ["role:lead:allow:1"]);
    facts.locks = vec![lock(LockSubject::Role("guardrails".parse().unwrap()))];
    let agent = query("lee", "prod-web", Some("root"), Action::AgentForward);
    assert!(matches!(denied(ask(&facts, &agent)), Denial::Forbidden { .. }));
}

#[test]
fn a_locked_role_does_not_let_anyone_in_through_a_raw_policy_either() {
    let mut facts = facts();
    facts.insert(Resource::Policy(PolicyText {
        name: "extra".parse().unwrap(),
        description: None,
        cedar:
            r#"permit (principal in Role::"security-officer", action == Action::"shell", resource)
                  when { resource.tier == "development" };"#
                .into(),
    }));
    let query = query("sam", "dev-web", Some("root"), Action::Shell);
    assert_eq!(allowed(ask(&facts, &query)).reasons, ["policy:extra:1"]);
    facts.locks.push(lock(LockSubject::Role("security-officer".parse().unwrap())));
    assert!(matches!(denied(ask(&facts, &query)), Denial::Locked { .. }));
}

#[test]
fn strangers_disabled_users_unknown_targets_and_endless_commands_are_refused() {
    let mut facts = facts();
    let ask_for = |facts: &Facts, user, target, action| {
        denied(ask(facts, &query(user, target, Some("root"), action)))
    };
    let shell = Action::Shell;
    assert_eq!(ask_for(&facts, "nobody", "dev-web", shell.clone()), Denial::UserUnknownOrDisabled);
    assert_eq!(ask_for(&facts, "dana", "nowhere", shell.clone()), Denial::TargetUnknown);
    let long = exec(&"x".repeat(32 * 1024 + 1));
    assert_eq!(ask_for(&facts, "dana", "dev-web", long), Denial::TooLong);
    facts.users.get_mut(&"dana".parse().unwrap()).unwrap().disabled = true;
    assert_eq!(ask_for(&facts, "dana", "dev-web", shell), Denial::UserUnknownOrDisabled);
}

#[test]
fn an_error_in_any_policy_is_a_deny_though_others_permit() {
    let mut facts = facts();
    facts.insert(Resource::Policy(PolicyText {
        name: "overflow".parse().unwrap(),
        description: None,
        cedar: r#"permit (principal, action == Action::"forward", resource)
                  when { context.port * 9223372036854775807 > 0 };"#
            .into(),
    }));
    let forward = Action::Forward { host: "x".into(), port: 80 };
    let query = query("dana", "dev-web", Some("root"), forward);
    assert!(matches!(denied(ask(&facts, &query)), Denial::PolicyError { .. }));
}

#[test]
fn policies_of_another_revision_are_a_deny_and_refresh_follows_every_change() {
    let mut facts = facts();
    let policies = Policies::compile(&facts).unwrap();
    let query = query("dana", "dev-web", Some("root"), Action::Shell);
    allowed(decide(&policies, &facts, &query, NOW));
    facts.revision = 1;
    assert!(matches!(denied(decide(&policies, &facts, &query, NOW)), Denial::PolicyError { .. }));
    let policies = policies.refresh(&facts).unwrap();
    allowed(decide(&policies, &facts, &query, NOW));
    facts.revision = 2;
    facts.roles.get_mut(&"developer".parse().unwrap()).unwrap().allow.remove(0);
    let policies = policies.refresh(&facts).unwrap();
    assert_eq!(denied(decide(&policies, &facts, &query, NOW)), Denial::NoPolicy);
    facts.revision = 3;
    facts.users.get_mut(&"dana".parse().unwrap()).unwrap().groups.clear();
    let policies = policies.refresh(&facts).unwrap();
    let staging = query_staging();
    assert_eq!(denied(decide(&policies, &facts, &staging, NOW)), Denial::NoPolicy);
}

#[test]
fn raw_policies_are_refused_with_resource_line_and_message() {
    for (cedar, line, says) in [
        ("permit (principal, action, resource)\nwhen { context.nothing };", Some(2), "nothing"),
        ("// x\npermit (principal action, resource);", Some(2), "unexpected token"),
        ("", None, "no policy"),
        ("permit (principal == ?principal, action, resource);", None, "templates"),
        ("permit (principal == User::\"eve\", action, resource);", None, "User::\"eve\""),
        ("permit (principal, action == Action::\"fly\", resource);", Some(1), "fly"),
        (
            &format!("permit (principal, action, resource) when {{ {}", "(".repeat(99)),
            Some(1),
            "deeper",
        ),
    ] {
        let mut facts = facts();
        facts.insert(Resource::Policy(PolicyText {
            name: "mine".parse().unwrap(),
            description: None,
            cedar: cedar.into(),
        }));
        match Policies::compile(&facts).unwrap_err() {
            CompileError::Invalid(problems) => {
                assert_eq!(problems[0].resource.to_string(), "Policy/mine");
                assert_eq!(problems[0].line, line, "{cedar}: {problems:?}");
                assert!(problems[0].to_string().contains(says), "{}", problems[0]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_raw_policy_may_name_other_entities_and_read_their_attributes() {
    let mut facts = facts();
    facts.insert(Resource::Policy(PolicyText {
        name: "by-comparison".parse().unwrap(),
        description: None,
        cedar: r#"permit (principal, action == Action::"shell", resource)
                  when { resource.tier == Target::"dev-web".environment.tier
                      && User::"lee" in Role::"lead" && principal in Group::"security" };"#
            .into(),
    }));
    let query = query("sam", "dev-web", Some("root"), Action::Shell);
    assert_eq!(allowed(ask(&facts, &query)).reasons, ["policy:by-comparison:1"]);
}

#[test]
fn why_names_policies_paths_locks_and_grants() {
    let mut facts = facts();
    facts.grants.insert("dana".parse().unwrap(), vec![grant("dana", "prod-web")]);
    let policies = Policies::compile(&facts).unwrap();
    let query = query("dana", "prod-web", Some("deploy"), exec("uptime"));
    let why = explain(&policies, &facts, &query, NOW);
    assert_eq!(why.outcome, "step_up");
    let text = why.to_string();
    for part in [
        "dana exec prod-web as deploy: uptime",
        "would be allowed by:\n  role:developer:allow:5 (permit, role `developer`)",
        "by group `developers` in assignment `developers-develop`",
        "| when { context.command_plain && (context.command like \"uptime\"",
        "held back by:\n  builtin:second-factor (forbid, built in)",
        "covers this",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["allowed_by"][0]["source"]["name"], "developer");
    let nothing = explain(&policies, &facts, &query_for_sam(), NOW).to_string();
    assert!(nothing.contains("no role or policy") && nothing.contains("  lead\n"), "{nothing}");
}

fn query_for_sam() -> Query {
    query("sam", "prod-web", Some("root"), Action::Shell)
}

#[test]
fn who_can_lists_everyone_with_logins_path_patterns_and_what_is_missing() {
    let mut facts = facts();
    let list = |facts: &Facts, action, target: &str| {
        let policies = Policies::compile(facts).unwrap();
        who_can(&policies, facts, action, &target.parse().unwrap(), NOW)
    };
    let found = list(&facts, ActionKind::Exec, "prod-web");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].user.as_str(), "dana");
    assert_eq!(found[0].reach, Reach::AfterApproval);
    assert_eq!(found[0].logins, [login("deploy")]);
    assert_eq!(found[0].only, ["journalctl *", "systemctl status *", "uptime"]);
    assert_eq!(found[0].via[0].policy.id, "role:developer:allow:5");
    assert_eq!(found[1].user.as_str(), "lee");
    assert!(found[1].only.is_empty() && found[1].logins.len() == 2);
    let upload = list(&facts, ActionKind::Upload, "prod-web");
    assert_eq!(upload[0].except, ["/boot/*", "/etc/*"]);
    assert_eq!(list(&facts, ActionKind::Shell, "dev-web")[0].reach, Reach::Now);
    assert_eq!(list(&facts, ActionKind::Shell, "staging-web")[0].reach, Reach::AfterStepUp);
    assert_eq!(list(&facts, ActionKind::Forward, "staging-web").len(), 2);
    assert!(list(&facts, ActionKind::AgentForward, "prod-web").is_empty());
    facts.locks.push(lock(LockSubject::Role("developer".parse().unwrap())));
    assert_eq!(list(&facts, ActionKind::Exec, "prod-web").len(), 1);
}

#[test]
fn control_rights_come_from_roles_and_fail_closed() {
    let mut facts = facts();
    let may = |facts: &Facts, user: &str, action| {
        control::allowed(facts, &user.parse().unwrap(), action, NOW)
    };
    assert_eq!(
        may(&facts, "sam", ControlAction::Drop),
        ControlDecision::Allow { roles: vec!["security-officer".parse().unwrap()] }
    );
    assert!(matches!(
        may(&facts, "dana", ControlAction::ReadAudit),
        ControlDecision::Deny(ControlDenial::NoRole { .. })
    ));
    let rule = facts.environments[&"production".parse().unwrap()].approval.clone().unwrap();
    let approves =
        |facts: &Facts, user: &str| control::may_approve(facts, &user.parse().unwrap(), &rule, NOW);
    assert!(approves(&facts, "lee") && approves(&facts, "sam") && !approves(&facts, "dana"));
    facts.locks = vec![lock(LockSubject::Role("security-officer".parse().unwrap()))];
    assert!(!may(&facts, "sam", ControlAction::Drop).is_allowed());
    facts.locks = vec![lock(LockSubject::User("sam".parse().unwrap()))];
    assert!(!may(&facts, "sam", ControlAction::Drop).is_allowed() && !approves(&facts, "sam"));
    facts.locks.clear();
    facts.users.get_mut(&"sam".parse().unwrap()).unwrap().disabled = true;
    assert!(!may(&facts, "sam", ControlAction::Drop).is_allowed() && !approves(&facts, "sam"));
}

#[test]
fn a_role_gives_and_denies_what_it_inherits_and_loses_it_under_a_lock() {
    let mut facts = facts();
    let senior = role("senior", "Looks after the developers' systems", vec![], vec![]);
    facts.insert(Resource::Role(portcullis_domain::Role { inherits: set(["between"]), ..senior }));
    facts.insert(Resource::Role(portcullis_domain::Role {
        inherits: set(["developer", "guardrails"]),
        ..role("between", "Nothing of its own", vec![], vec![])
    }));
    facts.insert(Resource::User(user("ines", set([]))));
    facts.insert(Resource::RoleAssignment(assignment("seniors", "senior", ["ines"], set([]))));
    let asked = query("ines", "prod-web", None, Action::Shell);
    let Decision::RequestAccess { reasons, .. } = ask(&facts, &asked) else { panic!() };
    assert_eq!(reasons, ["role:developer:allow:4"]);
    let held = facts.roles_of(&"ines".parse().unwrap());
    assert_eq!(
        held[&"developer".parse().unwrap()],
        ["role `senior`, assignment `seniors`"],
        "the path says through which role"
    );
    let agent = query("ines", "prod-web", None, Action::AgentForward);
    assert!(matches!(ask(&facts, &agent), Decision::Deny(_)), "denials are inherited too");
    let policies = Policies::compile(&facts).unwrap();
    let target = "prod-web".parse().unwrap();
    let able = who_can(&policies, &facts, ActionKind::Shell, &target, NOW);
    assert!(able.iter().any(|who| who.user.as_str() == "ines"));
    facts.locks.push(lock(LockSubject::Role("senior".parse().unwrap())));
    assert!(matches!(denied(ask(&facts, &asked)), Denial::Locked { .. }));
    let others = query("dana", "prod-web", None, Action::Shell);
    assert!(matches!(ask(&facts, &others), Decision::RequestAccess { .. }), "only its holders");
}
