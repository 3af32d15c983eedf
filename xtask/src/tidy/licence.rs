//! Every crate is under the licence at the root and inherits the lints of the workspace.

use std::fs;
use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

/// What the manifest of every crate says.
const INHERITED: [(&str, &str); 3] = [
    ("license.workspace = true", "the licence"),
    ("publish.workspace = true", "that it is not published"),
    ("[lints]\nworkspace = true", "the lints"),
];

pub(crate) fn check(_root: &Path, file: &TextFile) -> Vec<Finding> {
    let is_manifest = file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/");
    if !is_manifest {
        return Vec::new();
    }
    INHERITED
        .iter()
        .filter(|(line, _)| !file.text.contains(line))
        .map(|(line, what)| {
            let line = line.replace('\n', " ");
            let message = format!("the crate does not inherit {what}; add `{line}`");
            Finding::new(&file.path, 1, message)
        })
        .collect()
}

/// Whether the root holds the text of the licence.
pub(crate) fn missing(root: &Path) -> Option<Finding> {
    let text = fs::read_to_string(root.join("LICENSE")).unwrap_or_default();
    let complete = text.contains("Apache License") && text.contains("END OF TERMS AND CONDITIONS");
    (!complete).then(|| {
        Finding::new("LICENSE", 1, "this is not the Apache License 2.0; put its full text here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_inherits_licence_and_lints() {
        let manifest =
            |text: &str| TextFile { path: "crates/a/Cargo.toml".to_owned(), text: text.to_owned() };
        let whole =
            "license.workspace = true\npublish.workspace = true\n\n[lints]\nworkspace = true\n";
        assert!(check(Path::new("."), &manifest(whole)).is_empty());
        assert_eq!(check(Path::new("."), &manifest("[package]\n")).len(), 3);
    }
}
