//! Lists over HTTP: page by page to the end, whatever the list.

use std::collections::BTreeSet;

use portcullis_api::{ENDPOINTS, Method};
use portcullis_domain::{SessionId, Timestamp};
use portcullis_store::SessionRecord;

use crate::client::Answer;
use crate::node::Node;

fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let (path, relation) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(relation, "; rel=\"next\"");
    Some(path.to_owned())
}

pub(crate) fn record(number: i64) -> SessionRecord {
    let at = Timestamp::from_millis(1_700_000_000_000 + number);
    SessionRecord {
        id: SessionId::generate(at),
        user: if number % 2 == 0 { "alice" } else { "bob" }.parse().unwrap(),
        target: "web-1".parse().unwrap(),
        environment: "production".parse().unwrap(),
        login: None,
        protocol: "ssh".into(),
        source: "192.0.2.1".into(),
        grant: None,
        node: "elsewhere".into(),
        started_at: at,
        opened_entry: None,
        end: None,
        removal: None,
    }
}

#[tokio::test]
async fn following_next_shows_every_session_once_newest_first() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    for number in 0..25 {
        node.control.gateway().store().open_session(&record(number)).await.unwrap();
    }
    for (query, expected, pages) in
        [("", 25, 4), ("user=bob&", 12, 2), ("user=alice&target=web-1&live=true&", 13, 2)]
    {
        let (mut seen, mut count) = (Vec::new(), 0);
        let mut path = Some(format!("/v1/sessions?{query}limit=7"));
        while let Some(asked) = path {
            let answer = node.call("GET", &asked, Some(&alice), None).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let rows = answer.json();
            let rows = rows.as_array().unwrap();
            assert!(rows.len() <= 7);
            seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            (path, count) = (next(&answer), count + 1);
        }
        assert_eq!((seen.len(), count), (expected, pages), "{query}");
        assert!(seen.is_sorted_by(|one, next| one > next), "newest first, none twice");
    }
}

#[tokio::test]
async fn every_list_takes_a_limit_and_refuses_what_is_no_page() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    let mut lists = BTreeSet::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.method == Method::Get) {
        let target = endpoint.example.target;
        let sign = if target.contains('?') { '&' } else { '?' };
        let plain = async |more: &str| {
            node.call("GET", &format!("{target}{sign}{more}"), Some(&alice), None).await
        };
        // Lines of JSON are streams; they have no pages.
        let stream = endpoint.path.starts_with("/v1/audit/") || endpoint.path == "/v1/events";
        if stream && endpoint.path != "/v1/audit/exports" {
            continue;
        }
        let whole = node.call("GET", target, Some(&alice), None).await;
        if !whole.json().is_array() {
            continue;
        }
        lists.insert(endpoint.path);
        let one = plain("limit=1").await;
        assert_eq!(one.status, 200, "{endpoint:?}: {}", one.text());
        assert!(one.json().as_array().unwrap().len() <= 1, "{endpoint:?}");
        for wrong in
            ["limit=0", "limit=1001", "limit=x", "cursor=", "cursor=L3YxL3gKeA", "limit=1&limit=1"]
        {
            let answer = plain(wrong).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (422, "invalid".into()),
                "{endpoint:?} {wrong}"
            );
        }
    }
    let document = node.call("GET", "/v1/openapi.json", None, None).await.json();
    let paged = |path: &&str| {
        let parameters = document["paths"][*path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().any(|one| one["name"] == "cursor")
    };
    let described: BTreeSet<_> = ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.method == Method::Get)
        .map(|endpoint| endpoint.path)
        .filter(paged)
        .collect();
    assert_eq!(lists, described, "what answers with a list is described as one");
}
