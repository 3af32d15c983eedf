//! `audit prove` and `audit check-proof`: one entry, for somebody who has nothing else.

use std::io::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use portcullis_control::view::ProofView;
use portcullis_control::{EntryRef, entry_meaning, prove};
use portcullis_evidence::log::tile::MAX_ENTRY_BYTES;
use portcullis_evidence::log::tlog_proof::MAX_PROOF_BYTES;
use portcullis_evidence::log::{LogReader, ProofError, TlogProof};
use serde_json::json;

use super::trust::{TrustArgs, read};
use super::verify::disproved;
use crate::client::path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::print::{Out, escape, write_out};

#[derive(Debug, Args)]
pub(in crate::cli) struct Prove {
    /// The id of an event (`evt-...`) or the index of an entry
    #[arg(value_name = "EVENT")]
    which: String,
    /// Write the proof to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the entry to this file and leave it out of the proof
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// Take it from the files of a log or a copy, without a node
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

impl Prove {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let view = match self.log.clone() {
            None => {
                let at = path("/v1/audit/entries/{}/proof", &[&self.which]);
                context.client()?.get(&at).await?
            }
            Some(log) => {
                let which: EntryRef =
                    self.which.parse().map_err(|error| Failure::Usage(chain(&error)))?;
                let proving = tokio::task::spawn_blocking(move || local(&log, &which));
                proving.await.map_err(|error| Failure::because("proving failed", &error))??
            }
        };
        let senseless = |error: &dyn std::error::Error| {
            Failure::because("the node's proof makes no sense to this program", error)
        };
        let entry = STANDARD.decode(&view.entry).map_err(|error| senseless(&error))?;
        let mut proof =
            TlogProof::parse(view.proof.as_bytes()).map_err(|error| senseless(&error))?;
        match &self.entry {
            Some(file) => save(file, &entry)?,
            None => proof.extra = Some(entry),
        }
        let text = proof.to_text().map_err(|error| senseless(&error))?;
        match &self.output {
            None if context.out.json => {
                context.out.json(&json!({ "index": view.index, "proof": text }))?;
            }
            None => write_out(text.as_bytes())?,
            Some(file) => {
                save(file, text.as_bytes())?;
                let told = json!({ "index": view.index, "file": file });
                context.out.either(&told, |out| {
                    out.line(&format!(
                        "`{}` proves that entry {} is in the log",
                        file.display(),
                        view.index
                    ))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn local(log: &std::path::Path, which: &EntryRef) -> Result<ProofView, Failure> {
    let unread = |error: &dyn std::error::Error| {
        Failure::because(format!("`{}` does not prove this", log.display()), error)
    };
    let reader = LogReader::open(log).map_err(|error| unread(&error))?;
    let note = reader.checkpoint_note().map_err(|error| unread(&error))?;
    prove(&reader, note, which).map_err(|error| unread(&error))
}

fn save(file: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    let written =
        std::fs::File::create_new(file).and_then(|mut to| to.write_all(bytes).map(|()| to));
    let synced = written.and_then(|file| file.sync_all());
    synced.map_err(|error| {
        Failure::because(format!("`{}` cannot be written", file.display()), &error)
    })
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckProof {
    /// The proof (C2SP tlog-proof)
    proof: PathBuf,
    /// The entry, where the proof does not carry it
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// A handover of the log's key to the next, from an export; repeat it in order
    #[arg(long, value_name = "FILE", requires = "key")]
    handover: Vec<PathBuf>,
}

impl CheckProof {
    pub(super) fn run(self, out: Out) -> Result<Outcome, Failure> {
        let trust = self.trust.trust_through(&self.handover)?;
        let proof = TlogProof::parse(&read(&self.proof, MAX_PROOF_BYTES)?);
        let given = self.entry.as_ref().map(|file| read(file, MAX_ENTRY_BYTES)).transpose()?;
        let checked = proof.and_then(|proof| {
            let entry = given.or_else(|| proof.extra.clone());
            let Some(entry) = entry else { return Ok(None) };
            proof.check(&entry, &trust).map(|signed| Some((proof.index, entry, signed)))
        });
        let (index, entry, signed) = match checked {
            Ok(Some(checked)) => checked,
            Ok(None) => {
                return Err(Failure::Usage(
                    "the proof does not carry its entry; name the file with `--entry`".into(),
                ));
            }
            Err(error) => {
                let code = match &error {
                    ProofError::Malformed { .. } => "proof_malformed",
                    ProofError::Checkpoint(_) => "checkpoint_refused",
                    ProofError::NotIncluded { .. } => "not_included",
                };
                return disproved(out, code, None, &chain(&error));
            }
        };
        let described = (entry_meaning().describe)(&entry);
        let cosigned: Vec<_> = signed.cosigned.iter().map(|one| one.witness.clone()).collect();
        let value = json!({
            "holds": true, "index": index, "size": signed.checkpoint.size,
            "origin": signed.checkpoint.origin, "cosigned": cosigned,
            "event": described.as_ref().map(|found| &found.event),
            "entry": serde_json::from_slice::<serde_json::Value>(&entry).ok(),
        });
        out.either(&value, |out| {
            let which = described
                .map(|found| format!(" (event {} of {})", found.event, found.time))
                .unwrap_or_default();
            out.line(&format!(
                "entry {index}{} is in the log {} of {} entries",
                escape::line(&which),
                escape::line(&signed.checkpoint.origin),
                signed.checkpoint.size
            ))?;
            out.line(&escape::line(&String::from_utf8_lossy(&entry)))?;
            cosigned
                .iter()
                .try_for_each(|name| out.line(&format!("cosigned by {}", escape::line(name))))
        })?;
        Ok(Outcome::Done)
    }
}
