use std::time::{Duration, Instant};

use portcullis_domain::{AccessRequest, Grant, GrantId, RequestState};
use portcullis_store::{
    ApplyError, AttemptScope, GrantFilter, OpenError, Store, StoreError, TransitionFailure,
};
use portcullis_testkit::PostgresServer;
use sqlx::{Connection, Executor};

use super::home::{Home, key};
use super::samples::*;

pub(crate) async fn hostile_text_is_refused_the_same_everywhere(home: Home) {
    let store = home.open().await;
    let alice = user_name("alice");
    let huge = "x".repeat(2 * 1024 * 1024);
    for text in ["a\0b", huge.as_str()] {
        let refused = store.set_password_hash(&alice, text, NOW).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        assert!(store.heartbeat(text, NOW).await.is_err());
        let count = |failures: &mut u32| *failures += 1;
        assert!(store.update_attempts(AttemptScope::Source, text, NOW, count).await.is_err());
        let secret = portcullis_domain::Secret::new(vec![1]);
        let production = environment_name("production");
        assert!(store.put_target_secret(&production, text, &secret, NOW).await.is_err());
    }
    let refused = store.apply(&upsert([group("g", &huge)]), None, &alice, NOW).await;
    assert!(matches!(refused, Err(ApplyError::Store(StoreError::Invalid { .. }))));
    // Inside a document any text survives, and is data wherever it lands.
    let odd = "a\0b'; DROP TABLE grants; -- $1 ? \u{202e} \u{1b}[31m";
    let asked = AccessRequest { reason: odd.to_owned(), ..request("alice", "web", 1) };
    store.create_request(&asked).await.unwrap();
    assert_eq!(store.request(asked.id).await.unwrap(), asked);
    assert!(approve(&store, asked.id, "lead").await.is_some());
}

pub(crate) async fn an_unreadable_entry_fails_the_facts_instead_of_leaving_a_hole(home: Home) {
    let store = home.open().await;
    let lock = lock(portcullis_domain::LockSubject::User(user_name("alice")));
    let _ = store.place_lock(&lock).await.unwrap();
    home.tamper("UPDATE locks SET document = '{}'").await;
    let failed = store.load_facts(NOW).await;
    assert!(matches!(failed, Err(StoreError::Corrupt { .. })), "{failed:?}");
    home.tamper("DELETE FROM locks").await;
    store.apply(&upsert([user("alice")]), None, &user_name("root"), NOW).await.unwrap();
    home.tamper("UPDATE resources SET document = 'x'").await;
    assert!(matches!(store.load_facts(NOW).await, Err(StoreError::Corrupt { .. })));
    // The remedy is open: the resource can be applied again.
    store.apply(&upsert([user("alice")]), None, &user_name("root"), NOW).await.unwrap();
    assert_eq!(store.load_facts(NOW).await.unwrap().users.len(), 1);
}

pub(crate) async fn a_closed_store_answers_errors_only(home: Home) {
    let store = home.open().await;
    store.close().await;
    check_unavailable(&store).await;
}

pub(crate) async fn an_abandoned_write_leaves_no_trace_and_no_lock(home: Home) {
    let store = home.open().await;
    let request = request("alice", "web", 1);
    store.create_request(&request).await.unwrap();
    for wait in 0..60 {
        // Gives up at a different moment each time, in the middle of the transaction too.
        let decide = |r: AccessRequest, _: &[Grant]| {
            r.approve(user_name("lead"), NOW, GrantId::generate(NOW))
        };
        let stall = |_| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        };
        let work = store.transition_after(request.id, decide, stall);
        assert!(tokio::time::timeout(Duration::from_micros(wait * 200), work).await.is_err());
    }
    assert_eq!(store.request(request.id).await.unwrap(), request);
    assert!(store.grants(&GrantFilter::default()).await.unwrap().is_empty());
    assert!(approve(&store, request.id, "lead").await.is_some());
    let state = store.request(request.id).await.unwrap().state;
    assert!(matches!(state, RequestState::Approved { .. }));
}

pub(crate) async fn a_store_written_by_a_newer_program_is_not_opened(home: Home) {
    drop(home.open().await);
    home.tamper("INSERT INTO schema_versions (version, applied_at) VALUES (9999, 0)").await;
    let error = Store::open(&home.url, key(1), NOW).await.unwrap_err();
    assert!(matches!(error, OpenError::TooNew { found: 9999, .. }), "{error:?}");
}

pub(crate) async fn opening_twice_at_once_makes_one_set_of_tables(home: Home) {
    // SQLite may say that it is busy while another opener makes the file; that is tried again.
    let open = async |n| {
        let mut result = Store::open(&home.url, key(n), NOW).await;
        for _ in 0..50 {
            if matches!(result, Ok(_) | Err(OpenError::WrongMasterKey { .. })) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            result = Store::open(&home.url, key(n), NOW).await;
        }
        result
    };
    let results = futures::future::join_all((1..=4).map(open)).await;
    let opened: Vec<_> = results.iter().filter(|r| r.is_ok()).collect();
    assert_eq!(opened.len(), 1, "the first key is the store's, the others are wrong: {results:?}");
    let wrong = |r: &&Result<Store, _>| matches!(r, Err(OpenError::WrongMasterKey { .. }));
    assert_eq!(results.iter().filter(wrong).count(), 3);
}

pub(crate) async fn a_postgres_server_that_dies_is_unavailable_and_never_an_answer() {
    let mut server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let store = Store::open(&server.url(), key(1), NOW).await.unwrap();
    store.apply(&upsert([user("alice")]), None, &user_name("root"), NOW).await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.stop();
        server
    });
    drop(server.await.unwrap());
    check_unavailable(&store).await;
}

pub(crate) async fn an_sqlite_file_another_process_holds_is_unavailable_in_bounded_time() {
    let home = Home::sqlite();
    let store = home.open().await;
    let mut other = sqlx::SqliteConnection::connect(&home.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let begun = Instant::now();
    let refused = store.heartbeat("n1", NOW).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(store.load_facts(NOW).await.is_ok(), "readers go on");
    other.execute("ROLLBACK").await.unwrap();
    store.heartbeat("n1", NOW).await.unwrap();
}

pub(crate) async fn a_url_that_names_no_store_is_refused_without_repeating_it() {
    let urls = ["", "mysql://u:pa55@h/d", "sqlite:", "sqlite::memory:", "postgres://u:pa55@[/d"];
    for url in urls {
        let error = Store::open(url, key(1), NOW).await.unwrap_err();
        assert!(matches!(error, OpenError::Url(_)), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("pa55"), "{error:?}");
    }
}

/// Nothing that a decision could rest on comes out of a store that is gone.
async fn check_unavailable(store: &Store) {
    let alice = user_name("alice");
    let cancel = async {
        let decide = |r: AccessRequest| r.cancel(&alice, NOW);
        let id = portcullis_domain::RequestId::generate(NOW);
        match store.transition(id, decide).await {
            Err(TransitionFailure::Store(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    // At once, because each waits for a connection before it gives up.
    let (facts, revision, heartbeat, code, token, cancelled) = tokio::join!(
        store.load_facts(NOW),
        store.revision(),
        store.heartbeat("n1", NOW),
        store.use_totp_step(&alice, 1),
        store.token(&[1; 32], NOW),
        cancel,
    );
    for error in [
        facts.unwrap_err(),
        revision.unwrap_err(),
        heartbeat.unwrap_err(),
        code.unwrap_err(),
        token.unwrap_err(),
        cancelled,
    ] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
