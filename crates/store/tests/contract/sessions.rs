use portcullis_domain::factor::{Factor, FactorKind};
use portcullis_domain::{EventId, Hold, HoldId, HoldScope, SessionId, SignInId, Timestamp};
use portcullis_store::{
    Carrier, Certificate, Page, RecordingRemoval, RemoveError, SessionFilter, SessionRecord, Store,
    StoreError, Token,
};

use super::home::Home;
use super::samples::*;

pub(crate) async fn a_session_opens_and_ends_once(home: Home) {
    let store = home.open().await;
    let session = session("alice", "n1", NOW);
    store.open_session(&session).await.unwrap();
    assert_eq!(store.session(session.id).await.unwrap(), session);
    let twice = store.open_session(&session).await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
    assert!(store.close_session(session.id, ended("logout", later(1))).await.unwrap());
    assert!(!store.close_session(session.id, ended("killed", later(2))).await.unwrap());
    let found = store.session(session.id).await.unwrap();
    assert_eq!(found.end, Some(ended("logout", later(1))));
    let unknown = store.close_session(SessionId::generate(NOW), ended("logout", NOW)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn sessions_are_listed_by_state_and_page_by_page(home: Home) {
    let store = home.open().await;
    let mut all = Vec::new();
    for n in 0..5 {
        let session = session(if n % 2 == 0 { "alice" } else { "bob" }, "n1", later(n));
        store.open_session(&session).await.unwrap();
        all.insert(0, session);
    }
    assert!(store.close_session(all[0].id, ended("logout", later(9))).await.unwrap());
    let list = |filter: SessionFilter| {
        let store = store.clone();
        async move {
            let found = store.sessions(&filter).await.unwrap();
            found.into_iter().map(|session| session.id).collect::<Vec<_>>()
        }
    };
    let ids: Vec<_> = all.iter().map(|session| session.id).collect();
    assert_eq!(list(SessionFilter::default()).await, ids);
    let live = SessionFilter { live: Some(true), ..Default::default() };
    assert_eq!(list(live.clone()).await, ids[1..]);
    let past = SessionFilter { live: Some(false), ..Default::default() };
    assert_eq!(list(past).await, ids[..1]);
    let bobs = SessionFilter { user: Some(user_name("bob")), ..live };
    assert_eq!(list(bobs).await, [ids[1], ids[3]]);
    let page = Page { before: Some(ids[1]), limit: 2 };
    assert_eq!(list(SessionFilter { page, ..Default::default() }).await, ids[2..4]);
    let elsewhere = Some(target_name("other"));
    let elsewhere = SessionFilter { target: elsewhere, ..Default::default() };
    assert!(list(elsewhere).await.is_empty());
}

pub(crate) async fn sessions_of_a_killed_node_are_closed_and_no_others(home: Home) {
    let store = home.open().await;
    let (mine, done, other) =
        (session("a", "n1", NOW), session("a", "n1", NOW), session("a", "n2", NOW));
    for session in [&mine, &done, &other] {
        store.open_session(session).await.unwrap();
    }
    assert!(store.close_session(done.id, ended("logout", later(1))).await.unwrap());
    assert_eq!(store.close_orphans("n1", later(2), later(2)).await.unwrap(), vec![mine.id]);
    assert!(store.close_orphans("n1", later(3), later(3)).await.unwrap().is_empty());
    assert_eq!(store.session(mine.id).await.unwrap().end.unwrap().at, later(2));
    assert_eq!(store.session(done.id).await.unwrap().end.unwrap().reason, "logout");
    assert!(store.session(other.id).await.unwrap().end.is_none());
}

pub(crate) fn token(user: &str, expires_at: Timestamp) -> Token {
    let factors = vec![
        Factor { kind: FactorKind::Password, at: NOW },
        Factor { kind: FactorKind::Totp, at: NOW },
    ];
    Token {
        id: SignInId::generate(NOW),
        user: user_name(user),
        carrier: Carrier::Bearer,
        idle_seconds: None,
        source: "192.0.2.1".to_owned(),
        client: None,
        certificate: None,
        tls_certificate: None,
        factors,
        issued_at: NOW,
        expires_at,
    }
}

async fn found(store: &Store, hash: u8, now: Timestamp) -> Option<Token> {
    store.token(&[hash; 32], now).await.unwrap().map(|seen| seen.token)
}

fn certificate(serial: u64, user: &str) -> Certificate {
    Certificate {
        serial,
        user: user_name(user),
        factors: token(user, NOW).factors,
        key_fingerprint: "SHA256:x".to_owned(),
        issued_at: NOW,
        expires_at: later(60),
    }
}

pub(crate) async fn a_token_is_found_until_it_is_revoked_or_over(home: Home) {
    let store = home.open().await;
    let (one, two) = (token("alice", later(60)), token("alice", later(60)));
    store.put_token(&[1; 32], &one).await.unwrap();
    store.put_token(&[2; 32], &two).await.unwrap();
    assert_eq!(found(&store, 1, later(59)).await, Some(one));
    assert_eq!(found(&store, 1, later(60)).await, None);
    assert_eq!(found(&store, 3, NOW).await, None);
    assert!(store.revoke_token(&[1; 32], later(1)).await.unwrap());
    assert!(!store.revoke_token(&[1; 32], later(2)).await.unwrap());
    assert_eq!(found(&store, 1, later(2)).await, None);
    assert_eq!(found(&store, 2, later(2)).await, Some(two));
    assert_eq!(store.purge_sign_ins(later(60)).await.unwrap(), 2);
}

pub(crate) async fn a_token_nobody_uses_ends_and_use_keeps_it_up_to_its_end(home: Home) {
    let store = home.open().await;
    let idle = Token { idle_seconds: Some(10), ..token("alice", later(60)) };
    store.put_token(&[1; 32], &idle).await.unwrap();
    store
        .put_token(&[2; 32], &Token { id: SignInId::generate(NOW), ..idle.clone() })
        .await
        .unwrap();
    for second in [9, 18, 27, 36, 45, 54] {
        assert_eq!(found(&store, 1, later(second)).await, Some(idle.clone()), "{second}");
        store.see_token(&[1; 32], &idle, later(second)).await.unwrap();
    }
    let seen = store.token(&[1; 32], later(59)).await.unwrap().unwrap().seen_at;
    assert_eq!(seen, later(54));
    assert_eq!(found(&store, 1, later(60)).await, None, "used, and over all the same");
    assert_eq!(found(&store, 2, later(10)).await, None);
    store.see_token(&[2; 32], &idle, later(11)).await.unwrap();
    assert_eq!(found(&store, 2, later(12)).await, None, "what has ended stays ended");
}

pub(crate) async fn people_see_and_end_their_own_sign_ins_only(home: Home) {
    let store = home.open().await;
    let (alice, bob) = (user_name("alice"), user_name("bob"));
    store.record_certificate(&certificate(9, "alice")).await.unwrap();
    let with = Token { certificate: Some(9), ..token("alice", later(60)) };
    let (over, of_bob) = (token("alice", later(5)), token("bob", later(60)));
    for (hash, token) in [(1, &with), (2, &over), (3, &of_bob)] {
        store.put_token(&[hash; 32], token).await.unwrap();
    }
    let listed = store.sign_ins_of(&alice, later(6)).await.unwrap();
    assert_eq!(listed.iter().map(|seen| &seen.token).collect::<Vec<_>>(), [&with]);
    assert!(!store.end_sign_in(&bob, with.id, later(6)).await.unwrap());
    assert!(found(&store, 1, later(6)).await.is_some());
    assert!(store.end_sign_in(&alice, with.id, later(6)).await.unwrap());
    assert!(!store.end_sign_in(&alice, with.id, later(6)).await.unwrap());
    assert!(found(&store, 1, later(7)).await.is_none());
    assert_eq!(store.certificate(9, later(7)).await.unwrap(), None, "nor by its certificate");
    assert!(found(&store, 3, later(7)).await.is_some());
}

pub(crate) async fn a_certificate_serial_is_taken_once_and_revoked_for_good(home: Home) {
    let store = home.open().await;
    let issued = certificate(u64::MAX, "alice");
    store.record_certificate(&issued).await.unwrap();
    let taken = store.record_certificate(&certificate(u64::MAX, "bob")).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })));
    assert_eq!(store.certificate(u64::MAX, NOW).await.unwrap(), Some(issued));
    assert_eq!(store.certificate(u64::MAX, later(60)).await.unwrap(), None);
    assert!(store.revoke_certificate(u64::MAX, NOW).await.unwrap());
    assert!(!store.revoke_certificate(u64::MAX, NOW).await.unwrap());
    assert_eq!(store.certificate(u64::MAX, NOW).await.unwrap(), None);
    assert_eq!(store.revoked_serials(NOW).await.unwrap(), vec![u64::MAX]);
    assert!(store.revoked_serials(later(60)).await.unwrap().is_empty());
}

pub(crate) async fn all_sign_ins_of_a_user_are_revoked_together(home: Home) {
    let store = home.open().await;
    store.put_token(&[1; 32], &token("alice", later(60))).await.unwrap();
    store.put_token(&[2; 32], &token("bob", later(60))).await.unwrap();
    store.record_certificate(&certificate(7, "alice")).await.unwrap();
    assert_eq!(store.revoke_sign_ins_of(&user_name("alice"), NOW).await.unwrap(), 2);
    assert_eq!(store.token(&[1; 32], NOW).await.unwrap(), None);
    assert_eq!(store.certificate(7, NOW).await.unwrap(), None);
    assert!(store.token(&[2; 32], NOW).await.unwrap().is_some());
}

pub(crate) async fn heartbeats_are_kept_per_node(home: Home) {
    let store = home.open().await;
    for (node, at) in [("n2", NOW), ("n1", NOW), ("n1", later(1))] {
        store.heartbeat(node, at).await.unwrap();
    }
    let nodes = store.nodes().await.unwrap();
    let seen: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.started_at, n.seen_at)).collect();
    assert_eq!(seen, vec![("n1", NOW, later(1)), ("n2", NOW, NOW)]);
    store.forget_node("n1").await.unwrap();
    assert_eq!(store.nodes().await.unwrap().len(), 1);
    assert!(store.heartbeat("", NOW).await.is_err());
    assert!(store.heartbeat(&"x".repeat(256), NOW).await.is_err());
}

pub(crate) async fn a_recordings_key_goes_with_the_removal_unless_a_hold_covers_it(home: Home) {
    let store = home.open().await;
    let over = SessionRecord { end: Some(ended("left", NOW)), ..session("alice", "one", NOW) };
    store.open_session(&over).await.unwrap();
    let half = store.make_recording_half(over.id, NOW).await.unwrap();
    let again = store.recording_half(over.id).await.unwrap().unwrap();
    assert_eq!(half.expose(), again.expose());
    let second = later(1);
    let due =
        async |before| store.recordings_due(&over.environment, before, None).await.unwrap().len();
    assert_eq!((due(NOW).await, due(second).await), (0, 1));
    let hold = Hold {
        id: HoldId::generate(NOW),
        scope: HoldScope::Session(over.id),
        reason: "case 17".into(),
        owner: user_name("counsel"),
        by: user_name("lead"),
        at: NOW,
    };
    store.place_hold(&hold).await.unwrap();
    let removal = RecordingRemoval { at: second, event: EventId::generate(second) };
    let refused = store.destroy_recording_half(over.id, removal.clone()).await;
    assert!(matches!(refused, Err(RemoveError::Held(_))), "{refused:?}");
    assert!(store.recording_half(over.id).await.unwrap().is_some());
    store.lift_hold(hold.id, &user_name("root"), NOW).await.unwrap();
    store.destroy_recording_half(over.id, removal.clone()).await.unwrap();
    assert!(store.recording_half(over.id).await.unwrap().is_none());
    assert_eq!(store.session(over.id).await.unwrap().removal, Some(removal));
    assert_eq!(due(second).await, 1, "its files may still be there");
    store.recording_over(over.id, second).await.unwrap();
    assert_eq!(due(second).await, 0);
    assert_eq!(store.settled_time("one").await.unwrap(), None);
    store.settle_time("one", NOW).await.unwrap();
    store.settle_time("one", second).await.unwrap();
    assert_eq!(store.settled_time("one").await.unwrap(), Some(second));
}
