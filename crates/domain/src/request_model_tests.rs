//! A reference model beside the state machine: people ask, approve, leave, come back, are locked,
//! withdraw, prolong and revoke in any order, under a clock that jumps both ways.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::grant::GrantEnd;

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const PEOPLE: [&str; 5] = ["alice", "lee", "lou", "sam", "olga"];
const MAX_GRANT: Duration = Duration::from_secs(4 * 3600);

#[derive(Debug, Clone)]
enum Step {
    Approve(usize),
    Deny(usize),
    Cancel(usize),
    Expire,
    Extend,
    /// Somebody is an approver no more, or again: removed, locked, unlocked.
    Toggle(usize),
    /// The rule in force becomes stricter, or as it was.
    Tighten,
    Revoke,
    /// Seconds, either way.
    Clock(i64),
}

/// What must be true, said another way than the code under test says it.
#[derive(Debug, Default)]
struct Model {
    /// Approvals by people who counted all the time since.
    agreed: BTreeMap<usize, Timestamp>,
    decided: bool,
    asked_at: Timestamp,
}

struct World {
    now: Timestamp,
    counts: [bool; PEOPLE.len()],
    tight: bool,
    request: AccessRequest,
    grants: Vec<Grant>,
    model: Model,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(512), ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_gives_access_that_was_not_agreed_to(
        steps in proptest::collection::vec(steps(), 1..40)
    ) {
        let mut world = World {
            now: START,
            counts: [true; PEOPLE.len()],
            tight: false,
            request: asked(START, None),
            grants: Vec::new(),
            model: Model { asked_at: START, ..Model::default() },
        };
        for step in steps {
            world.step(&step);
            world.check();
        }
    }
}

impl World {
    fn step(&mut self, step: &Step) {
        let now = self.now;
        let request = self.request.clone();
        match step {
            Step::Clock(seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                self.now = if *seconds < 0 { now.minus(by) } else { now.plus(by) };
            }
            Step::Toggle(person) => self.counts[*person] = !self.counts[*person],
            Step::Tighten => self.tight = !self.tight,
            Step::Approve(person) => self.approve(*person),
            Step::Deny(person) => {
                let done = request.deny(name(*person), "no".into(), now);
                let open = self.open() && *person != 0;
                assert_eq!(done.is_ok(), open);
                self.settle(done);
            }
            Step::Cancel(person) => {
                let done = request.cancel(&name(*person), now);
                assert_eq!(done.is_ok(), self.open() && *person == 0);
                self.settle(done);
            }
            Step::Expire => {
                let over = !self.model.decided && !self.open();
                assert_eq!(request.clone().expire(now).is_some(), over);
                if let Some(expired) = request.expire(now) {
                    self.settle(Ok(expired));
                }
            }
            Step::Revoke => {
                if let Some(grant) = self.grants.last_mut().filter(|grant| grant.active(now)) {
                    let by = name(0);
                    grant.ended = Some(GrantEnd { at: now, by, reason: "done".into() });
                    assert!(!grant.active(now));
                }
            }
            Step::Extend => {
                let Some(grant) = self.grants.last().filter(|grant| grant.active(now)) else {
                    return;
                };
                let extension = Extension { grant: grant.id, ends: grant.ends };
                self.request = asked(now, Some(extension));
                self.model = Model { asked_at: now, ..Model::default() };
            }
        }
    }

    fn approve(&mut self, person: usize) {
        let (now, counts) = (self.now, self.counts);
        let in_force = InForce { rule: self.rule(), max_grant: MAX_GRANT };
        let member = |user: &UserName, group: &GroupName| counts_for(&counts, user, group);
        let id = GrantId::generate(now);
        let done = self.request.clone().approve_under(name(person), now, id, &in_force, member);
        // Who left since has not agreed; coming back does not bring it back.
        if self.open() && person != 0 {
            let counted: Vec<bool> =
                (0..PEOPLE.len()).map(|other| self.is_approver(other)).collect();
            self.model.agreed.retain(|given, _| counted[*given]);
        }
        let may =
            self.open() && self.is_approver(person) && !self.model.agreed.contains_key(&person);
        assert_eq!(done.is_ok(), may, "{person}: {done:?}");
        let Ok(done) = done else {
            // A refusal changes nothing that is stored.
            self.model.agreed = match &self.request.state {
                RequestState::Pending { approvals } => {
                    approvals.iter().map(|given| (index(&given.by), given.at)).collect()
                }
                _ => self.model.agreed.clone(),
            };
            return;
        };
        self.model.agreed.insert(person, now);
        match done {
            Approved::Waiting(request) => {
                assert!(!self.enough(), "{:?}", self.model);
                self.request = *request;
            }
            Approved::Granted(request, grant) => {
                assert!(self.enough(), "{:?}", self.model);
                self.model.decided = true;
                self.request = *request;
                self.grants.push(*grant);
            }
        }
    }

    /// One of lee and lou, and sam too where the rule has become stricter; olga stands in for any of
    /// them once it has escalated.
    fn enough(&self) -> bool {
        let agreed = |person: usize| self.model.agreed.contains_key(&person);
        let spare = usize::from(self.escalated() && agreed(4));
        let leads = usize::from(agreed(1)) + usize::from(agreed(2));
        let security = usize::from(agreed(3));
        if self.tight { leads.min(1) + security.min(1) + spare >= 2 } else { leads + spare >= 1 }
    }

    fn rule(&self) -> ApprovalRule {
        let (now, asked_at) = (self.now, self.model.asked_at);
        let rule = if self.tight {
            ApprovalRule::All { all: vec![of("leads"), of("security")] }
        } else {
            of("leads")
        };
        self.request.terms.rule_at(&rule, asked_at, now)
    }

    /// Whether someone counts by the rule in force now.
    fn is_approver(&self, person: usize) -> bool {
        let place = match person {
            1 | 2 => true,
            3 => self.tight,
            4 => self.escalated(),
            _ => false,
        };
        place && self.counts[person]
    }

    fn escalated(&self) -> bool {
        self.now >= self.model.asked_at.plus(Duration::from_secs(3600))
    }

    fn open(&self) -> bool {
        !self.model.decided && self.now < self.model.asked_at.plus(Duration::from_secs(7200))
    }

    fn settle(&mut self, done: Result<AccessRequest, TransitionError>) {
        if let Ok(request) = done {
            self.request = request;
            self.model.decided = true;
        }
    }

    /// What holds after every step.
    fn check(&self) {
        assert_eq!(!matches!(self.request.state, RequestState::Pending { .. }), self.model.decided);
        let mut ids: Vec<_> = self.grants.iter().map(|grant| grant.source.request()).collect();
        ids.dedup();
        assert_eq!(ids.len(), self.grants.len(), "one request, one grant");
        for grant in &self.grants {
            let GrantSource::Request { approved_by, .. } = &grant.source else {
                panic!("a request makes no other grant")
            };
            let mut people = approved_by.clone();
            people.sort();
            people.dedup();
            assert_eq!(people.len(), approved_by.len());
            assert!(!approved_by.is_empty() && !approved_by.contains(&grant.user));
            assert!(grant.ends.since(grant.starts) <= MAX_GRANT);
            assert!(!grant.active(grant.ends) && !grant.active(grant.starts.minus(SECOND)));
            assert!(grant.ended.is_none() || !grant.active(self.now));
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn steps() -> impl Strategy<Value = Step> {
    let person = 0..PEOPLE.len();
    prop_oneof![
        6 => person.clone().prop_map(Step::Approve),
        1 => person.clone().prop_map(Step::Deny),
        1 => person.clone().prop_map(Step::Cancel),
        1 => Just(Step::Expire),
        2 => Just(Step::Extend),
        2 => (1..PEOPLE.len()).prop_map(Step::Toggle),
        1 => Just(Step::Tighten),
        1 => Just(Step::Revoke),
        4 => (-4000_i64..4000).prop_map(Step::Clock),
    ]
}

fn counts_for(counts: &[bool; PEOPLE.len()], user: &UserName, group: &GroupName) -> bool {
    let person = index(user);
    let group_of = ["staff", "leads", "leads", "security", "owners"][person];
    counts[person] && group_of == group.as_str()
}

fn index(user: &UserName) -> usize {
    PEOPLE.iter().position(|known| *known == user.as_str()).unwrap()
}

fn name(person: usize) -> UserName {
    UserName::new(PEOPLE[person]).unwrap()
}

fn of(group: &str) -> ApprovalRule {
    ApprovalRule::of([GroupName::new(group).unwrap()].into(), 1)
}

fn asked(now: Timestamp, extends: Option<Extension>) -> AccessRequest {
    AccessRequest {
        id: RequestId::generate(now),
        user: name(0),
        target: TargetName::new("prod-web").unwrap(),
        also: BTreeSet::new(),
        scope: Scope::Target,
        environment: EnvironmentName::new("production").unwrap(),
        actions: BTreeSet::new(),
        login: None,
        duration: Duration::from_secs(3600),
        reason: "deploy".into(),
        ticket: None,
        extends,
        asked_at: now,
        rule: of("leads"),
        terms: RequestTerms {
            expire_after: Duration::from_secs(7200),
            escalation: Some(crate::environment::Escalation {
                after: Duration::from_secs(3600),
                groups: [GroupName::new("owners").unwrap()].into(),
            }),
            ticket: None,
        },
        state: RequestState::Pending { approvals: vec![] },
    }
}
