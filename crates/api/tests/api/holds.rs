//! Evidence holds over the API, as several people.

use serde_json::json;

use crate::node::{Node, STEWARD, WARDEN};

#[tokio::test]
async fn a_hold_is_lifted_by_another_person_and_both_are_in_the_log() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let body = json!({"scope": {"kind": "subject", "name": "bob"}, "reason": "case 17"});
    let body = body.to_string();
    let placed = node.call("POST", "/v1/holds", Some(&warden), Some(&body)).await;
    assert_eq!(placed.status, 201, "{}", placed.text());
    assert_eq!(placed.json()["owner"], WARDEN);
    let path = format!("/v1/holds/{}", placed.json()["id"].as_str().unwrap());
    let alone = node.call("DELETE", &path, Some(&warden), None).await;
    assert_eq!(alone.status, 403, "{}", alone.text());
    let lifted = node.call("DELETE", &path, Some(&steward), None).await;
    assert_eq!(lifted.status, 200, "{}", lifted.text());
    let left = node.call("GET", "/v1/holds", Some(&steward), None).await;
    assert_eq!(left.json(), json!([]));
    let log = node.call("GET", "/v1/audit/search?activity=hold.lift", Some(&warden), None).await;
    assert_eq!(log.text().lines().count(), 2, "{}", log.text());
}

#[tokio::test]
async fn nobody_lifts_a_hold_on_their_own_evidence() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let body = json!({"scope": {"kind": "subject", "name": STEWARD}, "reason": "case 18"});
    let body = body.to_string();
    let placed = node.call("POST", "/v1/holds", Some(&warden), Some(&body)).await;
    let path = format!("/v1/holds/{}", placed.json()["id"].as_str().unwrap());
    let own = node.call("DELETE", &path, Some(&steward), None).await;
    assert_eq!(own.status, 403, "{}", own.text());
}
