//! What is done to the audit log of a node that is stopped: a new key, and moving old entries out.
//!
//! In: the configuration. Out: events in the log, and files beside it. The log's lock keeps the node
//! from running meanwhile. Nobody is signed in, so the events name no person.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_control::{entry_meaning, plan_export};
use portcullis_domain::audit::{Activity, Event};
use portcullis_domain::{Timestamp, entry};
use portcullis_evidence::log::export::ExportDirectory;
use portcullis_evidence::log::holding::{
    MINIMUM_INDEX_PATH, handover_path, minimum_index, read_handovers,
};
use portcullis_evidence::log::lookup::index_at;
use portcullis_evidence::log::storage::{Directory, TileStore as _};
use portcullis_evidence::log::tile::{TILE_WIDTH, TilePath};
use portcullis_evidence::log::{Log, LogOptions, TlogProof, Trust, Verification};
use portcullis_store::Store;

use super::signing::{log_signer, next_log_key};
use crate::config::Config;
use crate::context::{Context, now};
use crate::failure::{Failure, Outcome, chain};
use crate::print::escape;

/// Longest wait for a checkpoint over what was just written.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(30);

/// Replaces the key that signs the log's checkpoints. The old key signs for the entry that
/// introduces the new one, both sign one checkpoint over it, and that is kept as a handover.
pub(crate) async fn rotate_log_key(context: &Context, path: &Path) -> Result<Outcome, Failure> {
    let config = Config::read(path).map_err(|error| Failure::Failed(chain(&error)))?;
    let failed =
        |error: &dyn std::error::Error| Failure::because("the log's key was not replaced", error);
    let store = open_store(&config).await?;
    if store.is_shared() {
        return Err(Failure::Failed(
            "several nodes sign this log with one key, and replacing it for all of them at once is not possible yet".into(),
        ));
    }
    let directory = Directory::new(config.log_dir());
    let place = read_handovers(&directory).map_err(|error| failed(&error))?.len();
    let (next, seed) = next_log_key(&store, &config.name, place + 1, now()).await?;
    let signer = log_signer(&store, &config.name, &config.log_dir(), now()).await?;
    let (old, signer) = (signer.verifier().to_vkey(), signer.along_with(&seed));
    let (dir, vkey) = (config.log_dir(), next.verifier().to_vkey());
    let opened =
        tokio::task::spawn_blocking(move || Log::open(&dir, signer, LogOptions::default()));
    let log = opened.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let introduction = entry::introduces_log_key(now(), &vkey).detail("offline", true).to_ocsf();
    let appended = log.append(introduction.clone()).await.map_err(|error| failed(&error))?;
    let note = covering(&log).await?;
    let reader = log.reader();
    let size = reader.checkpoint().map_err(|error| failed(&error))?.size;
    let hashes = reader.inclusion_proof(appended.index, size).map_err(|error| failed(&error))?;
    let handover =
        TlogProof { extra: Some(introduction), index: appended.index, hashes, checkpoint: note };
    let handover = handover.to_text().map_err(|error| failed(&error))?;
    log.close().await.map_err(|error| failed(&error))?;
    // From here on the node signs with the new key.
    directory
        .publish(&handover_path(place), handover.as_bytes())
        .map_err(|error| failed(&error))?;
    store.close().await;
    let told = serde_json::json!({ "old": old, "new": vkey });
    context.out.either(&told, |out| {
        out.line(&format!("the log's key is now {}", escape::line(&vkey)))?;
        out.line(
            "give it to the log's witnesses before the old key stops signing along, in 30 days",
        )
    })?;
    Ok(Outcome::Done)
}

/// Up to where entries are moved out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Entries below this index.
    Index(u64),
    /// Entries from before this time.
    Time(Timestamp),
}

impl std::str::FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        text.parse().map(Self::Time).map_err(|_| {
            "write a time such as `2026-11-22T14:00:00Z`, or the index of an entry".to_owned()
        })
    }
}

/// Moves the entries before a time or an index to `dir`, an export that verifies alone, after it
/// was found to verify there. The log keeps all hashes: it goes on, and proves as before.
pub(crate) async fn archive_log(
    context: &Context,
    path: &Path,
    dir: PathBuf,
    before: Before,
) -> Result<Outcome, Failure> {
    let config = Config::read(path).map_err(|error| Failure::Failed(chain(&error)))?;
    let failed = |error: &dyn std::error::Error| Failure::because("nothing was archived", error);
    let store = open_store(&config).await?;
    let log = super::log::open(&config, &store, now()).await?;
    let event = |state: &'static str| {
        Event::new(Activity::AuditArchive, now())
            .detail("offline", true)
            .detail("state", state)
            .detail("directory", dir.display().to_string())
    };
    log.append(event("begun").to_ocsf()).await.map_err(|error| failed(&error))?;
    let note = covering(&log).await?;
    let (copying, at, from) = (log.clone(), dir.clone(), config.log_dir());
    let moved = tokio::task::spawn_blocking(move || copy(&copying, note, &at, &from, before));
    let (first, end) = moved.await.map_err(|error| failed(&error))??;
    let done = event("done").detail("first", first).detail("end", end);
    log.append(done.to_ocsf()).await.map_err(|error| failed(&error))?;
    // Durable before the first bundle goes, so that whoever looks knows why it is absent.
    let kept = Directory::new(config.log_dir());
    kept.publish(MINIMUM_INDEX_PATH, format!("{end}\n").as_bytes())
        .map_err(|error| failed(&error))?;
    remove(&config.log_dir(), end).map_err(|error| {
        Failure::because("the entries were archived, and some are still in the log too", &error)
    })?;
    log.close().await.map_err(|error| failed(&error))?;
    store.close().await;
    let told = serde_json::json!({ "first": first, "end": end, "archive": dir });
    context.out.either(&told, |out| {
        let shown = dir.display();
        out.line(&format!(
            "entries {first} to {} are in `{shown}` and verify there; the log begins at {end}",
            end.saturating_sub(1)
        ))
    })?;
    Ok(Outcome::Done)
}

/// Exports the entries to be moved and verifies the export; which they are.
fn copy(
    log: &Log,
    note: Vec<u8>,
    dir: &Path,
    from: &Path,
    before: Before,
) -> Result<(u64, u64), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because("nothing was archived", error);
    let reader = log.reader();
    let keys = (vec![log.verifier().to_vkey()], Vec::new());
    let mut export =
        plan_export(&reader, note, (None, None), keys, now()).map_err(|error| failed(&error))?;
    let (width, size) = (u64::from(TILE_WIDTH), export.checkpoint.size);
    let wanted = match before {
        Before::Index(index) => index.min(size),
        Before::Time(time) => index_at(&reader, size, time.as_millis(), &entry_meaning())
            .map_err(|error| failed(&error))?,
    };
    let first = minimum_index(&Directory::new(from)).map_err(|error| failed(&error))?;
    // Whole bundles only, and never the last one: it is still being written.
    let end = wanted.min(size.saturating_sub(1)) / width * width;
    if end <= first {
        return Err(Failure::Failed(format!(
            "there is nothing to archive: entries are moved in whole bundles of {width}, those before {first} are archived already, and {wanted} is in the next"
        )));
    }
    export.entries = first..end;
    let mut to = ExportDirectory::create(dir).map_err(|error| failed(&error))?;
    export.write(reader.tiles(), &mut to, |_, _| {}).map_err(|error| failed(&error))?;
    to.finish().map_err(|error| failed(&error))?;
    let copied = Directory::new(dir);
    let verified = Verification::new(&copied, Trust::new(log.verifier().clone())).run();
    let verified = verified.map_err(|error| failed(&error))?;
    // The manifest says that they are held, so that an absent one was an error above.
    if verified.absent.iter().any(|absent| absent.start < end && absent.end > first) {
        return Err(Failure::Failed("nothing was archived: the copy is not whole".into()));
    }
    Ok((first, end))
}

fn remove(log: &Path, end: u64) -> io::Result<()> {
    for index in 0..end / u64::from(TILE_WIDTH) {
        let bundle = log.join(TilePath::entries(index, TILE_WIDTH).to_string());
        match std::fs::remove_file(bundle) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The checkpoint over all that is in the log now.
async fn covering(log: &Log) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::because("the log's checkpoint cannot be had", error)
    };
    let size = log.size();
    let mut checkpoints = log.checkpoints();
    let covered = checkpoints.wait_for(|checkpoint| checkpoint.size >= size);
    let waited = tokio::time::timeout(CHECKPOINT_PATIENCE, covered).await;
    waited.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    log.reader().checkpoint_note().map_err(|error| failed(&error))
}

async fn open_store(config: &Config) -> Result<Store, Failure> {
    Store::open_with(&config.store_url, &config.master_key, now())
        .await
        .map_err(|error| Failure::because("the store cannot be opened", &error))
}
