//! `audit verify`: by the node, or alone on the files of a log or a copy.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use portcullis_control::entry_meaning;
use portcullis_control::view::VerifyView;
use portcullis_evidence::log::note::MAX_NOTE_BYTES;
use portcullis_evidence::log::storage::Directory;
use portcullis_evidence::log::{Verification, Verified, VerifyError};
use serde_json::json;

use super::trust::{TrustArgs, read};
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::print::{Out, Progress, escape};

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The directory of the log, or of a copy of it; without one the node verifies its own
    #[arg(value_name = "DIR", requires = "key")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// An earlier checkpoint, kept elsewhere, that the log must continue; may be repeated
    #[arg(long, requires = "dir", value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Another copy that holds entries this one has not
    #[arg(long, requires = "dir", value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Fail where entries are not held, which a part of a log and a pruned log are permitted
    #[arg(long, requires = "dir")]
    whole: bool,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let out = context.out;
        let Some(dir) = self.dir.clone() else {
            let client = context.client()?;
            let view: VerifyView = client.ask(Method::POST, "/v1/audit/verify").await?;
            out.either(&view, |out| {
                let root = escape::line(&view.root);
                out.line(&format!("all {} entries are as they were logged; root {root}", view.size))
            })?;
            return Ok(Outcome::Done);
        };
        let alone = tokio::task::spawn_blocking(move || self.alone(out, dir));
        alone.await.map_err(|error| Failure::because("verifying failed", &error))?
    }

    fn alone(self, out: Out, dir: PathBuf) -> Result<Outcome, Failure> {
        let store = Directory::new(dir);
        let archive = self.archive.map(Directory::new);
        let mut progress = Progress::new(out, "entries verified");
        let mut verification =
            Verification::new(&store, self.trust.trust()?).meaning(entry_meaning());
        for path in &self.checkpoint {
            verification = verification.continuing(read(path, MAX_NOTE_BYTES)?);
        }
        if let Some(archive) = &archive {
            verification = verification.with_archive(archive);
        }
        let found = verification.progress(|done, of| progress.tell(done, Some(of))).run();
        drop(progress);
        match found {
            Ok(found) => report(out, &found, self.whole),
            Err(VerifyError::Io { path, source }) => {
                Err(Failure::because(format!("`{path}` cannot be read"), &source))
            }
            Err(error) => disproved(out, error.code(), error.first_bad(), &chain(&error)),
        }
    }
}

/// Says that evidence does not hold, in the form asked for.
pub(super) fn disproved(
    out: Out,
    code: &str,
    first_bad: Option<u64>,
    why: &str,
) -> Result<Outcome, Failure> {
    if !out.json {
        return Err(Failure::Disproved(why.to_owned()));
    }
    out.json(&json!({ "holds": false, "code": code, "first_bad": first_bad, "why": why }))?;
    Ok(Outcome::Disproved)
}

fn report(out: Out, found: &Verified, whole: bool) -> Result<Outcome, Failure> {
    let held = found.size - found.absent.iter().map(|range| range.end - range.start).sum::<u64>();
    if whole && held < found.size {
        let first = found.absent.first().map(|range| range.start);
        let why = format!("{} entries are not held here", found.size - held);
        return disproved(out, "not_whole", first, &why);
    }
    let cosigned: Vec<_> = found
        .cosigned
        .iter()
        .map(|one| json!({ "witness": one.witness, "at": one.at_seconds }))
        .collect();
    let absent: Vec<_> = found
        .absent
        .iter()
        .map(|range| json!({ "first": range.start, "end": range.end }))
        .collect();
    let value = json!({
        "holds": true, "origin": found.origin, "size": found.size, "verified": held,
        "root": found.root.to_base64(), "continues": found.continues, "absent": absent,
        "cosigned": cosigned, "log_keys": found.log_keys,
    });
    out.either(&value, |out| {
        let continues = found
            .continues
            .map(|size| format!(", continuing the checkpoint over {size}"))
            .unwrap_or_default();
        let (origin, root) = (escape::line(&found.origin), found.root.to_base64());
        let which = if held == found.size {
            format!("all {held} entries of {origin}")
        } else {
            format!("{held} of the {} entries of {origin}", found.size)
        };
        out.line(&format!("{which} are as they were logged{continues}; root {root}"))?;
        for range in &found.absent {
            let last = range.end.saturating_sub(1);
            out.line(&format!(
                "entries {} to {last} are not held here; only their hashes fit",
                range.start
            ))?;
        }
        if found.log_keys.len() > 1 {
            out.line(&format!(
                "the log's key was replaced {} times, each time by the one before; it is now {}",
                found.log_keys.len() - 1,
                found.log_keys.last().map(|key| escape::line(key)).unwrap_or_default()
            ))?;
        }
        found.cosigned.iter().try_for_each(|one| {
            let at = i64::try_from(one.at_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
            let at = crate::print::time(portcullis_domain::Timestamp::from_millis(at));
            out.line(&format!("cosigned by {} at {at}", escape::line(&one.witness)))
        })
    })?;
    Ok(Outcome::Done)
}
