//! What was given and what was used of it: out of the log, for the window that it covers.

use std::time::Duration;

use portcullis_domain::Action;

use crate::node::{HOST_KEY, Node, WARDEN};

const LAB: &str = "---
kind: Environment
metadata: {name: lab}
spec: {tier: development}
---
kind: Role
metadata: {name: worker}
spec: {allow: [{environments: [lab], actions: [shell, exec, upload]}]}
---
kind: RoleAssignment
metadata: {name: workers}
spec: {role: worker, users: [bob, nora]}
";

#[tokio::test]
async fn what_nobody_used_is_proposed_away_and_what_somebody_used_is_not() {
    let lab = format!(
        "{LAB}---\nkind: Target\nmetadata: {{name: lab-1}}\nspec:\n  environment: lab\n  ssh: {{host: 127.0.0.1, port: 2200, logins: [app], host_keys: [{HOST_KEY}]}}\n"
    );
    let node = Node::start_with(&lab, &[]).await;
    let warden = node.sign_in(WARDEN).await;
    // Longer ago than the window that is asked about below.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let bob = node.sign_in("bob").await;
    let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let who = node.control.caller(&bob, source).await.unwrap();
    let target = "lab-1".parse().unwrap();
    let gate = node.control.gateway();
    assert!(gate.authorize(&who, &target, None, Action::Shell).await.is_ok());

    let ask = async |query: &str| {
        let path = format!("/v1/usage?{query}");
        node.call("GET", &path, Some(&warden), None).await
    };
    let all = ask("window_seconds=3").await;
    assert_eq!(all.status, 200, "{}", all.text());
    let all = all.json();
    assert_eq!(all["complete"], true, "{all}");
    let roles = all["roles"].as_array().unwrap();
    let worker = roles.iter().find(|role| role["role"] == "worker").unwrap();
    assert_eq!((&worker["granted"], &worker["used"]), (&3.into(), &1.into()), "{all}");
    assert_eq!(worker["unused_actions"], serde_json::json!(["exec", "upload"]));
    let proposal = all["resources"].as_str().unwrap();
    assert!(proposal.contains("shell") && !proposal.contains("upload"), "{proposal}");
    assert!(proposal.contains("bob") && !proposal.contains("nora"), "{proposal}");

    // What is proposed takes away what was not used and gives nobody anything.
    let body = serde_json::json!({"files": [{"name": "usage.yaml", "text": proposal}]}).to_string();
    let plan = node.call("POST", "/v1/plan", Some(&warden), Some(&body)).await.json();
    let rows = plan["reach"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "exec and upload of bob, everything of nora: {plan}");
    assert!(rows.iter().all(|row| row["gains"] == false && row["after"] == "no"), "{plan}");

    let one = ask("window_seconds=3&person=nora").await.json();
    assert_eq!(one["people"][0]["unused_roles"], serde_json::json!(["worker"]), "{one}");
    assert!(!one["resources"].as_str().unwrap().contains("kind: Role\n"), "{one}");

    // The log is younger than 90 days, and it is said from when on it is known.
    let long = ask("").await.json();
    assert_eq!(long["complete"], false, "{long}");
    assert!(long["covers_from"].as_str() > long["from"].as_str(), "{long}");

    assert_eq!(ask("person=nobody").await.status, 404);
    assert_eq!(ask("window_seconds=0").await.status, 422);
    let refused = node.call("GET", "/v1/usage", Some(&bob), None).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let log = node.call("GET", "/v1/audit/search?activity=audit.read", Some(&warden), None).await;
    assert!(log.text().contains("usage"), "{}", log.text());
}
