//! `audit export`: a copy of the log that verifies alone, through the node or from its files.

use std::path::{Path, PathBuf};

use clap::Args;
use portcullis_control::plan_export;
use portcullis_domain::Timestamp;
use portcullis_evidence::log::LogReader;
use portcullis_evidence::log::export::ExportDirectory;
use portcullis_evidence::log::export::tar::TarReader;
use portcullis_evidence::log::holding::read_manifest;
use portcullis_evidence::log::storage::Directory;
use serde::Serialize;

use crate::client::with_query;
use crate::context::{Context, now};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Progress, escape};

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The directory to make; it must be empty where it exists
    dir: PathBuf,
    /// Leave out entries from before, such as `2026-11-22T14:00:00Z`, as far as whole bundles go
    #[arg(long)]
    from: Option<Timestamp>,
    /// Leave out entries from then on
    #[arg(long)]
    to: Option<Timestamp>,
    /// Copy from the files of this log instead, without its node
    ///
    /// For a node that is off. Whoever can read these files needs no permission of the node, and the
    /// log does not say that they were read.
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The log's verifier key, for the manifest, where the node is not asked
    #[arg(long, value_name = "KEY", requires = "log")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Query {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let out = context.out;
        let to =
            ExportDirectory::create(&self.dir).map_err(|error| unwritten(&self.dir, &error))?;
        let dir = self.dir.clone();
        match self.log.clone() {
            None => self.fetch(context, to).await?,
            Some(log) => {
                let copied = tokio::task::spawn_blocking(move || self.copy(out, &log, to));
                copied.await.map_err(|error| Failure::because("the export failed", &error))??;
            }
        }
        let made = read_manifest(&Directory::new(&dir)).map_err(|error| unwritten(&dir, &error))?;
        let made = made.ok_or_else(|| Failure::Failed("the export has no manifest".into()))?;
        out.either(&made, |out| {
            let held = made.entries.end.saturating_sub(made.entries.first);
            let (shown, origin) = (dir.display(), escape::line(&made.origin));
            out.line(&format!(
                "`{shown}` holds {held} of the {} entries of {origin}, under a checkpoint of all",
                made.size
            ))?;
            let key = made.log_keys.last().map_or("KEY".into(), |key| escape::line(key));
            out.line(&format!("verify it anywhere: portcullis audit verify {shown} --key {key}"))
        })?;
        Ok(Outcome::Done)
    }

    async fn fetch(self, context: &Context, mut to: ExportDirectory) -> Result<(), Failure> {
        let path = with_query("/v1/audit/export", &Query { from: self.from, to: self.to });
        let mut progress = Progress::new(context.out, "bytes exported");
        let (mut archive, mut bytes) = (TarReader::new(), 0_u64);
        let client = context.client()?;
        let fetched = client.pieces(&path, |piece| {
            bytes = bytes.saturating_add(piece.len() as u64);
            progress.tell(bytes, None);
            archive.push(piece, &mut to).map_err(|error| unwritten(&self.dir, &error))
        });
        fetched.await?;
        archive.finish().map_err(|error| unwritten(&self.dir, &error))?;
        to.finish().map_err(|error| unwritten(&self.dir, &error))
    }

    fn copy(self, out: Out, log: &Path, mut to: ExportDirectory) -> Result<(), Failure> {
        let unread = |error: &dyn std::error::Error| {
            Failure::because(format!("the log in `{}` cannot be read", log.display()), error)
        };
        let reader = LogReader::open(log).map_err(|error| unread(&error))?;
        let note = reader.checkpoint_note().map_err(|error| unread(&error))?;
        let keys = (self.key.into_iter().collect(), Vec::new());
        let export = plan_export(&reader, note, (self.from, self.to), keys, now())
            .map_err(|error| unread(&error))?;
        let mut progress = Progress::new(out, "files exported");
        export
            .write(reader.tiles(), &mut to, |done, of| progress.tell(done, Some(of)))
            .map_err(|error| unwritten(&self.dir, &error))?;
        to.finish().map_err(|error| unwritten(&self.dir, &error))
    }
}

fn unwritten(dir: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::because(format!("the export to `{}` failed", dir.display()), error)
}
