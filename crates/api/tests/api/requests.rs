//! Access requests as people make and decide them: by target, role and labels, with tickets, rules of
//! several groups, extensions, and approvers who are gone by the time it counts.

use portcullis_control::view::RequestBody;
use portcullis_domain::GrantId;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::node::{HOST_KEY, Node, STEWARD, WARDEN};

/// Environment `vault` with a rule of two groups, three targets, and roles for bob and nora.
fn vault() -> String {
    let target = |name: &str, port: u16, kind: &str| {
        format!(
            "---\nkind: Target\nmetadata: {{name: {name}, labels: {{kind: {kind}}}}}\nspec:\n  \
             environment: vault\n  ssh: {{host: 192.0.2.7, port: {port}, logins: [deploy, root], \
             host_keys: [\"{HOST_KEY}\"]}}\n"
        )
    };
    format!(
        "---\nkind: Group\nmetadata: {{name: security}}\nspec: {{}}\n\
         ---\nkind: Group\nmetadata: {{name: owners}}\nspec: {{}}\n\
         ---\nkind: Environment\nmetadata: {{name: vault}}\nspec:\n  tier: production\n  approval:\n    \
         all: [{{group: leads}}, {{any: [{{group: security}}, {{group: owners, count: 2}}]}}]\n  \
         approval_for: {{download: {{group: leads}}}}\n  max_grant: 4h\n  requests:\n    \
         ticket: \"OPS-#\"\n    expire_after: 2h\n\
         {}{}{}\
         ---\nkind: Role\nmetadata: {{name: keeper}}\nspec:\n  allow:\n    - {{environments: [vault], \
         labels: {{kind: db}}, actions: [shell, exec, download], logins: [deploy]}}\n\
         ---\nkind: Role\nmetadata: {{name: all}}\nspec:\n  allow:\n    - {{environments: [vault, production], \
         actions: [shell, exec, download, upload]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: keepers}}\nspec: {{role: keeper, users: [bob]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: alls}}\nspec: {{role: all, users: [bob]}}\n",
        target("db-1", 2201, "db"),
        target("db-2", 2202, "db"),
        target("web-2", 2203, "web"),
    )
}

async fn start() -> Node {
    Node::start_with(&vault(), &[(WARDEN, "leads"), (STEWARD, "security")]).await
}

async fn ask(node: &Node, token: &str, more: Value) -> Answer {
    let mut body = json!({"duration": "1h", "reason": "look", "ticket": "OPS-7"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node.call("POST", "/v1/requests", Some(token), Some(&body.to_string())).await
}

async fn decide(node: &Node, token: &str, id: &str, verb: &str) -> Answer {
    node.call("POST", &format!("/v1/requests/{id}/{verb}"), Some(token), None).await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rule_of_several_groups_takes_somebody_of_each() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let asked = ask(&node, &bob, json!({"target": "db-1"})).await;
    let id = id(&asked);
    let told = asked.json();
    assert_eq!(told["missing"], 2, "{told}");
    let rule = told["waits_for"].as_str().unwrap();
    assert!(rule.contains("1 of leads and (1 of security, or 2 of owners)"), "{rule}");
    assert_eq!(decide(&node, &bob, &id, "approve").await.status, 403, "nobody approves their own");
    let first = decide(&node, &steward, &id, "approve").await;
    assert_eq!((first.status, first.json()["state"].as_str()), (200, Some("pending")));
    assert_eq!(decide(&node, &steward, &id, "approve").await.status, 409, "once each");
    let second = decide(&node, &warden, &id, "approve").await;
    assert_eq!(second.json()["state"], "approved", "{}", second.text());
}

#[tokio::test]
async fn an_action_with_a_rule_of_its_own_takes_that_rule_and_all_actions_take_every_rule() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let warden = node.sign_in(WARDEN).await;
    let only = id(&ask(&node, &bob, json!({"target": "db-1", "actions": ["download"]})).await);
    let done = decide(&node, &warden, &only, "approve").await;
    assert_eq!(done.json()["state"], "approved", "a lead is enough: {}", done.text());
    let both =
        id(&ask(&node, &bob, json!({"target": "db-2", "actions": ["download", "shell"]})).await);
    let done = decide(&node, &warden, &both, "approve").await;
    assert_eq!(done.json()["state"], "pending", "the shell takes more: {}", done.text());
}

#[tokio::test]
async fn a_role_and_labels_come_to_targets_named_one_by_one() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let by_role = ask(&node, &bob, json!({"role": "keeper"})).await;
    assert_eq!(by_role.status, 201, "{}", by_role.text());
    let view = by_role.json();
    assert_eq!((&view["target"], &view["also"]), (&json!("db-1"), &json!(["db-2"])));
    assert_eq!(view["actions"], json!(["shell", "exec", "download"]));
    let several = ask(&node, &bob, json!({"role": "all"})).await;
    assert_eq!(several.status, 422, "two environments, two rules: {}", several.text());
    let one = ask(&node, &bob, json!({"role": "all", "environment": "vault"})).await;
    assert_eq!(one.json()["also"], json!(["db-2", "web-2"]), "{}", one.text());
    let labels = ask(&node, &bob, json!({"labels": {"kind": "web"}})).await;
    assert_eq!(labels.json()["target"], "web-2", "{}", labels.text());
    let nora = node.sign_in("nora").await;
    for body in [json!({"role": "keeper"}), json!({"target": "db-1"}), json!({"target": "none"})] {
        let answer = ask(&node, &nora, body).await;
        assert_eq!((answer.status, answer.problem()), (404, "not_eligible".into()));
    }
}

#[tokio::test]
async fn a_ticket_is_asked_for_where_the_environment_says_so() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    for wrong in [Value::Null, json!(""), json!("OPS-"), json!("JIRA-1"), json!("OPS-1\tx")] {
        let answer = ask(&node, &bob, json!({"target": "db-1", "ticket": wrong})).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let other = ask(&node, &bob, json!({"target": "web-1", "ticket": null})).await;
    assert_eq!(other.status, 201, "production asks for none: {}", other.text());
}

#[tokio::test]
async fn who_decides_sees_what_it_would_allow_and_what_came_of_the_last_grants() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let first = id(&ask(&node, &bob, json!({"target": "db-1", "actions": ["download"]})).await);
    assert_eq!(decide(&node, &warden, &first, "approve").await.status, 200);
    let second = id(&ask(&node, &bob, json!({"role": "keeper", "actions": ["exec"]})).await);
    let path = format!("/v1/requests/{second}");
    let seen = node.call("GET", &path, Some(&steward), None).await.json();
    let rows = seen["would_allow"].as_array().unwrap();
    let named = |row: &Value| (row["target"].clone(), row["action"].clone());
    let expected = [(json!("db-1"), json!("exec")), (json!("db-2"), json!("exec"))];
    assert_eq!(rows.iter().map(named).collect::<Vec<_>>(), expected, "{seen}");
    assert!(rows.iter().all(|row| row["before"] == "after approval" && row["after"] == "standing"));
    let history = seen["history"].as_array().unwrap();
    assert_eq!((history.len(), &history[0]["sessions"]), (1, &json!(0)), "{seen}");
    assert_eq!(history[0]["last_used"], Value::Null);
}

#[tokio::test]
async fn a_grant_is_prolonged_by_a_new_approval_and_never_by_oneself() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let first = id(&ask(&node, &bob, json!({"target": "db-1", "actions": ["download"]})).await);
    let granted = decide(&node, &warden, &first, "approve").await.json();
    let grant = granted["grant"]["id"].as_str().unwrap().to_owned();
    let wider = ask(&node, &bob, json!({"extends": grant, "actions": ["shell"]})).await;
    assert_eq!(wider.status, 422, "only what the grant is for: {}", wider.text());
    let others = ask(&node, &steward, json!({"extends": grant})).await;
    assert_eq!(others.status, 404, "only one's own: {}", others.text());
    let more = id(&ask(&node, &bob, json!({"extends": grant})).await);
    assert_eq!(decide(&node, &bob, &more, "approve").await.status, 403);
    let done = decide(&node, &warden, &more, "approve").await.json();
    let (old, new) = (&granted["grant"]["ends"], &done["grant"]["ends"]);
    let hours = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let (old, new): (portcullis_domain::Timestamp, portcullis_domain::Timestamp) =
        (hours(old), hours(new));
    assert_eq!(new.since(old).as_secs(), 3600);
    // The holder gives it back; then it cannot be prolonged any more.
    let id_of = |value: &Value| value["grant"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/grants/{}/revoke", id_of(&done));
    let pending = ask(&node, &bob, json!({"extends": id_of(&done)})).await;
    let body = json!({"reason": "done"}).to_string();
    assert_eq!(node.call("POST", &path, Some(&bob), Some(&body)).await.status, 200);
    let late = decide(&node, &warden, &id(&pending), "approve").await;
    assert_eq!((late.status, late.problem()), (409, "target_changed".into()));
    assert_eq!(ask(&node, &bob, json!({"extends": id_of(&done)})).await.status, 409);
}

#[tokio::test]
async fn an_approver_who_is_locked_or_gone_before_the_last_approval_does_not_count() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let alice = node.sign_in("alice").await;
    let asked = id(&ask(&node, &bob, json!({"target": "db-1"})).await);
    assert_eq!(decide(&node, &steward, &asked, "approve").await.status, 200);
    let lock = json!({"subject": {"kind": "user", "name": STEWARD}, "reason": "gone"}).to_string();
    assert_eq!(node.call("POST", "/v1/locks", Some(&alice), Some(&lock)).await.status, 201);
    let done = decide(&node, &warden, &asked, "approve").await;
    assert_eq!(done.json()["state"], "pending", "the first does not count now: {}", done.text());
}

#[tokio::test]
async fn of_many_activations_at_once_one_yields_a_grant() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let warden = node.sign_in(WARDEN).await;
    let asked = id(&ask(&node, &bob, json!({"target": "db-1", "actions": ["download"]})).await);
    let approvals = (0..100).map(|_| decide(&node, &warden, &asked, "approve"));
    let answers = futures::future::join_all(approvals).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let grants = node.call("GET", "/v1/grants?mine=true", Some(&bob), None).await.json();
    assert_eq!(grants.as_array().unwrap().len(), 1, "{grants}");
    assert!(grants[0]["id"].as_str().unwrap().parse::<GrantId>().is_ok());
}

#[tokio::test]
async fn what_was_refused_is_answered_with_the_smallest_request() {
    let node = start().await;
    let bob = node.sign_in("bob").await;
    let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let who = node.control.caller(&bob, source).await.unwrap();
    let target = "db-1".parse().unwrap();
    let action = portcullis_domain::Action::Exec { command: "uptime".into() };
    let refused = node.control.gateway().authorize(&who, &target, None, action).await;
    let told = refused.map(|_| ()).expect_err("no grant yet").to_string();
    assert!(told.contains("portcullis request db-1 --action exec"), "{told}");
    let answer = node.call("GET", "/v1/suggestions", Some(&bob), None).await.json();
    assert_eq!(answer[0]["role"], "keeper", "not the role that reaches more: {answer}");
    let command = answer[0]["command"].as_str().unwrap();
    assert!(command.starts_with("portcullis request db-1 --action exec"), "{command}");
    let nora = node.sign_in("nora").await;
    let answer = node.call("GET", "/v1/suggestions", Some(&nora), None).await.json();
    assert_eq!(answer, json!([]), "only one's own");
    // A client that is older than the newer ways to ask still asks the same way.
    let old: RequestBody =
        serde_json::from_value(json!({"target": "db-1", "duration": "1h", "reason": "x"})).unwrap();
    assert_eq!(old.target.as_deref(), Some("db-1"));
}
