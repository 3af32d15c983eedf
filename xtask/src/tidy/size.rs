//! A source file says in its header which room it is, and stays short enough to be read.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

const MAX_LINES: usize = 500;

/// Files that may be longer, and why. Each stands here only as long as it is.
const LONGER: &[(&str, &str)] = &[];

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if file.path.contains("src/") && !file.text.starts_with("//!") {
        findings.push(Finding::new(
            &file.path,
            1,
            "the file has no header; open it with `//!`: what it is, what flows in and out, \
             what it must never know",
        ));
    }
    let lines = file.text.lines().count();
    let allowed = LONGER.iter().any(|(path, _)| *path == file.path);
    if lines > MAX_LINES && !allowed {
        findings.push(Finding::new(
            &file.path,
            MAX_LINES,
            format!(
                "{lines} lines, more than {MAX_LINES}; find the missing noun and give it a file, \
                 or add the file with a reason to xtask/src/tidy/size.rs"
            ),
        ));
    }
    findings
}

/// Allowances for files that are gone or have become short.
pub(crate) fn stale_allowances(files: &[TextFile]) -> Vec<Finding> {
    let is_long = |path: &str| {
        files.iter().any(|file| file.path == path && file.text.lines().count() > MAX_LINES)
    };
    LONGER
        .iter()
        .filter(|(path, _)| !is_long(path))
        .map(|(path, reason)| {
            let message = format!("`{path}` is not long any more ({reason}); remove its allowance");
            Finding::new("xtask/src/tidy/size.rs", 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_found(path: &str, text: String) -> Vec<usize> {
        let file = TextFile { path: path.to_owned(), text };
        check(Path::new("."), &file).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn sources_have_a_header_and_at_most_the_limit_of_lines() {
        let header = "//! What it is.\n";
        assert_eq!(lines_found("crates/a/src/b.rs", header.to_owned()), [0; 0]);
        assert_eq!(lines_found("crates/a/src/b.rs", "use x;\n".to_owned()), [1]);
        assert_eq!(lines_found("crates/a/tests/b.rs", "use x;\n".to_owned()), [0; 0]);
        let longest = header.to_owned() + &"\n".repeat(MAX_LINES - 1);
        assert_eq!(lines_found("crates/a/src/b.rs", longest.clone()), [0; 0]);
        assert_eq!(lines_found("crates/a/tests/b.rs", longest + "\n"), [MAX_LINES]);
    }
}
