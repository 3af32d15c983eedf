use futures::future::join_all;
use portcullis_domain::{AccessRequest, GrantEnd, GrantId, Timestamp};
use portcullis_store::{GrantFilter, Revocation, StoreError};

use super::home::Home;
use super::samples::*;

fn end(by: &str, at: Timestamp) -> GrantEnd {
    GrantEnd { at, by: user_name(by), reason: "done".to_owned() }
}

pub(crate) async fn revoking_ends_a_grant_once_and_says_when_it_was_over(home: Home) {
    let store = home.open().await;
    let grant = granted(&store, "alice", "web").await;
    let first = store.revoke_grant(grant.id, end("lead", later(1))).await.unwrap();
    let Revocation::Ended(ended) = first else { panic!("{first:?}") };
    assert_eq!(ended.ended, Some(end("lead", later(1))));
    let revision = store.revision().await.unwrap();
    let second = store.revoke_grant(grant.id, end("other", later(2))).await.unwrap();
    assert_eq!(second, Revocation::AlreadyOver(ended.clone()));
    assert_eq!(store.grant(grant.id).await.unwrap(), ended);
    assert_eq!(store.revision().await.unwrap(), revision);
    let unknown = store.revoke_grant(GrantId::generate(NOW), end("lead", NOW)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn a_grant_whose_window_is_over_is_not_revoked(home: Home) {
    let store = home.open().await;
    let grant = granted(&store, "alice", "web").await;
    let late = store.revoke_grant(grant.id, end("lead", grant.ends)).await.unwrap();
    assert_eq!(late, Revocation::AlreadyOver(grant));
}

pub(crate) async fn of_many_concurrent_revocations_one_ends_it(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let grant = granted(&nodes[0], "alice", "web").await;
    let revocations = (0..20).map(|n| {
        let (store, id) = (nodes[n % 2].clone(), grant.id);
        tokio::spawn(async move { store.revoke_grant(id, end("lead", later(1))).await.unwrap() })
    });
    let results = join_all(revocations).await;
    let ended = |r: &&Result<_, _>| matches!(r, Ok(Revocation::Ended(_)));
    assert_eq!(results.iter().filter(ended).count(), 1);
}

pub(crate) async fn only_active_grants_are_listed_when_asked_for(home: Home) {
    let store = home.open().await;
    let (a, b) = (granted(&store, "alice", "web").await, granted(&store, "bob", "web").await);
    let _ = store.revoke_grant(a.id, end("lead", NOW)).await.unwrap();
    let active = |at| GrantFilter { active_at: Some(at), ..Default::default() };
    assert_eq!(store.grants(&active(NOW)).await.unwrap(), vec![b.clone()]);
    assert!(store.grants(&active(b.ends)).await.unwrap().is_empty());
    assert_eq!(store.grants(&GrantFilter::default()).await.unwrap().len(), 2);
    let alices = GrantFilter { user: Some(user_name("alice")), ..Default::default() };
    assert_eq!(store.grants(&alices).await.unwrap().len(), 1);
}

pub(crate) async fn the_end_of_a_grant_is_said_once_and_of_a_revoked_one_never(home: Home) {
    let store = home.open().await;
    let (a, b) = (granted(&store, "alice", "web").await, granted(&store, "bob", "web").await);
    let _ = store.revoke_grant(b.id, end("lead", NOW)).await.unwrap();
    assert!(store.grants_over(a.starts).await.unwrap().is_empty());
    assert_eq!(store.grants_over(a.ends).await.unwrap(), vec![a.clone()]);
    let revision = store.revision().await.unwrap();
    store.say_grant_over(a.id, a.ends).await.unwrap();
    store.say_grant_over(a.id, a.ends).await.unwrap();
    assert!(store.grants_over(a.ends).await.unwrap().is_empty());
    assert_eq!(store.revision().await.unwrap(), revision, "no decision depends on it");
}

pub(crate) async fn a_grant_is_found_by_every_target_it_is_to(home: Home) {
    let store = home.open().await;
    let also = ["db", "cache"].map(target_name).into();
    let several = AccessRequest { also, ..request("alice", "web", 1) };
    store.create_request(&several).await.unwrap();
    let grant = approve(&store, several.id, "lead").await.unwrap();
    let other = granted(&store, "bob", "mail").await;
    for (target, found) in [
        ("web", vec![grant.clone()]),
        ("db", vec![grant.clone()]),
        ("cache", vec![grant]),
        ("mail", vec![other]),
        ("lead", vec![]),
    ] {
        let filter = GrantFilter { target: Some(target_name(target)), ..Default::default() };
        assert_eq!(store.grants(&filter).await.unwrap(), found, "{target}");
    }
}
