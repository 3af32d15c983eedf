//! One request through its states.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

#[test]
fn nobody_decides_their_own_request() {
    let own = request(1).approve(user("alice"), NOW, GrantId::generate(NOW));
    assert!(matches!(own, Err(TransitionError::OwnRequest { .. })));
    let own = request(1).deny(user("alice"), "no".into(), NOW);
    assert!(matches!(own, Err(TransitionError::OwnRequest { .. })));
}

#[test]
fn the_grants_clock_starts_at_approval() {
    let later = NOW.plus(Duration::from_secs(600));
    let Approved::Granted(_, grant) =
        request(1).approve(user("bob"), later, GrantId::generate(later)).unwrap()
    else {
        panic!("one approval is enough")
    };
    assert_eq!(grant.starts, later);
    assert_eq!(grant.ends, later.plus(Duration::from_secs(3600)));
}

#[test]
fn two_approvals_need_two_different_people() {
    let Approved::Waiting(waiting) =
        request(2).approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap()
    else {
        panic!("one of two is not enough")
    };
    let again = waiting.clone().approve(user("bob"), NOW, GrantId::generate(NOW));
    assert!(matches!(again, Err(TransitionError::AlreadyApproved { .. })));
    let second = waiting.approve(user("carol"), NOW, GrantId::generate(NOW)).unwrap();
    assert!(matches!(second, Approved::Granted(..)));
}

#[test]
fn a_rule_that_became_stricter_counts() {
    let hour = Duration::from_secs(3600);
    let two = InForce { rule: leads(2), max_grant: hour };
    let first =
        request(1).approve_under(user("bob"), NOW, GrantId::generate(NOW), &two, |_, _| true);
    assert!(matches!(first, Ok(Approved::Waiting(_))));
    let looser = InForce { rule: leads(1), max_grant: hour * 9 };
    let first =
        request(2).approve_under(user("bob"), NOW, GrantId::generate(NOW), &looser, |_, _| true);
    assert!(matches!(first, Ok(Approved::Waiting(_))), "the rule of the time of asking holds");
    let shorter = InForce { rule: leads(1), max_grant: Duration::from_secs(60) };
    let granted =
        request(1).approve_under(user("bob"), NOW, GrantId::generate(NOW), &shorter, |_, _| true);
    let Ok(Approved::Granted(_, grant)) = granted else { panic!("{granted:?}") };
    assert_eq!(grant.ends, NOW.plus(Duration::from_secs(60)));
}

#[test]
fn approvals_of_people_who_are_approvers_no_more_are_forgotten() {
    let Approved::Waiting(waiting) =
        request(2).approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap()
    else {
        panic!("one of two is not enough")
    };
    let now = InForce { rule: leads(2), max_grant: Duration::from_secs(3600) };
    let left = |name: &UserName, _: &GroupName| *name != user("bob");
    let second =
        waiting.approve_under(user("carol"), NOW, GrantId::generate(NOW), &now, left).unwrap();
    let Approved::Waiting(waiting) = second else { panic!("bob does not count") };
    let RequestState::Pending { approvals } = &waiting.state else { panic!("{waiting:?}") };
    assert_eq!(approvals.len(), 1);
}

#[test]
fn an_approval_of_the_requester_never_counts() {
    let mut own = request(2);
    let approvals = vec![Approval { by: user("alice"), at: NOW }];
    own.state = RequestState::Pending { approvals };
    let next = own.approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap();
    assert!(matches!(next, Approved::Waiting(_)));
}

#[test]
fn a_decided_or_expired_request_cannot_be_decided_again() {
    let denied = request(1).deny(user("bob"), "no".into(), NOW).unwrap();
    let error = denied.approve(user("carol"), NOW, GrantId::generate(NOW)).unwrap_err();
    assert!(error.to_string().contains("is denied"), "{error}");
    let late = NOW.plus(REQUEST_LIFETIME);
    let error = request(1).approve(user("bob"), late, GrantId::generate(late)).unwrap_err();
    assert!(matches!(error, TransitionError::Expired { .. }));
    assert!(request(1).expire(late).is_some());
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn request(count: u32) -> AccessRequest {
    AccessRequest {
        id: RequestId::new(NOW, [7; 10]),
        user: user("alice"),
        target: TargetName::new("prod-web").unwrap(),
        environment: EnvironmentName::new("production").unwrap(),
        actions: BTreeSet::new(),
        login: None,
        duration: Duration::from_secs(3600),
        reason: "deploy".into(),
        ticket: None,
        extends: None,
        also: BTreeSet::new(),
        scope: Scope::Target,
        terms: RequestTerms::default(),
        asked_at: NOW,
        rule: leads(count),
        state: RequestState::Pending { approvals: vec![] },
    }
}

fn leads(count: u32) -> ApprovalRule {
    ApprovalRule::of([GroupName::new("leads").unwrap()].into(), count)
}

#[test]
fn after_a_time_others_may_approve_too() {
    let owners = GroupName::new("owners").unwrap();
    let mut asked = request(1);
    asked.terms.escalation = Some(crate::environment::Escalation {
        after: Duration::from_secs(600),
        groups: [owners.clone()].into(),
    });
    let owner = |_: &UserName, group: &GroupName| *group == owners;
    let later = NOW.plus(Duration::from_secs(600));
    let approve = |now: Timestamp| {
        let rule = asked.terms.rule_at(&leads(1), asked.asked_at, now);
        let now_in_force = InForce { rule, max_grant: Duration::from_secs(3600) };
        asked.clone().approve_under(user("olga"), now, GrantId::generate(now), &now_in_force, owner)
    };
    assert!(matches!(approve(NOW), Err(TransitionError::NotApprover { .. })));
    assert!(matches!(approve(later), Ok(Approved::Granted(..))));
}

#[test]
fn an_extension_is_added_to_what_is_left_and_no_longer_than_a_new_grant() {
    let mut asked = request(1);
    let hour = Duration::from_secs(3600);
    asked.extends = Some(Extension { grant: GrantId::generate(NOW), ends: NOW.plus(hour) });
    let under = |max_grant| {
        let in_force = InForce { rule: leads(1), max_grant };
        let id = GrantId::generate(NOW);
        let done = asked.clone().approve_under(user("bob"), NOW, id, &in_force, |_, _| true);
        let Ok(Approved::Granted(_, grant)) = done else { panic!("{done:?}") };
        grant.ends
    };
    assert_eq!(under(hour * 8), NOW.plus(hour * 2));
    assert_eq!(under(hour), NOW.plus(hour));
}

#[test]
fn a_request_written_by_an_older_version_reads() {
    let mut value = serde_json::to_value(request(1)).unwrap();
    let fields = value.as_object_mut().unwrap();
    for newer in ["scope", "terms"] {
        fields.remove(newer).unwrap();
    }
    assert_eq!(serde_json::from_value::<AccessRequest>(value).unwrap(), request(1));
}
