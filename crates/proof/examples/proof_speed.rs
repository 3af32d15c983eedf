//! How long proofs take: `cargo run --release -p portcullis-proof --example proof_speed [ROLES]`.
#![allow(clippy::print_stdout, reason = "prints what it measured")]

use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::Policies;
use portcullis_proof::{Prover, SolverSettings};

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn facts(roles: usize, changed: bool) -> Result<Facts, Box<dyn std::error::Error>> {
    let mut yaml = String::from(
        "kind: Environment\nmetadata: {name: development}\nspec: {tier: development}\n---\n\
         kind: Environment\nmetadata: {name: production}\nspec: {tier: production}\n---\n\
         kind: Invariant\nmetadata: {name: no-root}\nspec: {never: {resource: {tiers: [production]}, when: 'context.login == \"root\"'}}\n",
    );
    for number in 0..roles {
        let login = if changed && number == 0 { "other" } else { "deploy" };
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let roles = std::env::args().nth(1).map_or(Ok(100), |text| text.parse())?;
    let prover = Prover::new(SolverSettings::default());
    for (what, changed) in [("first", false), ("again", false), ("one role changed", true)] {
        let facts = facts(roles, changed)?;
        let report = prover.prove(&facts, &Policies::compile(&facts)?, NOW);
        println!(
            "{roles} roles, {what}: {} ms, {} asked, {} remembered, holds: {}",
            report.milliseconds,
            report.asked,
            report.remembered,
            report.holds()
        );
    }
    Ok(())
}
