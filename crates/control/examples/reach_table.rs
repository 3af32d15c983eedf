//! How long `plan` takes to say who gains and who loses: `cargo run --release -p portcullis-control
//! --example reach_table [PEOPLE] [TARGETS] [--json]`. A hundred roles over fifty applications in
//! three environments; everyone is in three of fifty groups. The change lets one role into another
//! environment, gives a group a second role and takes a person away.
#![allow(clippy::print_stdout, reason = "prints what it measured")]

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use portcullis_control::reach_for_measurement as reach;
use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::Policies;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const APPLICATIONS: usize = 50;
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

fn facts(people: usize, targets: usize, changed: bool) -> Result<Facts, Box<dyn Error>> {
    let mut yaml = String::new();
    let mut add = |text: String| {
        yaml.push_str("---\n");
        yaml.push_str(&text);
    };
    for tier in ENVIRONMENTS {
        let access = if tier == "production" { "on_request" } else { "standing" };
        add(format!(
            "kind: Environment\nmetadata: {{name: {tier}}}\nspec: {{tier: {tier}, access: {access}}}\n"
        ));
    }
    for number in 0..APPLICATIONS {
        add(format!("kind: Group\nmetadata: {{name: group-{number}}}\nspec: {{}}\n"));
        for (role, environment, actions) in [
            ("works-on", "development, staging", "shell, exec, upload, download, forward"),
            ("operates", "production", "shell, exec, download"),
        ] {
            let more = if changed && number == 0 { ", production" } else { "" };
            let environment = if role == "works-on" {
                format!("{environment}{more}")
            } else {
                environment.to_owned()
            };
            add(format!(
                "kind: Role\nmetadata: {{name: {role}-{number}}}\nspec:\n  allow:\n    - {{environments: [{environment}], labels: {{app: app-{number}}}, logins: [deploy], actions: [{actions}]}}\n"
            ));
            let second = if role == "operates" || changed && number == 1 {
                format!("group-{number}, group-{}", (number + 1) % APPLICATIONS)
            } else {
                format!("group-{number}")
            };
            add(format!(
                "kind: RoleAssignment\nmetadata: {{name: {role}-{number}}}\nspec: {{role: {role}-{number}, groups: [{second}]}}\n"
            ));
        }
    }
    for number in usize::from(changed)..people {
        let groups = [number, number * 7 + 1, number * 13 + 2].map(|n| n % APPLICATIONS);
        let groups: BTreeSet<String> = groups.iter().map(|n| format!("group-{n}")).collect();
        let groups = groups.into_iter().collect::<Vec<_>>().join(", ");
        add(format!(
            "kind: User\nmetadata: {{name: person-{number}}}\nspec: {{groups: [{groups}]}}\n"
        ));
    }
    for number in 0..targets {
        let environment =
            ENVIRONMENTS.get(number % ENVIRONMENTS.len()).copied().unwrap_or_default();
        let application = number / ENVIRONMENTS.len() % APPLICATIONS;
        add(format!(
            "kind: Target\nmetadata: {{name: host-{number}, labels: {{app: app-{application}}}}}\nspec: {{environment: {environment}, ssh: {{host: 192.0.2.1, port: {}, logins: [deploy, root], host_keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF7i1gDGBPNq0H1v9OhKJ3n7YO9GvXVKg6sN1JXo0Wk4\"]}}}}\n",
            1024 + number
        ));
    }
    let mut facts = Facts::default();
    for chunk in yaml.split_inclusive("---\n").collect::<Vec<_>>().chunks(1000) {
        let text = chunk.concat();
        let parsed = portcullis_resources::parse(&[("f", text.as_str())])
            .map_err(|p| p.first().map_or_else(String::new, ToString::to_string))?;
        parsed.into_iter().for_each(|located| facts.insert(located.into_value()));
    }
    Ok(facts)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let people = numbers.next().unwrap_or(1000);
    let targets = numbers.next().unwrap_or(1000);
    let (before, after) = (facts(people, targets, false)?, facts(people, targets, true)?);
    let (old, new) = (Policies::compile(&before)?, Policies::compile(&after)?);
    let began = Instant::now();
    let rows = reach(&old, &before, &new, &after, NOW);
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let gains = rows.iter().filter(|row| row.gains).count();
    if json {
        println!(
            r#"{{"bench":"reach_table","people":{people},"targets":{targets},"ms":{milliseconds:.1},"rows":{},"gains":{gains}}}"#,
            rows.len()
        );
    } else {
        println!(
            "{people} people x {targets} targets: {milliseconds:.0} ms, {} rows, {gains} of them gains",
            rows.len()
        );
    }
    Ok(())
}
