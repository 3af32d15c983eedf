//! Facts out of YAML, over the corpus's base.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use std::path::PathBuf;
use std::sync::OnceLock;

use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::Policies;
use portcullis_proof::{Prover, Report, SolverSettings, check};
use portcullis_resources::{check_references, parse};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const BASE: &str = include_str!("../corpus/base.yaml");

/// The base and what the text adds to it or replaces.
pub(crate) fn facts(yaml: &str) -> Facts {
    let mut facts = Facts::default();
    for text in [BASE, yaml] {
        let parsed =
            parse(&[("f", text)]).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        assert_eq!(check_references(&parsed, &facts), vec![], "{text}");
        parsed.into_iter().for_each(|located| facts.insert(located.into_value()));
    }
    assert_eq!(check(&facts), vec![], "{yaml}");
    facts
}

pub(crate) fn policies(facts: &Facts) -> Policies {
    Policies::compile(facts).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn prover() -> &'static Prover {
    static PROVER: OnceLock<Prover> = OnceLock::new();
    PROVER.get_or_init(|| Prover::new(SolverSettings::default()))
}

pub(crate) fn prove(facts: &Facts) -> Report {
    prover().prove(facts, &policies(facts), NOW)
}

/// Settings with a solver of one's own making: a shell script.
pub(crate) fn scripted(directory: &std::path::Path, script: &str) -> SolverSettings {
    use std::os::unix::fs::PermissionsExt as _;
    let program: PathBuf = directory.join("solver");
    std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    SolverSettings { program, ..SolverSettings::default() }
}
