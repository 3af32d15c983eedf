//! What an apply does to invariants: refused with a counterexample, proved again for the second
//! person, and never passed for want of a solver.

use portcullis_control::SolverSettings;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::node::{Node, STEWARD, WARDEN};

const OPS: &str = "kind: Role
metadata: {name: ops}
spec: {allow: [{environments: [production], actions: [shell, exec]}]}
";
const NO_SHELL: &str = "kind: Invariant
metadata: {name: no-shell-as-deploy}
spec:
  description: Nobody opens a shell as deploy
  never: {actions: [shell], when: 'context.login == \"deploy\"'}
";
const RAW: &str = "kind: Policy
metadata: {name: emergency}
spec:
  cedar: |
    permit (principal == User::\"bob\", action == Action::\"shell\", resource);
";

async fn send(node: &Node, token: &str, path: &str, yaml: &str) -> Answer {
    let body = json!({"files": [{"name": "change.yaml", "text": yaml}]}).to_string();
    node.call("POST", path, Some(token), Some(&body)).await
}

async fn applied(node: &Node, token: &str, yaml: &str) {
    let answer = send(node, token, "/v1/apply", yaml).await;
    assert_eq!(answer.status, 200, "{yaml}: {}", answer.text());
}

fn broken(answer: &Answer, by: &str) {
    assert_eq!(
        (answer.status, answer.problem()),
        (409, "invariant_broken".into()),
        "{}",
        answer.text()
    );
    for part in ["no-shell-as-deploy", "web-1", "deploy", by] {
        assert!(answer.text().contains(part), "{part}: {}", answer.text());
    }
}

fn status<'v>(view: &'v Value, name: &str) -> &'v str {
    let all = view["invariants"].as_array().unwrap();
    let found = all.iter().find(|proof| proof["invariant"] == name);
    found.unwrap_or_else(|| panic!("{view}"))["status"].as_str().unwrap()
}

#[tokio::test]
async fn a_change_that_breaks_an_invariant_is_refused_with_a_counterexample() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    applied(&node, &warden, NO_SHELL).await;
    broken(&send(&node, &warden, "/v1/apply", OPS).await, "role:ops:allow:1");
    let plan = send(&node, &warden, "/v1/plan", OPS).await.json();
    assert_eq!(status(&plan["proof"], "no-shell-as-deploy"), "broken");
    assert_eq!(status(&plan["proof"], "production-needs-a-grant"), "proved");
    assert!(plan["proof"]["refused"].as_str().unwrap().contains("role:ops:allow:1"), "{plan}");
    let narrower = OPS.replace("shell, exec", "exec");
    applied(&node, &warden, &narrower).await;
    let log = node.call("GET", "/v1/audit/search?user=warden&outcome=refused", Some(&warden), None);
    let log = log.await.text();
    assert!(log.contains("no-shell-as-deploy") && log.contains("resource.apply"), "{log}");
}

#[tokio::test]
async fn an_invariant_that_what_is_in_force_breaks_comes_with_an_exception_or_not_at_all() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    applied(&node, &warden, OPS).await;
    broken(&send(&node, &warden, "/v1/apply", NO_SHELL).await, "role:ops:allow:1");
    let excepted = |expires: &str| {
        format!(
            "{NO_SHELL}  exceptions:\n    - {{role: ops, owner: bob, reason: Migration, expires: {expires}}}\n"
        )
    };
    broken(&send(&node, &warden, "/v1/apply", &excepted("2020-01-01T00:00:00Z")).await, "ops");
    let good = excepted("2999-01-01T00:00:00Z");
    let alone = send(&node, &warden, "/v1/apply", &good).await;
    assert_eq!(alone.problem(), "second_person_required", "{}", alone.text());
    applied(&node, &steward, &good).await;
    let view = node.call("POST", "/v1/prove", Some(&warden), Some("{}")).await.json();
    assert_eq!(status(&view, "no-shell-as-deploy"), "excepted", "{view}");
    // What is excepted is the role, not the hole.
    let other = OPS.replace("name: ops", "name: more-ops");
    broken(&send(&node, &warden, "/v1/apply", &other).await, "role:more-ops:allow:1");
    // Taking the invariant away again takes two.
    let removed = send(&node, &warden, "/v1/apply", &NO_SHELL.replace("shell]", "exec]")).await;
    assert_eq!(removed.status, 409, "{}", removed.text());
}

#[tokio::test]
async fn what_waits_for_a_second_person_is_proved_again_when_that_person_agrees() {
    let node = Node::start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let first = send(&node, &warden, "/v1/apply", RAW).await;
    assert_eq!(first.problem(), "second_person_required", "{}", first.text());
    applied(&node, &warden, NO_SHELL).await;
    broken(&send(&node, &steward, "/v1/apply", RAW).await, "policy:emergency:1");
}

#[tokio::test]
async fn without_a_solver_policy_stays_as_it_is_and_everything_else_goes_on() {
    let missing = SolverSettings { program: "/nowhere/cvc5".into(), ..SolverSettings::default() };
    let node = Node::start_with_solver(missing).await;
    let warden = node.sign_in(WARDEN).await;
    let refused = send(&node, &warden, "/v1/apply", OPS).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (503, "not_proved".into()),
        "{}",
        refused.text()
    );
    assert!(
        refused.text().contains("apt install cvc5") && refused.text().contains("proofs.solver")
    );
    let view = node.call("POST", "/v1/prove", Some(&warden), Some("{}")).await.json();
    assert_eq!(status(&view, "production-needs-a-grant"), "not_proved");
    // A person more is no question of policy.
    applied(&node, &warden, "kind: User\nmetadata: {name: zoe}\nspec: {}\n").await;
}

#[tokio::test]
async fn an_invariant_that_makes_no_sense_is_refused_where_it_is_wrong() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    for (yaml, said) in [
        (NO_SHELL.replace("context.login", "context.nonsense"), "nonsense"),
        (NO_SHELL.replace("no-shell-as-deploy", "production-needs-a-grant"), "built in"),
        (NO_SHELL.replace("'context.login == \"deploy\"'", "'true } when { true'"), ""),
        (
            NO_SHELL.replace(
                "'context.login == \"deploy\"'",
                "'true }; permit (principal, action, resource) when { true'",
            ),
            "one condition",
        ),
        (
            NO_SHELL.replace("'context.login == \"deploy\"'", "'principal in Group::\"nobody\"'"),
            "does not exist",
        ),
    ] {
        let answer = send(&node, &warden, "/v1/plan", &yaml).await;
        if said.is_empty() {
            continue;
        }
        assert_eq!(answer.status, 422, "{yaml}: {}", answer.text());
        assert!(answer.text().contains(said), "{said}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_odd_or_does_not_type_check_is_said_with_file_and_line() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    let nowhere = "kind: Role\nmetadata: {name: nowhere}\nspec: {allow: [{environments: [production], labels: {app: none}, actions: [shell]}]}\n";
    let plan = send(&node, &warden, "/v1/plan", nowhere).await.json();
    let warning = &plan["warnings"][0];
    assert_eq!(
        (&warning["file"], &warning["line"], &warning["kind"]),
        (&"change.yaml".into(), &2.into(), &"selects_nothing".into()),
        "{plan}"
    );
    assert_eq!(plan["gains_in_production"], false, "{plan}");
    let body = json!({"change": {"files": [{"name": "change.yaml", "text": nowhere}]}}).to_string();
    let proofs = node.call("POST", "/v1/prove", Some(&warden), Some(&body)).await.json();
    let found = proofs["findings"].as_array().unwrap();
    let found = found.iter().find(|one| one["resource"] == "Role/nowhere");
    assert_eq!(found.unwrap()["line"], 2, "{proofs}");

    let wrong = RAW.replace("resource);", "resource) when { context.granted > 1 };");
    let refused = send(&node, &warden, "/v1/plan", &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("change.yaml:2: Policy/emergency"), "{}", refused.text());
    let circle = "kind: Role\nmetadata: {name: a}\nspec: {inherits: [b]}\n---\nkind: Role\nmetadata: {name: b}\nspec: {inherits: [a]}\n";
    let refused = send(&node, &warden, "/v1/plan", circle).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("change.yaml:"), "{}", refused.text());
}
