use futures::future::join_all;
use portcullis_domain::Secret;
use portcullis_store::{AttemptScope, StoreError};

use super::home::Home;
use super::samples::*;

pub(crate) async fn a_code_works_once_on_whichever_node_it_arrives(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let alice = user_name("alice");
    nodes[0].put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    assert!(nodes[0].confirm_totp(&alice, 100, NOW).await.unwrap());
    let uses = (0..100).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move { store.use_totp_step(&user_name("alice"), 101).await.unwrap() })
    });
    let accepted = join_all(uses).await.into_iter().filter(|r| *r.as_ref().unwrap()).count();
    assert_eq!(accepted, 1);
}

pub(crate) async fn an_older_code_never_works_after_a_newer_one(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    store.put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    assert!(store.confirm_totp(&alice, 100, NOW).await.unwrap());
    assert!(!store.use_totp_step(&alice, 100).await.unwrap(), "it confirmed the secret");
    assert!(store.use_totp_step(&alice, 102).await.unwrap());
    for step in [101, 102] {
        assert!(!store.use_totp_step(&alice, step).await.unwrap());
    }
    assert!(!store.use_totp_step(&user_name("bob"), 103).await.unwrap());
    assert!(store.use_totp_step(&alice, u64::MAX).await.is_err());
    let totp = store.totp(&alice).await.unwrap().unwrap();
    assert_eq!((totp.confirmed, totp.last_used_step), (true, Some(102)));
}

pub(crate) async fn an_unconfirmed_totp_secret_accepts_nothing(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    store.put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    assert!(!store.use_totp_step(&alice, 100).await.unwrap());
    assert!(!store.totp(&alice).await.unwrap().unwrap().confirmed);
    assert!(store.confirm_totp(&alice, 100, NOW).await.unwrap());
    assert!(!store.confirm_totp(&alice, 101, NOW).await.unwrap());
    store.put_totp(&alice, &Secret::new(vec![2; 20]), NOW).await.unwrap();
    let replaced = store.totp(&alice).await.unwrap().unwrap();
    assert_eq!((replaced.confirmed, replaced.secret.expose().as_slice()), (false, &[2; 20][..]));
    store.remove_totp(&alice).await.unwrap();
    assert!(store.totp(&alice).await.unwrap().is_none());
    assert!(!store.confirm_totp(&alice, 102, NOW).await.unwrap());
}

pub(crate) async fn a_set_up_that_is_given_up_leaves_the_totp_in_use_alone(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    store.put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    assert!(store.confirm_totp(&alice, 100, NOW).await.unwrap());
    store.put_pending_totp(&alice, &Secret::new(vec![2; 20]), later(1)).await.unwrap();
    let used = store.totp(&alice).await.unwrap().unwrap();
    assert_eq!((used.confirmed, used.secret.expose().as_slice()), (true, &[1; 20][..]));
    assert!(store.confirm_pending_totp(&alice, 105, later(2)).await.unwrap());
    assert!(!store.confirm_pending_totp(&alice, 106, later(2)).await.unwrap());
    let used = store.totp(&alice).await.unwrap().unwrap();
    assert_eq!((used.confirmed, used.secret.expose().as_slice()), (true, &[2; 20][..]));
    assert_eq!(used.last_used_step, Some(105));
    let status = store.credential_status(&alice).await.unwrap();
    assert_eq!(status.totp_confirmed_at, Some(later(2)));
}

pub(crate) async fn a_recovery_code_works_once(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let alice = user_name("alice");
    let hashes = ["h1".to_owned(), "h2".to_owned()];
    nodes[0].put_recovery_codes(&alice, &hashes, NOW).await.unwrap();
    let uses = (0..20).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move {
            store.use_recovery_code(&user_name("alice"), "h1", NOW).await.unwrap()
        })
    });
    let accepted = join_all(uses).await.into_iter().filter(|r| *r.as_ref().unwrap()).count();
    assert_eq!(accepted, 1);
    assert!(!nodes[0].use_recovery_code(&user_name("bob"), "h2", NOW).await.unwrap());
    assert_eq!(nodes[0].recovery_codes(&alice).await.unwrap(), vec!["h2".to_owned()]);
    assert_eq!(nodes[0].credential_status(&alice).await.unwrap().recovery_codes_left, 1);
}

pub(crate) async fn new_recovery_codes_replace_the_old(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    store.put_recovery_codes(&alice, &["old".to_owned()], NOW).await.unwrap();
    store.put_recovery_codes(&alice, &["new".to_owned()], NOW).await.unwrap();
    assert!(!store.use_recovery_code(&alice, "old", NOW).await.unwrap());
    assert!(store.use_recovery_code(&alice, "new", NOW).await.unwrap());
    let many: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let refused = store.put_recovery_codes(&alice, &many, NOW).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
}

pub(crate) async fn passwords_and_enrolment_status_read_back(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    assert!(store.password_hash(&alice).await.unwrap().is_none());
    store.set_password_hash(&alice, "$argon2id$one", NOW).await.unwrap();
    store.set_password_hash(&alice, "$argon2id$two", later(1)).await.unwrap();
    let hash = store.password_hash(&alice).await.unwrap().unwrap();
    assert_eq!(hash.expose(), "$argon2id$two");
    store.put_totp(&alice, &Secret::new(vec![1; 20]), later(2)).await.unwrap();
    let status = store.credential_status(&alice).await.unwrap();
    assert_eq!(status.password_set_at, Some(later(1)));
    assert_eq!((status.totp_set_at, status.totp_confirmed_at), (Some(later(2)), None));
    assert_eq!(store.credential_statuses(None).await.unwrap(), vec![(alice.clone(), status)]);
    assert!(store.credential_statuses(Some(&alice)).await.unwrap().is_empty());
    store.clear_password(&alice).await.unwrap();
    assert!(store.password_hash(&alice).await.unwrap().is_none());
}

pub(crate) async fn no_concurrent_attempt_is_lost(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let attempts = (0..60).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move {
            let add = |failures: &mut Vec<u64>| failures.push(n as u64);
            store.update_attempts(AttemptScope::User, "alice", NOW, add).await.unwrap();
        })
    });
    for done in join_all(attempts).await {
        done.unwrap();
    }
    let mut failures: Vec<u64> = nodes[0].attempts(AttemptScope::User, "alice").await.unwrap();
    failures.sort_unstable();
    assert_eq!(failures, (0..60).collect::<Vec<_>>());
    let source: Vec<u64> = nodes[0].attempts(AttemptScope::Source, "alice").await.unwrap();
    assert!(source.is_empty(), "scopes are apart");
    assert_eq!(nodes[0].purge_attempts(NOW).await.unwrap(), 0);
    assert_eq!(nodes[0].purge_attempts(later(1)).await.unwrap(), 1);
}

pub(crate) async fn totp_that_lost_its_secret_is_an_error_and_not_absent(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    store.put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    home.tamper("DELETE FROM sealed_values").await;
    let failed = store.totp(&alice).await;
    assert!(matches!(failed, Err(StoreError::Sealed { .. })), "{failed:?}");
}
