use portcullis_domain::{Hold, HoldId, HoldScope};
use portcullis_store::{HoldError, MAX_HOLDS, StoreError};

use super::home::Home;
use super::samples::*;

fn hold(scope: &str) -> Hold {
    Hold {
        id: HoldId::generate(NOW),
        scope: scope.parse::<HoldScope>().unwrap(),
        reason: "case 17".into(),
        owner: user_name("counsel"),
        by: user_name("lead"),
        at: NOW,
    }
}

pub(crate) async fn a_hold_is_in_force_until_another_person_lifts_it(home: Home) {
    let store = home.open().await;
    let hold = hold("subject:alice");
    store.place_hold(&hold).await.unwrap();
    assert_eq!(store.holds().await.unwrap(), vec![hold.clone()]);
    let alone = store.lift_hold(hold.id, &hold.by, NOW).await;
    assert!(matches!(alone, Err(HoldError::SamePerson { .. })), "{alone:?}");
    assert_eq!(store.holds().await.unwrap(), vec![hold.clone()]);
    assert_eq!(store.lift_hold(hold.id, &user_name("root"), NOW).await.unwrap(), hold);
    assert!(store.holds().await.unwrap().is_empty());
    let again = store.lift_hold(hold.id, &user_name("root"), NOW).await;
    assert!(matches!(again, Err(HoldError::Store(StoreError::NotFound { .. }))), "{again:?}");
}

pub(crate) async fn holds_are_bounded(home: Home) {
    let store = home.open().await;
    for _ in 0..MAX_HOLDS {
        store.place_hold(&hold("target:web")).await.unwrap();
    }
    let more = store.place_hold(&hold("target:web")).await;
    assert!(matches!(more, Err(HoldError::TooMany)), "{more:?}");
    assert_eq!(store.holds().await.unwrap().len(), MAX_HOLDS);
}
