//! Pure crates take the time and what they read as values: no clock, no files, no network.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;
use crate::layers::PURE;

/// What looks at the world.
const LOOKS: [&str; 9] = [
    "Timestamp::now(",
    "Zoned::now(",
    "SystemTime::now(",
    "Instant::now(",
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "std::env",
    "tokio::",
];
/// From here on a file holds tests.
const TESTS: &str = "#[cfg(test)]";

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    let sources = |name: &&str| file.path.starts_with(&format!("crates/{name}/src/"));
    let pure = file.is_rust() && PURE.iter().any(sources);
    if !pure || file.path.ends_with("/tests.rs") || file.path.contains("/tests/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in file.lines().take_while(|(_, line)| line.trim() != TESTS) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for look in LOOKS.into_iter().filter(|look| line.contains(look)) {
            let message =
                format!("`{look}` looks at the world in a pure crate; take it as a parameter");
            findings.push(Finding::new(&file.path, number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        check(Path::new("."), &file).len()
    }

    #[test]
    fn a_pure_crate_reads_no_clock_outside_its_tests() {
        let clock = "let now = Timestamp::now();\n";
        assert_eq!(count("crates/policy/src/decide.rs", clock), 1);
        assert_eq!(count("crates/policy/src/decide.rs", "// Timestamp::now() is not here\n"), 0);
        assert_eq!(count("crates/policy/src/decide.rs", &format!("#[cfg(test)]\n{clock}")), 0);
        assert_eq!(count("crates/policy/tests/decide.rs", clock), 0);
        assert_eq!(count("crates/store/src/lib.rs", clock), 0);
    }
}
