use futures::future::join_all;
use portcullis_domain::*;
use portcullis_store::{Changes, ForgetError, MAX_CLAIMED_PER_DAY, MasterKey, SubjectState};

use super::home::Home;
use super::samples::*;

pub(crate) async fn a_person_has_one_key_until_forgotten_and_then_another(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    let made = join_all((0..8).map(|_| store.subject_for(&alice, NOW))).await;
    let ids: Vec<_> = made.into_iter().map(|made| made.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let state = store.subject_keys(&ids[..1]).await.unwrap();
    assert!(matches!(state[&ids[0]], SubjectState::Known(_)));
    let index_key = store.index_key("n1", NOW).await.unwrap();
    assert_eq!(store.index_key("n1", NOW).await.unwrap().expose(), index_key.expose());
    let revision = store.revision().await.unwrap();
    store.forget_subject(ids[0], NOW).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision + 1, "every node is told");
    assert_eq!(store.forgotten_subjects().await.unwrap(), 1);
    let other = store.index_key("n1", NOW).await.unwrap();
    assert_ne!(other.expose(), index_key.expose(), "what could be found is not found any more");
    let state = store.subject_keys(&ids[..1]).await.unwrap();
    assert!(matches!(state[&ids[0]], SubjectState::Forgotten));
    assert_eq!(store.name_of_subject(ids[0]).await.unwrap(), None);
    assert_eq!(store.pseudonym_of(&alice).await.unwrap(), None);
    let again = store.forget_subject(ids[0], NOW).await;
    assert!(matches!(again, Err(ForgetError::Store(_))), "{again:?}");
    assert_ne!(store.subject_for(&alice, NOW).await.unwrap().id, ids[0]);
}

pub(crate) async fn nobody_under_a_hold_is_forgotten(home: Home) {
    let store = home.open().await;
    let id = store.subject_for(&user_name("alice"), NOW).await.unwrap().id;
    let hold = Hold {
        id: HoldId::generate(NOW),
        scope: "subject:alice".parse().unwrap(),
        reason: "case 17".into(),
        owner: user_name("counsel"),
        by: user_name("lead"),
        at: NOW,
    };
    store.place_hold(&hold).await.unwrap();
    let refused = store.forget_subject(id, NOW).await;
    assert!(matches!(refused, Err(ForgetError::Held(_))), "{refused:?}");
    assert!(matches!(store.subject_keys(&[id]).await.unwrap()[&id], SubjectState::Known(_)));
    store.lift_hold(hold.id, &user_name("root"), NOW).await.unwrap();
    store.forget_subject(id, NOW).await.unwrap();
}

pub(crate) async fn invented_names_share_a_key_beyond_a_bound_and_users_do_not(home: Home) {
    let store = home.open().await;
    let changes = Changes { upserts: vec![user("alice")], deletes: Vec::new() };
    store.apply(&changes, None, &user_name("root"), NOW).await.unwrap();
    for number in 0..MAX_CLAIMED_PER_DAY {
        let own = store.subject_for(&user_name(&format!("x{number}")), NOW).await.unwrap();
        assert!(!own.shared);
    }
    let one = store.subject_for(&user_name("y1"), NOW).await.unwrap();
    let other = store.subject_for(&user_name("y2"), NOW).await.unwrap();
    assert!(one.shared && one.id == other.id);
    assert_eq!(store.shared_subjects().await.unwrap(), vec![one.id]);
    assert!(!store.subject_for(&user_name("alice"), NOW).await.unwrap().shared);
    let tomorrow = later(24 * 3600);
    assert!(!store.subject_for(&user_name("y1"), tomorrow).await.unwrap().shared);
}

pub(crate) async fn every_user_is_enrolled_and_keys_survive_a_rotation(home: Home) {
    let store = home.open().await;
    let upserts = (0..300).map(|number| user(&format!("u{number}"))).collect();
    let changes = Changes { upserts, deletes: Vec::new() };
    store.apply(&changes, None, &user_name("root"), NOW).await.unwrap();
    store.enrol_subjects(NOW).await.unwrap();
    let id = store.pseudonym_of(&user_name("u299")).await.unwrap().unwrap();
    let key = |state: &SubjectState| match state {
        SubjectState::Known(key) => key.expose().clone(),
        SubjectState::Forgotten => panic!("forgotten"),
    };
    let before = key(&store.subject_keys(&[id]).await.unwrap()[&id]);
    store.rotate_master_key(MasterKey::generate().unwrap(), NOW).await.unwrap();
    assert_eq!(key(&store.subject_keys(&[id]).await.unwrap()[&id]), before);
}
