//! What there is and who reaches it: everyone sees their own reach and nothing beyond it; the whole
//! map is for those who may read resources.

use crate::node::Node;

const MORE: &str = "---\nkind: Environment\nmetadata: {name: lab}\nspec: {tier: development}\n\
    ---\nkind: Target\nmetadata: {name: lab-1, labels: {app: web}}\nspec:\n  environment: lab\n  ssh: {host: \
    192.0.2.9, port: 2200, logins: [deploy, root], host_keys: [\"ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF\"]}\n\
    ---\nkind: Role\nmetadata: {name: web}\nspec:\n  allow:\n    - {environments: [production], actions: [shell]}\n    \
    - {environments: [lab], actions: [exec], logins: [deploy]}\n\
    ---\nkind: RoleAssignment\nmetadata: {name: webs}\nspec: {role: web, users: [bob]}\n";

#[tokio::test]
async fn a_person_sees_what_they_reach_and_how_and_nothing_else() {
    let node = Node::start_with(MORE, &[]).await;
    let (bob, nora) = (node.sign_in("bob").await, node.sign_in("nora").await);
    let reach = node.call("GET", "/v1/me/reach", Some(&bob), None).await;
    assert_eq!(reach.status, 200, "{}", reach.text());
    let told = reach.json();
    let rows: Vec<String> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let actions = row["actions"].as_array().unwrap().iter();
            let actions: Vec<_> =
                actions.map(|one| format!("{} {}", one["action"], one["how"])).collect();
            format!("{} {} {} {}", row["target"], row["tier"], row["logins"], actions.join(", "))
        })
        .collect();
    assert_eq!(
        rows,
        [
            r#""lab-1" "development" ["deploy"] "exec" "now""#,
            r#""web-1" "production" ["deploy"] "shell" "after approval""#
        ]
    );
    let nothing = node.call("GET", "/v1/me/reach", Some(&nora), None).await;
    assert_eq!(nothing.json(), serde_json::json!([]), "nora learns of no target");
}

#[tokio::test]
async fn the_map_and_the_people_are_for_those_who_may_read_resources() {
    let node = Node::start_with(MORE, &[]).await;
    let (alice, bob) = (node.sign_in("alice").await, node.sign_in("bob").await);
    for path in ["/v1/environments", "/v1/people"] {
        assert_eq!(node.call("GET", path, Some(&bob), None).await.status, 403, "{path}");
    }
    let map = node.call("GET", "/v1/environments", Some(&alice), None).await.json();
    assert_eq!(map[0]["name"], "lab");
    assert_eq!(map[0]["access"], "standing");
    assert_eq!(map[0]["targets"][0]["address"], "192.0.2.9:2200");
    assert_eq!(map[0]["targets"][0]["labels"]["app"], "web");
    assert_eq!(map[1]["access"], "on_request");
    assert_eq!(map[1]["approval"], "1 of leads");
    assert_eq!(map[1]["second_factor"], "for each session");
    let people = node.call("GET", "/v1/people", Some(&alice), None).await.json();
    let found = people.as_array().unwrap().iter().find(|one| one["name"] == "bob").unwrap();
    assert_eq!(found["roles"][0]["role"], "web");
    assert_eq!(found["roles"][0]["via"][0], "assignment `webs`");
}
