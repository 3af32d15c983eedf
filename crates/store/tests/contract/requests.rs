use futures::future::join_all;
use portcullis_domain::request::REQUEST_LIFETIME;
use portcullis_domain::{AccessRequest, Grant, GrantId, RequestId, RequestState, TransitionError};
use portcullis_store::{
    CreateRequestError, GrantFilter, MAX_PENDING_PER_USER, Page, RequestFilter, RequestStateName,
    StoreError, Transition, TransitionFailure,
};

use super::home::Home;
use super::samples::*;

pub(crate) async fn a_request_reads_back_and_lists_newest_first(home: Home) {
    let store = home.open().await;
    let mut all = Vec::new();
    for (n, user) in ["alice", "bob", "alice"].into_iter().enumerate() {
        let id = RequestId::generate(later(n as u64));
        let request = AccessRequest { id, ..request(user, "web", 1) };
        store.create_request(&request).await.unwrap();
        all.insert(0, request);
    }
    assert_eq!(store.request(all[1].id).await.unwrap(), all[1]);
    assert_eq!(store.requests(&RequestFilter::default()).await.unwrap(), all);
    let alices = RequestFilter { user: Some(user_name("alice")), ..Default::default() };
    assert_eq!(store.requests(&alices).await.unwrap(), vec![all[0].clone(), all[2].clone()]);
    let page = Page { before: Some(all[0].id), limit: 1 };
    let second = RequestFilter { page, ..Default::default() };
    assert_eq!(store.requests(&second).await.unwrap(), vec![all[1].clone()]);
    let state = Some(RequestStateName::Denied);
    let denied = RequestFilter { state, ..Default::default() };
    assert!(store.requests(&denied).await.unwrap().is_empty());
}

pub(crate) async fn an_approval_writes_request_and_grant_and_grows_the_revision(home: Home) {
    let store = home.open().await;
    let request = request("alice", "web", 1);
    store.create_request(&request).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), 0);
    let grant = approve(&store, request.id, "lead").await.unwrap();
    assert_eq!(store.revision().await.unwrap(), 1);
    assert_eq!(store.grant(grant.id).await.unwrap(), grant);
    let state = store.request(request.id).await.unwrap().state;
    assert!(matches!(state, RequestState::Approved { grant: id, .. } if id == grant.id));
    assert_eq!(store.load_facts(NOW).await.unwrap().grants[&user_name("alice")], vec![grant]);
}

pub(crate) async fn of_a_hundred_concurrent_approvals_one_makes_a_grant(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let request = request("alice", "web", 1);
    nodes[0].create_request(&request).await.unwrap();
    let approvals = (0..100).map(|n| {
        let (store, id) = (nodes[n % 2].clone(), request.id);
        tokio::spawn(async move {
            let by = user_name(&format!("lead{n}"));
            let decide = |r: AccessRequest| r.approve(by, NOW, GrantId::generate(NOW));
            store.transition(id, decide).await
        })
    });
    let results: Vec<_> = join_all(approvals).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    let refused = |r: &&Result<_, _>| {
        matches!(r, Err(TransitionFailure::Refused(TransitionError::NotPending { .. })))
    };
    assert_eq!(results.iter().filter(refused).count(), 99);
    assert_eq!(nodes[1].grants(&GrantFilter::default()).await.unwrap().len(), 1);
    assert_eq!(nodes[1].revision().await.unwrap(), 1);
}

pub(crate) async fn a_refused_transition_changes_nothing(home: Home) {
    let store = home.open().await;
    let request = request("alice", "web", 1);
    store.create_request(&request).await.unwrap();
    let own = |r: AccessRequest| r.approve(user_name("alice"), NOW, GrantId::generate(NOW));
    let refused = store.transition(request.id, own).await;
    let own = TransitionError::OwnRequest { user: user_name("alice") };
    assert!(matches!(refused, Err(TransitionFailure::Refused(error)) if error == own));
    assert_eq!(store.request(request.id).await.unwrap(), request);
    assert_eq!(store.revision().await.unwrap(), 0);
}

#[derive(Debug, thiserror::Error)]
#[error("the audit log is full")]
struct AuditFailed;

pub(crate) async fn nothing_is_seen_when_what_must_come_first_fails(home: Home) {
    let store = home.open().await;
    let request = request("alice", "web", 1);
    store.create_request(&request).await.unwrap();
    let decide = |r: AccessRequest, _: &[Grant]| {
        let approved = r.approve(user_name("lead"), NOW, GrantId::generate(NOW));
        approved.map_err(|_| AuditFailed)
    };
    let mut seen = None;
    let audit = |next: Transition| {
        seen = next.grant;
        async { Err(AuditFailed) }
    };
    let failed = store.transition_after(request.id, decide, audit).await;
    assert!(matches!(failed, Err(TransitionFailure::Refused(AuditFailed))));
    assert_eq!(seen.unwrap().user, user_name("alice"));
    assert_eq!(store.request(request.id).await.unwrap(), request);
    assert!(store.grants(&GrantFilter::default()).await.unwrap().is_empty());
    assert!(approve(&store, request.id, "lead").await.is_some());
}

pub(crate) async fn a_transition_may_change_the_state_only(home: Home) {
    let store = home.open().await;
    let asked = request("alice", "web", 1);
    store.create_request(&asked).await.unwrap();
    let swap_user = |r: AccessRequest| {
        let user = user_name("mallory");
        Ok::<_, TransitionError>(AccessRequest { user, ..r })
    };
    let refused = store.transition(asked.id, swap_user).await;
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid { .. });
    assert!(matches!(refused, Err(TransitionFailure::Store(ref error)) if invalid(error)));
    let swap_target = |r: AccessRequest| {
        let mut next =
            Transition::from(r.approve(user_name("lead"), NOW, GrantId::generate(NOW))?);
        next.grant.as_mut().unwrap().target = target_name("other");
        Ok::<_, TransitionError>(next)
    };
    let refused = store.transition(asked.id, swap_target).await;
    assert!(matches!(refused, Err(TransitionFailure::Store(ref error)) if invalid(error)));
    assert_eq!(store.request(asked.id).await.unwrap(), asked);
    let approved = RequestState::Cancelled { at: NOW };
    let decided = AccessRequest { state: approved, ..request("alice", "web", 1) };
    assert!(store.create_request(&decided).await.is_err(), "a request begins pending");
}

pub(crate) async fn two_people_approve_one_after_the_other(home: Home) {
    let store = home.open().await;
    let request = request("alice", "web", 2);
    store.create_request(&request).await.unwrap();
    assert!(approve(&store, request.id, "lead").await.is_none());
    assert_eq!(store.revision().await.unwrap(), 0);
    let again = |r: AccessRequest| r.approve(user_name("lead"), NOW, GrantId::generate(NOW));
    assert!(store.transition(request.id, again).await.is_err());
    assert!(approve(&store, request.id, "officer").await.is_some());
}

pub(crate) async fn pending_requests_are_bounded_per_user_even_when_made_at_once(home: Home) {
    let store = home.open().await;
    let asks = (0..MAX_PENDING_PER_USER + 10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.create_request(&request("alice", "web", 1)).await })
    });
    let results: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    let refused = |r: &&Result<_, _>| matches!(r, Err(CreateRequestError::TooManyPending { .. }));
    assert_eq!(results.iter().filter(refused).count(), 10);
    store.create_request(&request("bob", "web", 1)).await.unwrap();
    let filter = RequestFilter { user: Some(user_name("alice")), ..Default::default() };
    let first = store.requests(&filter).await.unwrap().remove(0);
    let cancel = |r: AccessRequest| r.cancel(&user_name("alice"), NOW);
    store.transition(first.id, cancel).await.unwrap();
    store.create_request(&request("alice", "web", 1)).await.unwrap();
}

pub(crate) async fn a_request_nobody_decided_expires_once(home: Home) {
    let store = home.open().await;
    let (old, new) = (request("alice", "web", 1), request("bob", "web", 1));
    let new = AccessRequest { asked_at: later(60), ..new };
    store.create_request(&old).await.unwrap();
    store.create_request(&new).await.unwrap();
    let end = NOW.plus(REQUEST_LIFETIME);
    assert!(store.expire_requests(later(60)).await.unwrap().is_empty());
    let expired = store.expire_requests(end).await.unwrap();
    assert_eq!(expired.iter().map(|r| r.id).collect::<Vec<_>>(), vec![old.id]);
    assert!(store.expire_requests(end).await.unwrap().is_empty());
    assert_eq!(store.request(old.id).await.unwrap().state, RequestState::Expired { at: end });
    assert_eq!(store.request(new.id).await.unwrap(), new);
}

pub(crate) async fn an_unknown_request_is_not_found(home: Home) {
    let store = home.open().await;
    let id = RequestId::generate(NOW);
    assert!(matches!(store.request(id).await, Err(StoreError::NotFound { .. })));
    let decide = |r: AccessRequest| r.cancel(&user_name("alice"), NOW);
    let failed = store.transition(id, decide).await;
    assert!(matches!(failed, Err(TransitionFailure::Store(StoreError::NotFound { .. }))));
}
