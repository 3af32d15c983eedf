use std::time::Duration;

use futures::future::join_all;
use portcullis_domain::factor::{Factor, FactorKind};
use portcullis_domain::{LockSubject, RequestState, Resource, RoleName, Secret};
use portcullis_store::{ApplyError, Changes, CredentialStatus, Placed, Token};

use super::home::Home;
use super::samples::*;
use super::sessions::token;

pub(crate) async fn an_apply_is_one_revision_and_the_same_again_is_none(home: Home) {
    let store = home.open().await;
    assert_eq!(store.revision().await.unwrap(), 0);
    let changes = upsert([group("a", "first"), user("alice")]);
    assert_eq!(store.apply(&changes, Some(0), &user_name("root"), NOW).await.unwrap(), 1);
    assert_eq!(store.apply(&changes, Some(1), &user_name("other"), NOW).await.unwrap(), 1);
    let changes = upsert([group("a", "second"), user("alice")]);
    assert_eq!(store.apply(&changes, None, &user_name("root"), NOW).await.unwrap(), 2);
    assert_eq!(store.revision().await.unwrap(), 2);
}

pub(crate) async fn a_plan_made_at_another_revision_is_refused_whole(home: Home) {
    let store = home.open().await;
    store.apply(&upsert([group("a", "one")]), None, &user_name("root"), NOW).await.unwrap();
    let late = upsert([group("a", "two"), group("b", "two")]);
    let refused = store.apply(&late, Some(0), &user_name("root"), NOW).await;
    assert!(matches!(refused, Err(ApplyError::Conflict { expected: 0, found: 1 })), "{refused:?}");
    let (revision, resources) = store.resources().await.unwrap();
    assert_eq!((revision, resources.len()), (1, 1));
    assert_eq!(resources[0].resource, group("a", "one"));
}

pub(crate) async fn what_was_applied_reads_back_with_its_author(home: Home) {
    let store = home.open().await;
    let all = vec![group("g", "é \u{1F512} \"quoted\" \\"), target("t", "e", "h"), user("u")];
    store.apply(&upsert(all.clone()), None, &user_name("ann"), later(5)).await.unwrap();
    let (_, found) = store.resources().await.unwrap();
    assert_eq!(found.iter().map(|r| r.resource.clone()).collect::<Vec<_>>(), all);
    assert!(found.iter().all(|r| r.author == user_name("ann") && r.updated_at == later(5)));
}

pub(crate) async fn deleting_what_is_not_there_changes_nothing(home: Home) {
    let store = home.open().await;
    let nothing = delete(&user("ghost"));
    assert_eq!(store.apply(&nothing, None, &user_name("root"), NOW).await.unwrap(), 0);
}

pub(crate) async fn a_key_named_twice_is_refused(home: Home) {
    let store = home.open().await;
    let twice = Changes { upserts: vec![user("alice")], deletes: vec![user("alice").key()] };
    let refused = store.apply(&twice, None, &user_name("root"), NOW).await;
    assert!(matches!(refused, Err(ApplyError::Twice(_))), "{refused:?}");
}

pub(crate) async fn a_removed_user_leaves_nothing_for_the_next_of_that_name(home: Home) {
    let store = home.open().await;
    let (alice, root) = (user_name("alice"), user_name("root"));
    store.apply(&upsert([user("alice"), user("bob")]), None, &root, NOW).await.unwrap();
    let grant = granted(&store, "alice", "prod-web").await;
    let other = granted(&store, "bob", "prod-web").await;
    let pending = request("alice", "prod-db", 1);
    store.create_request(&pending).await.unwrap();
    store.set_password_hash(&alice, "$argon2id$", NOW).await.unwrap();
    store.put_totp(&alice, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    store.put_recovery_codes(&alice, &["h".to_owned()], NOW).await.unwrap();
    let factor = Factor { kind: FactorKind::Password, at: NOW };
    let token = Token { factors: vec![factor], ..token("alice", later(60)) };
    store.put_token(&[7; 32], &token).await.unwrap();
    assert_eq!(store.token(&[7; 32], NOW).await.unwrap().unwrap().token, token);

    store.apply(&delete(&user("alice")), None, &root, later(1)).await.unwrap();
    store.apply(&upsert([user("alice")]), None, &root, later(2)).await.unwrap();

    assert_eq!(store.credential_status(&alice).await.unwrap(), CredentialStatus::default());
    assert!(store.password_hash(&alice).await.unwrap().is_none());
    assert!(store.totp(&alice).await.unwrap().is_none());
    assert!(store.token(&[7; 32], later(2)).await.unwrap().is_none());
    assert_eq!(store.grant(grant.id).await.unwrap().ended.unwrap().by, root);
    let request = store.request(pending.id).await.unwrap();
    assert_eq!(request.state, RequestState::Cancelled { at: later(1) });
    let facts = store.load_facts(later(3)).await.unwrap();
    assert!(!facts.grants.contains_key(&alice));
    assert_eq!(facts.grants[&user_name("bob")], vec![other]);
}

pub(crate) async fn a_target_that_moves_to_another_environment_loses_its_grants(home: Home) {
    let store = home.open().await;
    let root = user_name("root");
    store.apply(&upsert([target("web", "staging", "h")]), None, &root, NOW).await.unwrap();
    let grant = granted(&store, "alice", "web").await;
    let elsewhere = granted(&store, "alice", "db").await;
    store.apply(&upsert([target("web", "production", "h")]), None, &root, NOW).await.unwrap();
    assert!(store.grant(grant.id).await.unwrap().ended.is_some());
    assert!(store.grant(elsewhere.id).await.unwrap().ended.is_none());
    let grant = granted(&store, "alice", "web").await;
    let gone = delete(&target("web", "production", "h"));
    store.apply(&gone, None, &root, NOW).await.unwrap();
    assert!(store.grant(grant.id).await.unwrap().ended.is_some());
}

pub(crate) async fn an_edited_target_keeps_its_grants(home: Home) {
    let store = home.open().await;
    let root = user_name("root");
    store.apply(&upsert([target("web", "production", "a")]), None, &root, NOW).await.unwrap();
    let grant = granted(&store, "alice", "web").await;
    let Resource::Target(mut edited) = target("web", "production", "a") else { panic!("a target") };
    edited.labels.insert("tier".to_owned(), "web".to_owned());
    let edited = upsert([Resource::Target(edited)]);
    store.apply(&edited, None, &root, NOW).await.unwrap();
    assert!(store.grant(grant.id).await.unwrap().ended.is_none());
    // Another host under the same name is another machine.
    store.apply(&upsert([target("web", "production", "b")]), None, &root, NOW).await.unwrap();
    assert!(store.grant(grant.id).await.unwrap().ended.is_some());
}

pub(crate) async fn facts_hold_what_is_in_force_and_nothing_else(home: Home) {
    let store = home.open().await;
    let everything = [user("alice"), group("g", "d"), target("web", "production", "h")];
    store.apply(&upsert(everything), None, &user_name("root"), NOW).await.unwrap();
    let kept = granted(&store, "alice", "web").await;
    let revoked = granted(&store, "alice", "web").await;
    let end =
        portcullis_domain::GrantEnd { at: NOW, by: user_name("lead"), reason: "done".to_owned() };
    let _ = store.revoke_grant(revoked.id, end).await.unwrap();
    let role = lock(LockSubject::Role(RoleName::new("admin").unwrap()));
    let brief = lock(LockSubject::User(user_name("bob")));
    let brief = portcullis_domain::Lock { expires: Some(later(10)), ..brief };
    let lifted = lock(LockSubject::User(user_name("carol")));
    for lock in [&role, &brief, &lifted] {
        assert_eq!(store.place_lock(lock).await.unwrap(), Placed::Placed);
    }
    let _ = store.lift_lock(lifted.id, &user_name("root"), NOW).await.unwrap();

    let facts = store.load_facts(later(9)).await.unwrap();
    assert_eq!(facts.revision, store.revision().await.unwrap());
    assert_eq!((facts.users.len(), facts.groups.len(), facts.targets.len()), (1, 1, 1));
    assert_eq!(facts.grants.values().flatten().collect::<Vec<_>>(), vec![&kept]);
    assert_eq!(facts.locks.len(), 2);
    let facts = store.load_facts(later(10)).await.unwrap();
    assert_eq!(facts.locks, vec![role]);
    let facts = store.load_facts(kept.ends).await.unwrap();
    assert!(facts.grants.is_empty());
}

pub(crate) async fn facts_are_one_consistent_state_while_others_write(home: Home) {
    let (writer, reader) = (home.open().await, home.open().await);
    let write = async {
        for round in 0..40 {
            // Both groups say the same in every revision, which is also the round.
            let text = round.to_string();
            let both = upsert([group("a", &text), group("b", &text)]);
            writer.apply(&both, None, &user_name("root"), NOW).await.unwrap();
        }
    };
    let read = async {
        let mut reads = 0;
        loop {
            let facts = reader.load_facts(NOW).await.unwrap();
            let said: Vec<_> = facts.groups.values().map(|g| g.description.clone()).collect();
            if let [a, b] = said.as_slice() {
                let expected = Some((facts.revision - 1).to_string());
                assert_eq!((a, b), (&expected, &expected));
            }
            reads += 1;
            if facts.revision == 40 {
                return reads;
            }
        }
    };
    let ((), reads) = tokio::join!(write, read);
    assert!(reads > 1);
}

pub(crate) async fn of_many_applies_at_one_revision_one_wins(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let applies = (0..20).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move {
            let changes = upsert([group("a", &n.to_string())]);
            store.apply(&changes, Some(0), &user_name("root"), NOW).await
        })
    });
    let results: Vec<_> = join_all(applies).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|r| matches!(r, Ok(1))).count(), 1);
    let conflict = |r: &&Result<_, _>| matches!(r, Err(ApplyError::Conflict { found: 1, .. }));
    assert_eq!(results.iter().filter(conflict).count(), 19);
}

pub(crate) async fn a_change_is_told_here_at_once_and_elsewhere_within_a_second(home: Home) {
    let (here, elsewhere) = (home.open().await, home.open().await);
    let (mut near, mut far) = (here.changes(), elsewhere.changes());
    let revision =
        here.apply(&upsert([user("alice")]), None, &user_name("root"), NOW).await.unwrap();
    assert_eq!(*near.borrow_and_update(), revision);
    let news = far.wait_for(|known| *known == revision);
    tokio::time::timeout(Duration::from_secs(1), news).await.unwrap().unwrap();
}

pub(crate) async fn the_revision_told_never_shrinks(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let mut changes = nodes[0].changes();
    let watch = tokio::spawn(async move {
        let mut last = 0;
        while last < 30 {
            changes.changed().await.unwrap();
            let now = *changes.borrow_and_update();
            assert!(now > last, "{now} after {last}");
            last = now;
        }
    });
    let writes = (0..30).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move {
            let changes = upsert([Resource::clone(&group(&format!("g{n}"), "d"))]);
            store.apply(&changes, None, &user_name("root"), NOW).await.unwrap()
        })
    });
    let mut revisions: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=30).collect::<Vec<_>>());
    watch.await.unwrap();
}
