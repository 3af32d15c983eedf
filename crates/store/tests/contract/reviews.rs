use std::time::Duration;

use futures::future::join_all;
use portcullis_domain::break_glass::{Broken, Use};
use portcullis_domain::{
    BreakGlass, BreakGlassError, Grant, GrantEnd, GrantId, Review, ReviewError, ReviewId,
    ReviewState, Role,
};
use portcullis_store::{GrantFilter, ReviewFilter, Store, StoreError, TransitionFailure};

use super::home::Home;
use super::samples::*;

fn brigade() -> Role {
    Role {
        name: "fire-brigade".parse().unwrap(),
        description: None,
        inherits: Default::default(),
        conditions: Default::default(),
        break_glass: Some(BreakGlass { max_duration: Duration::from_secs(3600) }),
        allow: Vec::new(),
        deny: Vec::new(),
        control: Default::default(),
    }
}

async fn take(store: &Store, user: &str) -> Result<Broken, TransitionFailure<BreakGlassError>> {
    let (role, user) = (brigade(), user_name(user));
    let used = Use {
        user: user.clone(),
        target: "web".parse().unwrap(),
        also: Default::default(),
        environment: "production".parse().unwrap(),
        reason: "the site is down".into(),
        duration: None,
        second_factor_at: Some(NOW),
    };
    let decide = |open: Option<Review>, _: &[Grant]| {
        used.of(&role, open.as_ref(), (ReviewId::generate(NOW), GrantId::generate(NOW)), NOW)
    };
    store.break_glass(&role.name, &user, decide, |_| std::future::ready(Ok(()))).await
}

async fn close(
    store: &Store,
    id: ReviewId,
    by: &str,
) -> Result<Review, TransitionFailure<ReviewError>> {
    let by = user_name(by);
    let decide = |review: Review, grant: &Grant| review.close(by, "seen".into(), grant, NOW);
    store.close_review(id, decide, |_| std::future::ready(Ok(()))).await
}

pub(crate) async fn of_many_uses_at_once_on_two_nodes_one_makes_a_grant(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let uses = (0..40).map(|n| {
        let store = nodes[n % 2].clone();
        tokio::spawn(async move { take(&store, &format!("person{n}")).await })
    });
    let results: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let unreviewed = |result: &&Result<_, _>| {
        let Err(TransitionFailure::Refused(error)) = result else { return false };
        matches!(error, BreakGlassError::Unreviewed { .. })
    };
    assert_eq!(results.iter().filter(unreviewed).count(), 39);
    let grants = nodes[1].grants(&GrantFilter::default()).await.unwrap();
    let reviews = nodes[0].reviews(&ReviewFilter::default()).await.unwrap();
    assert_eq!((grants.len(), reviews.len()), (1, 1));
    assert_eq!(reviews[0].grant, grants[0].id);
    assert_eq!(nodes[1].revision().await.unwrap(), 1, "decisions see it on every node");
}

pub(crate) async fn a_review_is_closed_once_by_somebody_else_and_then_the_role_is_free(home: Home) {
    let store = home.open().await;
    let Broken { review, grant } = take(&store, "alice").await.unwrap();
    let early = close(&store, review.id, "bob").await;
    assert!(matches!(early, Err(TransitionFailure::Refused(ReviewError::StillInUse { .. }))));
    let end = GrantEnd { at: NOW, by: user_name("alice"), reason: "done".into() };
    let _ = store.revoke_grant(grant.id, end).await.unwrap();
    let own = close(&store, review.id, "alice").await;
    assert!(matches!(own, Err(TransitionFailure::Refused(ReviewError::OwnUse { .. }))));
    assert!(take(&store, "bob").await.is_err());
    let many = (0..20).map(|n| {
        let (store, id) = (store.clone(), review.id);
        tokio::spawn(async move { close(&store, id, &format!("reviewer{n}")).await })
    });
    let closed = join_all(many).await.into_iter().filter(|r| r.as_ref().unwrap().is_ok()).count();
    assert_eq!(closed, 1);
    let open = ReviewFilter { open: Some(true), ..Default::default() };
    assert!(store.reviews(&open).await.unwrap().is_empty());
    let kept = store.review(review.id).await.unwrap();
    assert!(matches!(kept.state, ReviewState::Closed { .. }));
    let again = take(&store, "bob").await.unwrap();
    // Both are of the same moment, so that either may come first.
    let all = store.reviews(&ReviewFilter::default()).await.unwrap();
    assert!(all.len() == 2 && all.contains(&again.review) && all.contains(&kept), "{all:?}");
}

pub(crate) async fn nothing_is_used_when_the_audit_fails(home: Home) {
    let store = home.open().await;
    let (role, user) = (brigade(), user_name("alice"));
    let used = Use {
        user: user.clone(),
        target: "web".parse().unwrap(),
        also: Default::default(),
        environment: "production".parse().unwrap(),
        reason: "the site is down".into(),
        duration: None,
        second_factor_at: Some(NOW),
    };
    let decide = |open: Option<Review>, _: &[Grant]| {
        used.of(&role, open.as_ref(), (ReviewId::generate(NOW), GrantId::generate(NOW)), NOW)
    };
    let fails = |_| std::future::ready(Err(BreakGlassError::FactorTooOld));
    let failed = store.break_glass(&role.name, &user, decide, fails).await;
    assert!(matches!(failed, Err(TransitionFailure::Refused(BreakGlassError::FactorTooOld))));
    assert!(store.grants(&GrantFilter::default()).await.unwrap().is_empty());
    assert!(store.reviews(&ReviewFilter::default()).await.unwrap().is_empty());
    let missing = store.review(ReviewId::generate(NOW)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}
