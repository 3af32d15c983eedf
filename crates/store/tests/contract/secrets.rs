use std::sync::atomic::{AtomicU8, Ordering};

use futures::future::join_all;
use portcullis_domain::Secret;
use portcullis_store::{MasterKeyError, MasterKeySource, OpenError, Store, StoreError};

use super::home::{Home, key};
use super::samples::*;

const VALUE: &[u8] = b"correct horse battery staple";

fn value() -> Secret<Vec<u8>> {
    Secret::new(VALUE.to_vec())
}

pub(crate) async fn a_secret_reads_back_and_is_not_in_the_database_in_clear(home: Home) {
    let store = home.open().await;
    let production = environment_name("production");
    store.put_target_secret(&production, "db", &Secret::new(vec![0]), NOW).await.unwrap();
    store.put_target_secret(&production, "db", &value(), later(1)).await.unwrap();
    let found = store.target_secret(&production, "db").await.unwrap();
    assert_eq!(found.expose(), VALUE);
    let listed = store.target_secrets(None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].updated_at), ("db", later(1)));
    let staging = environment_name("staging");
    assert!(store.target_secrets(Some(&staging)).await.unwrap().is_empty());
    let elsewhere = store.target_secret(&staging, "db").await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound { .. })));
    if let Some(path) = home.url.strip_prefix("sqlite://") {
        for file in [path.to_owned(), format!("{path}-wal")] {
            let bytes = std::fs::read(file).unwrap();
            assert!(!bytes.windows(VALUE.len()).any(|window| window == VALUE));
        }
    }
    store.delete_target_secret(&production, "db").await.unwrap();
    assert!(store.target_secret(&production, "db").await.is_err());
    assert!(store.delete_target_secret(&production, "db").await.is_err());
    let huge = Secret::new(vec![0; 65 * 1024]);
    let refused = store.put_target_secret(&production, "huge", &huge, NOW).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
}

pub(crate) async fn a_sealed_value_moved_to_another_place_does_not_open(home: Home) {
    let store = home.open().await;
    let (production, development) =
        (environment_name("production"), environment_name("development"));
    let (alice, mallory) = (user_name("alice"), user_name("mallory"));
    store.put_target_secret(&production, "db", &value(), NOW).await.unwrap();
    store.put_totp(&mallory, &Secret::new(vec![1; 20]), NOW).await.unwrap();
    store.put_totp(&alice, &Secret::new(vec![2; 20]), NOW).await.unwrap();
    home.tamper(
        "UPDATE sealed_values SET owner = 'development' WHERE kind = 'target_secret';
         DELETE FROM sealed_values WHERE kind = 'totp' AND owner = 'alice';
         UPDATE sealed_values SET owner = 'alice' WHERE kind = 'totp'",
    )
    .await;
    let moved = store.target_secret(&development, "db").await;
    assert!(matches!(moved, Err(StoreError::Sealed { .. })), "{moved:?}");
    assert!(matches!(store.totp(&alice).await, Err(StoreError::Sealed { .. })));
}

pub(crate) async fn a_wrong_master_key_is_refused_by_name(home: Home) {
    drop(home.open().await);
    let error = Store::open(&home.url, key(2), NOW).await.unwrap_err();
    let OpenError::WrongMasterKey { given, expected } = &error else { panic!("{error:?}") };
    assert_eq!((given, expected), (&key(2).id(), &key(1).id()));
    assert!(error.to_string().contains(&expected.to_string()));
    drop(home.open().await);
}

pub(crate) async fn rotation_keeps_every_secret_and_retires_the_old_key(home: Home) {
    let store = home.open().await;
    let production = environment_name("production");
    for n in 0..8 {
        let name = format!("s{n}");
        store.put_target_secret(&production, &name, &value(), NOW).await.unwrap();
    }
    store.put_totp(&user_name("alice"), &Secret::new(vec![2; 20]), NOW).await.unwrap();
    let rotated = store.rotate_master_key(key(2), later(1)).await.unwrap();
    assert_eq!((rotated.from, rotated.to, rotated.values), (key(1).id(), key(2).id(), 9));
    // The running node goes on, and a restart needs the new key.
    assert_eq!(store.target_secret(&production, "s3").await.unwrap().expose(), VALUE);
    store.put_target_secret(&production, "later", &value(), NOW).await.unwrap();
    drop(store);
    let error = Store::open(&home.url, key(1), NOW).await.unwrap_err();
    let retired = |e: &OpenError| matches!(e, OpenError::RetiredMasterKey { retired_at, .. } if *retired_at == later(1));
    assert!(retired(&error), "{error:?}");
    let store = Store::open(&home.url, key(2), NOW).await.unwrap();
    for name in ["s0", "s7", "later"] {
        assert_eq!(store.target_secret(&production, name).await.unwrap().expose(), VALUE);
    }
    assert!(store.totp(&user_name("alice")).await.unwrap().is_some());
}

pub(crate) async fn a_node_with_the_old_key_neither_reads_nor_writes_secrets(home: Home) {
    let (here, other) = (home.open().await, home.open().await);
    let production = environment_name("production");
    here.put_target_secret(&production, "db", &value(), NOW).await.unwrap();
    here.rotate_master_key(key(2), NOW).await.unwrap();
    let read = other.target_secret(&production, "db").await;
    assert!(matches!(read, Err(StoreError::Sealed { .. })), "{read:?}");
    let written = other.put_target_secret(&production, "new", &value(), NOW).await;
    assert!(matches!(written, Err(StoreError::Sealed { .. })), "{written:?}");
    let rotated = other.rotate_master_key(key(3), NOW).await;
    assert!(matches!(rotated, Err(StoreError::Conflict { .. })), "{rotated:?}");
    assert_eq!(here.target_secret(&production, "db").await.unwrap().expose(), VALUE);
}

pub(crate) async fn a_retired_master_key_is_never_taken_again(home: Home) {
    let store = home.open().await;
    store.rotate_master_key(key(2), NOW).await.unwrap();
    let back = store.rotate_master_key(key(1), NOW).await;
    assert!(matches!(back, Err(StoreError::Conflict { .. })), "{back:?}");
    let same = store.rotate_master_key(key(2), NOW).await;
    assert!(matches!(same, Err(StoreError::Conflict { .. })), "{same:?}");
    store.rotate_master_key(key(3), NOW).await.unwrap();
}

pub(crate) async fn a_broken_off_rotation_is_completed_at_the_next_start(home: Home) {
    let source = MasterKeySource::File(home.file("master.key"));
    let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
    let production = environment_name("production");
    store.put_target_secret(&production, "db", &value(), NOW).await.unwrap();
    // Broken off before the database was touched: the old key still holds.
    let next = source.stage_next().unwrap().unwrap();
    drop(store);
    let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
    assert_ne!(source.load().await.unwrap().id(), next.id());
    // Broken off after: the new key is found beside the old and takes its place.
    store.rotate_master_key(next.clone(), NOW).await.unwrap();
    drop(store);
    let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
    assert_eq!(store.target_secret(&production, "db").await.unwrap().expose(), VALUE);
    assert_eq!(source.load().await.unwrap().id(), next.id());
    assert!(source.staged().unwrap().is_none());
}

pub(crate) async fn a_lost_key_file_is_not_replaced_by_a_new_key(home: Home) {
    let path = home.file("master.key");
    let source = MasterKeySource::File(path.clone());
    drop(Store::open_with(&home.url, &source, NOW).await.unwrap());
    std::fs::remove_file(&path).unwrap();
    let error = Store::open_with(&home.url, &source, NOW).await.unwrap_err();
    assert!(matches!(error, OpenError::MasterKey(MasterKeyError::Missing(_))), "{error:?}");
    assert!(!path.exists());
}

pub(crate) async fn two_nodes_that_start_at_once_share_the_key_one_of_them_made(home: Home) {
    let nodes = [home.open().await, home.open().await];
    let made = AtomicU8::new(0);
    let starts = (0..10).map(|n| {
        let (store, made) = (nodes[n % 2].clone(), &made);
        async move {
            let generate = || Secret::new(vec![made.fetch_add(1, Ordering::Relaxed); 32]);
            store.get_or_create_key("host", generate, NOW).await.unwrap()
        }
    });
    let keys = join_all(starts).await;
    assert!(keys.iter().all(|key| key.expose() == &[0; 32]));
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(nodes[0].key("other").await.unwrap().is_none());
    nodes[0].put_key("host", &Secret::new(vec![9; 32]), NOW).await.unwrap();
    assert_eq!(nodes[1].key("host").await.unwrap().unwrap().expose(), &[9; 32]);
}

pub(crate) async fn wrapped_keys_survive_a_rotation_and_stay_in_their_context(home: Home) {
    let store = home.open().await;
    let wrap = store.key_wrap("recordings", NOW).await.unwrap();
    let wrapped = wrap.wrap(b"session 1", VALUE).unwrap();
    store.rotate_master_key(key(2), NOW).await.unwrap();
    drop(store);
    let store = Store::open(&home.url, key(2), NOW).await.unwrap();
    let again = store.key_wrap("recordings", NOW).await.unwrap();
    assert_eq!(again.unwrap(b"session 1", &wrapped).unwrap().expose(), VALUE);
    assert!(again.unwrap(b"session 2", &wrapped).is_err());
    assert!(again.unwrap(b"session 1", &wrapped[..wrapped.len() - 1]).is_err());
    assert!(again.unwrap(b"session 1", b"").is_err());
    let other = store.key_wrap("exports", NOW).await.unwrap();
    assert!(other.unwrap(b"session 1", &wrapped).is_err());
}
