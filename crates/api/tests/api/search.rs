//! Searching the audit log through its index: the same answers as from the log alone, page by page
//! while it grows, and nothing of whoever was forgotten.

use std::time::{Duration, Instant};

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{SessionId, TargetName, UserName};
use serde_json::{Value, json};

use crate::node::{Node, STEWARD, WARDEN};

const EVENTS: usize = 3000;
const AT_ONCE: usize = 500;

/// Event number `n`: who, where, what and with which words follows from it.
fn event(node: &Node, n: usize, session: SessionId) -> Event {
    let user: UserName = ["alice", "bob", "nora"][n % 3].parse().unwrap();
    let target: TargetName = format!("web-{}", n % 7).parse().unwrap();
    let event = Event::new(Activity::Channel, node.control.gateway().now())
        .user(&user)
        .target(&target)
        .detail("action", if n.is_multiple_of(2) { "shell" } else { "exec" })
        .detail("command", format!("restore backup-{n:05} of {user}"));
    let event = if n.is_multiple_of(10) { event.session(session) } else { event };
    match n % 5 {
        0 => event.outcome(Outcome::Refused(format!("no grant for {n}"))),
        _ => event,
    }
}

async fn write(node: &Node, from: usize, session: SessionId) {
    let auditor = node.control.gateway().auditor();
    for begin in (from..from + EVENTS).step_by(AT_ONCE) {
        let events = (begin..begin + AT_ONCE).map(|n| event(node, n, session)).collect();
        auditor.write_all(events).await.unwrap();
    }
}

async fn found(node: &Node, token: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/audit/search?{query}");
    let answer = node.call("GET", &path, Some(token), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the index has taken in what there is.
async fn wait_for_index(node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let size = node.control.gateway().auditor().log().size();
    while node.control.indexed_to().is_none_or(|to| to < size) {
        assert!(Instant::now() < deadline, "the index does not keep up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_what_the_log_alone_finds_and_pages_are_stable_while_it_grows() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    let session = SessionId::generate(node.control.gateway().now());
    write(&node, 0, session).await;
    let queries = [
        "user=bob".to_owned(),
        "target=web-3&user=alice".to_owned(),
        "outcome=refused".to_owned(),
        "action=exec&target=web-1".to_owned(),
        "text=backup-00017".to_owned(),
        "text=BACKUP-0001".to_owned(),
        "text=of+nora&outcome=refused".to_owned(),
        "text=r".to_owned(),
        "text=no+such+words".to_owned(),
        "user=nobody".to_owned(),
        format!("session={session}"),
    ];
    let mut alone = Vec::new();
    for query in &queries {
        alone.push(found(&node, &warden, &format!("{query}&limit=5000&activity=channel")).await);
    }
    assert_eq!(alone[0].len(), EVENTS / 3);
    assert_eq!(alone[4].len(), 1);
    assert_eq!(alone[10].len(), EVENTS / 10);
    tokio::spawn({
        let (control, stop) = (node.control.clone(), node.stop.clone());
        async move { control.reconcile(stop).await }
    });
    wait_for_index(&node).await;
    for (query, alone) in queries.iter().zip(&alone) {
        let indexed = found(&node, &warden, &format!("{query}&limit=5000&activity=channel")).await;
        assert_eq!(indexed, *alone, "{query}");
    }
    let one = &alone[4][0]["event"];
    let by_id = format!("event={}", one["metadata"]["uid"].as_str().unwrap());
    assert_eq!(found(&node, &warden, &by_id).await[0]["event"], *one);

    // Page by page from the end, while the log grows.
    let (mut pages, mut before) = (Vec::new(), String::new());
    for page in 0.. {
        let query = format!("user=bob&activity=channel&limit=150{before}");
        let mut entries = found(&node, &warden, &query).await;
        let Some(first) = entries.first() else { break };
        before = format!("&before={}", first["index"]);
        entries.extend(pages);
        pages = entries;
        if page == 2 {
            write(&node, EVENTS, session).await;
        }
    }
    assert_eq!(pages, alone[0]);
    node.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_forgotten_is_not_found_and_the_index_is_under_another_key() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let session = SessionId::generate(node.control.gateway().now());
    write(&node, 0, session).await;
    tokio::spawn({
        let (control, stop) = (node.control.clone(), node.stop.clone());
        async move { control.reconcile(stop).await }
    });
    wait_for_index(&node).await;
    assert_eq!(
        found(&node, &warden, "text=of+bob&limit=5000&activity=channel").await.len(),
        EVENTS / 3
    );
    let store = node.control.gateway().store();
    let now = node.control.gateway().now();
    let key = store.index_key("test", now).await.unwrap();
    let yaml = "kind: User\nmetadata: {name: bob}\nspec: {groups: [], disabled: true}\n";
    let body = json!({"files": [{"name": "change.yaml", "text": yaml}]}).to_string();
    let mut statuses = Vec::new();
    for token in [&warden, &steward] {
        statuses.push(node.call("POST", "/v1/apply", Some(token), Some(&body)).await.status);
    }
    assert!(statuses.contains(&200), "{statuses:?}");
    let body = json!({"subject": "bob", "reason": "request 2026-4"}).to_string();
    for (token, status) in [(&warden, 409), (&steward, 200)] {
        let answer = node.call("POST", "/v1/audit/forget", Some(token), Some(&body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    for _ in 0..2 {
        assert!(found(&node, &warden, "text=of+bob&activity=channel").await.is_empty());
        assert!(found(&node, &warden, "user=bob&activity=channel").await.is_empty());
        assert_eq!(
            found(&node, &warden, "user=nora&text=of+nora&limit=5000&activity=channel").await.len(),
            EVENTS / 3
        );
        wait_for_index(&node).await;
    }
    let other = store.index_key("test", now).await.unwrap();
    assert_ne!(key.expose(), other.expose());
    node.stop.cancel();
}
