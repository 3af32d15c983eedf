//! What resources say about each other, and what changes between two sets of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::collections::BTreeMap;

use portcullis_domain::{Facts, Resource, ResourceKey};
use portcullis_resources::{ChangeKind, Located, Problem, check_references, diff, parse};

mod keys;

fn read(text: &str) -> Vec<Located<Resource>> {
    parse(&[("f.yaml", text)]).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

fn facts(text: &str) -> Facts {
    let mut facts = Facts::default();
    read(text).into_iter().for_each(|located| facts.insert(located.into_value()));
    facts
}

fn check(text: &str) -> Vec<Problem> {
    check_references(&read(text), &Facts::default())
}

fn environment(name: &str) -> String {
    format!("---\nkind: Environment\nmetadata: {{name: {name}}}\nspec: {{tier: test}}\n")
}

fn target(name: &str, environment: &str, ssh: &str) -> String {
    format!(
        "---\nkind: Target\nmetadata: {{name: {name}}}\nspec:\n  environment: {environment}\n  ssh: {{logins: [root], host_keys: ['{}'], {ssh}}}\n",
        keys::ed25519(1)
    )
}

fn user(name: &str, spec: &str) -> String {
    format!("---\nkind: User\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n")
}

#[test]
fn every_name_that_does_not_exist_is_reported_where_it_is_written() {
    let text = format!(
        "{}{}kind: Group\nmetadata: {{name: leads}}\nspec: {{}}\n---\nkind: Environment\nmetadata: {{name: production}}\nspec:\n  tier: production\n  approval: {{groups: [lead]}}\n---\nkind: Role\nmetadata: {{name: dev}}\nspec:\n  allow:\n    - {{actions: [shell], environments: [productoin], targets: [web]}}\n---\nkind: RoleAssignment\nmetadata: {{name: a}}\nspec: {{role: devs, users: [alice], groups: [leads, nobody-knows]}}\n",
        target("t", "prod", "host: h"),
        "---\n",
    );
    let found: Vec<(String, Option<String>)> = check(&text)
        .into_iter()
        .map(|p| (format!("{}:{} {}", p.line, p.column, p.message), p.suggestion))
        .collect();
    let said: Vec<&str> = found.iter().map(|(message, _)| message.as_str()).collect();
    assert_eq!(
        said,
        [
            "5:16 there is no Environment `prod`",
            "16:23 there is no Group `lead`",
            "22:41 there is no Environment `productoin`",
            "22:64 there is no Target `web`",
            "26:14 there is no Role `devs`",
            "26:28 there is no User `alice`",
            "26:52 there is no Group `nobody-knows`",
        ]
    );
    assert_eq!(found[1].1.as_deref(), Some("did you mean `leads`?"));
    assert_eq!(found[2].1.as_deref(), Some("did you mean `production`?"));
    assert_eq!(found[5].1.as_deref(), Some("declare User/alice or remove the reference"));
}

#[test]
fn what_is_in_force_counts_as_declared() {
    let existing = facts(&environment("prod"));
    assert_eq!(check_references(&read(&target("t", "prod", "host: h")), &existing), []);
}

#[test]
fn a_resource_in_force_that_loses_what_it_refers_to_is_reported() {
    let existing = facts(&user("alice", "groups: [gone]"));
    let found = check_references(&[], &existing);
    assert_eq!(found[0].message, "User/alice, which stays in force: there is no Group `gone`");
    assert!(found[0].to_string().starts_with("error: User/alice"), "{}", found[0]);
}

#[test]
fn one_ssh_key_does_not_sign_in_two_users_whatever_its_comment() {
    let key = keys::ed25519(9);
    let text = user("alice", &format!("ssh_keys: ['{key} alice']"))
        + &user("bob", &format!("ssh_keys: ['{key}   bob@laptop']"));
    let found = check(&text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].column), (10, 14));
    assert_eq!(found[0].message, "this SSH key already signs in User/alice (f.yaml:3)");
    let in_force = facts(&user("alice", &format!("ssh_keys: ['{key}']")));
    let bob = read(&user("bob", &format!("ssh_keys: ['{key}']")));
    assert!(check_references(&bob, &in_force)[0].message.contains("User/alice (in force)"));
    let alice = read(&user("alice", &format!("ssh_keys: ['{key}']")));
    assert_eq!(check_references(&alice, &in_force), []);
}

#[test]
fn a_secret_serves_one_environment() {
    let rooms = environment("a") + &environment("b");
    let one = target("t1", "a", "host: h1, credential: {key: {secret: s}}");
    let same = target("t2", "a", "host: h2, credential: {password: {secret: s}}");
    let other = target("t3", "b", "host: h3, credential: {password: {secret: s}}");
    assert_eq!(check(&format!("{rooms}{one}{same}")), []);
    let found = check(&format!("{rooms}{one}{same}{other}"));
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("the secret `s` already serves Target/t1"), "{}", found[0]);
}

#[test]
fn an_address_reaches_one_target() {
    let room = environment("a");
    for (first, second) in [
        ("host: h", "host: H."),
        ("host: h, aliases: [x]", "host: x"),
        ("host: h, aliases: [x]", "host: i, aliases: [X]"),
        ("host: 10.0.0.5", "host: i, aliases: ['::ffff:10.0.0.5']"),
        ("host: h, port: 2222", "host: h, port: 2222"),
    ] {
        let text = format!("{room}{}{}", target("t1", "a", first), target("t2", "a", second));
        let found = check(&text);
        assert_eq!(found.len(), 1, "{first} / {second}");
        assert!(found[0].message.contains("already reaches Target/t1 (f.yaml:7)"), "{}", found[0]);
    }
    let apart = target("t1", "a", "host: h") + &target("t2", "a", "host: h, port: 2222");
    assert_eq!(check(&format!("{room}{apart}")), []);
}

#[test]
fn ten_thousand_dangling_names_are_answered_quickly() {
    let names: Vec<String> = (0..9_999).map(|n| format!("group-{n}")).collect();
    let text: String = names
        .iter()
        .map(|name| format!("---\nkind: Group\nmetadata: {{name: {name}}}\nspec: {{}}\n"))
        .collect();
    let users = user("u", &format!("groups: [{}]", names.join("x,")));
    let began = std::time::Instant::now();
    let found = check(&format!("{text}{users}"));
    assert_eq!(found.len(), portcullis_resources::MAX_PROBLEMS + 1);
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

fn keyed(text: &str) -> BTreeMap<ResourceKey, Resource> {
    read(text).into_iter().map(|located| (located.value.key(), located.into_value())).collect()
}

#[test]
fn a_diff_speaks_of_fields_as_the_files_name_them() {
    let role = "---\nkind: Role\nmetadata: {name: r}\nspec: {allow: [{actions: [shell]}]}\n";
    let before =
        keyed(&(environment("a") + &target("t", "a", "host: h") + &user("old", "{}") + role));
    let after = keyed(
        &(environment("a")
            + &target("t", "a", "host: i, port: 2222, aliases: [x]")
            + &user("new", "{}")
            + &role.replace("[shell]", "[shell, exec]")),
    );
    let changes = diff(&before, &after);
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "+ User/new",
            "- User/old",
            "~ Target/t\n    spec.ssh.aliases: [\"x\"] (new)\n    spec.ssh.host: \"h\" -> \"i\"\n    spec.ssh.port: 22 -> 2222",
            "~ Role/r\n    spec.allow[0].actions: [\"shell\"] -> [\"shell\",\"exec\"]",
        ]
    );
    assert_eq!(diff(&after, &after), []);
    let ChangeKind::Changed { fields } = &changes[2].kind else { panic!() };
    assert_eq!((&fields[0].before, fields[1].path.as_str()), (&None, "spec.ssh.host"));
}

#[test]
fn roles_that_inherit_each_other_in_a_circle_are_each_reported_once() {
    let role = |name: &str, inherits: &str| {
        format!("---\nkind: Role\nmetadata: {{name: {name}}}\nspec: {{inherits: [{inherits}]}}\n")
    };
    let line = role("lead", "developer") + &role("developer", "reader") + &role("reader", "");
    assert!(check(&line).is_empty());
    let circle = role("a", "b") + &role("b", "c") + &role("c", "a") + &role("outside", "a");
    let said: Vec<String> = check(&circle).into_iter().map(|problem| problem.message).collect();
    assert_eq!(
        said,
        [
            "the role `a` inherits itself through `b`",
            "the role `b` inherits itself through `c`",
            "the role `c` inherits itself through `a`",
        ]
    );
    let itself = check(&role("own", "own"));
    assert_eq!(itself[0].message, "the role `own` inherits itself through `own`");
    let missing = check(&role("a", "nobody"));
    assert_eq!(missing[0].message, "there is no Role `nobody`");
}
