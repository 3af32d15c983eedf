//! Permits proved together: one hole among many is found, and a change asks about little.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod worlds;

use std::fmt::Write as _;

use portcullis_policy::Policies;
use portcullis_proof::{Prover, Report, SolverSettings, Status};
use worlds::*;

const ROLES: usize = 150;
const NO_ROOT: &str = "kind: Invariant\nmetadata: {name: no-root}\nspec: {never: {resource: {tiers: [production]}, when: 'context.login == \"root\"'}}\n";

/// Roles that differ in label, account and pattern; these have these accounts.
fn roles(odd: &[(usize, &str)]) -> String {
    let mut yaml = NO_ROOT.to_owned();
    for number in 0..ROLES {
        let login = odd.iter().find(|(odd, _)| *odd == number).map(|(_, login)| *login);
        let login = login.map_or_else(|| format!("app-{number}"), str::to_owned);
        write!(
            yaml,
            "---\nkind: Role\nmetadata: {{name: many-{number}}}\nspec:\n  allow:\n    - {{environments: [production], labels: {{app: app-{number}}}, logins: [{login}], actions: [shell, exec, upload], commands: ['run-{number} *'], paths: ['/srv/{number}/*']}}\n"
        )
        .unwrap();
    }
    yaml
}

fn proved(prover: &Prover, yaml: &str) -> Report {
    let facts = facts(yaml);
    prover.prove(&facts, &Policies::compile(&facts).unwrap(), NOW)
}

#[test]
fn the_permits_that_break_an_invariant_are_found_among_many_that_do_not() {
    let prover = Prover::new(SolverSettings::default());
    let report = proved(&prover, &roles(&[(7, "root"), (149, "root")]));
    let proof = report.invariants.iter().find(|p| p.invariant.as_str() == "no-root").unwrap();
    assert_eq!(proof.status, Status::Broken);
    let mut broken: Vec<&str> = proof
        .counterexamples
        .iter()
        .inspect(|found| assert!(found.confirmed, "{found:#?}"))
        .flat_map(|found| &found.policies)
        .map(|id| id.split(':').nth(1).unwrap())
        .collect();
    broken.sort_unstable();
    broken.dedup();
    assert_eq!(broken, ["many-149", "many-7"]);
    assert!(proof.why.is_empty(), "{:?}", proof.why);
}

#[test]
fn many_permits_take_few_questions_and_a_changed_one_takes_fewer() {
    let prover = Prover::new(SolverSettings::default());
    let first = proved(&prover, &roles(&[]));
    assert!(first.holds(), "{first:#?}");
    assert!(first.asked < 30, "{} questions", first.asked);
    let again = proved(&prover, &roles(&[]));
    assert!(again.holds() && again.asked == 0, "{} questions", again.asked);
    let changed = proved(&prover, &roles(&[(7, "another")]));
    assert!(changed.holds() && (1..=3).contains(&changed.asked), "{} questions", changed.asked);
}
