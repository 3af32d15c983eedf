//! Conditions of roles: what they ask for, what is said where they are not met, and that nothing
//! else changes.
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
    Action, ActionKind, Conditions, Decision, Denial, Facts, Query, Resource, Role, Terms,
    Timestamp,
};
use portcullis_policy::{Policies, Reach, decide, explain, who_can};
use proptest::prelude::*;
use serde_json::json;

/// Monday, ten in the morning in Berlin.
fn monday() -> Timestamp {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

fn conditions(json: serde_json::Value) -> Conditions {
    serde_json::from_value(json).unwrap()
}

fn office() -> serde_json::Value {
    let days = ["mon", "tue", "wed", "thu", "fri"];
    json!([{"time_zone": "Europe/Berlin", "days": days, "from": "08:00", "to": "18:00"}])
}

/// The organisation, with a role of dana's for the development web server under conditions.
fn with(conditions: Conditions) -> Facts {
    let mut facts = facts();
    let shell = vec![rule(["staging"], &[ActionKind::AgentForward])];
    let role = Role { conditions, ..role("on-call", "Under conditions", shell, vec![]) };
    facts.insert(Resource::Role(role));
    facts.insert(Resource::RoleAssignment(assignment("on-call", "on-call", ["dana"], set([]))));
    facts
}

fn ask(facts: &Facts, query: &Query, now: Timestamp) -> Decision {
    decide(&Policies::compile(facts).unwrap(), facts, query, now)
}

fn dana(factor_age: i64, now: Timestamp) -> Query {
    let mut query = query("dana", "staging-web", Some("deploy"), Action::AgentForward);
    let age = Duration::from_secs(factor_age.unsigned_abs());
    query.who.factors = vec![portcullis_domain::Factor { at: now.minus(age), ..totp(0) }];
    query
}

fn terms(decision: Decision) -> Terms {
    match decision {
        Decision::Allow(terms) => terms,
        other => panic!("not allowed: {other:?}"),
    }
}

#[test]
fn hours_let_in_while_they_are_open_and_say_when_to_ask_again() {
    let facts = with(conditions(json!({"hours": office()})));
    let found = terms(ask(&facts, &dana(10, monday()), monday()));
    let closing: Timestamp = "2026-11-23T17:00:00Z".parse().unwrap();
    assert_eq!((found.ask_again, found.ends), (Some(closing), None));
    assert_eq!(found.good_until(), Some(closing));
    let refused = ask(&facts, &dana(10, closing), closing);
    let Decision::Deny(Denial::Conditions { unmet }) = &refused else { panic!("{refused:?}") };
    assert_eq!(unmet, &["within 08:00-18:00 mon,tue,wed,thu,fri Europe/Berlin"]);
    let policies = Policies::compile(&facts).unwrap();
    let why = explain(&policies, &facts, &dana(10, closing), closing);
    assert!(why.summary.contains("within 08:00-18:00"), "{}", why.summary);
}

#[test]
fn networks_let_in_from_themselves_only() {
    let facts = with(conditions(json!({"networks": ["192.0.2.0/24", "2001:db8::/32"]})));
    let mut query = dana(10, NOW);
    for (source, inside) in [
        ("192.0.2.7", true),
        ("::ffff:192.0.2.9", true),
        ("2001:db8::1", true),
        ("192.0.3.1", false),
        ("::1", false),
    ] {
        query.who.source = source.parse().unwrap();
        let decision = ask(&facts, &query, NOW);
        assert_eq!(matches!(decision, Decision::Allow(_)), inside, "{source}: {decision:?}");
    }
}

#[test]
fn a_younger_second_factor_than_the_environment_asks_for_is_asked_for_anew() {
    let facts = with(conditions(json!({"second_factor_max_age": "15m"})));
    assert!(matches!(ask(&facts, &dana(900, NOW), NOW), Decision::Allow(_)));
    let decision = ask(&facts, &dana(901, NOW), NOW);
    assert!(matches!(decision, Decision::StepUp { max_age: Duration::ZERO, .. }), "{decision:?}");
}

#[test]
fn a_ticket_takes_a_grant_that_carries_one() {
    let mut facts = with(conditions(json!({"ticket": "OPS-#"})));
    let query = dana(10, NOW);
    assert!(matches!(ask(&facts, &query, NOW), Decision::RequestAccess { .. }));
    let longer = portcullis_domain::Grant {
        ends: NOW.plus(Duration::from_secs(7200)),
        ..grant("dana", "staging-web")
    };
    let with_ticket =
        portcullis_domain::Grant { ticket: Some("OPS-12".into()), ..grant("dana", "staging-web") };
    facts.grants.insert("dana".parse().unwrap(), vec![longer.clone()]);
    let decision = ask(&facts, &query, NOW);
    assert!(matches!(decision, Decision::RequestAccess { .. }), "no factor helps: {decision:?}");
    // The grant with the ticket is the one that counts, and ends the session.
    let ends = with_ticket.ends;
    facts.grants.insert("dana".parse().unwrap(), vec![longer, with_ticket]);
    assert_eq!(terms(ask(&facts, &query, NOW)).ends, Some(ends));
}

#[test]
fn what_someone_reaches_does_not_depend_on_when_it_is_asked() {
    let facts = with(conditions(
        json!({"hours": office(), "networks": ["10.0.0.0/8"], "second_factor_max_age": "5m"}),
    ));
    let policies = Policies::compile(&facts).unwrap();
    let target = "staging-web".parse().unwrap();
    let night: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
    let of = |now| {
        let found = who_can(&policies, &facts, ActionKind::AgentForward, &target, now);
        found.into_iter().filter(|row| row.user.as_str() == "dana").collect::<Vec<_>>()
    };
    assert_eq!(of(night), of(monday()));
    let row = &of(night)[0];
    assert!(matches!(row.reach, Reach::Now | Reach::AfterStepUp));
    assert_eq!(
        row.under,
        ["with a second factor not older than 5m and from 10.0.0.0/8 and within 08:00-18:00 \
          mon,tue,wed,thu,fri Europe/Berlin"]
    );
}

#[test]
fn whatever_a_role_allows_can_be_under_conditions() {
    let mut facts = facts();
    let conditions = conditions(json!({
        "hours": office(), "ticket": "OPS-#", "networks": ["10.0.0.0/8"],
        "second_factor_max_age": "10m",
    }));
    let every = vec![rule(["staging"], &ActionKind::ALL)];
    let role = Role { conditions, ..role("on-call", "Under conditions", every, vec![]) };
    facts.insert(Resource::Role(role));
    Policies::compile(&facts).unwrap();
}

#[test]
fn a_deny_holds_whatever_the_conditions() {
    let mut facts = with(Conditions::default());
    let deny = vec![rule(["staging"], &[ActionKind::AgentForward])];
    let closed = conditions(json!({"networks": ["203.0.113.0/24"], "hours": office()}));
    let role = Role { conditions: closed, ..role("never", "Denies", vec![], deny) };
    facts.insert(Resource::Role(role));
    facts.insert(Resource::RoleAssignment(assignment("never", "never", ["dana"], set([]))));
    let decision = ask(&facts, &dana(10, NOW), NOW);
    assert!(matches!(decision, Decision::Deny(Denial::Forbidden { .. })), "{decision:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// An oracle in plain words: allowed just when every condition is met.
    #[test]
    fn a_role_allows_just_when_all_of_its_conditions_are_met(
        age in proptest::option::of(130_u64..4000),
        networks in proptest::sample::subsequence(vec!["10.0.0.0/8", "192.0.2.0/24"], 0..2),
        hours: bool,
        factor in 0_i64..4000,
        source in proptest::sample::select(vec!["10.9.9.9", "192.0.2.200", "198.51.100.1"]),
        minutes in 0_u64..20_000,
    ) {
        let mut json = json!({"networks": networks});
        if let Some(age) = age {
            json["second_factor_max_age"] = format!("{age}s").into();
        }
        if hours {
            json["hours"] = office();
        }
        let conditions = conditions(json);
        let facts = with(conditions.clone());
        let now = monday().plus(Duration::from_secs(minutes * 60));
        let mut query = dana(factor, now);
        query.who.source = source.parse().unwrap();
        let young = age.is_none_or(|age| factor.unsigned_abs() <= age);
        let met = conditions.unmet(query.who.source, None, now).is_empty();
        let decision = ask(&facts, &query, now);
        match (met, young) {
            (true, true) => prop_assert!(matches!(decision, Decision::Allow(_)), "{:?}", decision),
            (true, false) => prop_assert!(matches!(decision, Decision::StepUp { .. }), "{:?}", decision),
            (false, _) => {
                let conditions = matches!(decision, Decision::Deny(Denial::Conditions { .. }));
                prop_assert!(conditions, "{:?}", decision);
            }
        }
    }
}
