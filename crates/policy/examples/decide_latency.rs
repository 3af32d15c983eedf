//! Prints how long `decide` takes at 10, 100 and 1,000 roles: with a kept slice (warm), for a
//! person and target not seen before (cold), and for someone who holds every role.
//!
//! `cargo run --release -p portcullis-policy --example decide_latency`; with `--json`, one JSON
//! object per line for the bench.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise"
)]

#[path = "../tests/organisation/mod.rs"]
mod organisation;

use std::time::Instant;

use organisation::{NOW, assignment, exec, facts, query, role, rule, set, target, totp, user, who};
use portcullis_domain::{ActionKind, Decision, Facts, GroupName, Login, Query, Resource, Rule};
use portcullis_policy::{Policies, decide};

const PEOPLE: usize = 200;
const ROUNDS: usize = 20_000;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("decide, microseconds      roles     p50     p99");
    }
    for roles in [10, 100, 1000] {
        let (facts, queries) = organisation_of(roles);
        let started = Instant::now();
        let policies = Policies::compile(&facts).unwrap();
        let compiled = started.elapsed();
        let cold = measure(&policies, &facts, &queries, queries.len());
        let warm = measure(&policies, &facts, &queries, ROUNDS);
        let everything = Query { who: who("omni", vec![totp(1)]), ..queries[0].clone() };
        let omni = measure(&policies, &facts, std::slice::from_ref(&everything), ROUNDS);
        let started = Instant::now();
        let refreshed = policies.refresh(&facts).unwrap();
        let refresh = started.elapsed();
        assert_eq!(refreshed.revision(), policies.revision());
        for (what, times) in [("warm", warm), ("cold", cold), ("warm, holds every role", omni)] {
            let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
            if json {
                println!(
                    r#"{{"bench":"decide","case":"{what}","roles":{roles},"p50_us":{p50:.2},"p99_us":{p99:.2}}}"#
                );
            } else {
                println!("{what:<24} {roles:>6} {p50:>7.1} {p99:>7.1}");
            }
        }
        if !json {
            println!("  compile {compiled:.1?}, refresh after a grant {refresh:.1?}");
        }
    }
}

/// So many roles over as many targets; everyone holds three of them, one person all.
fn organisation_of(roles: usize) -> (Facts, Vec<Query>) {
    let mut facts = facts();
    let mut queries = Vec::new();
    for n in 0..roles {
        let host = format!("host-{n}");
        facts.insert(Resource::Target(target(&host, "staging", "web", &["deploy", "root"])));
        let rules = vec![
            Rule { targets: set([host.as_str()]), ..rule([], &ActionKind::ALL) },
            Rule {
                commands: vec!["systemctl status *".into(), "uptime".into()],
                logins: [Login::new("deploy").unwrap()].into(),
                ..rule(["production"], &[ActionKind::Exec])
            },
        ];
        let name = format!("role-{n}");
        facts.insert(Resource::Role(role(&name, "one of many", rules, Vec::new())));
        let group: GroupName = format!("group-{n}").parse().unwrap();
        let given = assignment(&format!("gives-{n}"), &name, ["omni"], [group].into());
        facts.insert(Resource::RoleAssignment(given));
    }
    facts.insert(Resource::User(user("omni", set(["developers"]))));
    for n in 0..PEOPLE {
        let name = format!("person-{n}");
        let groups = [n, n * 7 + 1, n * 13 + 2].map(|g| format!("group-{}", g % roles));
        let groups = groups.iter().map(|g| g.parse().unwrap()).chain(set(["developers"]));
        facts.insert(Resource::User(user(&name, groups.collect())));
        let mut asked = query(
            &name,
            &format!("host-{}", n % roles),
            Some("deploy"),
            exec("systemctl status x"),
        );
        asked.who = who(&name, vec![totp(1)]);
        queries.push(asked);
    }
    (facts, queries)
}

fn measure(policies: &Policies, facts: &Facts, queries: &[Query], rounds: usize) -> Vec<f64> {
    let mut times = Vec::with_capacity(rounds);
    for query in queries.iter().cycle().take(rounds) {
        let started = Instant::now();
        let decision = decide(policies, facts, query, NOW);
        times.push(started.elapsed().as_secs_f64() * 1e6);
        assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
    }
    times.sort_by(f64::total_cmp);
    times
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}
