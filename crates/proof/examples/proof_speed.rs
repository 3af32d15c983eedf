//! How long proofs take: `cargo run --release -p portcullis-proof --example proof_speed [ROLES]
//! [--json]`. The built-in invariants alone, then with one of one's own that no forbid proves, over
//! roles that differ in a label and an account; each from nothing, again, and with one role changed.
#![allow(clippy::print_stdout, reason = "prints what it measured")]

use std::error::Error;

use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::Policies;
use portcullis_proof::{Prover, SolverSettings};

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const ENVIRONMENTS: &str = "kind: Environment\nmetadata: {name: development}\nspec: {tier: development}\n---\n\
     kind: Environment\nmetadata: {name: production}\nspec: {tier: production}\n";
const CUSTOM: &str = "---\nkind: Invariant\nmetadata: {name: no-root}\nspec: {never: {resource: {tiers: [production]}, when: 'context.login == \"root\"'}}\n";

fn facts(roles: usize, custom: bool, changed: bool) -> Result<Facts, Box<dyn Error>> {
    let mut yaml = ENVIRONMENTS.to_owned();
    if custom {
        yaml.push_str(CUSTOM);
    }
    for number in 0..roles {
        let login = if changed && number == 0 { "other".into() } else { format!("app-{number}") };
        yaml.push_str(&format!(
            "---\nkind: Role\nmetadata: {{name: role-{number}}}\nspec:\n  allow:\n    - {{environments: [development], actions: [shell, exec, upload]}}\n    - {{environments: [production], labels: {{app: app-{number}}}, logins: [{login}], actions: [shell, exec]}}\n"
        ));
    }
    let mut facts = Facts::default();
    let parsed =
        portcullis_resources::parse(&[("f", yaml.as_str())]).map_err(|p| format!("{p:?}"))?;
    parsed.into_iter().for_each(|located| facts.insert(located.into_value()));
    Ok(facts)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let roles = arguments.iter().find_map(|text| text.parse().ok()).unwrap_or(100);
    for (invariants, custom) in [("built in", false), ("and a custom one", true)] {
        let prover = Prover::new(SolverSettings::default());
        for (what, changed) in [("first", false), ("again", false), ("one role changed", true)] {
            let facts = facts(roles, custom, changed)?;
            let report = prover.prove(&facts, &Policies::compile(&facts)?, NOW);
            let (ms, solver) = (report.milliseconds, report.solver_milliseconds);
            let (asked, holds) = (report.asked, report.holds());
            if json {
                println!(
                    r#"{{"bench":"proof","roles":{roles},"invariants":"{invariants}","case":"{what}","ms":{ms},"solver_ms":{solver},"asked":{asked},"holds":{holds}}}"#
                );
            } else {
                println!(
                    "{roles} roles, invariants {invariants}, {what}: {ms} ms (solvers {solver} ms), {asked} asked, {} remembered, holds: {holds}",
                    report.remembered
                );
            }
        }
    }
    Ok(())
}
