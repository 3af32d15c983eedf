//! What is said about resources that are wrong, and where.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use portcullis_domain::{Access, Recording, Resource, SshCredential};
use portcullis_resources::{MAX_FILE_BYTES, MAX_PROBLEMS, Problem, parse};

mod keys;

fn problems(text: &str) -> Vec<Problem> {
    parse(&[("f.yaml", text)]).err().unwrap_or_default()
}

/// One problem, at a line and column, whose text has all of these parts.
#[track_caller]
fn check(text: &str, place: (u32, u32), parts: &[&str]) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    assert_eq!((found[0].line, found[0].column), place, "{}", found[0]);
    for part in parts {
        assert!(found[0].to_string().contains(part), "`{part}` is not in\n{}", found[0]);
    }
}

fn environment(spec: &str) -> String {
    format!("kind: Environment\nmetadata: {{name: e}}\nspec:\n  tier: production\n{spec}")
}

fn target(ssh: &str) -> String {
    format!(
        "kind: Target\nmetadata: {{name: t}}\nspec:\n  environment: e\n  ssh:\n    host: h\n    logins: [root]\n    host_keys: [\"{}\"]\n{ssh}",
        keys::ed25519(1)
    )
}

fn role(rule: &str) -> String {
    format!("kind: Role\nmetadata: {{name: r}}\nspec:\n  allow:\n    - {rule}\n")
}

#[test]
fn a_problem_shows_the_line_a_caret_and_what_was_meant() {
    let found =
        problems("kind: Environment\nmetadata: {name: e}\nspec:\n  teir: test\n  tier: test\n");
    assert_eq!(
        found[0].to_string(),
        "error: unknown field `teir` in the spec of an Environment\n --> f.yaml:4:3\n  |\n4 |   teir: test\n  |   ^^^^\n  = help: did you mean `tier`?"
    );
}

#[test]
fn the_frame_of_a_document_is_checked() {
    check(
        "kind: Enviroment\nmetadata: {name: e}\nspec: {}\n",
        (1, 7),
        &["not a kind", "`Environment`?"],
    );
    check("metadata: {name: e}\n", (1, 1), &["`kind` is missing"]);
    check("kind: Group\nspec: {}\n", (1, 1), &["`metadata` is missing"]);
    check("kind: Group\nmetadata: {name: g}\n", (1, 1), &["`spec` is missing", "spec: {}"]);
    check("kind: Group\nmetadata: {}\nspec: {}\n", (2, 11), &["`name` is missing in `metadata`"]);
    check(
        "kind: Group\nmetadata: {name: g, labels: {}}\nspec: {}\n",
        (2, 21),
        &["unknown field `labels`"],
    );
    check(
        "apiVersion: v1\nkind: Group\nmetadata: {name: g}\nspec: {}\n",
        (1, 1),
        &["unknown field"],
    );
    check("- kind: Group\n", (1, 1), &["expected the document with its fields, found a list"]);
    check("hello\n", (1, 1), &["found the text `hello`"]);
    check(
        "kind: Group\nmetadata: {name: g}\nspec:\n",
        (3, 5),
        &["found nothing", "remove the field"],
    );
}

#[test]
fn a_field_or_label_given_twice_is_refused_at_the_second() {
    check(&environment("  tier: test\n"), (5, 3), &["`tier` is given twice"]);
    check("kind: Group\nkind: Group\nmetadata: {name: g}\nspec: {}\n", (2, 1), &["twice"]);
    check(&target("").replace("name: t", "name: t, labels: {a: b, a: c}"), (2, 36), &["label `a`"]);
    check(
        "kind: User\nmetadata: {name: u}\nspec: {groups: [a, b, A]}\n",
        (3, 23),
        &["listed twice"],
    );
}

#[test]
fn names_are_text_and_well_formed() {
    for (name, part) in [
        ("-x", "not a group name"),
        ("a b", "not a group name"),
        ("123", "found the number `123`"),
        ("true", "found the boolean"),
        ("~", "found nothing"),
        ("\"\"", "cannot be empty"),
        ("\"a\\e[31m\"", "not a group name"),
        ("[a]", "found a list"),
    ] {
        let text = format!("kind: Group\nmetadata:\n  name: {name}\nspec: {{}}\n");
        check(&text, (3, 9), &[part]);
    }
    let long = format!("kind: Group\nmetadata:\n  name: {}\nspec: {{}}\n", "x".repeat(64));
    check(&long, (3, 9), &["at most 63"]);
}

#[test]
fn yaml_1_1_words_stay_text() {
    let found = parse(&[("f", "kind: Group\nmetadata: {name: no}\nspec: {description: yes}\n")]);
    let Resource::Group(group) = &found.unwrap()[0].value else { panic!() };
    assert_eq!((group.name.as_str(), group.description.as_deref()), ("no", Some("yes")));
    check(
        "kind: User\nmetadata: {name: u}\nspec: {disabled: yes}\n",
        (3, 18),
        &["expected `true` or `false`"],
    );
    check(&target("    port: 022\n"), (9, 11), &["found the text `022`"]);
    check(&target("    port: 0x16\n"), (9, 11), &["`0x16` is not a whole number from 1 to 65535"]);
    check(&target("    port: \"22\"\n"), (9, 11), &["without quotes"]);
    check(&target("    port: 22.0\n"), (9, 11), &["not a whole number"]);
    check(&target("    port: 65536\n"), (9, 11), &["65535"]);
    check(&target("    port: 0\n"), (9, 11), &["from 1"]);
    check(&target("").replace("[root]", "[1000]"), (7, 14), &["put it in quotes"]);
    check(
        &target("").replace("name: t", "name: t, labels: {v: 1.10}"),
        (2, 33),
        &["number `1.10`", "quotes"],
    );
}

#[test]
fn durations_need_units_and_a_meaning() {
    check(&environment("  max_grant: 8\n"), (5, 14), &["not a duration", "with its unit"]);
    check(&environment("  max_grant: 8 hours\n"), (5, 14), &["`8 hours` is not a duration"]);
    check(&environment("  max_grant: 0s\n"), (5, 14), &["cannot be zero"]);
    check(&environment("  idle_timeout: 0s\n"), (5, 17), &["cannot be zero"]);
}

#[test]
fn production_is_entered_on_request_and_on_the_record() {
    check(&environment("  access: standing\n"), (5, 11), &["cannot have standing access"]);
    check(&environment("  recording: off\n"), (5, 14), &["always recorded"]);
    check(&environment("  recording: best_effort\n"), (5, 14), &["always recorded"]);
    check(&environment("  approval: {groups: []}\n"), (5, 22), &["no group may approve"]);
    check(&environment("  approval: {groups: [g], count: 0}\n"), (5, 34), &["from 1 to 100"]);
    check(&environment("  second_factor: never\n"), (5, 18), &["`never` is not a rule", "`none`"]);
    check(&environment("  second_factor: {}\n"), (5, 18), &["`max_age` is missing"]);
}

#[test]
fn an_environment_gets_its_defaults_from_its_tier() {
    for (tier, access, recording, second) in [
        ("production", Access::OnRequest, Recording::Required, Some(0)),
        ("staging", Access::Standing, Recording::Required, None),
        ("test", Access::Standing, Recording::BestEffort, None),
        ("development", Access::Standing, Recording::BestEffort, None),
    ] {
        let text = format!("kind: Environment\nmetadata: {{name: E}}\nspec: {{tier: {tier}}}\n");
        let found = parse(&[("f", &text)]).unwrap();
        let Resource::Environment(e) = &found[0].value else { panic!() };
        let second_factor = e.second_factor_max_age.map(|age| age.as_secs());
        assert_eq!((e.access, e.recording, second_factor), (access, recording, second), "{tier}");
        assert_eq!((e.name.as_str(), e.max_grant.as_secs()), ("e", 8 * 3600));
        assert_eq!((e.max_session, e.idle_timeout, &e.approval), (None, None, &None));
    }
}

#[test]
fn a_target_gets_its_defaults() {
    let found = parse(&[("f", target(""))]).unwrap();
    let Resource::Target(t) = &found[0].value else { panic!() };
    assert_eq!(
        (t.ssh().unwrap().port, &t.ssh().unwrap().credential),
        (22, &SshCredential::Certificate)
    );
    assert_eq!(t.ssh().unwrap().accept_env, ["LANG", "LC_*"]);
}

#[test]
fn a_target_that_could_not_be_reached_safely_is_refused() {
    check(&target("    aliases: [\"10.1\"]\n"), (9, 15), &["not a host name or address"]);
    check(&target("    aliases: web\n"), (9, 14), &["expected a list", "`[web]`"]);
    check(&target("    legacy_algorithms: [none]\n"), (9, 25), &["older algorithm"]);
    check(
        &target("    legacy_algorithms: [diffie-hellman-group14-sha]\n"),
        (9, 25),
        &["did you mean `diffie-hellman-group14-sha1`?"],
    );
    check(&target("    accept_env: [\"*\"]\n"), (9, 18), &["let through", "everything"]);
    check(&target("    accept_env: [\"A=B\"]\n"), (9, 18), &["not a variable"]);
    check(&target("").replace("[root]", "[]"), (7, 13), &["without logins"]);
    check(&target("    host_authorities: [\"ssh-rsa AAAA\"]\n"), (9, 24), &["damaged or cut off"]);
    let unpinned =
        target("").lines().filter(|l| !l.contains("host_keys")).collect::<Vec<_>>().join("\n");
    check(&unpinned, (6, 5), &["neither `host_keys` nor `host_authorities`", "ssh-keyscan"]);
    check(&target("    credential: password\n"), (9, 17), &["`password` is not a credential"]);
    check(
        &target("    credential: {key: {secret: a}, password: {secret: b}}\n"),
        (9, 17),
        &["one credential"],
    );
}

#[test]
fn a_secret_pasted_where_its_name_belongs_is_not_repeated_in_the_message() {
    let text = target("    credential:\n      password:\n        secret: \"Hunter2 !\"\n");
    let found = problems(&text);
    assert!(found[0].message.contains("not the name of a secret"), "{}", found[0]);
    assert!(!found[0].message.contains("Hunter2"));
    assert!(!found[0].to_string().contains("Hunter2"), "{}", found[0]);
}

#[test]
fn a_rule_says_what_it_is_about() {
    check(
        &role("{environments: [e]}"),
        (5, 7),
        &["`actions` is missing", "no rule for everything"],
    );
    check(&role("{actions: []}"), (5, 17), &["at least one action"]);
    check(&role("{actions: [shel]}"), (5, 18), &["did you mean `shell`?"]);
    check(&role("{actions: [agent-forward]}"), (5, 18), &["did you mean `agent_forward`?"]);
    check(&role("{actions: [shell], commands: [ls]}"), (5, 36), &["restricts `exec` only"]);
    check(&role("{actions: [exec], paths: [/x]}"), (5, 32), &["`upload` and `download`"]);
    check(
        &role("{actions: [exec], destinations: ['a:*']}"),
        (5, 39),
        &["`forward` and `remote_forward`"],
    );
    check(&role("{actions: [forward], destinations: ['localhost']}"), (5, 43), &["`host:port`"]);
    check(&role("{actions: [forward], destinations: ['a:0']}"), (5, 43), &["not a destination"]);
    check(&role("{actions: [exec], commands: ['']}"), (5, 36), &["cannot be empty"]);
}

#[test]
fn free_text_with_control_characters_or_hidden_marks_is_refused() {
    for character in ["\\e", "\\n\\t", "\\u202e", "\\u200b", "\\0", "\\r"] {
        let text =
            format!("kind: User\nmetadata: {{name: u}}\nspec: {{full_name: \"a{character}b\"}}\n");
        check(&text, (3, 19), &["has the character", "not printed"]);
    }
    let long =
        format!("kind: User\nmetadata: {{name: u}}\nspec: {{full_name: {}}}\n", "ü".repeat(129));
    check(&long, (3, 19), &["at most 128 characters"]);
    let folded = "kind: Group\nmetadata: {name: g}\nspec:\n  description: >\n    one\n    two\n";
    let Resource::Group(group) = &parse(&[("f", folded)]).unwrap()[0].value else { panic!() };
    assert_eq!(group.description.as_deref(), Some("one two"));
    check(
        "kind: Policy\nmetadata: {name: p}\nspec: {cedar: \"a\\e\"}\n",
        (3, 15),
        &["not printed"],
    );
    check("kind: Policy\nmetadata: {name: p}\nspec: {cedar: \" \"}\n", (3, 15), &["no policy"]);
}

#[test]
fn every_problem_of_every_document_of_every_file_is_reported_at_its_own_line() {
    let first = "kind: Group\nmetadata: {name: -g}\nspec: {desc: 1, extra: 2}\n---\nkind: [\n---\nkind: Grup\n";
    let second = "\n\n---\nkind: User\nmetadata: {name: 7}\nspec: {disabled: 1}\n";
    let found = parse(&[("a", first), ("b", second)]).unwrap_err();
    let places: Vec<(&str, u32)> = found.iter().map(|p| (p.file.as_str(), p.line)).collect();

    assert!(places.contains(&("a", 2)) && places.contains(&("a", 3)), "{found:#?}");
    assert!(places.iter().any(|(file, line)| *file == "a" && (5..=6).contains(line)), "{found:#?}");
    assert!(places.contains(&("a", 7)), "{found:#?}");
    assert!(places.contains(&("b", 5)) && places.contains(&("b", 6)), "{found:#?}");
}

#[test]
fn a_resource_declared_twice_names_the_first_place() {
    let group = "kind: Group\nmetadata: {name: g}\nspec: {}\n";
    let found = parse(&[("a", group), ("b", &group.replace("name: g", "name: G"))]).unwrap_err();
    assert_eq!(found[0].message, "Group/g is declared twice; the first one is at a:2");
    assert_eq!((found[0].file.as_str(), found[0].line, found[0].column), ("b", 2, 18));
}

#[test]
fn files_with_line_breaks_of_other_systems_and_a_byte_order_mark_read_the_same() {
    let text = "\u{feff}kind: Policy\r\nmetadata: {name: p}\r\nspec:\r\n  cedar: |\r\n    permit(a,\r\n    b);\r\n---\r\n";
    let Resource::Policy(policy) = &parse(&[("f", text)]).unwrap()[0].value else { panic!() };
    assert_eq!(policy.cedar, "permit(a,\nb);\n");
}

#[test]
fn what_is_too_much_is_refused_with_the_bound() {
    let file = " ".repeat(MAX_FILE_BYTES + 1);
    assert!(problems(&file)[0].message.contains("1048576"));
    let documents = "---\na: 1\n".repeat(10_001);
    let found = problems(&documents);
    assert_eq!(found.len(), MAX_PROBLEMS + 1);
    let groups: String = (0..10_001)
        .map(|n| format!("---\nkind: Group\nmetadata: {{name: g{n}}}\nspec: {{}}\n"))
        .collect();
    assert!(problems(&groups).iter().any(|p| p.message.contains("more than 10000 documents")));
    let many: Vec<(String, &str)> = (0..1001).map(|n| (n.to_string(), "")).collect();
    assert!(parse(&many).unwrap_err()[0].message.contains("at most 1000 files"));
    let rules = format!(
        "kind: Role\nmetadata: {{name: r}}\nspec:\n  allow:\n{}",
        "    - {actions: [shell]}\n".repeat(257)
    );
    assert!(problems(&rules)[0].message.contains("256"));
}

#[test]
fn nothing_in_a_file_is_nothing_declared() {
    assert!(parse(&[("a", ""), ("b", "# nothing\n---\n---\n")]).unwrap().is_empty());
}
