//! Holds the crates' dependencies against the table of what they may use.
//!
//! In: the JSON of `cargo metadata --no-deps`. Out: an edge or a fenced dependency that the
//! table does not allow, and a row of the table that nothing uses any more.
//!
//! Must never know: what lies in the crates.

mod table;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::finding::Finding;
pub(crate) use table::PURE;
use table::{EDGES, Edge, FENCES, Fence, IMPURE, TEST_EDGES, TESTKIT};

const TABLE: &str = "xtask/src/layers/table.rs";
const PREFIX: &str = "portcullis-";
/// The crate that holds the rules stands outside them.
const OUTSIDE: &str = "xtask";

/// What is held against the metadata; the real one is in `table`.
struct Rules {
    edges: &'static [Edge],
    test_edges: &'static [Edge],
    fences: &'static [Fence],
}

/// One dependency of one crate, the prefix of our own crates taken off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Dependency {
    from: String,
    to: String,
    ours: bool,
    test: bool,
}

/// Checks the metadata against the table.
pub(crate) fn check(metadata: &str) -> Result<Vec<Finding>, String> {
    let dependencies = dependencies(metadata)?;
    let rules = Rules { edges: EDGES, test_edges: TEST_EDGES, fences: FENCES };
    Ok(held_against(&rules, &dependencies))
}

fn held_against(rules: &Rules, dependencies: &BTreeSet<Dependency>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in dependencies {
        findings.extend(edge_breach(rules, dependency));
        findings.extend(fence_breach(rules, dependency));
        findings.extend(purity_breach(dependency));
    }
    findings.extend(unused_rows(rules, dependencies));
    findings
}

fn edge_breach(rules: &Rules, dependency: &Dependency) -> Option<Finding> {
    let Dependency { from, to, ours, test } = dependency;
    let allowed = |edges: &[Edge]| edges.iter().any(|edge| edge.from == from && edge.to == to);
    if !ours
        || (*test && to == TESTKIT)
        || allowed(rules.edges)
        || (*test && allowed(rules.test_edges))
    {
        return None;
    }
    let remedy = if to == TESTKIT {
        "move it to [dev-dependencies]: the testkit is never shipped".to_owned()
    } else {
        format!("go through a layer that may, or add the edge with its reason to {TABLE}")
    };
    Some(breach(from, format!("`{from}` may not use `{to}`; {remedy}")))
}

fn fence_breach(rules: &Rules, dependency: &Dependency) -> Option<Finding> {
    let Dependency { from, to, .. } = dependency;
    let fence = rules.fences.iter().find(|fence| fence.dependency == to)?;
    if dependency.ours || fence.inside.contains(&from.as_str()) {
        return None;
    }
    let inside = fence.inside.join("`, `");
    Some(breach(
        from,
        format!("`{from}` may not name `{to}`: {}; only `{inside}` may", fence.reason),
    ))
}

fn purity_breach(dependency: &Dependency) -> Option<Finding> {
    let Dependency { from, to, ours, test } = dependency;
    let impure = !ours && !test && PURE.contains(&from.as_str()) && IMPURE.contains(&to.as_str());
    impure.then(|| {
        breach(
            from,
            format!("`{from}` is pure and cannot use `{to}`; take what it would fetch as a value"),
        )
    })
}

/// A table that allows what nobody does any more misleads its reader.
fn unused_rows(rules: &Rules, dependencies: &BTreeSet<Dependency>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let uses = |from: &str, to: &str, ours: bool, test: bool| {
        dependencies.iter().any(|dependency| {
            dependency.from == from
                && dependency.to == to
                && dependency.ours == ours
                && dependency.test == test
        })
    };
    for (edges, test) in [(rules.edges, false), (rules.test_edges, true)] {
        for Edge { from, to, reason } in edges {
            if !uses(from, to, true, test) {
                findings.push(Finding::new(
                    TABLE,
                    row_line(from, to),
                    format!("`{from}` does not use `{to}` (\"{reason}\"); remove the row"),
                ));
            }
        }
    }
    for Fence { dependency, inside, .. } in rules.fences {
        for from in *inside {
            if !uses(from, dependency, false, false) && !uses(from, dependency, false, true) {
                findings.push(Finding::new(
                    TABLE,
                    row_line("", dependency),
                    format!("`{from}` does not name `{dependency}`; take it out of the fence"),
                ));
            }
        }
    }
    findings
}

/// The line of a row in the table: the first that names both ends.
fn row_line(from: &str, to: &str) -> usize {
    let (from, to) = (format!("(\"{from}"), format!("\"{to}\","));
    include_str!("layers/table.rs")
        .lines()
        .position(|line| line.contains(&from) && line.contains(&to))
        .map_or(1, |index| index + 1)
}

fn breach(from: &str, message: String) -> Finding {
    Finding::new(&format!("crates/{from}/Cargo.toml"), 1, message)
}

fn dependencies(metadata: &str) -> Result<BTreeSet<Dependency>, String> {
    let metadata: Value =
        serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = list(&metadata, "packages")?;
    let mut found = BTreeSet::new();
    for package in packages {
        let from = text(package, "name")?;
        if from == OUTSIDE {
            continue;
        }
        for dependency in list(package, "dependencies")? {
            let name = text(dependency, "name")?;
            let ours = name.starts_with(PREFIX);
            found.insert(Dependency {
                from: short(from),
                to: if ours { short(name) } else { name.to_owned() },
                ours,
                test: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
            });
        }
    }
    Ok(found)
}

fn short(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value.get(key).and_then(Value::as_array).ok_or(format!("cargo metadata has no `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value.get(key).and_then(Value::as_str).ok_or(format!("cargo metadata has no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        edges: &[Edge { from: "store", to: "domain", reason: "it keeps nouns" }],
        test_edges: &[],
        fences: &[Fence { dependency: "sqlx", inside: &["store"], reason: "SQL stays there" }],
    };

    fn dependency(from: &str, to: &str, ours: bool, test: bool) -> Dependency {
        Dependency { from: from.to_owned(), to: to.to_owned(), ours, test }
    }

    /// The messages for the two dependencies the rules ask for, and these.
    fn messages(more: &[Dependency]) -> Vec<String> {
        let mut all: BTreeSet<_> = more.iter().cloned().collect();
        all.insert(dependency("store", "domain", true, false));
        all.insert(dependency("store", "sqlx", false, false));
        held_against(&RULES, &all).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_table_allows_passes_and_so_does_the_testkit_in_tests() {
        let none: Vec<String> = Vec::new();
        assert_eq!(messages(&[dependency("api", TESTKIT, true, true)]), none);
    }

    #[test]
    fn an_edge_the_table_does_not_know_is_named_with_its_manifest() {
        let found = messages(&[dependency("domain", "store", true, false)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/domain/Cargo.toml:1: `domain` may not use `store`"));
    }

    #[test]
    fn the_testkit_is_never_shipped() {
        let found = messages(&[dependency("store", TESTKIT, true, false)]);
        assert!(found[0].contains("[dev-dependencies]"), "{found:?}");
    }

    #[test]
    fn a_fence_holds_in_tests_too() {
        let found = messages(&[dependency("gateway", "sqlx", false, true)]);
        assert!(found[0].contains("SQL stays there; only `store` may"), "{found:?}");
    }

    #[test]
    fn a_pure_crate_has_no_runtime_but_its_tests_may() {
        assert_eq!(messages(&[dependency("policy", "tokio", false, true)]).len(), 0);
        let found = messages(&[dependency("policy", "tokio", false, false)]);
        assert!(found[0].contains("`policy` is pure"), "{found:?}");
    }

    #[test]
    fn a_row_nothing_uses_is_a_finding_at_its_line() {
        let found = held_against(&RULES, &BTreeSet::new());
        assert_eq!(found.len(), 2);
        assert!(found[0].message.contains("remove the row") && found[0].line > 1);
        assert!(found[1].message.contains("take it out of the fence") && found[1].line > 1);
    }

    #[test]
    fn dependencies_are_read_from_the_metadata() {
        let metadata = r#"{"packages": [
            {"name": "xtask", "dependencies": [{"name": "serde_json", "kind": null}]},
            {"name": "portcullis-api", "dependencies": [
                {"name": "portcullis-domain", "kind": null}, {"name": "axum", "kind": "dev"}]}
        ]}"#;
        let expected =
            [dependency("api", "axum", false, true), dependency("api", "domain", true, false)];
        assert_eq!(dependencies(metadata).unwrap(), expected.into_iter().collect());
        assert!(dependencies("{}").unwrap_err().contains("`packages`"));
    }
}
