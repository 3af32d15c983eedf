//! House rules that run: `cargo xtask layers` and `cargo xtask tidy`.
//!
//! In: `cargo metadata` and the files of the repository. Out: one line per breach, with
//! the place, what is wrong and what to do; exit status 1 when there is any.
//!
//! Must never know: what the program does. It reads, it changes nothing.

mod finding;
mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask layers | tidy";

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let findings = match task.as_deref() {
        Some("layers") => metadata(&root()).and_then(|metadata| layers::check(&metadata)),
        Some("tidy") => tidy::check(&root()),
        _ => Err(USAGE.to_owned()),
    };
    match findings {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            eprintln!("{} to put right", findings.len());
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// The root of the workspace: the directory above this crate.
fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; without it we are run by hand from the root.
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .and_then(|own| own.parent().map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("."))
}

fn metadata(root: &Path) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| format!("cargo metadata: {error}"))
    } else {
        Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
