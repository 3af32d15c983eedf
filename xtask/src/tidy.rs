//! Reads every file of the repository and holds it against the house rules.
//!
//! A check is a file in `tidy/` and a line in [`CHECKS`]. In: a file's path and text. Out:
//! findings.
//!
//! Must never know: how the files got there, so that it works on a tarball as on a clone.

mod forbidden;
mod licence;
mod links;
mod names;
mod purity;
mod size;
mod unfinished;
mod whitespace;

use std::fs;
use std::path::Path;

use crate::finding::Finding;

/// Directories that hold no sources of ours.
const SKIPPED_DIRECTORIES: [&str; 6] =
    ["target", ".git", ".demo", "node_modules", "corpus", "dist"];
/// Hidden directories that are part of the repository.
const HIDDEN_DIRECTORIES: [&str; 3] = [".ci", ".cargo", ".github"];
/// What is read as text; a file without extension is a script or says what it is in capitals.
const TEXT_EXTENSIONS: [&str; 14] = [
    "rs",
    "toml",
    "md",
    "yaml",
    "yml",
    "json",
    "sh",
    "py",
    "sql",
    "cedar",
    "cedarschema",
    "txt",
    "html",
    "css",
];
/// A larger file is data.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Deeper than this is a loop of links.
const MAX_DEPTH: usize = 24;

/// A text file of the repository.
pub(crate) struct TextFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// A rule for one file; the root serves the checks that look whether another file exists.
type Check = fn(&Path, &TextFile) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    size::check,
    unfinished::check,
    names::check,
    purity::check,
    whitespace::check,
    forbidden::check,
    licence::check,
    links::check,
];

/// Checks every file below the root.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut files = Vec::new();
    collect(root, "", 0, &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let mut findings: Vec<Finding> =
        files.iter().flat_map(|file| CHECKS.iter().flat_map(|check| check(root, file))).collect();
    findings.extend(size::stale_allowances(&files));
    findings.extend(licence::missing(root));
    Ok(findings)
}

fn collect(
    directory: &Path,
    relative: &str,
    depth: usize,
    files: &mut Vec<TextFile>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("`{relative}` is nested too deeply"));
    }
    let entries = fs::read_dir(directory).map_err(|error| format!("`{relative}`: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("`{relative}`: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
        // A file may go while we look: build products and other people's editors.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            if is_ours(&name) {
                collect(&entry.path(), &path, depth + 1, files)?;
            }
        } else if metadata.is_file() && metadata.len() <= MAX_FILE_BYTES && is_text(&name) {
            match fs::read_to_string(entry.path()) {
                Ok(text) => files.push(TextFile { path, text }),
                Err(error) => return Err(format!("`{path}`: {error}")),
            }
        }
    }
    Ok(())
}

fn is_ours(directory: &str) -> bool {
    !SKIPPED_DIRECTORIES.contains(&directory)
        && (!directory.starts_with('.') || HIDDEN_DIRECTORIES.contains(&directory))
}

fn is_text(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((_, extension)) => TEXT_EXTENSIONS.contains(&extension),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_products_and_foreign_directories_are_not_read() {
        for (directory, ours) in
            [("crates", true), (".ci", true), ("target", false), (".git", false), (".idea", false)]
        {
            assert_eq!(is_ours(directory), ours, "{directory}");
        }
        for (name, text) in [("Makefile", true), ("a.rs", true), ("a.zst", false)] {
            assert_eq!(is_text(name), text, "{name}");
        }
    }

    #[test]
    fn every_breach_below_the_root_is_found_with_its_place() {
        let root = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
        fs::create_dir_all(root.join("crates/x/src")).unwrap();
        fs::write(root.join("crates/x/src/helpers.rs"), "fn f() {} \n").unwrap();
        let findings = check(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|line| line.starts_with("crates/x/src/helpers.rs:1: ")));
        assert!(shown.iter().any(|line| line.contains("white space")), "{shown:?}");
        assert!(shown.iter().any(|line| line.starts_with("LICENSE:1:")), "{shown:?}");
    }
}
