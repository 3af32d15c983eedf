//! Random lives of requests and grants against a model of a few lines: people ask, approve, deny,
//! withdraw, extend and revoke, people are locked, time passes and the clock jumps back. After each
//! step both nodes must say what the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::request::{Extension, REQUEST_LIFETIME};
use portcullis_domain::{
    AccessRequest, GrantEnd, GrantId, LockSubject, RequestId, RequestState, Timestamp,
};
use portcullis_store::{GrantFilter, MAX_PAGE, Page, RequestFilter, Revocation, Store};

use super::home::Home;
use super::samples::*;

const LIVES: u64 = 4;
const STEPS: usize = 70;
const PEOPLE: [&str; 4] = ["alice", "bob", "cem", "dora"];
/// Approvals a request takes.
const NEEDED: usize = 2;

/// What is known of a request.
#[derive(Debug)]
struct Asked {
    by: &'static str,
    at: Timestamp,
    extends: Option<(GrantId, Timestamp)>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Pending(BTreeSet<&'static str>),
    Approved,
    Denied,
    Cancelled,
    Expired,
}

/// What is known of a grant: whose, from when, until when, and whether it was ended before.
type Given = (&'static str, Timestamp, Timestamp, Option<Timestamp>);

#[derive(Debug, Default)]
struct Model {
    requests: BTreeMap<RequestId, Asked>,
    grants: BTreeMap<GrantId, Given>,
    locked: BTreeSet<&'static str>,
}

struct Life {
    nodes: [Store; 2],
    model: Model,
    now: Timestamp,
    random: u64,
    did: Vec<String>,
}

pub(crate) async fn random_lives_of_requests_and_grants_are_what_a_model_says(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let mut before = Model::default();
    for number in 0..LIVES {
        let random = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mut life = Life {
            nodes: nodes.clone(),
            model: before,
            now: later(number * 10_000_000),
            random,
            did: Vec::new(),
        };
        for _ in 0..STEPS {
            life.step().await;
            life.check().await;
        }
        before = life.model;
    }
    let granted = before.requests.values().filter(|asked| asked.state == State::Approved).count();
    assert_eq!(granted, before.grants.len(), "one grant for each approved request");
    assert!(granted > 5, "{granted} grants are too few to show anything");
}

impl Life {
    fn any(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % below as u64).unwrap()
    }

    fn person(&mut self) -> &'static str {
        PEOPLE[self.any(PEOPLE.len())]
    }

    fn request(&mut self) -> Option<RequestId> {
        // Mostly one of the latest: they are the ones that still change.
        let recent: Vec<RequestId> = self.model.requests.keys().rev().take(6).copied().collect();
        (!recent.is_empty()).then(|| recent[self.any(recent.len())])
    }

    fn grant(&mut self) -> Option<GrantId> {
        let recent: Vec<GrantId> = self.model.grants.keys().rev().take(4).copied().collect();
        (!recent.is_empty()).then(|| recent[self.any(recent.len())])
    }

    async fn step(&mut self) {
        let node = self.nodes[self.any(2)].clone();
        let by = self.person();
        match self.any(14) {
            0 | 1 => self.ask(&node, by, None).await,
            2..=6 => self.approve(&node, by).await,
            7 => self.deny(&node, by).await,
            8 => self.cancel(&node, by).await,
            9 => {
                if let Some(id) = self.grant() {
                    let (of, _, ends, _) = self.model.grants[&id];
                    self.ask(&node, of, Some((id, ends))).await;
                }
            }
            10 => self.revoke(&node).await,
            11 => self.lock(&node, by).await,
            12 => {
                let passed = [1, 60, 1800, 3600, REQUEST_LIFETIME.as_secs()][self.any(5)];
                self.now = self.now.plus(Duration::from_secs(passed));
                self.expire(&node).await;
            }
            _ => {
                self.did.push("the clock jumps back".into());
                self.now = self.now.minus(Duration::from_secs(90));
            }
        }
    }

    async fn ask(&mut self, node: &Store, by: &'static str, extends: Option<(GrantId, Timestamp)>) {
        let extension = extends.map(|(grant, ends)| Extension { grant, ends });
        let asked = AccessRequest {
            id: RequestId::generate(self.now),
            asked_at: self.now,
            extends: extension,
            ..request(by, "web", u32::try_from(NEEDED).unwrap())
        };
        self.did.push(format!("{by} asks {}", asked.id));
        let made = node.create_request(&asked).await;
        let pending = |asked: &&Asked| asked.by == by && matches!(asked.state, State::Pending(_));
        let waiting = self.model.requests.values().filter(pending).count();
        assert_eq!(made.is_ok(), waiting < 50, "{made:?} {:#?}", self.did);
        if made.is_ok() {
            let state = State::Pending(BTreeSet::new());
            let known = Asked { by, at: self.now, extends, state };
            self.model.requests.insert(asked.id, known);
        }
    }

    async fn approve(&mut self, node: &Store, by: &'static str) {
        let Some(id) = self.request() else { return };
        let (now, grant) = (self.now, GrantId::generate(self.now));
        self.did.push(format!("{by} approves {id}"));
        let decide = |request: AccessRequest| request.approve(user_name(by), now, grant);
        let done = node.transition(id, decide).await;
        let asked = self.model.requests.get_mut(&id).unwrap();
        let expires = asked.at.plus(REQUEST_LIFETIME);
        let State::Pending(approvals) = &mut asked.state else {
            assert!(done.is_err(), "{:#?}", self.did);
            return;
        };
        let counts = asked.by != by && now < expires && !approvals.contains(by);
        assert_eq!(done.is_ok(), counts, "{done:?} {:#?}", self.did);
        if !counts {
            return;
        }
        approvals.insert(by);
        if approvals.len() == NEEDED {
            asked.state = State::Approved;
            let hour = Duration::from_secs(3600);
            let from = asked.extends.map_or(now, |(_, ends)| ends.max(now));
            let ends = from.plus(hour).min(now.plus(hour));
            self.model.grants.insert(grant, (asked.by, now, ends, None));
        }
    }

    async fn deny(&mut self, node: &Store, by: &'static str) {
        let Some(id) = self.request() else { return };
        let now = self.now;
        self.did.push(format!("{by} denies {id}"));
        let decide = |request: AccessRequest| request.deny(user_name(by), "no".into(), now);
        let done = node.transition(id, decide).await.is_ok();
        self.end(id, done, |asked| asked.by != by, State::Denied);
    }

    async fn cancel(&mut self, node: &Store, by: &'static str) {
        let Some(id) = self.request() else { return };
        let now = self.now;
        self.did.push(format!("{by} withdraws {id}"));
        let decide = |request: AccessRequest| request.cancel(&user_name(by), now);
        let done = node.transition(id, decide).await.is_ok();
        self.end(id, done, |asked| asked.by == by, State::Cancelled);
    }

    fn end(&mut self, id: RequestId, done: bool, may: impl Fn(&Asked) -> bool, state: State) {
        let asked = self.model.requests.get_mut(&id).unwrap();
        let is_open = matches!(asked.state, State::Pending(_));
        let ends = is_open && self.now < asked.at.plus(REQUEST_LIFETIME) && may(asked);
        assert_eq!(done, ends, "{:#?}", self.did);
        if ends {
            asked.state = state;
        }
    }

    async fn revoke(&mut self, node: &Store) {
        let Some(id) = self.grant() else { return };
        let now = self.now;
        self.did.push(format!("{id} is revoked"));
        let end = GrantEnd { at: now, by: user_name("officer"), reason: "over".into() };
        let revoked = node.revoke_grant(id, end).await.unwrap();
        let (_, _, ends, ended) = self.model.grants.get_mut(&id).unwrap();
        let was_on = ended.is_none() && now < *ends;
        assert_eq!(matches!(revoked, Revocation::Ended(_)), was_on, "{:#?}", self.did);
        if was_on {
            *ended = Some(now);
        }
    }

    /// A lock takes nothing away and gives nothing: it is beside the grants, until it is lifted.
    async fn lock(&mut self, node: &Store, by: &'static str) {
        if self.model.locked.insert(by) {
            self.did.push(format!("{by} is locked"));
            drop(node.place_lock(&lock(LockSubject::User(user_name(by)))).await.unwrap());
        }
    }

    async fn expire(&mut self, node: &Store) {
        self.did.push(format!("it is {}", self.now));
        while !node.expire_requests(self.now).await.unwrap().is_empty() {}
        for asked in self.model.requests.values_mut() {
            let is_open = matches!(asked.state, State::Pending(_));
            if is_open && self.now >= asked.at.plus(REQUEST_LIFETIME) {
                asked.state = State::Expired;
            }
        }
    }

    async fn check(&self) {
        let node = &self.nodes[self.did.len() % 2];
        let page = Page { before: None, limit: MAX_PAGE };
        let requests = node.requests(&RequestFilter { page, ..Default::default() }).await.unwrap();
        assert_eq!(requests.len(), self.model.requests.len(), "{:#?}", self.did);
        for request in requests {
            let state = match &request.state {
                RequestState::Pending { approvals } => {
                    let names = approvals.iter().map(|approval| approval.by.as_str());
                    let known = |name| *PEOPLE.iter().find(|known| **known == name).unwrap();
                    State::Pending(names.map(known).collect())
                }
                RequestState::Approved { .. } => State::Approved,
                RequestState::Denied { .. } => State::Denied,
                RequestState::Cancelled { .. } => State::Cancelled,
                RequestState::Expired { .. } => State::Expired,
            };
            assert_eq!(state, self.model.requests[&request.id].state, "{:#?}", self.did);
        }
        let page = Page { before: None, limit: MAX_PAGE };
        let filter = GrantFilter { active_at: Some(self.now), page, ..Default::default() };
        let active: BTreeSet<GrantId> =
            node.grants(&filter).await.unwrap().into_iter().map(|grant| grant.id).collect();
        let is_active = |(_, starts, ends, ended): &Given| {
            ended.is_none() && *starts <= self.now && self.now < *ends
        };
        let expected = self.model.grants.iter().filter(|(_, given)| is_active(given));
        assert_eq!(active, expected.map(|(id, _)| *id).collect(), "{:#?}", self.did);
        let facts = node.load_facts(self.now).await.unwrap();
        let held: BTreeSet<GrantId> = facts
            .grants
            .values()
            .flatten()
            .filter(|grant| grant.active(self.now))
            .map(|grant| grant.id)
            .collect();
        assert_eq!(held, active, "{:#?}", self.did);
        assert_eq!(facts.locks.len(), self.model.locked.len(), "{:#?}", self.did);
    }
}
