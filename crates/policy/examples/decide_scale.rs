//! Prints how long `decide` takes where there is much to decide by: so many policies of roles, and
//! so many assignments of people to them. Three cases: a pair of person and target that was asked
//! about before (warm), one that was not (cold), and the mixture of both a gate sees when everyone
//! connects to a few targets of theirs.
//!
//! `cargo run --release -p portcullis-policy --example decide_scale [POLICIES] [ASSIGNMENTS] [--json]`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement prints, and stops at the first surprise"
)]

#[path = "../tests/organisation/mod.rs"]
mod organisation;

use std::time::Instant;

use organisation::{NOW, assignment, exec, facts, query, role, rule, set, target, totp, user, who};
use portcullis_domain::{ActionKind, Decision, Facts, Query, Resource, Rule};
use portcullis_policy::{Policies, decide};

/// Policies a role compiles to.
const POLICIES_PER_ROLE: usize = 2;
/// Assignments of one person.
const ASSIGNMENTS_PER_PERSON: usize = 10;
const ROUNDS: usize = 30_000;
/// Pairs that are asked about again and again: fewer than are kept.
const WARM_PAIRS: usize = 1000;
/// Decisions of one connection: the sign-in, the shell, files and commands.
const DECISIONS_PER_CONNECTION: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let policies = numbers.next().unwrap_or(10_000);
    let assignments = numbers.next().unwrap_or(100_000);
    let (facts, queries) = organisation_of(policies / POLICIES_PER_ROLE, assignments);
    let started = Instant::now();
    let compiled = Policies::compile(&facts).unwrap();
    let compile = started.elapsed();
    assert!(compiled.all().len() >= policies);
    let started = Instant::now();
    drop(compiled.refresh(&facts).unwrap());
    let refresh = started.elapsed();
    let few = &queries[..WARM_PAIRS.min(queries.len())];
    measure(&compiled, &facts, few.iter());
    let warm = measure(&compiled, &facts, few.iter().cycle().take(ROUNDS));
    let compiled = Policies::compile(&facts).unwrap();
    let cold = measure(&compiled, &facts, queries.iter().take(ROUNDS));
    let compiled = Policies::compile(&facts).unwrap();
    let connections = queries.iter().flat_map(|q| std::iter::repeat_n(q, DECISIONS_PER_CONNECTION));
    let mixed = measure(&compiled, &facts, connections.take(ROUNDS));
    for (what, times) in [("warm", warm), ("cold", cold), ("mixed", mixed)] {
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        if json {
            println!(
                r#"{{"bench":"decide_scale","case":"{what}","policies":{policies},"assignments":{assignments},"p50_us":{p50:.2},"p99_us":{p99:.2}}}"#
            );
        } else {
            println!("{what:<8} p50 {p50:>7.1} us, p99 {p99:>7.1} us");
        }
    }
    if !json {
        println!("compile {compile:.1?}, refresh after a grant {refresh:.1?}");
    }
}

/// So many roles over as many targets, and so many assignments, each of one person to one role.
/// Every person is asked about on a target of each of their roles.
fn organisation_of(roles: usize, assignments: usize) -> (Facts, Vec<Query>) {
    let mut facts = facts();
    for n in 0..roles {
        let host = format!("host-{n}");
        facts.insert(Resource::Target(target(&host, "staging", "web", &["deploy", "root"])));
        let rules = vec![
            Rule { targets: set([host.as_str()]), ..rule([], &ActionKind::ALL) },
            Rule {
                commands: vec!["systemctl status *".into(), "uptime".into()],
                ..rule(["production"], &[ActionKind::Exec])
            },
        ];
        facts.insert(Resource::Role(role(&format!("role-{n}"), "one of many", rules, Vec::new())));
    }
    let mut queries = Vec::new();
    for n in 0..assignments {
        let person = n / ASSIGNMENTS_PER_PERSON;
        let name = format!("person-{person}");
        if n % ASSIGNMENTS_PER_PERSON == 0 {
            facts.insert(Resource::User(user(&name, set(["developers"]))));
        }
        let number = (person * 7 + n * 13) % roles;
        let given =
            assignment(&format!("gives-{n}"), &format!("role-{number}"), [name.as_str()], set([]));
        facts.insert(Resource::RoleAssignment(given));
        let host = format!("host-{number}");
        let mut asked = query(&name, &host, Some("deploy"), exec("systemctl status x"));
        asked.who = who(&name, vec![totp(1)]);
        queries.push(asked);
    }
    // People come in no order.
    let mut state = 1_u64;
    for last in (1..queries.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        queries.swap(last, (state >> 33) as usize % (last + 1));
    }
    (facts, queries)
}

fn measure<'q>(
    policies: &Policies,
    facts: &Facts,
    queries: impl Iterator<Item = &'q Query>,
) -> Vec<f64> {
    let mut times = Vec::new();
    for query in queries {
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
