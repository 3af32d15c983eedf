use futures::future::join_all;
use portcullis_domain::{Lock, LockSubject, UserName};
use portcullis_store::{LiftError, Lifted, Page, Placed, RaiseError, Raised, StoreError};

use super::home::Home;
use super::samples::*;

fn on_user(name: &str) -> Lock {
    lock(LockSubject::User(user_name(name)))
}

pub(crate) async fn a_lock_holds_until_it_is_lifted_once(home: Home) {
    let store = home.open().await;
    let lock = on_user("alice");
    assert_eq!(store.place_lock(&lock).await.unwrap(), Placed::Placed);
    assert_eq!(store.revision().await.unwrap(), 1);
    assert_eq!(store.locks(NOW, Page::default()).await.unwrap(), vec![lock.clone()]);
    assert_eq!(store.load_facts(NOW).await.unwrap().locks, vec![lock.clone()]);
    let by = user_name("lead");
    let lifted = store.lift_lock(lock.id, &by, NOW).await.unwrap();
    assert_eq!(lifted, Lifted::Lifted(lock.clone()));
    let again = store.lift_lock(lock.id, &by, NOW).await.unwrap();
    assert_eq!(again, Lifted::AlreadyOver(lock.clone()));
    assert_eq!(store.revision().await.unwrap(), 2);
    assert!(store.load_facts(NOW).await.unwrap().locks.is_empty());
    assert!(matches!(store.place_lock(&lock).await, Err(StoreError::Conflict { .. })));
}

pub(crate) async fn an_expired_lock_is_in_force_no_more(home: Home) {
    let store = home.open().await;
    let lock = Lock { expires: Some(later(10)), ..on_user("alice") };
    assert_eq!(store.place_lock(&lock).await.unwrap(), Placed::Placed);
    assert_eq!(store.locks(later(9), Page::default()).await.unwrap().len(), 1);
    assert!(store.locks(later(10), Page::default()).await.unwrap().is_empty());
    let lifted = store.lift_lock(lock.id, &user_name("lead"), later(10)).await.unwrap();
    assert_eq!(lifted, Lifted::AlreadyOver(lock));
}

pub(crate) async fn a_dropped_gate_is_not_lifted_by_one_person(home: Home) {
    let store = home.open().await;
    let lock = drop_of("production");
    assert_eq!(store.place_lock(&lock).await.unwrap(), Placed::Placed);
    let refused = store.lift_lock(lock.id, &user_name("root"), NOW).await;
    assert!(matches!(refused, Err(LiftError::Dropped { .. })), "{refused:?}");
    assert_eq!(store.load_facts(NOW).await.unwrap().locks, vec![lock]);
}

pub(crate) async fn a_dropped_gate_is_raised_by_two_people_whoever_dropped_it(home: Home) {
    let store = home.open().await;
    let environment = environment_name("production");
    let lock = drop_of("production");
    let _ = store.place_lock(&lock).await.unwrap();
    let dropper = lock.by.clone();
    let raise = |by: UserName| {
        let (store, environment) = (store.clone(), environment.clone());
        async move { store.raise_gate(&environment, &by, NOW).await }
    };
    assert!(matches!(raise(dropper.clone()).await.unwrap(), Raised::Waiting(_)));
    assert!(matches!(raise(dropper).await.unwrap(), Raised::Waiting(_)));
    assert_eq!(store.load_facts(NOW).await.unwrap().locks.len(), 1);
    assert!(matches!(raise(user_name("lead")).await.unwrap(), Raised::Raised(_)));
    assert!(store.load_facts(NOW).await.unwrap().locks.is_empty());
    let late = raise(user_name("third")).await;
    assert!(matches!(late, Err(RaiseError::NotDropped(_))), "{late:?}");
}

pub(crate) async fn the_same_person_asking_many_times_at_once_counts_once(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let _ = nodes[0].place_lock(&drop_of("production")).await.unwrap();
    let raises = (0..20).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move {
            let environment = environment_name("production");
            store.raise_gate(&environment, &user_name("lead"), NOW).await.unwrap()
        })
    });
    let results = join_all(raises).await;
    assert!(results.iter().all(|r| matches!(r, Ok(Raised::Waiting(_)))));
    assert_eq!(nodes[0].load_facts(NOW).await.unwrap().locks.len(), 1);
}

pub(crate) async fn dropping_twice_is_one_drop_and_after_the_raise_a_new_one(home: Home) {
    let store = home.open().await;
    let first = drop_of("production");
    assert_eq!(store.place_lock(&first).await.unwrap(), Placed::Placed);
    let again = store.place_lock(&drop_of("production")).await.unwrap();
    assert_eq!(again, Placed::AlreadyDropped(first));
    assert_eq!(store.place_lock(&drop_of("staging")).await.unwrap(), Placed::Placed);
    let environment = environment_name("production");
    for by in ["lead", "officer"] {
        let _ = store.raise_gate(&environment, &user_name(by), NOW).await.unwrap();
    }
    assert_eq!(store.place_lock(&drop_of("production")).await.unwrap(), Placed::Placed);
    assert_eq!(store.load_facts(NOW).await.unwrap().locks.len(), 2);
}

pub(crate) async fn a_drop_is_of_an_environment_and_never_expires(home: Home) {
    let store = home.open().await;
    let drop = drop_of("production");
    let wrong = [
        Lock { subject: LockSubject::User(user_name("alice")), ..drop.clone() },
        Lock { expires: Some(later(1)), ..drop },
    ];
    for lock in wrong {
        let refused = store.place_lock(&lock).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
}
