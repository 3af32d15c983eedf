//! `portcullis prove`: what must never be possible, proved or refuted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_control::view::{InvariantsView, PlanBody, ProveBody};
use portcullis_proof::{Counterexample, Finding, Proof, Status};

use super::files;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape};

#[derive(Debug, Subcommand)]
pub(super) enum Prove {
    /// Prove the invariants of what is in force, or of what files would make of it
    Prove(Files),
}

#[derive(Debug, Args)]
pub(super) struct Files {
    /// Files or directories of .yaml files that would be applied, or `-` for standard input
    #[arg(value_name = "PATH")]
    files: Vec<PathBuf>,
    /// As if what is in force and not in the files were removed
    #[arg(long, requires = "files")]
    prune: bool,
}

impl Prove {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::Prove(given) = self;
        let change = match given.files.is_empty() {
            true => None,
            false => Some(PlanBody {
                files: files::read(&given.files)?,
                prune: given.prune,
                expected_revision: None,
            }),
        };
        let view: InvariantsView =
            context.client()?.post("/v1/prove", &ProveBody { change }).await?;
        context.out.either(&view, |out| print(out, &view))?;
        let any = |status| view.report.invariants.iter().any(|proof| proof.status == status);
        Ok(match (any(Status::Broken), any(Status::NotProved)) {
            (true, _) => Outcome::Broken,
            (false, true) => Outcome::NotProved,
            (false, false) => Outcome::Done,
        })
    }
}

fn print(out: Out, view: &InvariantsView) -> Result<(), Failure> {
    print_proofs(out, view)?;
    print_findings(out, &view.report.findings)?;
    let report = &view.report;
    let solver = report.solver.as_deref().unwrap_or("no solver");
    out.line(&format!(
        "{} invariants, {} questions asked of {}, {} known from before, {} ms",
        report.invariants.len(),
        report.asked,
        escape::line(solver),
        report.remembered,
        report.milliseconds
    ))
}

/// What is odd about policies, with the place where it is known.
pub(super) fn print_findings(out: Out, findings: &[Finding]) -> Result<(), Failure> {
    findings.iter().try_for_each(|finding| {
        let word = out.tone(Tone::Notice, "warning");
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!(" ({}:{line})", escape::line(file)),
            _ => String::new(),
        };
        let policy = escape::line(&finding.policy);
        out.line(&format!("{word} {policy}: {}{place}", escape::line(&finding.message)))
    })
}

/// One line per invariant, and how it can be broken.
pub(super) fn print_proofs(out: Out, view: &InvariantsView) -> Result<(), Failure> {
    for proof in &view.report.invariants {
        print_proof(out, proof)?;
    }
    match &view.refused {
        Some(why) => {
            out.line(&out.tone(
                Tone::Bad,
                &format!("applying this would be refused: {}", escape::lines(why)),
            ))
        }
        None => Ok(()),
    }
}

fn print_proof(out: Out, proof: &Proof) -> Result<(), Failure> {
    let tone = match proof.status {
        Status::Proved => Tone::Good,
        Status::Excepted => Tone::Notice,
        Status::Broken | Status::NotProved => Tone::Bad,
    };
    let word = out.tone(tone, &format!("{:10}", proof.status.as_str()));
    let built_in = if proof.builtin { " (built in)" } else { "" };
    out.line(&format!("{word} {}{built_in}", proof.invariant))?;
    proof.counterexamples.iter().try_for_each(|found| print_counterexample(out, found))?;
    proof.why.iter().try_for_each(|why| out.line(&format!("    {}", escape::line(why))))
}

fn print_counterexample(out: Out, found: &Counterexample) -> Result<(), Failure> {
    let exists = |there: bool| if there { "" } else { ", who could be" };
    let held = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!(", {what} {}", names.join(" ")),
    };
    let factor = match found.second_factor_age {
        Some(age) => format!("second factor {age} s old"),
        None => "no second factor".to_owned(),
    };
    let grant = if found.granted { "a grant" } else { "no grant" };
    for (what, text) in [
        (
            "who",
            format!(
                "{}{}{}{}",
                found.user,
                exists(found.user_exists),
                held("roles", &found.roles),
                held("groups", &found.groups)
            ),
        ),
        ("what", found.action.clone()),
        (
            "where",
            format!(
                "{}{}, environment {}, as {}",
                found.target,
                if found.target_exists { "" } else { ", which could be" },
                found.environment,
                found.login
            ),
        ),
        ("with", format!("{grant}, {factor}, from {}", found.source)),
        ("by", found.policies.join(" ")),
        ("excepted", found.exception.clone().unwrap_or_default()),
    ] {
        if !text.is_empty() {
            out.line(&format!("    {what:8} {}", escape::line(&text)))?;
        }
    }
    let said = if found.confirmed { "confirmed by decide" } else { "NOT confirmed by decide" };
    out.line(&format!("    {said}"))
}
