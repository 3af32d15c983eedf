//! The repository knows no machine but its reader's: no paths of whoever wrote it.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

/// Put together at compile time, so that this file does not find itself.
const FORBIDDEN: [(&str, &str); 3] = [
    (concat!("/", "work/"), "a path of the author's machine"),
    (concat!("/", "root/"), "a home directory; use a relative path or `~`"),
    (concat!("../", "shared/"), "a path outside the repository"),
];

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for (text, reason) in FORBIDDEN {
            if line.contains(text) {
                let message = format!("`{text}` is {reason}; remove it");
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
    fn paths_of_one_machine_are_found() {
        let text = concat!("see /", "work/main\nsee docs/\n").to_owned();
        let file = TextFile { path: "README.md".to_owned(), text };
        let found = check(Path::new("."), &file);
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1]);
    }
}
