//! How a command ends: what is said and which code the process exits with.
//!
//! Architecture invariant: process exit codes are named here and nowhere else.

use std::process::ExitCode;

/// How a command that worked ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done,
    /// `plan` found something to change.
    Changes,
    /// A check was carried out and did not hold; everything about it has been printed.
    Problems,
    /// Evidence was checked and does not hold; everything about it has been printed.
    Disproved,
    /// An invariant is broken; everything about it has been printed.
    Broken,
    /// An invariant is neither proved nor broken; why has been printed.
    NotProved,
    /// `plan` found that somebody gains access to production.
    Gains,
}

/// Why a command did not work. The text is lower case, without full stop, with the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was refused or went wrong.
    Failed(String),
    /// It was asked in a way that makes no sense.
    Usage(String),
    /// Evidence does not hold.
    Disproved(String),
    /// The node does not answer.
    Unreachable(String),
    /// Whoever read our output has gone; there is nobody to tell.
    OutputClosed,
}

impl Failure {
    /// A failure with what the system said as its cause.
    pub(crate) fn because(what: impl std::fmt::Display, cause: &dyn std::error::Error) -> Self {
        Self::Failed(format!("{what}: {}", chain(cause)))
    }
}

/// An error with its sources, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Says what went wrong and gives the exit code: 0 done, 1 refused or failed, 2 wrong usage,
/// 3 node unreachable, 4 `plan` found changes, 5 evidence does not hold, 6 an invariant is broken,
/// 7 an invariant is not proved, 8 `plan` found gains in production.
pub(crate) fn exit_code(result: Result<Outcome, Failure>) -> ExitCode {
    let (text, code) = match result {
        Ok(Outcome::Done) | Err(Failure::OutputClosed) => return ExitCode::SUCCESS,
        Ok(Outcome::Problems) => return ExitCode::from(1),
        Ok(Outcome::Changes) => return ExitCode::from(4),
        Ok(Outcome::Disproved) => return ExitCode::from(5),
        Ok(Outcome::Broken) => return ExitCode::from(6),
        Ok(Outcome::NotProved) => return ExitCode::from(7),
        Ok(Outcome::Gains) => return ExitCode::from(8),
        Err(Failure::Disproved(text)) => (text, 5),
        Err(Failure::Failed(text)) => (text, 1),
        Err(Failure::Usage(text)) => (text, 2),
        Err(Failure::Unreachable(text)) => (text, 3),
    };
    eprintln!("portcullis: {}", crate::print::escape::lines(&text));
    ExitCode::from(code)
}
