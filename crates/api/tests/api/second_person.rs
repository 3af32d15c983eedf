//! Changes that take two people, and what only someone with a settled second factor does, as one
//! person with every right would try them.

use portcullis_domain::ControlAction;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::node::{HOST_KEY, Node, PASSWORD, STEWARD, WARDEN};

const ANOTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvYBsl/DgCvGh/DMo+nY6kmlyPI24+sT5OvcdsYbW6Q";

async fn apply(node: &Node, token: &str, yaml: &str) -> Answer {
    let body = json!({"files": [{"name": "change.yaml", "text": yaml}]}).to_string();
    node.call("POST", "/v1/apply", Some(token), Some(&body)).await
}

/// One person alone, again and again, does not get it applied; another person does.
async fn takes_two(node: &Node, first: &str, second: &str, yaml: &str) {
    for _ in 0..2 {
        let answer = apply(node, first, yaml).await;
        assert_eq!(answer.status, 409, "{yaml}: {}", answer.text());
        assert_eq!(answer.problem(), "second_person_required");
    }
    let answer = apply(node, second, yaml).await;
    assert_eq!(answer.status, 200, "{yaml}: {}", answer.text());
    assert!(!answer.json()["changes"].as_array().unwrap().is_empty());
}

async fn events(node: &Node, token: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/audit/search?{query}");
    let answer = node.call("GET", &path, Some(token), None).await;
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn target(environment: &str, port: u16) -> String {
    format!(
        "kind: Target\nmetadata: {{name: web-1}}\nspec:\n  environment: {environment}\n  ssh: \
         {{host: 127.0.0.1, port: {port}, logins: [deploy], host_keys: [\"{HOST_KEY}\"], credential: \
         {{password: {{secret: web-1}}}}}}\n"
    )
}

const LAB: &str = "kind: Environment\nmetadata: {name: lab}\nspec: {tier: test}\n";

#[tokio::test]
async fn nobody_moves_a_production_target_out_alone() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let answer = apply(&node, &warden, LAB).await;
    assert_eq!(answer.status, 200, "an environment more weakens nothing: {}", answer.text());
    takes_two(&node, &warden, &steward, &target("lab", 22)).await;
    let log = events(&node, &warden, "limit=1000").await;
    let applied = log.iter().find(|event| {
        let text = event.to_string();
        text.contains("first_person") && text.contains("Target/web-1")
    });
    let applied = applied.expect("the change is in the log with both names").to_string();
    assert!(applied.contains(WARDEN) && applied.contains(STEWARD), "{applied}");
    let refused = events(&node, &warden, "user=warden&outcome=refused").await;
    assert_eq!(refused.len(), 2, "{refused:?}");
}

#[tokio::test]
async fn what_two_people_agreed_to_is_good_once_and_to_the_letter() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    assert_eq!(apply(&node, &warden, &target("production", 2200)).await.status, 409);
    let other = apply(&node, &steward, &target("production", 2201)).await;
    assert_eq!(other.status, 409, "another change than the one proposed: {}", other.text());
    assert_eq!(apply(&node, &steward, &target("production", 2200)).await.status, 200);
    takes_two(&node, &steward, &warden, &target("production", 22)).await;
    let again = apply(&node, &steward, &target("production", 2200)).await;
    assert_eq!(again.status, 409, "agreed to once, applied once: {}", again.text());
}

#[tokio::test]
async fn what_was_asked_for_ends_when_the_target_is_another_one() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let role = "kind: Role\nmetadata: {name: shells}\nspec: {allow: [{actions: [shell]}]}\n---\n\
        kind: RoleAssignment\nmetadata: {name: shells}\nspec: {role: shells, users: [bob]}\n";
    takes_two(&node, &warden, &steward, role).await;
    let bob = node.sign_in("bob").await;
    let body = json!({"target": "web-1", "duration": "1h", "reason": "look"}).to_string();
    let asked = node.call("POST", "/v1/requests", Some(&bob), Some(&body)).await;
    assert!(matches!(asked.status, 200 | 201), "{}", asked.text());
    let path = format!("/v1/requests/{}", asked.json()["id"].as_str().unwrap());
    takes_two(&node, &warden, &steward, &target("production", 2200)).await;
    let now = node.call("GET", &path, Some(&bob), None).await;
    assert!(now.text().contains("cancelled"), "{}", now.text());
}

#[tokio::test]
async fn nobody_gives_another_person_a_key_or_an_approval_alone() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let key = format!(
        "kind: User\nmetadata: {{name: bob}}\nspec: {{groups: [], ssh_keys: [\"{ANOTHER_KEY}\"]}}\n"
    );
    takes_two(&node, &warden, &steward, &key).await;
    let lead = "kind: User\nmetadata: {name: nora}\nspec: {groups: [leads]}\n";
    takes_two(&node, &steward, &warden, lead).await;
}

#[tokio::test]
async fn without_a_settled_factor_one_is_neither_the_first_nor_the_second() {
    let node = Node::start().await;
    let (alice, warden) = (node.sign_in("alice").await, node.sign_in(WARDEN).await);
    let steward = node.sign_in(STEWARD).await;
    let yaml = target("production", 2200);
    let answer = apply(&node, &alice, &yaml).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden".into()));
    let answer = apply(&node, &warden, &yaml).await;
    assert_eq!(answer.status, 409, "alice's does not count: {}", answer.text());
    assert_eq!(apply(&node, &alice, &yaml).await.status, 403);
    assert_eq!(apply(&node, &steward, &yaml).await.status, 200);
}

#[tokio::test]
async fn nobody_gives_themselves_what_they_did_not_have() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let yaml = "kind: Role\nmetadata: {name: shells}\nspec: {allow: [{actions: [shell]}]}\n---\n\
        kind: RoleAssignment\nmetadata: {name: shells}\nspec: {role: shells, users: [warden]}\n";
    for _ in 0..2 {
        let answer = apply(&node, &warden, yaml).await;
        assert_eq!((answer.status, answer.problem()), (403, "forbidden".into()));
    }
    let answer = apply(&node, &steward, yaml).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let wider = "kind: Target\nmetadata: {name: web-1}\nspec:\n  environment: production\n  ssh: \
        {host: 127.0.0.1, logins: [deploy, root], host_keys: [\"KEY\"], credential: {password: \
        {secret: web-1}}}\n"
        .replace("KEY", HOST_KEY);
    let answer = apply(&node, &warden, &wider).await;
    assert_eq!(answer.status, 403, "another account is a gain: {}", answer.text());
}

#[tokio::test]
async fn resets_secrets_and_lifting_need_a_settled_factor() {
    let node = Node::start().await;
    let (alice, warden) = (node.sign_in("alice").await, node.sign_in(WARDEN).await);
    let lock = json!({"subject": {"kind": "user", "name": "nora"}, "reason": "test"}).to_string();
    let locked = node.call("POST", "/v1/locks", Some(&alice), Some(&lock)).await.json();
    let lift = format!("/v1/locks/{}", locked["id"].as_str().unwrap());
    let reset = json!({"password": "a temporary one, long", "reason": "lost"}).to_string();
    let secret = json!({"value": "s3cret"}).to_string();
    let calls: [(&str, &str, Option<&str>); 3] = [
        ("POST", "/v1/users/bob/credentials/reset", Some(&reset)),
        ("PUT", "/v1/environments/production/secrets/web-1", Some(&secret)),
        ("DELETE", &lift, None),
    ];
    for (method, path, body) in calls {
        let answer = node.call(method, path, Some(&alice), body).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("second factor"), "{}", answer.text());
        let answer = node.call(method, path, Some(&warden), body).await;
        assert!(matches!(answer.status, 200 | 202 | 204), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_password_is_changed_with_a_code_where_there_is_one() {
    let node = Node::start().await;
    // Signing in uses the present code up, so this person signs in with nothing but the password.
    let alice = node.sign_in("alice").await;
    let body = json!({"old": PASSWORD, "new": "another long passphrase", "code": null}).to_string();
    let answer = node.call("POST", "/v1/me/password", Some(&alice), Some(&body)).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let warden = node.sign_in(WARDEN).await;
    let body = json!({"old": PASSWORD, "new": "another long passphrase"}).to_string();
    let answer = node.call("POST", "/v1/me/password", Some(&warden), Some(&body)).await;
    assert_eq!((answer.status, answer.problem()), (401, "second_factor_required".into()));
}

#[tokio::test]
async fn the_last_who_could_put_the_gate_right_is_not_locked_out() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    let lock = json!({"subject": {"kind": "role", "name": "administrator"}, "reason": "test"});
    let answer = node.call("POST", "/v1/locks", Some(&warden), Some(&lock.to_string())).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("nobody"), "{}", answer.text());
    let rights: Vec<&str> = ControlAction::ALL
        .iter()
        .filter(|right| **right != ControlAction::Lock)
        .map(|right| right.as_str())
        .collect();
    let role = format!(
        "kind: Role\nmetadata: {{name: administrator}}\nspec: {{control: [{}]}}\n",
        rights.join(", ")
    );
    let answer = apply(&node, &warden, &role).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[tokio::test]
async fn a_locked_person_learns_that_they_are_locked() {
    let node = Node::start().await;
    let (alice, warden) = (node.sign_in("alice").await, node.sign_in(WARDEN).await);
    let lock = json!({"subject": {"kind": "user", "name": "alice"}, "reason": "laptop stolen"});
    node.call("POST", "/v1/locks", Some(&warden), Some(&lock.to_string())).await;
    let answer = node.call("GET", "/v1/export", Some(&alice), None).await;
    assert!(answer.text().contains("laptop stolen"), "{}", answer.text());
}
