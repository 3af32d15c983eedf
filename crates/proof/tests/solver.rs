//! A solver that crashes, hangs, cannot tell, or talks nonsense proves nothing, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

mod worlds;

use std::time::{Duration, Instant};

use portcullis_proof::{Prover, Report, SolverSettings, Status};
use worlds::*;

const OPS: &str = "kind: Role
metadata: {name: ops}
spec: {allow: [{environments: [production], actions: [shell]}]}
---
kind: Invariant
metadata: {name: nobody-is-root}
spec: {never: {when: 'context.login == \"root\"', actions: [shell]}}
";
const VERSION: &str = "[ \"$1\" = --version ] && echo 'This is cvc5 version 9' && exit\n";

fn with(script: &str) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let settings = SolverSettings {
        per_query: Duration::from_millis(300),
        in_total: Duration::from_secs(3),
        ..scripted(directory.path(), script)
    };
    with_settings(settings)
}

fn with_settings(settings: SolverSettings) -> Report {
    let facts = facts(OPS);
    let began = Instant::now();
    let report = Prover::new(settings).prove(&facts, &policies(&facts), NOW);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    report
}

fn check(script: &str, said: &str) {
    let report = with(&format!("{VERSION}{script}"));
    assert!(!report.holds() && report.invariants.len() == 5, "{report:#?}");
    for proof in &report.invariants {
        assert_eq!(proof.status, Status::NotProved, "{proof:#?}");
        assert!(proof.why.iter().any(|why| why.contains(said)), "{said}: {:?}", proof.why);
    }
}

#[test]
fn a_solver_that_crashes_proves_nothing() {
    check("exit 3", "ended without an answer");
    check("kill -SEGV $$", "ended without an answer");
}

#[test]
fn a_solver_that_hangs_is_killed_in_time() {
    check("exec sleep 1000", "no answer within its time");
    // It does not even read its input.
    check("exec sleep 1000 < /dev/null", "no answer within its time");
}

#[test]
fn a_solver_that_cannot_tell_proves_nothing() {
    check("while read -r line; do case $line in *check-sat*) echo unknown;; esac; done", "unknown");
}

#[test]
fn a_solver_that_talks_nonsense_proves_nothing() {
    check("echo 'unsat unsat'; cat > /dev/null", "not an answer");
    check("printf '\\377\\376\\n'; cat > /dev/null", "longer than");
    check("exec yes unsatunsat", "not an answer");
    check("head -c 3000000 /dev/zero; cat > /dev/null", "longer than");
    let model = "while read -r line; do case $line in *check-sat*) echo sat;; *get-model*) echo '('; echo '(define-fun nonsense () Bool true)'; echo ')';; esac; done";
    let report = with(&format!("{VERSION}{model}"));
    assert!(!report.holds() && report.invariants.iter().all(|p| p.status != Status::Proved));
}

#[test]
fn a_model_without_end_is_cut_off() {
    check(
        r#"while read -r line; do case $line in *check-sat*) echo sat;; *get-model*) echo '('; yes "$(printf '%05000d' 0)";; esac; done"#,
        "longer than",
    );
}

#[test]
fn a_solver_that_is_not_there_says_what_to_install() {
    let missing = SolverSettings { program: "/nowhere/cvc5".into(), ..SolverSettings::default() };
    for report in [with_settings(missing), with("echo hello\n"), with("exec sleep 100\n")] {
        assert!(!report.holds() && report.solver.is_none());
        for proof in &report.invariants {
            assert_eq!(proof.status, Status::NotProved);
            assert!(proof.why.iter().any(|why| why.contains("apt install cvc5")), "{proof:?}");
        }
    }
}

#[test]
fn a_solver_without_memory_proves_nothing() {
    let settings = SolverSettings { memory_bytes: 4 * 1024 * 1024, ..SolverSettings::default() };
    let report = with_settings(settings);
    assert!(report.invariants.iter().all(|proof| proof.status == Status::NotProved), "{report:#?}");
}

#[test]
fn what_was_proved_is_not_asked_again_and_a_changed_question_is() {
    let prover = Prover::new(SolverSettings::default());
    let before = facts(
        "kind: Role\nmetadata: {name: ops}\nspec: {allow: [{environments: [production], actions: [shell]}]}\n",
    );
    let first = prover.prove(&before, &policies(&before), NOW);
    assert!(first.holds() && first.asked > 0, "{first:#?}");
    let again = prover.prove(&before, &policies(&before), NOW);
    assert!(again.holds() && again.asked == 0 && again.remembered > 0, "{again:#?}");
    let after = facts(
        "kind: Environment\nmetadata: {name: production}\nspec: {tier: production, second_factor: none}\n---\nkind: Role\nmetadata: {name: ops}\nspec: {allow: [{environments: [production], actions: [shell]}]}\n",
    );
    let changed = prover.prove(&after, &policies(&after), NOW);
    assert!(changed.asked > 0 && !changed.holds(), "{changed:#?}");
}

#[test]
fn policies_that_never_apply_can_fail_or_are_forbidden_altogether_are_named() {
    use portcullis_proof::FindingKind as K;
    let facts = facts(
        r#"kind: Policy
metadata: {name: odd}
spec:
  cedar: |
    permit (principal, action == Action::"shell", resource)
    when { resource.tier == "staging" && resource.tier == "test" };
    forbid (principal, action == Action::"forward", resource) when { context.port + 1 < 5 };
    permit (principal, action == Action::"forward", resource)
    when { context.port * 9223372036854775807 > 4 };
    permit (principal, action == Action::"upload", resource) when { resource.tier == "prod" };
---
kind: Policy
metadata: {name: freeze}
spec:
  cedar: |
    forbid (principal, action == Action::"exec", resource);
---
kind: Role
metadata: {name: runner}
spec:
  allow:
    - {environments: [development], actions: [exec]}
    - {environments: [development], targets: [prod-db], actions: [shell]}
    - {environments: [staging], actions: [shell]}
"#,
    );
    let report = prover().inspect(&facts, &policies(&facts), NOW);
    let found: Vec<(&str, K)> =
        report.findings.iter().map(|finding| (finding.policy.as_str(), finding.kind)).collect();
    for expected in [
        ("policy:odd:1", K::NeverApplies),
        ("policy:odd:2", K::CanFail),
        ("policy:odd:3", K::CanFail),
        ("policy:odd:4", K::NeverApplies),
        ("role:runner:allow:1", K::AlwaysForbidden),
        ("role:runner:allow:2", K::SelectsNothing),
        ("role:runner:allow:3", K::SelectsNothing),
    ] {
        assert!(found.contains(&expected), "{expected:?}: {found:#?}");
    }
    assert!(!found.iter().any(|(policy, _)| policy.starts_with("policy:freeze")), "{found:#?}");
}
