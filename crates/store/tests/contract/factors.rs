use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use portcullis_domain::{
    Confirmation, ConfirmationId, ConfirmationState, Factor, FactorId, FactorKind, Timestamp,
    UserCode,
};
use portcullis_store::{Counted, MAX_PASSKEYS_PER_USER, Passkey, StoreError};

use super::home::Home;
use super::samples::*;

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

pub(crate) async fn a_challenge_is_answered_once_and_in_time(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let end = NOW.plus(Duration::from_secs(120));
    assert!(nodes[0].open_ceremony(&[1; 32], &"one", NOW, end).await.unwrap());
    assert!(nodes[0].open_ceremony(&[2; 32], &"two", NOW, end).await.unwrap());
    let takes = (0..20).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move { store.take_ceremony::<String>(&[1; 32], NOW).await.unwrap() })
    });
    let taken: Vec<String> = join_all(takes).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken, ["one"]);
    assert_eq!(nodes[1].take_ceremony::<String>(&[2; 32], end).await.unwrap(), None, "too late");
    assert_eq!(nodes[1].take_ceremony::<String>(&[2; 32], NOW).await.unwrap(), None, "used up");
}

pub(crate) async fn a_counter_goes_forward_or_is_always_zero(home: Home) {
    let store = home.open().await;
    store.add_passkey(&passkey("alice", 1, 5)).await.unwrap();
    store.add_passkey(&passkey("alice", 2, 0)).await.unwrap();
    let uses = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.use_passkey(&[1], 6, NOW).await.unwrap() })
    });
    let forward = |done: Result<Counted, _>| done.unwrap() == Counted::Forward;
    assert_eq!(join_all(uses).await.into_iter().map(forward).filter(|f| *f).count(), 1);
    for (credential, count, expected) in [
        (1, 5, Counted::Stuck),
        (1, 0, Counted::Stuck),
        (1, 60, Counted::Forward),
        (2, 0, Counted::Forward),
        (2, 0, Counted::Forward),
        (2, 1, Counted::Forward),
        (2, 0, Counted::Stuck),
        (9, 1, Counted::Stuck),
    ] {
        let used = store.use_passkey(&[credential], count, NOW).await.unwrap();
        assert_eq!(used, expected, "{credential} {count}");
    }
    let kept = store.passkey(&[1]).await.unwrap().unwrap();
    assert_eq!((kept.sign_count, kept.used_at), (60, Some(NOW)));
}

pub(crate) async fn a_credential_belongs_to_one_person_who_has_a_bounded_number(home: Home) {
    let store = home.open().await;
    let (alice, bob) = (user_name("alice"), user_name("bob"));
    let first = passkey("alice", 1, 0);
    store.add_passkey(&first).await.unwrap();
    let again = store.add_passkey(&passkey("bob", 1, 0)).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    assert!(!store.rename_passkey(&bob, first.id, "mine").await.unwrap());
    assert!(store.rename_passkey(&alice, first.id, "phone").await.unwrap());
    assert_eq!(store.passkeys(&alice).await.unwrap()[0].name, "phone");
    assert!(!store.remove_passkey(&bob, first.id).await.unwrap());
    for number in 2..=u8::try_from(MAX_PASSKEYS_PER_USER).unwrap() {
        store.add_passkey(&passkey("alice", number, 0)).await.unwrap();
    }
    let more = store.add_passkey(&passkey("alice", 200, 0)).await;
    assert!(matches!(more, Err(StoreError::Invalid { .. })), "{more:?}");
    assert!(store.credential_status(&alice).await.unwrap().has_second_factor());
    assert_eq!(store.remove_passkeys(&alice).await.unwrap(), MAX_PASSKEYS_PER_USER);
    assert!(store.passkeys(&alice).await.unwrap().is_empty());
}

pub(crate) async fn one_code_waits_per_person_and_place_and_is_used_once(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let alice = user_name("alice");
    let (older, newer) = (waiting("BCDF-GHJK", 1), waiting("BCDF-GHJL", 2));
    nodes[0].begin_confirmation(&older).await.unwrap();
    nodes[1].begin_confirmation(&newer).await.unwrap();
    assert_eq!(nodes[0].confirmation(older.id).await.unwrap(), None);
    let found = nodes[0].waiting_confirmation(&alice, &newer.code, NOW).await.unwrap();
    assert_eq!(found.as_ref(), Some(&newer));
    for (user, code, at) in [
        ("bob", &newer.code, NOW),
        ("alice", &older.code, NOW),
        ("alice", &newer.code, newer.expires()),
    ] {
        let found = nodes[0].waiting_confirmation(&user_name(user), code, at).await.unwrap();
        assert_eq!(found, None, "{user} {code}");
    }
    let factor = Factor { kind: FactorKind::Totp, at: NOW };
    let state = ConfirmationState::Confirmed { factor, from: SOURCE };
    let decide = |waiting| Ok::<_, Infallible>(Confirmation { state: state.clone(), ..waiting });
    nodes[1].decide_confirmation(newer.id, decide).await.unwrap();
    let bend = |waiting| Ok::<_, Infallible>(Confirmation { user: user_name("bob"), ..waiting });
    assert!(nodes[1].decide_confirmation(newer.id, bend).await.is_err());
    let takes = (0..20).map(|n| {
        let (store, id) = (nodes[n % 2].clone(), newer.id);
        tokio::spawn(async move { store.take_confirmation(id).await.unwrap() })
    });
    let taken = join_all(takes).await.into_iter().filter_map(Result::unwrap);
    assert_eq!(taken.map(|taken| taken.state).collect::<Vec<_>>(), [state]);
}

pub(crate) async fn whoever_changed_a_factor_waits_until_the_latest_time(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    let at = |hours: u64| NOW.plus(Duration::from_secs(hours * 3600));
    let before = store.revision().await.unwrap();
    store.wait_for_factor(&alice, at(24)).await.unwrap();
    assert!(store.revision().await.unwrap() > before, "decisions depend on it");
    store.wait_for_factor(&alice, at(2)).await.unwrap();
    let waits = |facts: portcullis_domain::Facts, now| facts.factor_wait(&user_name("alice"), now);
    assert_eq!(waits(store.load_facts(NOW).await.unwrap(), NOW), Some(at(24)));
    assert_eq!(waits(store.load_facts(NOW).await.unwrap(), at(24)), None);
    assert!(!store.end_factor_wait(&alice, at(2)).await.unwrap(), "for another change");
    assert!(store.end_factor_wait(&alice, at(24)).await.unwrap());
    assert_eq!(waits(store.load_facts(NOW).await.unwrap(), NOW), None);
}

fn passkey(user: &str, number: u8, sign_count: u32) -> Passkey {
    Passkey {
        id: FactorId::new(NOW, [number; 10]),
        user: user_name(user),
        name: "laptop".into(),
        credential: vec![number],
        public_key: vec![1, 2, 3],
        user_handle: vec![7; 32],
        signs_in_alone: true,
        backup_eligible: false,
        created_at: NOW,
        sign_count,
        used_at: None,
    }
}

fn waiting(code: &str, number: u8) -> Confirmation {
    let code: UserCode = code.parse().unwrap();
    let at: Timestamp = NOW;
    let id = ConfirmationId::new(at, [number; 10]);
    Confirmation::begin(id, code, user_name("alice"), SOURCE, "psql", None, at)
}
