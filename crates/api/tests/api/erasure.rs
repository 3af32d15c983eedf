//! Erasing a person over the API: what the log says before, after, and who may ask.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::node::{Node, PASSWORD, STEWARD, WARDEN};

async fn forget(node: &Node, token: &str, subject: &str) -> Answer {
    let body = json!({"subject": subject, "reason": "request 2026-4"}).to_string();
    node.call("POST", "/v1/audit/forget", Some(token), Some(&body)).await
}

/// Takes bob out of the resources, which two people must do.
async fn remove_bob(node: &Node, tokens: [&str; 2]) {
    let yaml = "kind: User\nmetadata: {name: bob}\nspec: {groups: [], disabled: true}\n";
    let body = json!({"files": [{"name": "change.yaml", "text": yaml}]}).to_string();
    for token in tokens {
        let answer = node.call("POST", "/v1/apply", Some(token), Some(&body)).await;
        if answer.status == 200 {
            return;
        }
    }
    panic!("bob was not disabled");
}

/// All entries as they are in the log, one text.
fn raw_log(node: &Node) -> String {
    let log = node.control.gateway().auditor().log();
    let entries = log.reader().entries(0..log.size());
    entries.map(|entry| String::from_utf8(entry.unwrap().1).unwrap() + "\n").collect()
}

#[tokio::test]
async fn a_person_is_erased_by_two_others_and_every_proof_still_verifies() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let bob = node.sign_in("bob").await;
    assert_eq!(node.call("GET", "/v1/export", Some(&bob), None).await.status, 403);
    let raw = raw_log(&node);
    for clear in ["\"bob\"", "127.0.0.1", "read_resources`: none"] {
        assert!(!raw.contains(clear), "`{clear}` is in the log in clear:\n{raw}");
    }
    let search = "/v1/audit/search?user=bob&outcome=refused";
    let before = node.call("GET", search, Some(&warden), None).await;
    assert_eq!(before.text().lines().count(), 1, "{}", before.text());
    let event: Value = serde_json::from_str(before.text().lines().next().unwrap()).unwrap();
    assert_eq!(event["event"]["src_endpoint"]["ip"], "127.0.0.1");
    let index = event["index"].as_u64().unwrap();

    let still = forget(&node, &warden, "bob").await;
    assert_eq!(still.status, 403, "bob can sign in: {}", still.text());
    remove_bob(&node, [&warden, &steward]).await;
    for _ in 0..2 {
        let alone = forget(&node, &warden, "bob").await;
        assert_eq!((alone.status, alone.problem()), (409, "second_person_required".into()));
    }
    let done = forget(&node, &steward, "bob").await;
    assert_eq!(done.status, 200, "{}", done.text());
    let pseudonym = done.json()["subject"].as_str().unwrap().to_owned();

    let after = node.call("GET", search, Some(&warden), None).await;
    assert_eq!(after.text().lines().count(), 0, "{}", after.text());
    let all = node.call("GET", "/v1/audit/search?limit=1000", Some(&warden), None).await;
    let at = all.text();
    let entry = at.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let entry = entry.into_iter().find(|entry| entry["index"] == index).unwrap();
    assert_eq!(entry["event"]["actor"]["user"]["name"], "erased");
    assert_eq!(entry["event"]["status_detail"], "erased");
    let told = node.call("GET", "/v1/audit/search?activity=subject.forget", Some(&warden), None);
    let told = told.await.text();
    let last = told.lines().last().unwrap();
    assert!(last.contains(&pseudonym) && last.contains(WARDEN) && !last.contains("bob"), "{last}");
    let verified = node.call("POST", "/v1/audit/verify", Some(&warden), None).await;
    assert_eq!(verified.status, 200, "{}", verified.text());
    let again = forget(&node, &steward, &pseudonym).await;
    assert_eq!(again.status, 404, "{}", again.text());
    assert_eq!(raw, raw_log(&node)[..raw.len()], "nothing in the log has changed");
}

#[tokio::test]
async fn a_hold_on_the_person_or_on_where_they_were_keeps_what_is_known() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let bob = node.sign_in("bob").await;
    let role = "kind: Role\nmetadata: {name: shells}\nspec: {allow: [{actions: [shell]}]}\n---\n\
        kind: RoleAssignment\nmetadata: {name: shells}\nspec: {role: shells, users: [bob]}\n";
    let body = json!({"files": [{"name": "role.yaml", "text": role}]}).to_string();
    for (token, status) in [(&warden, 409), (&steward, 200)] {
        let answer = node.call("POST", "/v1/apply", Some(token), Some(&body)).await;
        assert_eq!(answer.status, status, "a role in production takes two: {}", answer.text());
    }
    let body = json!({"target": "web-1", "duration": "1h", "reason": "look"}).to_string();
    let asked = node.call("POST", "/v1/requests", Some(&bob), Some(&body)).await;
    assert!(matches!(asked.status, 200 | 201), "{}", asked.text());
    remove_bob(&node, [&warden, &steward]).await;
    for scope in
        [json!({"kind": "subject", "name": "bob"}), json!({"kind": "target", "name": "web-1"})]
    {
        let body = json!({"scope": scope, "reason": "case 17"}).to_string();
        let placed = node.call("POST", "/v1/holds", Some(&warden), Some(&body)).await;
        let path = format!("/v1/holds/{}", placed.json()["id"].as_str().unwrap());
        for token in [&warden, &steward] {
            let held = forget(&node, token, "bob").await;
            assert_eq!((held.status, held.problem()), (409, "held".into()), "{scope}");
        }
        assert_eq!(node.call("DELETE", &path, Some(&steward), None).await.status, 200);
    }
    assert_eq!(forget(&node, &warden, "bob").await.problem(), "second_person_required");
    assert_eq!(forget(&node, &steward, "bob").await.status, 200);
}

#[tokio::test]
async fn nobody_erases_themselves_and_a_name_nobody_has_is_kept_apart() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    assert_eq!(forget(&node, &warden, WARDEN).await.status, 403);
    let body = json!({"user": "mallory", "password": PASSWORD}).to_string();
    assert_eq!(node.call("POST", "/v1/login", None, Some(&body)).await.status, 401);
    assert!(!raw_log(&node).contains("mallory"));
    let found = node.call("GET", "/v1/audit/search?user=mallory", Some(&warden), None).await;
    assert!(found.text().lines().count() >= 1, "{}", found.text());
}
