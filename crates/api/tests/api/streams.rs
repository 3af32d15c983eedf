//! Answers that go on: they follow, and they end when their reader may not read any more.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::begin;
use crate::node::{Node, administrator};

const SOON: Duration = Duration::from_secs(10);

/// Reads until something with this text came; the whole of what came.
async fn until(body: &mut Incoming, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        let frame = timeout(SOON, body.frame()).await.expect("nothing comes").expect("it ended");
        all.push_str(&String::from_utf8_lossy(frame.unwrap().data_ref().unwrap()));
    }
    all
}

/// Whether it breaks off, as opposed to ending as if nothing were missing.
async fn breaks_off(mut body: Incoming) -> bool {
    loop {
        match timeout(SOON, body.frame()).await.expect("it goes on") {
            Some(Ok(_)) => {}
            Some(Err(_)) => return true,
            None => return false,
        }
    }
}

async fn tail(node: &Node, token: &str) -> Incoming {
    let response = begin(node.address, "GET", "/v1/audit/tail?from=0", Some(token), None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    response.into_body()
}

#[tokio::test]
async fn the_tail_of_the_log_begins_where_asked_and_follows() {
    let node = Node::start().await;
    let token = node.sign_in("alice").await;
    let mut body = tail(&node, &token).await;
    let past = until(&mut body, "\"alice\"").await;
    for (line, index) in past.lines().zip(0_u64..) {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["index"], index);
    }
    node.sign_in("bob").await;
    until(&mut body, "\"bob\"").await;
}

#[tokio::test]
async fn signing_out_breaks_off_what_the_token_is_reading() {
    let node = Node::start().await;
    let token = node.sign_in("alice").await;
    let body = tail(&node, &token).await;
    node.call("POST", "/v1/logout", Some(&token), None).await;
    assert!(breaks_off(body).await);
}

#[tokio::test]
async fn a_reader_who_is_locked_reads_no_more() {
    let node = Node::start().await;
    let (alice, reader) = (node.sign_in("alice").await, administrator(0));
    let token = node.sign_in(&reader).await;
    let body = tail(&node, &token).await;
    let lock = json!({"subject": {"kind": "user", "name": reader}, "reason": "laptop stolen"});
    let answer = node.call("POST", "/v1/locks", Some(&alice), Some(&lock.to_string())).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(breaks_off(body).await);
}

#[tokio::test]
async fn a_node_that_stops_does_not_wait_for_readers() {
    let node = Node::start().await;
    let token = node.sign_in("alice").await;
    let mut body = tail(&node, &token).await;
    until(&mut body, "\"alice\"").await;
    node.stop.cancel();
    timeout(SOON, node.served).await.expect("it still serves").unwrap().unwrap();
    assert!(breaks_off(body).await);
}
