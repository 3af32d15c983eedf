//! What is odd about policies is said of those that are asked about, with a solver or without.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

mod worlds;

use std::collections::BTreeSet;

use portcullis_policy::Policies;
use portcullis_proof::{Finding, FindingKind, Prover, SolverSettings};
use worlds::*;

const ODD: &str = r#"kind: Role
metadata: {name: nowhere}
spec: {allow: [{environments: [production], labels: {app: none}, actions: [shell]}]}
---
kind: Role
metadata: {name: elsewhere}
spec: {allow: [{environments: [development], actions: [shell]}]}
---
kind: Invariant
metadata: {name: about-nothing}
spec: {never: {resource: {labels: {app: none}}, actions: [upload]}}
---
kind: Policy
metadata: {name: contradicts}
spec:
  cedar: |
    permit (principal, action, resource) when { context.granted && !context.granted };
"#;

fn odd(prover: &Prover, resources: &[&str]) -> Vec<Finding> {
    let facts = facts(ODD);
    let policies = Policies::compile(&facts).unwrap();
    let resources: BTreeSet<String> = resources.iter().map(|name| (*name).to_owned()).collect();
    prover.oddities(&facts, &policies, NOW, &resources)
}

#[test]
fn selectors_that_match_nothing_and_conditions_that_contradict_are_named_by_resource() {
    let all = ["Role/nowhere", "Role/elsewhere", "Invariant/about-nothing", "Policy/contradicts"];
    let found = odd(prover(), &all);
    let said: Vec<_> = found.iter().map(|one| (one.resource.as_str(), one.kind)).collect();
    assert_eq!(
        said,
        [
            ("Invariant/about-nothing", FindingKind::SelectsNothing),
            ("Policy/contradicts", FindingKind::NeverApplies),
            ("Role/nowhere", FindingKind::SelectsNothing),
        ],
        "{found:#?}"
    );
    assert!(odd(prover(), &["Role/elsewhere"]).is_empty());
}

#[test]
fn without_a_solver_what_selects_nothing_is_still_named() {
    let settings = SolverSettings { program: "/nowhere/cvc5".into(), ..Default::default() };
    let found = odd(&Prover::new(settings), &["Role/nowhere", "Policy/contradicts"]);
    let said: Vec<_> = found.iter().map(|one| one.resource.as_str()).collect();
    assert_eq!(said, ["Role/nowhere"], "{found:#?}");
}
