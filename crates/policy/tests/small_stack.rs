//! Cedar skips a policy it has no stack for, a `forbid` included. On whatever thread a decision is
//! taken, the forbidden is never allowed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise, in their own functions too"
)]

mod organisation;

use std::sync::Arc;

use organisation::*;
use portcullis_domain::{Action, Decision, Denial, PolicyText, Resource};
use portcullis_policy::{CompileError, MIN_STACK_BYTES, Policies, decide};

/// As deep and long as a raw policy may be.
fn deep_forbid() -> String {
    let deep = format!("{}context.granted{}", "(!".repeat(14), ")".repeat(14));
    let chain = "context.login like \"*\" && ".repeat(250);
    format!("forbid (principal, action, resource) when {{ {chain}({deep} || !{deep}) }};")
}

#[test]
fn a_forbidden_action_is_never_allowed_on_any_stack() {
    let mut facts = facts();
    facts.insert(Resource::Policy(PolicyText {
        name: "never".parse().unwrap(),
        description: None,
        cedar: deep_forbid(),
    }));
    let policies = Policies::compile(&facts).unwrap();
    let facts = Arc::new(facts);
    for kib in [64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 2048, 4096] {
        let (policies, facts) = (policies.clone(), Arc::clone(&facts));
        let decision = on_a_stack_of(kib * 1024, move || {
            let query = query("dana", "dev-web", Some("root"), Action::Shell);
            decide(&policies, &facts, &query, NOW)
        });
        match decision {
            Decision::Deny(Denial::Forbidden { policies }) => {
                assert_eq!(policies, ["policy:never:1"]);
                assert!(kib * 1024 > 256 * 1024, "{kib} KiB are too few to be sure");
            }
            Decision::Deny(Denial::PolicyError { errors }) => {
                assert!(kib * 1024 < MIN_STACK_BYTES, "{kib} KiB: {errors:?}");
            }
            other => panic!("on {kib} KiB: {other:?}"),
        }
    }
}

#[test]
fn policies_are_not_compiled_on_a_small_stack() {
    let compiled = on_a_stack_of(256 * 1024, || Policies::compile(&facts()).map(|_| ()));
    assert!(matches!(compiled, Err(CompileError::Stack(_))));
}

fn on_a_stack_of<T: Send + 'static>(bytes: usize, run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(bytes).spawn(run).unwrap().join().unwrap()
}
