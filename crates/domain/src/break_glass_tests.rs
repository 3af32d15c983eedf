//! Uses and reviews beside a model that only counts.

use proptest::prelude::*;

use super::*;
use crate::GrantEnd;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn role(name: &str) -> Role {
    let glass = BreakGlass { max_duration: Duration::from_secs(1800) };
    Role {
        name: name.parse().unwrap(),
        description: None,
        inherits: BTreeSet::new(),
        conditions: Default::default(),
        break_glass: Some(glass),
        allow: Vec::new(),
        deny: Vec::new(),
        control: BTreeSet::new(),
    }
}

fn used(user: &str, factor_age: u64, now: Timestamp) -> Use {
    Use {
        user: user.parse().unwrap(),
        target: "core".parse().unwrap(),
        also: Default::default(),
        environment: "prod".parse().unwrap(),
        reason: "the site is down".into(),
        duration: None,
        second_factor_at: Some(now.minus(Duration::from_secs(factor_age))),
    }
}

fn ids(now: Timestamp) -> (ReviewId, GrantId) {
    (ReviewId::generate(now), GrantId::generate(now))
}

#[test]
fn it_takes_a_fresh_factor_and_lasts_no_longer_than_the_role_says() {
    let role = role("fire-brigade");
    let ask = |used: Use| used.of(&role, None, ids(NOW), NOW);
    let broken = ask(used("alice", 300, NOW)).unwrap();
    assert_eq!(broken.grant.ends, NOW.plus(Duration::from_secs(1800)));
    assert_eq!(broken.grant.role.as_ref(), Some(&role.name));
    assert_eq!(broken.review.grant, broken.grant.id);
    for age in [301, 86_400] {
        assert_eq!(ask(used("alice", age, NOW)), Err(BreakGlassError::FactorTooOld));
    }
    let future = Some(NOW.plus(Duration::from_secs(6)));
    for second_factor_at in [None, future] {
        let none = Use { second_factor_at, ..used("alice", 0, NOW) };
        assert_eq!(ask(none), Err(BreakGlassError::FactorTooOld));
    }
    for seconds in [0, 1801] {
        let duration = Some(Duration::from_secs(seconds));
        let long = Use { duration, ..used("alice", 0, NOW) };
        assert!(matches!(ask(long), Err(BreakGlassError::TooLong { .. })), "{seconds}");
    }
    let ordinary = Role { break_glass: None, ..role.clone() };
    let asked = used("alice", 0, NOW).of(&ordinary, None, ids(NOW), NOW);
    assert!(matches!(asked, Err(BreakGlassError::Ordinary { .. })));
}

#[test]
fn a_review_is_closed_by_somebody_else_once_the_use_is_over() {
    let Broken { review, grant } =
        used("alice", 0, NOW).of(&role("fire-brigade"), None, ids(NOW), NOW).unwrap();
    let close = |by: &str, grant: &Grant, now| {
        review.clone().close(by.parse().unwrap(), "all right".into(), grant, now)
    };
    assert!(matches!(close("alice", &grant, grant.ends), Err(ReviewError::OwnUse { .. })));
    assert!(matches!(close("bob", &grant, NOW), Err(ReviewError::StillInUse { .. })));
    let other = Grant { id: GrantId::generate(NOW), ..grant.clone() };
    assert!(matches!(close("bob", &other, grant.ends), Err(ReviewError::StillInUse { .. })));
    let closed = close("bob", &grant, grant.ends).unwrap();
    assert_eq!(closed.state.as_str(), "closed");
    let again = closed.close("carol".parse().unwrap(), "too".into(), &grant, grant.ends);
    assert!(matches!(again, Err(ReviewError::Closed { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    Use { user: usize, role: usize },
    Close { by: usize, which: usize },
    Revoke { which: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize, 0..2_usize).prop_map(|(user, role)| Step::Use { user, role }),
        (0..3_usize, 0..8_usize).prop_map(|(by, which)| Step::Close { by, which }),
        (0..8_usize).prop_map(|which| Step::Revoke { which }),
        (1..2400_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    /// The whole life of uses and reviews beside a model that only counts.
    #[test]
    fn no_use_follows_an_unreviewed_one_and_nobody_reviews_their_own(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
        let roles = [role("fire-brigade"), role("flood-brigade")];
        let mut now = NOW;
        let mut all: Vec<Broken> = Vec::new();
        for step in steps {
            match step {
                Step::Wait { seconds } => now = now.plus(Duration::from_secs(seconds)),
                Step::Revoke { which } => {
                    if let Some(found) = all.get_mut(which) {
                        let by = "carol".parse().unwrap();
                        found.grant.ended = Some(GrantEnd { at: now, by, reason: "over".into() });
                    }
                }
                Step::Use { user, role } => {
                    let role = &roles[role];
                    let open = all.iter().map(|broken| &broken.review);
                    let open = open.filter(|r| r.role == role.name && r.state == ReviewState::Open);
                    let open: Vec<_> = open.cloned().collect();
                    let done = used(PEOPLE[user], 0, now).of(role, open.first(), ids(now), now);
                    prop_assert_eq!(done.is_ok(), open.is_empty());
                    all.extend(done);
                }
                Step::Close { by, which } => {
                    let Some(found) = all.get(which).cloned() else { continue };
                    let by: UserName = PEOPLE[by].parse().unwrap();
                    let own = by == found.review.user;
                    let was_open = found.review.state == ReviewState::Open;
                    let over = !found.grant.active(now);
                    let done = found.review.close(by, "seen".into(), &found.grant, now);
                    prop_assert_eq!(done.is_ok(), !own && was_open && over);
                    if let Ok(review) = done {
                        all[which].review = review;
                    }
                }
            }
            for role in &roles {
                let of_role = all.iter().filter(|b| b.review.role == role.name);
                let open = of_role.clone().filter(|b| b.review.state == ReviewState::Open);
                prop_assert!(open.count() <= 1);
                let active = of_role.filter(|b| b.grant.active(now));
                prop_assert!(active.count() <= 1, "two uses of one role at a time");
            }
            for Broken { review, .. } in &all {
                if let ReviewState::Closed { by, .. } = &review.state {
                    prop_assert_ne!(by, &review.user);
                }
            }
        }
    }
}
