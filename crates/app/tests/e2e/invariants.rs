//! What must never be possible, from the command line: proved, refuted, and in the way of an apply.

use serde_json::Value;

use crate::plan::Plan;
use crate::recorded::Desk;

const STAY_OUT: &str = "kind: Invariant
metadata: {name: developers-stay-out}
spec:
  description: Developers open no shell on production
  never: {principal: {groups: [developers]}, actions: [shell], resource: {tiers: [production]}}
";
const NARROWER: &str = "kind: Role
metadata: {name: developer}
spec:
  allow:
    - {environments: [open, guarded], labels: {app: web}, actions: [shell, exec]}
    - {environments: [prod], labels: {app: web}, actions: [exec]}
";

#[test]
fn an_apply_that_breaks_an_invariant_says_who_could_do_what_where_and_by_which_policy() {
    let gate = Plan::base().start();
    let terminal = Desk::of(&gate, "carol");
    let file = |name: &str, yaml: &str| {
        let path = gate.path(name);
        std::fs::write(&path, yaml).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (code, said) = terminal.run(&["prove"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("proved") && said.contains("production-needs-a-grant"), "{said}");

    let invariant = file("invariant.yaml", STAY_OUT);
    let (code, said) = terminal.run(&["prove", &invariant]);
    assert_eq!(code, Some(6), "{said}");
    for part in
        ["broken", "alice", "core", "shell", "role:developer:allow:1", "confirmed by decide"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = terminal.run(&["apply", "--yes", "-f", &invariant]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("developers-stay-out") && said.contains("role:developer:allow:1"),
        "{said}"
    );

    let both = file("both.yaml", &format!("{STAY_OUT}---\n{NARROWER}"));
    let (code, said) = terminal.run(&["apply", "--yes", "-f", &both]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = terminal.run(&["prove", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let view: Value = serde_json::from_str(&said).unwrap();
    let proofs = view["invariants"].as_array().unwrap();
    assert!(proofs.len() == 5 && proofs.iter().all(|proof| proof["status"] == "proved"), "{view}");
}
