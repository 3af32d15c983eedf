//! The demo organisation: development, staging and production; a developer, a lead and a security
//! officer; the roles they hold. What `policies/matrix.txt` is about.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "names written here are names")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_domain::lock::LockKind;
use portcullis_domain::{
    Access, Action, ActionKind, ApprovalRule, Authentication, ControlAction, Environment, Factor,
    FactorKind, Facts, Grant, GrantId, GrantSource, Group, Lock, LockId, LockSubject, Login,
    PolicyText, PostgresCredential, PostgresTarget, PostgresTls, Protocol, Query, Recording,
    RequestId, Resource, Role, RoleAssignment, Rule, SshCredential, SshTarget, Target, Tier,
    Timestamp, User,
};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

pub(crate) fn facts() -> Facts {
    let mut facts = Facts::default();
    environments().into_iter().map(Resource::Environment).for_each(|r| facts.insert(r));
    for (name, description) in [
        ("developers", "Build and run the product"),
        ("leads", "Answer for a team's systems"),
        ("security", "Answer for who may do what"),
    ] {
        let name = name.parse().unwrap();
        facts.insert(Resource::Group(Group { name, description: Some(description.into()) }));
    }
    for (name, groups) in [
        ("dana", set(["developers"])),
        ("lee", set(["developers", "leads"])),
        ("sam", set(["security"])),
    ] {
        facts.insert(Resource::User(User { disabled: false, ..user(name, groups) }));
    }
    targets().into_iter().map(Resource::Target).for_each(|r| facts.insert(r));
    roles().into_iter().map(Resource::Role).for_each(|r| facts.insert(r));
    for (name, role, groups) in [
        ("developers-develop", "developer", set(["developers"])),
        ("leads-lead", "lead", set(["leads"])),
        ("security-watches", "security-officer", set(["security"])),
        ("guardrails-for-all", "guardrails", set(["developers", "leads", "security"])),
    ] {
        facts.insert(Resource::RoleAssignment(assignment(name, role, [], groups)));
    }
    facts.insert(Resource::Policy(PolicyText {
        name: "no-way-around".parse().unwrap(),
        description: Some("Production is not a way into other hosts by SSH".into()),
        cedar: r#"@description("no forward from production to an SSH port")
forbid (principal, action == Action::"forward", resource)
when { resource.tier == "production" && context.port == 22 };
"#
        .into(),
    }));
    facts
}

pub(crate) fn set<T: std::str::FromStr<Err: std::fmt::Debug> + Ord, const N: usize>(
    names: [&str; N],
) -> BTreeSet<T> {
    names.into_iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn user(name: &str, groups: BTreeSet<portcullis_domain::GroupName>) -> User {
    let name = name.parse().unwrap();
    User { name, full_name: None, groups, ssh_keys: Vec::new(), disabled: false }
}

pub(crate) fn assignment<const N: usize>(
    name: &str,
    role: &str,
    users: [&str; N],
    groups: BTreeSet<portcullis_domain::GroupName>,
) -> RoleAssignment {
    RoleAssignment {
        name: name.parse().unwrap(),
        role: role.parse().unwrap(),
        users: set(users),
        groups,
    }
}

pub(crate) fn environment(name: &str, tier: Tier) -> Environment {
    Environment {
        name: name.parse().unwrap(),
        tier,
        access: Access::Standing,
        approval: None,
        approval_for: BTreeMap::new(),
        requests: Default::default(),
        max_grant: Duration::from_secs(8 * 3600),
        second_factor_max_age: None,
        recording: Recording::BestEffort,
        recordings: Default::default(),
        max_session: None,
        idle_timeout: None,
    }
}

fn environments() -> [Environment; 3] {
    [
        environment("development", Tier::Development),
        Environment {
            second_factor_max_age: Some(Duration::from_secs(12 * 3600)),
            ..environment("staging", Tier::Staging)
        },
        Environment {
            access: Access::OnRequest,
            approval: Some(ApprovalRule::of(set(["leads", "security"]), 1)),
            second_factor_max_age: Some(Duration::ZERO),
            recording: Recording::Required,
            max_session: Some(Duration::from_secs(4 * 3600)),
            idle_timeout: Some(Duration::from_secs(900)),
            ..environment("production", Tier::Production)
        },
    ]
}

pub(crate) fn target(name: &str, environment: &str, team: &str, logins: &[&str]) -> Target {
    Target {
        name: name.parse().unwrap(),
        environment: environment.parse().unwrap(),
        labels: BTreeMap::from([("team".to_owned(), team.to_owned())]),
        protocol: Protocol::Ssh(SshTarget {
            host: "127.0.0.1".into(),
            port: 22,
            aliases: BTreeSet::new(),
            logins: logins.iter().map(|login| login.parse().unwrap()).collect(),
            host_keys: Vec::new(),
            host_authorities: Vec::new(),
            credential: SshCredential::Certificate,
            legacy_algorithms: BTreeSet::new(),
            accept_env: Vec::new(),
        }),
    }
}

pub(crate) fn database(name: &str, environment: &str, logins: &[&str]) -> Target {
    let protocol = Protocol::Postgres(PostgresTarget {
        host: "127.0.0.1".into(),
        port: 5432,
        aliases: BTreeSet::new(),
        databases: vec!["orders".into(), "hr".into()],
        logins: logins.iter().map(|login| login.parse().unwrap()).collect(),
        credentials: logins
            .iter()
            .map(|login| PostgresCredential::Password { secret: (*login).to_owned() })
            .collect(),
        tls: PostgresTls::SystemRoots,
    });
    Target { protocol, ..target(name, environment, "data", &["unused"]) }
}

fn targets() -> [Target; 5] {
    [
        database("orders-db", "production", &["app", "app_ro"]),
        target("dev-web", "development", "web", &["deploy", "root"]),
        target("staging-web", "staging", "web", &["deploy", "root"]),
        target("prod-web", "production", "web", &["deploy", "root"]),
        target("prod-db", "production", "data", &["postgres"]),
    ]
}

pub(crate) fn role(name: &str, description: &str, allow: Vec<Rule>, deny: Vec<Rule>) -> Role {
    let description = Some(description.to_owned());
    Role {
        name: name.parse().unwrap(),
        description,
        inherits: BTreeSet::new(),
        conditions: Default::default(),
        break_glass: None,
        allow,
        deny,
        control: BTreeSet::new(),
    }
}

pub(crate) fn rule<const N: usize>(environments: [&str; N], actions: &[ActionKind]) -> Rule {
    Rule {
        environments: set(environments),
        actions: actions.iter().copied().collect(),
        ..Rule::default()
    }
}

fn roles() -> [Role; 4] {
    use ActionKind::{
        AgentForward, DbConnect, DbCopyOut, DbDdl, DbPrivilege, DbRead, DbReplicate, DbServer,
        DbUnclassified, DbWrite, Download, Exec, Forward, RemoteForward, Shell, Upload,
    };
    let web = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
    let mut developer = vec![
        rule(["development"], &ActionKind::ALL),
        Rule {
            logins: set(["deploy"]),
            destinations: vec!["localhost:*".into(), "*.staging.internal:5432".into()],
            ..rule(["staging"], &[Shell, Exec, Upload, Download, Forward])
        },
        Rule {
            logins: set(["deploy"]),
            labels: web.clone(),
            commands: vec!["uptime".into(), "systemctl status *".into(), "journalctl *".into()],
            paths: vec!["/var/log/*".into()],
            ..rule(["production"], &[Shell, Exec, Download])
        },
    ];
    let reading = [DbConnect, DbRead, DbCopyOut];
    developer.push(Rule {
        logins: set(["app_ro"]),
        databases: vec!["orders".into()],
        ..rule(["production"], &reading)
    });
    let lead = vec![
        rule(["staging"], &ActionKind::ALL),
        Rule {
            labels: web,
            ..rule(["production"], &[Shell, Exec, Upload, Download, Forward, RemoteForward])
        },
        Rule { logins: set(["postgres"]), ..rule(["production"], &[Shell, Forward]) },
        Rule {
            logins: set(["app"]),
            databases: vec!["orders".into()],
            ..rule(["production"], &[DbConnect, DbRead, DbWrite, DbDdl])
        },
    ];
    let guardrails = vec![
        rule(["production"], &[AgentForward, RemoteForward]),
        rule(["production"], &[DbPrivilege, DbReplicate, DbServer, DbUnclassified]),
        Rule { paths: vec!["/etc/*".into(), "/boot/*".into()], ..rule(["production"], &[Upload]) },
    ];
    [
        role("developer", "Builds, and looks into production when let in", developer, vec![]),
        Role {
            control: [ControlAction::ReadResources, ControlAction::ListSessions].into(),
            ..role("lead", "Operates a team's systems when let in", lead, vec![])
        },
        Role {
            control: ControlAction::ALL.into(),
            ..role("security-officer", "Administers and watches; enters nothing", vec![], vec![])
        },
        role("guardrails", "What nobody does in production", vec![], guardrails),
    ]
}

/// The second factor, proved so many seconds before [`NOW`].
pub(crate) fn totp(age_seconds: i64) -> Factor {
    let at = Timestamp::from_millis(NOW.as_millis() - age_seconds * 1000);
    Factor { kind: FactorKind::Totp, at }
}

pub(crate) fn who(user: &str, factors: Vec<Factor>) -> Authentication {
    let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    Authentication { user: user.parse().unwrap(), factors, source }
}

pub(crate) fn query(user: &str, target: &str, login: Option<&str>, action: Action) -> Query {
    Query {
        who: who(user, Vec::new()),
        target: target.parse().unwrap(),
        login: login.map(|login| login.parse().unwrap()),
        action,
    }
}

pub(crate) fn exec(command: &str) -> Action {
    Action::Exec { command: command.into() }
}

pub(crate) fn grant(user: &str, target: &str) -> Grant {
    Grant {
        id: GrantId::new(NOW, [1; 10]),
        user: user.parse().unwrap(),
        target: target.parse().unwrap(),
        also: BTreeSet::new(),
        role: None,
        actions: BTreeSet::new(),
        login: None,
        ticket: None,
        starts: Timestamp::from_millis(NOW.as_millis() - 60_000),
        ends: Timestamp::from_millis(NOW.as_millis() + 3_600_000),
        source: GrantSource::Request { request: RequestId::new(NOW, [2; 10]), approved_by: vec![] },
        ended: None,
    }
}

pub(crate) fn lock(subject: LockSubject) -> Lock {
    Lock {
        id: LockId::new(NOW, [3; 10]),
        subject,
        kind: LockKind::Lock,
        reason: "laptop stolen".into(),
        by: "sam".parse().unwrap(),
        at: NOW,
        expires: None,
    }
}

pub(crate) fn login(name: &str) -> Login {
    name.parse().unwrap()
}
