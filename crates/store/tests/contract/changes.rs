use futures::future::join_all;
use portcullis_domain::change::{CHANGE_LIFETIME, ChangeError};
use portcullis_domain::{ChangeFile, ChangeId, ChangeState, PendingChange};
use portcullis_store::{MAX_OPEN_CHANGES, Page, TransitionFailure};

use super::home::Home;
use super::samples::*;

pub(crate) async fn of_many_people_on_several_nodes_one_decides_a_change(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let noted = nodes[0].note_change(&change("alice", 1)).await.unwrap();
    assert_eq!(nodes[1].open_changes(NOW).await.unwrap(), vec![noted.clone()]);
    let approvals = (0..50).map(|n| {
        let (store, id) = (nodes[n % 2].clone(), noted.id);
        tokio::spawn(async move {
            let by = user_name(&format!("lead{n}"));
            store.decide_change(id, |change| change.approve(by, NOW)).await
        })
    });
    let results: Vec<_> = join_all(approvals).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|done| done.is_ok()).count(), 1);
    let refused = |done: &&Result<_, _>| {
        matches!(done, Err(TransitionFailure::Refused(ChangeError::NotPending { .. })))
    };
    assert_eq!(results.iter().filter(refused).count(), 49);
    assert!(nodes[0].open_changes(NOW).await.unwrap().is_empty());
}

pub(crate) async fn a_change_survives_a_restart_and_expires(home: Home) {
    let first = home.open().await;
    let noted = first.note_change(&change("alice", 1)).await.unwrap();
    let again = PendingChange { id: ChangeId::generate(NOW), ..noted.clone() };
    assert_eq!(first.note_change(&again).await.unwrap(), noted, "the same waits once");
    drop(first);
    let store = home.open().await;
    assert_eq!(store.open_changes(NOW).await.unwrap(), vec![noted.clone()]);
    let over = NOW.plus(CHANGE_LIFETIME);
    assert!(store.open_changes(over).await.unwrap().is_empty());
    let late = store.decide_change(noted.id, |c| c.approve(user_name("bob"), over)).await;
    assert!(matches!(late, Err(TransitionFailure::Refused(ChangeError::Expired { .. }))));
    let swap = |change: PendingChange| {
        let state = ChangeState::Approved { by: user_name("bob"), at: NOW };
        Ok::<_, ChangeError>(PendingChange { files: Vec::new(), state, ..change })
    };
    let swapped = store.decide_change(noted.id, swap).await;
    assert!(matches!(swapped, Err(TransitionFailure::Store(_))), "only the state changes");
}

pub(crate) async fn the_oldest_change_makes_room(home: Home) {
    let store = home.open().await;
    let most = u8::try_from(MAX_OPEN_CHANGES).unwrap();
    for number in 0..=most {
        store.note_change(&change("alice", number)).await.unwrap();
    }
    let open = store.open_changes(later(200)).await.unwrap();
    assert_eq!(open.len(), usize::from(most));
    assert_eq!(open[0].digest, "1", "the first was forgotten");
    let page = Page { before: None, limit: 2 };
    let newest = store.changes_noted(page).await.unwrap();
    assert_eq!(newest[0].digest, most.to_string());
}

fn change(author: &str, number: u8) -> PendingChange {
    let at = later(number.into());
    PendingChange {
        id: ChangeId::generate(at),
        author: user_name(author),
        digest: number.to_string(),
        why: "moves a production target".to_owned(),
        files: vec![ChangeFile { name: "a.yaml".to_owned(), text: "kind: Group".to_owned() }],
        prune: false,
        subject: portcullis_domain::ChangeSubject::Resources,
        at: NOW,
        state: ChangeState::Pending,
    }
}
