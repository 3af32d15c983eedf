//! Every resource reads back from its canonical YAML, and no input makes the parser panic or hang.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use portcullis_domain::conditions::{Weekday, Window};
use portcullis_domain::{
    Access, ActionKind, ApprovalRule, BreakGlass, Conditions, ControlAction, DatabaseAct,
    Environment, Escalation, Excepted, Exception, Group, Invariant, Never, PolicyText,
    PostgresCredential, PostgresTarget, PostgresTls, Protocol, Recording, Recordings, RequestTerms,
    Resource, Role, RoleAssignment, Rule, SeparationMode, SeparationOfDuties, SshCredential,
    SshTarget, Target, Tier, User,
};
use portcullis_resources::fuzzing::{fuzz_access_tests, fuzz_parse};
use portcullis_resources::{LEGACY_ALGORITHMS, parse, to_yaml, to_yaml_file};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

mod keys;

/// Words that YAML readers like to take for something else.
const TRICKY: [&str; 12] =
    ["no", "on", "yes", "off", "null", "true", "1e3", "0x16", "012", "1_000", "2026-11-22", "y"];

proptest! {
    #[test]
    fn a_resource_reads_back_from_its_yaml(resource in resource()) {
        let yaml = to_yaml(&resource);
        let found = parse(&[("f", &yaml)]).map_err(|p| TestCaseError::fail(format!("{}\n{yaml}", p[0])))?;
        prop_assert_eq!(found.len(), 1, "{}", yaml);
        prop_assert_eq!(&found[0].value, &resource, "{}", yaml);
        prop_assert_eq!(to_yaml(&found[0].value), yaml);
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes in vec(any::<u8>(), 0..600)) {
        answered(&bytes);
    }

    #[test]
    fn arbitrary_yaml_punctuation_is_answered(text in "[ \n\t:\\-\\[\\]{},&*!|>'\"%@#?~a<.\r]{0,200}") {
        answered(text.as_bytes());
    }

    #[test]
    fn a_mutated_document_is_answered(
        resource in resource(),
        cuts in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut bytes = to_yaml(&resource).into_bytes();
        for (index, byte, how) in cuts {
            if bytes.is_empty() { break; }
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        answered(&bytes);
    }
}

#[test]
fn a_key_stays_on_one_line() {
    let line = format!("{} alice of the web team at her second laptop", keys::ed25519(3));
    let user = format!("kind: User\nmetadata: {{name: u}}\nspec: {{ssh_keys: ['{line}']}}\n");
    let found = parse(&[("f", user)]).unwrap();
    assert!(to_yaml(&found[0].value).contains(&format!("\n  - {line}\n")));
}

#[test]
fn several_resources_make_one_file_that_reads_back() {
    let groups: Vec<Resource> = ["a", "b", "c"]
        .map(|name| Resource::Group(Group { name: name.parse().unwrap(), description: None }))
        .into();
    let found = parse(&[("f", to_yaml_file(&groups))]).unwrap();
    assert_eq!(found.into_iter().map(|l| l.into_value()).collect::<Vec<_>>(), groups);
}

#[test]
fn hostile_documents_of_a_mebibyte_are_answered_in_bounded_time() {
    const SIZE: usize = 1024 * 1024;
    let fill = |unit: &str| unit.repeat(SIZE / unit.len());
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n";
    for text in [
        bomb.to_owned(),
        fill("["),
        fill("{a: "),
        fill("- "),
        fill("? "),
        fill("&a "),
        fill("!a "),
        fill("a: {}\n"),
        fill("\"\\"),
        fill("#\n"),
        fill("---\n- a\n"),
        fill("--- !\n"),
        fill("kind: User\n"),
        format!("kind: User\nmetadata: {{name: u}}\nspec: {{groups: [{}]}}", fill("ab,")),
        format!("kind: {}", "x".repeat(SIZE - 100)),
        format!("kind: Group\nmetadata: {{name: g}}\nspec:\n  description: |\n{}", fill("   x\n")),
        format!("kind: Role\nmetadata: {{name: g}}\nspec: {{allow: [{}]}}", fill("{},")),
    ] {
        let began = Instant::now();
        let short: String = text.chars().take(20).collect();
        assert!(
            parse(&[("f", &text[..text.len().min(SIZE)])]).is_err() || text.starts_with('#'),
            "{short}"
        );
        assert!(began.elapsed() < Duration::from_secs(20), "{short}: {:?}", began.elapsed());
    }
}

fn answered(bytes: &[u8]) {
    let began = Instant::now();
    fuzz_parse(bytes);
    fuzz_access_tests(bytes);
    assert!(began.elapsed() < Duration::from_secs(5));
}

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        environment().prop_map(Resource::Environment),
        (name(), option::of(line())).prop_map(|(name, description)| {
            Resource::Group(Group { name: name.parse().unwrap(), description })
        }),
        user().prop_map(Resource::User),
        target().prop_map(Resource::Target),
        role().prop_map(Resource::Role),
        (name(), name(), names(), names()).prop_map(|(name, role, users, groups)| {
            Resource::RoleAssignment(RoleAssignment {
                name: name.parse().unwrap(),
                role: role.parse().unwrap(),
                users: parsed(users),
                groups: parsed(groups),
            })
        }),
        (name(), option::of(line()), cedar()).prop_map(|(name, description, cedar)| {
            Resource::Policy(PolicyText { name: name.parse().unwrap(), description, cedar })
        }),
        invariant().prop_map(Resource::Invariant),
        (name(), option::of(line()), btree_set(name(), 2..5), any::<bool>()).prop_map(
            |(name, description, roles, dynamic)| {
                Resource::SeparationOfDuties(SeparationOfDuties {
                    name: name.parse().unwrap(),
                    description,
                    roles: parsed(roles),
                    mode: if dynamic { SeparationMode::Dynamic } else { SeparationMode::Static },
                })
            }
        ),
    ]
}

fn invariant() -> impl Strategy<Value = Invariant> {
    let condition = || option::of(cedar().prop_map(|text| text.trim().to_owned()));
    let never = (
        (names(), names(), names()),
        btree_set(select(ActionKind::ALL.to_vec()), 0..4),
        btree_set(select(vec![Tier::Production, Tier::Staging, Tier::Development]), 0..3),
        (names(), names()),
        condition(),
        condition(),
    );
    let never = never.prop_map(|(who, actions, tiers, place, when, unless)| Never {
        groups: parsed(who.0),
        roles: parsed(who.1),
        users: parsed(who.2),
        // A statement about everything is refused.
        actions: if actions.is_empty() { [ActionKind::Shell].into() } else { actions },
        tiers,
        environments: parsed(place.0),
        targets: parsed(place.1),
        labels: BTreeMap::new(),
        when,
        unless,
    });
    let exception = (any::<bool>(), name(), name(), "[a-z]{1,20}", 0..4_000_000_000_000_i64);
    let exception = exception.prop_map(|(role, what, owner, reason, at)| Exception {
        what: if role {
            Excepted::Role(what.parse().unwrap())
        } else {
            Excepted::Policy(what.parse().unwrap())
        },
        owner: owner.parse().unwrap(),
        reason,
        expires: portcullis_domain::Timestamp::from_millis(at),
    });
    (name(), option::of(line()), never, vec(exception, 0..3)).prop_map(
        |(name, description, never, exceptions)| Invariant {
            name: name.parse().unwrap(),
            description,
            never: Some(never),
            exceptions,
        },
    )
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9][a-z0-9._-]{0,20}", 1 => select(TRICKY.to_vec()).prop_map(str::to_owned)]
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(name(), 0..4)
}

fn parsed<T: std::str::FromStr + Ord>(names: BTreeSet<String>) -> BTreeSet<T> {
    names.into_iter().filter_map(|name| name.parse().ok()).collect()
}

/// One line of free text, the awkward ones included.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[ -~äöüß…]{0,60}",
        1 => select(TRICKY.to_vec()).prop_map(str::to_owned),
        1 => "[#:'\"\\\\|>&*!%@`{}\\[\\], -]{1,12}",
    ]
}

fn cedar() -> impl Strategy<Value = String> {
    let lines = prop_oneof![3 => "[ -~]{0,40}", 1 => "[ \t]{0,4}[a-z;]{0,4}[ \t]{0,3}", 1 => Just("---".to_owned())];
    (vec(lines, 1..6), 0..3_usize)
        .prop_map(|(lines, ends)| format!("{}{}", lines.join("\n"), "\n".repeat(ends)))
        .prop_filter("a policy says something", |text| !text.trim().is_empty())
}

fn seconds(least: u64) -> impl Strategy<Value = Duration> {
    (least..400_000).prop_map(Duration::from_secs)
}

fn approval() -> impl Strategy<Value = ApprovalRule> {
    let leaf = (btree_set(name(), 1..4), 1..7_u32)
        .prop_map(|(groups, count)| ApprovalRule::of(parsed(groups), count));
    leaf.prop_recursive(3, 8, 2, |inner| {
        let parts = vec(inner, 1..3);
        prop_oneof![
            parts.clone().prop_map(|all| ApprovalRule::All { all }),
            parts.prop_map(|any| ApprovalRule::Any { any }),
        ]
    })
}

fn request_terms() -> impl Strategy<Value = RequestTerms> {
    let escalation = (seconds(1), btree_set(name(), 1..3))
        .prop_map(|(after, groups)| Escalation { after, groups: parsed(groups) });
    (seconds(1), option::of(escalation), option::of("[A-Z]{2,4}-#[*]?")).prop_map(
        |(expire_after, escalation, ticket)| RequestTerms { expire_after, escalation, ticket },
    )
}

fn environment() -> impl Strategy<Value = Environment> {
    let tier = select(vec![Tier::Production, Tier::Staging, Tier::Test, Tier::Development]);
    let recording = select(vec![Recording::Off, Recording::BestEffort, Recording::Required]);
    let durations =
        (seconds(1), option::of(seconds(0)), option::of(seconds(1)), option::of(seconds(1)));
    let action = select(ActionKind::ALL.to_vec());
    let approvals = (option::of(approval()), btree_map(action, approval(), 0..3), request_terms());
    let recordings = (option::of(seconds(1)), option::of(btree_set(name(), 1..4)))
        .prop_map(|(keep, readers)| Recordings { keep, readers: readers.map(parsed) });
    (name(), tier, any::<bool>(), approvals, (recording, recordings), durations).prop_map(
        |(
            name,
            tier,
            standing,
            approvals,
            (recording, recordings),
            (max_grant, second, max_session, idle),
        )| {
            let (approval, approval_for, requests) = approvals;
            let free = tier != Tier::Production;
            Environment {
                name: name.parse().unwrap(),
                tier,
                access: if free && standing { Access::Standing } else { Access::OnRequest },
                approval,
                approval_for,
                requests,
                max_grant,
                second_factor_max_age: second,
                recording: if free { recording } else { Recording::Required },
                recordings,
                max_session,
                idle_timeout: idle,
            }
        },
    )
}

fn key_lines(least: usize) -> impl Strategy<Value = Vec<String>> {
    let comment = prop_oneof![
        Just(String::new()),
        "[a-z0-9@#:.]{1,12}( [a-z:]{1,5})?".prop_map(|c| format!(" {c}"))
    ];
    btree_map(any::<u8>(), comment, least..4).prop_map(|keys| {
        keys.into_iter()
            .map(|(byte, comment)| format!("{}{comment}", keys::ed25519(byte)))
            .collect()
    })
}

fn user() -> impl Strategy<Value = User> {
    (name(), option::of(line()), names(), key_lines(0), any::<bool>()).prop_map(
        |(name, full_name, groups, ssh_keys, disabled)| User {
            name: name.parse().unwrap(),
            full_name,
            groups: parsed(groups),
            ssh_keys,
            disabled,
        },
    )
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(
        prop_oneof![
            "[a-zA-Z0-9][a-zA-Z0-9._/-]{0,12}",
            select(TRICKY.to_vec()).prop_map(str::to_owned)
        ],
        line(),
        0..4,
    )
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9_]{0,8}(\\.[a-z][a-z0-9]{0,8}){0,2}",
        any::<[u8; 4]>().prop_map(|b| std::net::Ipv4Addr::from(b).to_string()),
        any::<[u8; 16]>().prop_map(|b| std::net::IpAddr::from(b).to_canonical().to_string()),
    ]
}

fn logins() -> impl Strategy<Value = Vec<portcullis_domain::Login>> {
    btree_set("[a-zA-Z_][a-zA-Z0-9._$-]{0,10}", 1..4)
        .prop_map(|logins| logins.into_iter().map(|login| login.parse().unwrap()).collect())
}

fn target() -> impl Strategy<Value = Target> {
    let credential = prop_oneof![
        Just(SshCredential::Certificate),
        name().prop_map(|secret| SshCredential::Key { secret }),
        name().prop_map(|secret| SshCredential::Password { secret }),
    ];
    let legacy = subsequence(LEGACY_ALGORITHMS.to_vec(), 0..4);
    let env = btree_set("[A-Z_][A-Z0-9_]{0,8}\\*?", 0..4);
    let reach = (host(), 1..=u16::MAX, btree_set(host(), 0..3), logins());
    let proof = (key_lines(1), key_lines(0), credential, legacy, env);
    let ssh = (reach, proof).prop_map(|((host, port, aliases, logins), proof)| {
        let (host_keys, host_authorities, credential, legacy, env) = proof;
        Protocol::Ssh(SshTarget {
            host,
            port,
            aliases,
            logins,
            host_keys,
            host_authorities,
            credential,
            legacy_algorithms: legacy.into_iter().map(str::to_owned).collect(),
            accept_env: env.into_iter().collect(),
        })
    });
    (name(), name(), labels(), prop_oneof![ssh, postgres()]).prop_map(
        |(name, environment, labels, protocol)| Target {
            name: name.parse().unwrap(),
            environment: environment.parse().unwrap(),
            labels,
            protocol,
        },
    )
}

fn postgres() -> impl Strategy<Value = Protocol> {
    let authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let tls = select(vec![
        PostgresTls::SystemRoots,
        PostgresTls::Authority { certificates: authority.to_owned() },
        PostgresTls::Plaintext,
    ]);
    let reach = (host(), 1..=u16::MAX, btree_set(host(), 0..3), logins());
    let database = line().prop_filter("a database has a name", |name| !name.is_empty());
    (reach, btree_set(database, 1..3), name(), any::<bool>(), tls).prop_map(
        |((host, port, aliases, logins), databases, secret, password, tls)| {
            let credential = match password {
                true => PostgresCredential::Password { secret },
                false => PostgresCredential::Certificate { secret },
            };
            Protocol::Postgres(PostgresTarget {
                host,
                port,
                aliases,
                databases: databases.into_iter().collect(),
                credentials: vec![credential; logins.len()],
                logins,
                tls,
            })
        },
    )
}

fn role() -> impl Strategy<Value = Role> {
    let control = subsequence(ControlAction::ALL.to_vec(), 0..4);
    let glass = option::of(60_u64..28_800).prop_map(|seconds| {
        seconds.map(|seconds| BreakGlass { max_duration: Duration::from_secs(seconds) })
    });
    let about = (name(), option::of(line()), names(), conditions(), glass);
    (about, vec(rule(), 0..3), vec(rule(), 0..2), control).prop_map(
        |((name, description, inherits, conditions, break_glass), allow, deny, control)| {
            // Conditions stand alone: they would not hold for what is inherited.
            let plain = conditions.is_empty() && break_glass.is_none();
            Role {
                name: name.parse().unwrap(),
                description,
                inherits: if plain { parsed(inherits) } else { BTreeSet::new() },
                conditions,
                break_glass,
                allow,
                deny,
                control: control.into_iter().filter(|_| plain).collect(),
            }
        },
    )
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let time = || (0_u16..1440).prop_map(|m| format!("{:02}:{:02}", m / 60, m % 60));
    let zone = select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu"]);
    let days = subsequence(Weekday::ALL.to_vec(), 1..7);
    let window = (zone, days, time(), time())
        .prop_filter("a window lasts", |(_, _, from, to)| from != to)
        .prop_map(|(zone, days, from, to)| Window {
            time_zone: zone.parse().unwrap(),
            days: days.into_iter().collect(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        });
    let networks = subsequence(vec!["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"], 0..3);
    let ticket = option::of("[A-Z]{2,4}-[#*]");
    (option::of(0_u64..100_000), networks, btree_set(window, 0..3), ticket).prop_map(
        |(age, networks, hours, ticket)| Conditions {
            second_factor_max_age: age.map(Duration::from_secs),
            networks: networks.into_iter().map(|network| network.parse().unwrap()).collect(),
            hours,
            ticket,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let pattern = || line().prop_filter("a pattern says something", |text| !text.is_empty());
    let patterns =
        || btree_set(pattern(), 0..3).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let destinations = btree_set("[a-z*.]{1,8}:([1-9][0-9]{0,3}|\\*)", 0..3);
    let which = (names(), names(), labels(), option::of(logins()));
    let how = (subsequence(ActionKind::ALL.to_vec(), 1..7), patterns(), patterns(), destinations);
    (which, how).prop_map(|((environments, targets, labels, logins), how)| {
        let (actions, commands, paths, destinations) = how;
        let actions: BTreeSet<ActionKind> = actions.into_iter().collect();
        let any = |kinds: &[ActionKind]| kinds.iter().any(|kind| actions.contains(kind));
        Rule {
            environments: parsed(environments),
            targets: parsed(targets),
            labels,
            logins: logins.unwrap_or_default().into_iter().collect(),
            commands: if any(&[ActionKind::Exec]) { commands } else { Vec::new() },
            paths: if any(&[ActionKind::Upload, ActionKind::Download]) {
                paths
            } else {
                Vec::new()
            },
            databases: match DatabaseAct::ALL.iter().any(|act| actions.contains(&act.kind())) {
                true => vec!["orders".to_owned()],
                false => Vec::new(),
            },
            destinations: if any(&[ActionKind::Forward, ActionKind::RemoteForward]) {
                destinations.into_iter().collect()
            } else {
                Vec::new()
            },
            actions,
        }
    })
}
