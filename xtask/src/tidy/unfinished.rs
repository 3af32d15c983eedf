//! Nothing unfinished is kept: no placeholder, no marker for later, no test switched off.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

/// Put together at compile time, so that this file does not find itself.
const IN_RUST: [(&str, &str); 3] = [
    (concat!("todo", "!("), "write it"),
    (concat!("unimplemented", "!("), "write it, or make the case impossible by its type"),
    (concat!("#[", "ignore"), "make the test run, or remove it"),
];
/// What looks like a switched-off test and is none: a process that tests start themselves, and a
/// measurement that has no outcome to assert. The attribute must say which.
const NOT_A_TEST: [&str; 2] = ["= \"started by ", "= \"prints figures"];
const ANYWHERE: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        if file.is_rust() {
            for (text, remedy) in IN_RUST {
                let is_test = !NOT_A_TEST.iter().any(|reason| line.contains(reason));
                if line.contains(text) && is_test {
                    let message = format!("`{text}` is unfinished work; {remedy}");
                    findings.push(Finding::new(&file.path, number, message));
                }
            }
        }
        for marker in ANYWHERE {
            if line.split(|symbol: char| !symbol.is_alphanumeric()).any(|word| word == marker) {
                let message = format!("`{marker}` marks unfinished work; do it or open an issue");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_markers_are_found_as_whole_words() {
        let text = [
            concat!("to", "do!()"),
            concat!("// TO", "DO: later"),
            concat!("mktemp XXXX", "XX"),
            concat!("#[", "ignore = \"slow\"]"),
            concat!("#[", "ignore = \"started by the test above\"]"),
            "fn finished() {}",
        ];
        let file = TextFile { path: "crates/a/src/b.rs".to_owned(), text: text.join("\n") };
        let lines: Vec<usize> =
            check(Path::new("."), &file).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }
}
