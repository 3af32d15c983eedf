//! The documentation prints the built-in invariants as they are.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

#[test]
fn the_built_in_invariants_are_printed_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proofs.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (name, cedar) in portcullis_proof::BUILTIN {
        assert!(
            text.contains(&format!("```cedar\n{cedar}```")),
            "`{name}` is not in docs/proofs.md"
        );
        assert!(cedar.contains(&format!("@id(\"{name}\")")), "`{name}` has another id");
    }
}
