//! Changes that wait for a second person, through their own endpoints.

use serde_json::json;

use crate::client::Answer;
use crate::node::{Node, STEWARD, WARDEN};

const ROLE: &str = "kind: Role\nmetadata: {name: shells}\nspec: {allow: [{actions: [shell]}]}\n---\n\
    kind: RoleAssignment\nmetadata: {name: shells}\nspec: {role: shells, users: [bob]}\n";

async fn apply(node: &Node, token: &str, yaml: &str) -> Answer {
    let body = json!({"files": [{"name": "change.yaml", "text": yaml}]}).to_string();
    node.call("POST", "/v1/apply", Some(token), Some(&body)).await
}

async fn open(node: &Node, token: &str) -> Vec<serde_json::Value> {
    let answer = node.call("GET", "/v1/changes", Some(token), None).await;
    answer.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn one_administrator_alone_gives_nobody_a_role_in_production() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let alice = node.sign_in("alice").await;
    let answer = apply(&node, &warden, ROLE).await;
    assert_eq!((answer.status, answer.problem()), (409, "second_person_required".into()));
    assert!(answer.text().contains("portcullis changes approve"), "{}", answer.text());
    let waiting = open(&node, &steward).await;
    assert_eq!((waiting.len(), &waiting[0]["can_decide"]), (1, &json!(true)));
    let path = format!("/v1/changes/{}", waiting[0]["id"].as_str().unwrap());
    let shown = node.call("GET", &path, Some(&steward), None).await.json();
    assert_eq!(shown["is_current"], true, "{shown}");
    assert_eq!(shown["plan"]["reach"][0]["user"], "bob", "{shown}");
    let approve = format!("{path}/approve");
    let own = node.call("POST", &approve, Some(&warden), None).await;
    assert_eq!((own.status, own.problem()), (403, "own_change".into()));
    let unsettled = node.call("POST", &approve, Some(&alice), None).await;
    assert_eq!(unsettled.status, 403, "no second factor: {}", unsettled.text());
    let done = node.call("POST", &approve, Some(&steward), None).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(open(&node, &steward).await.is_empty());
    let again = node.call("POST", &approve, Some(&steward), None).await;
    assert_eq!((again.status, again.problem()), (409, "not_pending".into()));
}

#[tokio::test]
async fn what_has_changed_since_is_not_what_was_agreed_to() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    assert_eq!(apply(&node, &warden, ROLE).await.status, 409);
    let more = "kind: Environment\nmetadata: {name: lab}\nspec: {tier: test}\n";
    assert_eq!(apply(&node, &steward, more).await.status, 200);
    let path = format!("/v1/changes/{}", open(&node, &steward).await[0]["id"].as_str().unwrap());
    let done = node.call("POST", &format!("{path}/approve"), Some(&steward), None).await;
    assert_eq!((done.status, done.problem()), (409, "change_outdated".into()));
    let reason = json!({"reason": "outdated"}).to_string();
    let denied = node.call("POST", &format!("{path}/deny"), Some(&warden), Some(&reason)).await;
    assert_eq!((denied.status, denied.json()["state"].as_str()), (200, Some("denied")));
    let all = node.call("GET", "/v1/changes?all=true", Some(&steward), None).await.json();
    assert_eq!(all[0]["decided_by"], WARDEN, "{all}");
}

#[tokio::test]
async fn of_many_approvals_at_once_one_applies_the_change() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    assert_eq!(apply(&node, &warden, ROLE).await.status, 409);
    let path = format!("/v1/changes/{}", open(&node, &steward).await[0]["id"].as_str().unwrap());
    let path = format!("{path}/approve");
    let calls = (0..8).map(|_| node.call("POST", &path, Some(&steward), None));
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}
