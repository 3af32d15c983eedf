//! Modules and types are named for what they are, in the words of the field.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

/// Names that say nothing about what is inside.
const EMPTY: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
/// Endings of type names that say nothing about what the type is.
const EMPTY_SUFFIX: &str = "Manager";

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let parts = file.path.trim_end_matches(".rs").split('/');
    for name in parts.filter(|part| EMPTY.contains(part)) {
        let message = format!("`{name}` names nothing; name the module for what it holds");
        findings.push(Finding::new(&file.path, 1, message));
    }
    for (number, line) in file.lines() {
        if let Some(name) = declared_type(line).filter(|name| name.ends_with(EMPTY_SUFFIX)) {
            let message = format!("`{name}` says who manages, not what; name it for what it is");
            findings.push(Finding::new(&file.path, number, message));
        }
    }
    findings
}

/// The type a line declares.
fn declared_type(line: &str) -> Option<&str> {
    let mut words = line.split(|symbol: char| !symbol.is_alphanumeric() && symbol != '_');
    words.find(|word| ["struct", "enum", "trait"].contains(word))?;
    words.next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        check(Path::new("."), &file).len()
    }

    #[test]
    fn names_that_say_nothing_are_found_in_paths_and_types() {
        assert_eq!(count("crates/a/src/utils.rs", ""), 1);
        assert_eq!(count("crates/a/tests/common/mod.rs", ""), 1);
        assert_eq!(
            count("crates/a/src/lib.rs", concat!("pub(crate) struct Session", "Manager<T> {")),
            1
        );
        assert_eq!(count("crates/a/src/commonmark.rs", "struct Session;\n// a Manager"), 0);
    }
}
