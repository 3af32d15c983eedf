//! White space a diff would stumble over.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Recipes of make begin with a tab; a text file may be somebody's output, kept as it was.
    if file.path.ends_with(".txt") {
        return findings;
    }
    let tabs_allowed = file.path.ends_with("Makefile");
    for (number, line) in file.lines() {
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(&file.path, number, "white space at the end; remove it"));
        }
        if !tabs_allowed && line.contains('\t') {
            findings.push(Finding::new(&file.path, number, "a tab; write spaces, or `\\t`"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        findings.push(Finding::new(&file.path, last, "the last line does not end; add a newline"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        check(Path::new("."), &file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn trailing_white_space_tabs_and_a_missing_last_newline_are_found() {
        let found = messages("a.rs", "one \n\ttwo\nthree");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.rs:1:") && found[1].starts_with("a.rs:2:"));
        assert!(found[2].starts_with("a.rs:3:"));
        assert!(messages("Makefile", "all:\n\techo\n").is_empty());
    }
}
