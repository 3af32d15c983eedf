//! Separation of duties, tried through every way there is to hold or to use two roles.

use portcullis_control::view::ResourceFile;
use portcullis_domain::{Action, Resource, RoleAssignment};
use portcullis_store::Changes;
use serde_json::json;

use crate::client::Answer;
use crate::node::{HOST_KEY, Node, STEWARD, WARDEN};

/// `writer` and `checker` are kept apart for good, `reader` and `mover` while in use.
fn rules() -> String {
    format!(
        "---\nkind: Group\nmetadata: {{name: checkers}}\nspec: {{}}\n\
         ---\nkind: Environment\nmetadata: {{name: lab}}\nspec: {{tier: test}}\n\
         ---\nkind: Environment\nmetadata: {{name: vault}}\nspec: {{tier: staging, access: on_request, \
         approval: {{groups: [leads]}}}}\n\
         ---\nkind: Target\nmetadata: {{name: lab-1}}\nspec: {{environment: lab, ssh: {{host: 192.0.2.8, \
         logins: [app], host_keys: [\"{HOST_KEY}\"]}}}}\n\
         ---\nkind: Target\nmetadata: {{name: vault-1}}\nspec: {{environment: vault, ssh: {{host: 192.0.2.9, \
         logins: [app], host_keys: [\"{HOST_KEY}\"]}}}}\n\
         ---\nkind: Role\nmetadata: {{name: writer}}\nspec: {{allow: [{{environments: [lab], actions: [shell]}}]}}\n\
         ---\nkind: Role\nmetadata: {{name: checker}}\nspec: {{control: [read_audit]}}\n\
         ---\nkind: Role\nmetadata: {{name: reader}}\nspec: {{allow: [{{environments: [vault], actions: [download]}}]}}\n\
         ---\nkind: Role\nmetadata: {{name: mover}}\nspec: {{allow: [{{environments: [vault], actions: [upload]}}]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: writers}}\nspec: {{role: writer, users: [bob]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: checkers}}\nspec: {{role: checker, groups: [checkers]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: readers}}\nspec: {{role: reader, users: [nora]}}\n\
         ---\nkind: RoleAssignment\nmetadata: {{name: movers}}\nspec: {{role: mover, users: [nora]}}\n\
         ---\nkind: SeparationOfDuties\nmetadata: {{name: write-or-check}}\nspec: {{roles: [writer, checker]}}\n\
         ---\nkind: SeparationOfDuties\nmetadata: {{name: read-or-move}}\nspec: {{roles: [reader, mover], mode: dynamic}}\n"
    )
}

/// Each would make bob a checker beside a writer, or nora a writer beside a checker.
const WAYS: [(&str, &str); 6] = [
    (
        "by inheritance",
        "kind: Role\nmetadata: {name: both}\nspec: {inherits: [checker]}\n---\n\
         kind: RoleAssignment\nmetadata: {name: more}\nspec: {role: both, users: [bob]}\n",
    ),
    (
        "directly",
        "kind: RoleAssignment\nmetadata: {name: more}\nspec: {role: checker, users: [bob]}\n",
    ),
    ("by a group", "kind: User\nmetadata: {name: bob}\nspec: {groups: [checkers]}\n"),
    (
        "by a group that gets the other role",
        "kind: User\nmetadata: {name: nora}\nspec: {groups: [checkers]}\n---\n\
         kind: RoleAssignment\nmetadata: {name: more}\nspec: {role: writer, groups: [checkers]}\n",
    ),
    (
        "while disabled",
        "kind: User\nmetadata: {name: bob}\nspec: {groups: [checkers], disabled: true}\n",
    ),
    (
        "by keeping apart afterwards",
        "kind: SeparationOfDuties\nmetadata: {name: more}\nspec: {roles: [reader, mover]}\n",
    ),
];

async fn start() -> Node {
    Node::start_with(&rules(), &[(WARDEN, "leads")]).await
}

async fn send(node: &Node, token: &str, call: &str, yaml: &str) -> Answer {
    let body = json!({"files": [{"name": "f.yaml", "text": yaml}]}).to_string();
    node.call("POST", call, Some(token), Some(&body)).await
}

#[tokio::test]
async fn no_file_by_whatever_call_gives_somebody_roles_that_are_kept_apart() {
    let node = start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    for (way, yaml) in WAYS {
        for (call, token) in
            [("/v1/plan", &warden), ("/v1/apply", &warden), ("/v1/apply", &steward)]
        {
            let answer = send(&node, token, call, yaml).await;
            let got = (answer.status, answer.problem());
            assert_eq!(got, (409, "separation_of_duties".into()), "{way}: {}", answer.text());
        }
        assert!(node.call("GET", "/v1/changes", Some(&warden), None).await.json() == json!([]));
    }
    let answer = send(&node, &warden, "/v1/apply", WAYS[2].1).await;
    for named in ["`bob`", "`writers`", "`checkers`", "`write-or-check`"] {
        assert!(answer.text().contains(named), "{named} is not named: {}", answer.text());
    }
}

#[tokio::test]
async fn the_first_start_refuses_them_too() {
    let directory = tempfile::TempDir::new().unwrap();
    let control = crate::node::empty(&directory, Default::default()).await;
    let people = "kind: User\nmetadata: {name: bob}\nspec: {groups: [checkers]}\n";
    let text = format!(
        "kind: Group\nmetadata: {{name: leads}}\nspec: {{}}\n---\nkind: User\nmetadata: {{name: nora}}\n\
         spec: {{}}\n---\n{people}{}",
        rules()
    );
    let files = vec![ResourceFile { name: "f.yaml".into(), text }];
    let refused = control.bootstrap(&"bob".parse().unwrap(), files, Vec::new()).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("`write-or-check` keeps apart"), "{told}");
}

#[tokio::test]
async fn come_by_behind_our_back_the_roles_give_nothing() {
    let node = start().await;
    let store = node.control.gateway().store();
    let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let bob = node.sign_in("bob").await;
    let who = node.control.caller(&bob, source).await.unwrap();
    let target = "lab-1".parse().unwrap();
    let enter = || node.control.gateway().authorize(&who, &target, None, Action::Shell);
    assert!(enter().await.is_ok(), "a writer may");
    // Somebody writes to the database of the store itself.
    let given = Resource::RoleAssignment(RoleAssignment {
        name: "behind".parse().unwrap(),
        role: "checker".parse().unwrap(),
        users: ["bob".parse().unwrap()].into(),
        groups: Default::default(),
    });
    let changes = Changes { upserts: vec![given], deletes: Vec::new() };
    let now = node.control.gateway().now();
    store.apply(&changes, None, &"bob".parse().unwrap(), now).await.unwrap();
    node.control.gateway().refresh().await.unwrap();
    assert!(enter().await.is_err(), "neither role lets in");
    let audit = node.call("GET", "/v1/audit/search", Some(&bob), None).await;
    assert_eq!(audit.status, 403, "nor gives a right");
}

#[tokio::test]
async fn of_roles_kept_apart_in_use_one_is_used_at_a_time() {
    let node = start().await;
    let (nora, warden) = (node.sign_in("nora").await, node.sign_in(WARDEN).await);
    let ask = |body: serde_json::Value| {
        let body = body.to_string();
        let (node, nora) = (&node, &nora);
        async move { node.call("POST", "/v1/requests", Some(nora), Some(&body)).await }
    };
    let by = |role: &str| json!({"role": role, "duration": "1h", "reason": "x"});
    let target = json!({"target": "vault-1", "duration": "1h", "reason": "x"});
    let unnamed = ask(target).await;
    assert_eq!(unnamed.status, 404, "without a role it is not clear which: {}", unnamed.text());
    let (first, second) = (ask(by("reader")).await, ask(by("mover")).await);
    assert_eq!((first.status, second.status), (201, 201), "{}", first.text());
    let approve = |answer: &Answer| {
        let path = format!("/v1/requests/{}/approve", answer.json()["id"].as_str().unwrap());
        let (node, warden) = (&node, &warden);
        async move { node.call("POST", &path, Some(warden), None).await }
    };
    let granted = approve(&first).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    let both = approve(&second).await;
    assert_eq!((both.status, both.problem()), (409, "separation_of_duties".into()));
    let again = ask(by("mover")).await;
    assert_eq!((again.status, again.problem()), (409, "separation_of_duties".into()));
    let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let who = node.control.caller(&nora, source).await.unwrap();
    let target = "vault-1".parse().unwrap();
    let gate = node.control.gateway();
    let read = Action::Download { path: "/a".into() };
    let write = Action::Upload { path: "/a".into() };
    assert!(gate.authorize(&who, &target, None, read.clone()).await.is_ok());
    assert!(
        gate.authorize(&who, &target, None, write.clone()).await.is_err(),
        "not both in one session"
    );
    // Given back, the other one can be used.
    let grant = granted.json()["grant"]["id"].as_str().unwrap().to_owned();
    let reason = json!({"reason": "done"}).to_string();
    let path = format!("/v1/grants/{grant}/revoke");
    assert_eq!(node.call("POST", &path, Some(&nora), Some(&reason)).await.status, 200);
    assert_eq!(approve(&second).await.status, 200);
    assert!(gate.authorize(&who, &target, None, read).await.is_err());
    assert!(gate.authorize(&who, &target, None, write).await.is_ok());
}

#[tokio::test]
async fn taking_a_separation_away_takes_two_and_who_plays_several_parts_is_said() {
    let node = start().await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let weaker = "kind: SeparationOfDuties\nmetadata: {name: write-or-check}\n\
        spec: {roles: [writer, checker], mode: dynamic}\n";
    let planned = send(&node, &warden, "/v1/plan", weaker).await.json();
    let said = planned["not_separated"].to_string();
    assert!(
        said.contains("`warden` approves requests for production and applies policy"),
        "{said}"
    );
    assert_eq!(send(&node, &warden, "/v1/apply", weaker).await.status, 409);
    assert_eq!(send(&node, &steward, "/v1/apply", weaker).await.status, 200);
}
