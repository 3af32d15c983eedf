//! For shells and packagers: completions, manual pages, the version.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell as CompletionShell;

use super::Cli;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::write_out;

#[derive(Debug, Subcommand)]
pub(super) enum Shell {
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: CompletionShell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
    /// Print the version
    Version,
}

impl Shell {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Completions { shell } => write_out(&completions(shell))?,
            Self::Man { directory } => {
                let pages = manual(&directory)?;
                let written = serde_json::json!({"directory": directory, "pages": pages});
                context.out.either(&written, |out| {
                    out.line(&format!("{pages} pages in {}", directory.display()))
                })?;
            }
            Self::Version => {
                let version = serde_json::json!({"version": env!("CARGO_PKG_VERSION")});
                context.out.either(&version, |out| {
                    out.line(concat!("portcullis ", env!("CARGO_PKG_VERSION")))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

pub(super) fn completions(shell: CompletionShell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    script
}

/// Writes one page for each command; how many.
pub(super) fn manual(directory: &Path) -> Result<usize, Failure> {
    let failed = |error: std::io::Error| {
        Failure::because(format!("`{}` cannot be written", directory.display()), &error)
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    Ok(std::fs::read_dir(directory).map_err(failed)?.count())
}
