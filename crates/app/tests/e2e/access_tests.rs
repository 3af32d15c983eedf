//! `portcullis test`: what is printed, reported and answered to CI, without a node.

use std::path::Path;

use serde_json::Value;

use crate::node::portcullis;

const FILES: [&str; 4] = ["environments.yaml", "people.yaml", "roles.yaml", "access.test.yaml"];

#[test]
fn tests_beside_the_resources_pass_or_say_which_policy_decided() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in FILES {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
        std::fs::copy(from, root.join(name)).unwrap();
    }
    std::fs::write(root.join("targets.yaml"), targets()).unwrap();
    let (text, code) = run(&["test", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("passed developers: production is asked for: request_access"), "{text}");

    let wrong = "kind: AccessTest\nmetadata: {name: wrong}\nspec:\n  cases:\n    - {name: open, user: alice, target: prod-web, action: shell, expect: allow}\n";
    std::fs::write(root.join("wrong.test.yaml"), wrong).unwrap();
    let junit = root.join("report.xml");
    let (text, code) = run(&["test", root.to_str().unwrap(), "--junit", junit.to_str().unwrap()]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED wrong: open: request_access"), "{text}");
    assert!(text.contains("wrong.test.yaml:5"), "{text}");
    assert!(text.contains("role:developer:allow:2"), "{text}");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<failure message=\"expected allow, found request_access\">"),
        "{junit}"
    );

    let (json, code) = run(&["test", "--json", root.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["failed"]), (1, &Value::from(1)));
}

#[test]
fn tests_without_resources_or_without_a_case_are_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::write(root.join("targets.yaml"), "kind: Group\nmetadata: {name: g}\nspec: {}\n")
        .unwrap();
    assert_eq!(run(&["test", root.to_str().unwrap()]).1, 1);
    let alone = root.join("alone.test.yaml");
    std::fs::write(&alone, "kind: AccessTest\nmetadata: {name: t}\nspec: {cases: []}\n").unwrap();
    assert_eq!(run(&["test", alone.to_str().unwrap()]).1, 2);
}

fn run(arguments: &[&str]) -> (String, i32) {
    let output = portcullis(arguments, &[]);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

fn targets() -> String {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF";
    let targets = [
        ("dev-web", "development", "web"),
        ("staging-web", "staging", "web"),
        ("prod-web", "production", "web"),
        ("prod-db", "production", "db"),
    ];
    let documents = targets.iter().zip(2000..).map(|((name, environment, app), port)| {
        format!(
            "kind: Target\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nspec: {{environment: {environment}, ssh: {{host: 192.0.2.1, port: {port}, logins: [root], host_keys: [\"{key}\"]}}}}\n"
        )
    });
    documents.collect::<Vec<_>>().join("---\n")
}
