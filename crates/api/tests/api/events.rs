//! Open pages are told what changed, soon, and no longer than they may be.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::timeout;

use crate::client::begin_with;
use crate::node::Node;
use crate::pages::record;

const SOON: Duration = Duration::from_secs(10);
/// Most streams one person has open at a time.
const MOST: usize = 16;

async fn listen(node: &Node, token: &str) -> Incoming {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("accept", "text/event-stream")];
    let response = begin_with(node.address, "GET", "/v1/events", &headers, None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

/// The next event, and what it says has changed.
async fn next(body: &mut Incoming) -> String {
    let frame = timeout(SOON, body.frame()).await.expect("nothing comes").expect("it ended");
    let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
    let data = text.strip_prefix("data: ").and_then(|text| text.split("\n\n").next());
    data.unwrap_or_else(|| panic!("{text:?}")).to_owned()
}

#[tokio::test]
async fn a_change_reaches_an_open_stream_within_200_ms() {
    let node = Node::start().await;
    let (alice, bob) = (node.sign_in("alice").await, node.sign_in("bob").await);
    let (mut hers, mut his) = (listen(&node, &alice).await, listen(&node, &bob).await);
    // The first look is taken when the first listener comes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lock = json!({"subject": {"kind": "user", "name": "nora"}, "reason": "test"}).to_string();
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let placed = node.call("POST", "/v1/locks", Some(&alice), Some(&lock)).await;
        assert_eq!(placed.status, 201, "{}", placed.text());
        let answered = begun.elapsed();
        assert_eq!(next(&mut his).await, r#"{"changed":["facts"]}"#);
        took.push(begun.elapsed().saturating_sub(answered));
        assert_eq!(next(&mut hers).await, r#"{"changed":["facts"]}"#);
    }
    took.sort();
    assert!(took[2] <= Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn of_sessions_people_learn_what_is_theirs() {
    let node = Node::start().await;
    let (alice, nora) = (node.sign_in("alice").await, node.sign_in("nora").await);
    let (mut hers, mut noras) = (listen(&node, &alice).await, listen(&node, &nora).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    node.control.gateway().store().open_session(&record(1)).await.unwrap();
    assert_eq!(next(&mut hers).await, r#"{"changed":["sessions"]}"#);
    let silent = timeout(Duration::from_millis(500), noras.frame()).await;
    assert!(silent.is_err(), "a session of somebody else is no business of hers");
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_signs_out_and_their_number_is_bounded() {
    let node = Node::start().await;
    let (alice, bob) = (node.sign_in("alice").await, node.sign_in("bob").await);
    let mut open = Vec::new();
    for _ in 0..MOST {
        open.push(listen(&node, &alice).await);
    }
    let further = node.call("GET", "/v1/events", Some(&alice), None).await;
    assert_eq!((further.status, further.problem()), (503, "busy".into()));
    let others = listen(&node, &bob).await;
    drop(others);
    node.call("POST", "/v1/logout", Some(&alice), None).await;
    let mut body = open.pop().unwrap();
    let ended = timeout(SOON, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    assert!(ended.is_ok(), "it goes on");
}
