//! Rules of groups and thresholds, by example and against a reference that tries everything.

use super::*;
use proptest::prelude::*;

const GROUPS: [&str; 3] = ["leads", "security", "owners"];
const PEOPLE: [&str; 5] = ["ann", "ben", "cleo", "dan", "eve"];

#[test]
fn and_and_or_combine_groups_and_thresholds() {
    let rule = all(vec![of("leads", 1), any(vec![of("security", 1), of("owners", 2)])]);
    let member = |user: &UserName, group: &GroupName| {
        matches!(
            (user.as_str(), group.as_str()),
            ("ann", "leads") | ("ben", "security") | ("cleo" | "dan", "owners")
        )
    };
    let enough = |names: &[&str]| check(&rule, names, &member);
    assert_eq!(enough(&["ann"]), 1);
    assert_eq!(enough(&["ann", "ben"]), 0);
    assert_eq!(enough(&["ann", "cleo"]), 1);
    assert_eq!(enough(&["ann", "cleo", "dan"]), 0);
    assert_eq!(enough(&["ben", "cleo", "dan"]), 1, "nobody of the leads");
    assert_eq!(rule.to_string(), "1 of leads and (1 of security, or 2 of owners)");
}

#[test]
fn someone_in_two_groups_fills_one_place() {
    let rule = all(vec![of("leads", 1), of("security", 1)]);
    let everywhere = |_: &UserName, _: &GroupName| true;
    assert_eq!(check(&rule, &["ann"], &everywhere), 1);
    assert_eq!(check(&rule, &["ann", "ben"], &everywhere), 0);
    // ann could be either; ben can only be a lead, so ann is moved to the other place.
    let member =
        |user: &UserName, group: &GroupName| user.as_str() == "ann" || group.as_str() == "leads";
    assert_eq!(check(&rule, &["ann", "ben"], &member), 0);
}

#[test]
fn several_rules_may_each_count_the_same_person() {
    let rule = ApprovalRule::each_of(vec![of("leads", 1), of("security", 1)]).unwrap();
    assert_eq!(check(&rule, &["ann"], &|_, _| true), 0);
    assert_eq!(ApprovalRule::each_of(vec![of("leads", 1), of("leads", 1)]), Some(of("leads", 1)));
    assert_eq!(ApprovalRule::each_of(Vec::new()), None);
}

#[test]
fn a_rule_without_parts_is_never_fulfilled() {
    let everywhere = |_: &UserName, _: &GroupName| true;
    for rule in [all(Vec::new()), any(Vec::new()), ApprovalRule::of(BTreeSet::new(), 1)] {
        assert!(check(&rule, &PEOPLE, &everywhere) > 0, "{rule:?}");
    }
    assert_eq!(check(&of("leads", 0), &[], &everywhere), 1, "a threshold of nobody is one of one");
}

#[test]
fn what_was_stored_before_there_were_combinations_reads_as_a_threshold() {
    let read: ApprovalRule = serde_json::from_str(r#"{"groups":["leads"],"count":2}"#).unwrap();
    assert_eq!(read, of("leads", 2));
    assert!(serde_json::from_str::<ApprovalRule>(r#"{"groups":["leads"],"cuont":2}"#).is_err());
    let rule = all(vec![of("leads", 1), any(vec![of("security", 1)])]);
    let text = serde_json::to_string(&rule).unwrap();
    assert_eq!(serde_json::from_str::<ApprovalRule>(&text).unwrap(), rule);
}

proptest! {
    /// Against a reference that tries every way to hand out the places.
    #[test]
    fn the_matching_finds_what_trying_everything_finds(
        rule in rules(),
        members in proptest::collection::vec(0_u8..8, PEOPLE.len()),
        agreed in 0_u8..32,
    ) {
        let member = |user: &UserName, group: &GroupName| is_member(&members, user, group);
        let names: Vec<UserName> = chosen(agreed);
        let people: Vec<&UserName> = names.iter().collect();
        let expected = possible(&rule, &people, &member);
        prop_assert_eq!(rule.satisfied(&people, &member), expected);
    }

    #[test]
    fn a_rule_said_to_be_stricter_is(
        new in rules(),
        old in rules(),
        members in proptest::collection::vec(0_u8..8, PEOPLE.len()),
        agreed in 0_u8..32,
    ) {
        let member = |user: &UserName, group: &GroupName| is_member(&members, user, group);
        let names: Vec<UserName> = chosen(agreed);
        let people: Vec<&UserName> = names.iter().collect();
        if new.at_least_as_strict_as(&old) && new.satisfied(&people, &member) {
            prop_assert!(old.satisfied(&people, &member), "{} / {}", new, old);
        }
    }
}

/// Whether some way of handing each person at most one place fulfils the rule.
fn possible(
    rule: &ApprovalRule,
    people: &[&UserName],
    member: &impl Fn(&UserName, &GroupName) -> bool,
) -> bool {
    rule.alternatives().iter().any(|leaves| {
        let places: Vec<&Threshold> = leaves.iter().flat_map(|leaf| places(leaf)).collect();
        try_all(&places, people, member)
    })
}

fn try_all(
    places: &[&Threshold],
    people: &[&UserName],
    member: &impl Fn(&UserName, &GroupName) -> bool,
) -> bool {
    let Some((place, rest)) = places.split_first() else { return true };
    (0..people.len()).any(|at| {
        let mut others = people.to_vec();
        let person = others.remove(at);
        place.groups.iter().any(|group| member(person, group)) && try_all(rest, &others, member)
    })
}

fn is_member(members: &[u8], user: &UserName, group: &GroupName) -> bool {
    let person = PEOPLE.iter().position(|name| *name == user.as_str()).unwrap();
    let group = GROUPS.iter().position(|name| *name == group.as_str()).unwrap();
    members[person] & (1 << group) != 0
}

fn chosen(bits: u8) -> Vec<UserName> {
    let taken = PEOPLE.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
    taken.map(|(_, name)| UserName::new(name).unwrap()).collect()
}

fn rules() -> impl Strategy<Value = ApprovalRule> {
    let leaf = (1_u8..8, 1_u32..3).prop_map(|(bits, count)| {
        let groups = GROUPS.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        ApprovalRule::of(groups.map(|(_, name)| GroupName::new(name).unwrap()).collect(), count)
    });
    leaf.prop_recursive(2, 6, 3, |inner| {
        let parts = proptest::collection::vec(inner, 1..3);
        prop_oneof![parts.clone().prop_map(all), parts.prop_map(any)]
    })
}

fn of(group: &str, count: u32) -> ApprovalRule {
    ApprovalRule::of([GroupName::new(group).unwrap()].into(), count)
}

fn all(all: Vec<ApprovalRule>) -> ApprovalRule {
    ApprovalRule::All { all }
}

fn any(any: Vec<ApprovalRule>) -> ApprovalRule {
    ApprovalRule::Any { any }
}

fn check(
    rule: &ApprovalRule,
    names: &[&str],
    member: &impl Fn(&UserName, &GroupName) -> bool,
) -> usize {
    let names: Vec<UserName> = names.iter().map(|name| UserName::new(name).unwrap()).collect();
    rule.missing(&names.iter().collect::<Vec<_>>(), member)
}
