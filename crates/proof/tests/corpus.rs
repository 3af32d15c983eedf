//! Policy sets with known holes, each with a repaired twin (`tests/corpus/*.yaml`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

mod worlds;

use std::path::Path;

use portcullis_domain::Facts;
use portcullis_proof::{Report, Status};
use worlds::*;

const REPAIRED: &str = "# --- repaired ---\n";

#[test]
fn every_hole_is_found_with_a_counterexample_that_decide_confirms() {
    let mut count = 0;
    for (name, invariant, policy, hole, _) in corpus() {
        let report = prove(&hole);
        let proof = proof_of(&report, &invariant);
        assert_eq!(proof.status, Status::Broken, "{name}: {proof:#?}");
        let found = proof.counterexamples.iter().find(|c| c.policies.contains(&policy));
        let found = found.unwrap_or_else(|| panic!("{name}: {proof:#?}"));
        assert!(found.confirmed && found.allowed_by.contains(&policy), "{name}: {found:#?}");
        let others = report.invariants.iter().filter(|other| other.invariant != proof.invariant);
        for other in others {
            assert_eq!(other.status, Status::Proved, "{name}: {other:#?}");
        }
        count += 1;
    }
    assert!(count >= 15, "{count} policy sets");
}

#[test]
fn every_repaired_twin_is_proved() {
    for (name, _, _, _, repaired) in corpus() {
        let report = prove(&repaired);
        assert!(report.holds(), "{name}: {report:#?}");
    }
}

fn proof_of<'r>(report: &'r Report, name: &str) -> &'r portcullis_proof::Proof {
    report.invariants.iter().find(|proof| proof.invariant.as_str() == name).unwrap()
}

/// Name, invariant, policy, facts with the hole, facts repaired.
fn corpus() -> Vec<(String, String, String, Facts, Facts)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases = files.iter().filter(|path| !path.ends_with("base.yaml")).map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        let (first, _) = text.split_once('\n').unwrap();
        let words: Vec<&str> = first.split(' ').collect();
        let (hole, repaired) = text.split_once(REPAIRED).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, words[2].to_owned(), words[4].to_owned(), facts(hole), facts(repaired))
    });
    cases.collect()
}
