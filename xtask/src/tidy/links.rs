//! Links of the documentation to files of the repository lead somewhere.

use std::path::Path;

use super::TextFile;
use crate::finding::Finding;

const FENCE: &str = "```";

pub(crate) fn check(root: &Path, file: &TextFile) -> Vec<Finding> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let directory = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with(FENCE) {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let place = match target.strip_prefix('/') {
                Some(from_root) => root.join(from_root),
                None => root.join(directory).join(target),
            };
            if !place.exists() {
                let message = format!("the link to `{target}` leads nowhere; correct or remove it");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

/// The local files a line links to, `[text](path#anchor "title")`, code spans left out.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Every second piece between backticks is code.
    for prose in line.split('`').step_by(2) {
        for piece in prose.split("](").skip(1) {
            let Some((target, _)) = piece.split_once(')') else { continue };
            let path = target.split(['#', ' ']).next().unwrap_or_default();
            let elsewhere = path.contains("://") || path.starts_with("mailto:");
            if !path.is_empty() && !elsewhere {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_local_files_are_followed() {
        let line =
            "[a](docs/a.md#part) [b](https://b.example/) [c](#c) `[d](d.md)` [e](e.md \"E\")";
        assert_eq!(targets(line), ["docs/a.md", "e.md"]);
    }

    #[test]
    fn a_link_text_in_backticks_still_links() {
        assert_eq!(targets("see [`a`](a.md)"), ["a.md"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_outside_code_blocks() {
        let text = "[x](nowhere.md)\n```\n[y](nowhere.md)\n```\n[z](Cargo.toml)\n".to_owned();
        let file = TextFile { path: "README.md".to_owned(), text };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lines: Vec<usize> = check(root, &file).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1]);
    }
}
