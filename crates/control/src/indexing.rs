//! The search index of this node: what entries of the audit log are found by, and the one task that
//! builds it, after the log and never in its way.
//!
//! Entries are indexed as a reader sees them, their personal fields opened. So the index is encrypted
//! under a key that is destroyed, in the same transaction, whenever somebody is forgotten; it is then
//! built anew from the log, in which they are erased. What it says is never believed: whoever searches
//! holds each entry itself against what is wanted.
//!
//! Killed at any moment, it goes on with the parts that are whole; a part that is not is built again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_domain::audit::read;
use portcullis_evidence::index::{
    Index, KEY_BYTES, Key, PART_ENTRIES, Part, Terms, Wanted, part_of,
};
use portcullis_evidence::log::LogReader;
use portcullis_evidence::log::merkle::sha256;
use portcullis_gateway::Subjects;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::view::AuditQuery;
use crate::{Control, ControlError};

/// How often the log is looked at for what is new.
const INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// Entries taken in at once; in memory are these and two parts.
const BATCH: u64 = 512;
/// Longest rest after a batch: the index takes at most half of one processor.
const LONGEST_REST: Duration = Duration::from_millis(100);
/// Directory of the index beside the log's.
const DIRECTORY: &str = "index";

const USER: u8 = 1;
const TARGET: u8 = 2;
const ENVIRONMENT: u8 = 3;
const ACTIVITY: u8 = 4;
const OUTCOME: u8 = 5;
const ACTION: u8 = 6;

/// The index in use; `None` while there is none, and the log alone is searched.
#[derive(Debug, Default)]
pub(crate) struct Indexed(Mutex<Option<Arc<Index>>>);

impl Indexed {
    pub(crate) fn get(&self) -> Option<Arc<Index>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, index: Option<Arc<Index>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// Somebody was forgotten: what was built before is not looked at any more.
    pub(crate) fn forget(&self) {
        self.set(None);
    }
}

/// What an entry, opened, is found by.
pub(crate) fn terms_of(event: &Value) -> Terms {
    let fields = [
        (USER, read::actor(event)),
        (TARGET, read::target(event)),
        (ENVIRONMENT, read::environment(event)),
        (ACTIVITY, read::activity(event)),
        (OUTCOME, Some(read::outcome(event))),
        (ACTION, read::action(event)),
    ];
    let keys = fields.into_iter().filter_map(|(field, value)| Some(Key::new(field, value?)));
    let mut texts = Vec::new();
    collect(event, &mut texts);
    let at_millis = read::time(event).map_or(0, |at| at.as_millis());
    Terms { at_millis, keys: keys.collect(), texts }
}

/// What a query looks for, as far as the index tells.
pub(crate) fn wanted_of(query: &AuditQuery) -> Wanted {
    let fields = [
        (USER, &query.user),
        (TARGET, &query.target),
        (ENVIRONMENT, &query.environment),
        (ACTIVITY, &query.activity),
        (OUTCOME, &query.outcome),
        (ACTION, &query.action),
    ];
    let keys = fields
        .into_iter()
        .filter_map(|(field, value)| value.as_deref().map(|value| vec![Key::new(field, value)]));
    let session = query.session.map(|session| session.to_string());
    let texts = [query.text.clone(), session, query.event.clone()];
    Wanted {
        keys: keys.collect(),
        texts: texts.into_iter().flatten().map(|text| text.to_lowercase()).collect(),
        from: query.from.map(|at| at.as_millis()),
        to: query.to.map(|at| at.as_millis()),
    }
}

/// Every value a text is looked for in, in lower case.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.to_lowercase()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => map.values().for_each(|value| collect(value, texts)),
        Value::Null => {}
        other => texts.push(other.to_string()),
    }
}

impl Control {
    /// The entry of the audit log that the search index takes in next; `None` while there is none.
    pub fn indexed_to(&self) -> Option<u64> {
        self.indexed().get()?.next()
    }

    /// Whether the search index has every entry of the audit log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn index_is_whole(&self) -> Result<bool, ControlError> {
        let log = self.gateway().auditor().log();
        let Some(index) = self.indexed().get() else { return Ok(false) };
        let first = log.reader().first().map_err(ControlError::unavailable)?;
        let size = log.size();
        Ok(index.next().is_some_and(|next| next >= size) && index.missing(first, size).is_none())
    }

    /// Builds the index, for ever.
    pub(crate) async fn keep_index(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let kept = self.keep_one_index(&stop).await;
            self.indexed().forget();
            if let Err(error) = kept {
                tracing::warn!(%error, "the search index is not built; it is tried again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// Builds an index until somebody is forgotten.
    async fn keep_one_index(&self, stop: &CancellationToken) -> Result<(), ControlError> {
        let (store, log) = (self.gateway().store(), self.gateway().auditor().log().clone());
        // First how many are forgotten, then the key: a key that is older than that is noticed.
        let forgotten = store.forgotten_subjects().await?;
        let key = store.index_key(self.gateway().node(), self.gateway().now()).await?;
        let key: [u8; KEY_BYTES] = key
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| ControlError::unavailable("the key of the search index is damaged"))?;
        let directory = self.index_directory();
        let reader = log.reader();
        let opened = blocking(move || open(&directory, Zeroizing::new(key), &reader)).await??;
        let index = Arc::new(opened);
        self.indexed().set(Some(index.clone()));
        let mut builder = Builder {
            index,
            reader: log.reader(),
            subjects: self.gateway().auditor().subjects().clone(),
            old: None,
        };
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|at| at.elapsed() >= INTERVAL) {
                looked = Some(Instant::now());
                if store.forgotten_subjects().await? != forgotten {
                    return Ok(());
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            let (size, begun) = (log.size(), Instant::now());
            let (returned, worked) = blocking(move || {
                let worked = builder.step(size);
                (builder, worked)
            })
            .await?;
            builder = returned;
            let behind = size.saturating_sub(builder.index.next().unwrap_or(size));
            #[allow(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("portcullis_search_index_behind_entries").set(behind as f64);
            let rest = if worked? { begun.elapsed().min(LONGEST_REST) } else { INTERVAL };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    fn index_directory(&self) -> PathBuf {
        self.settings().log_directory.with_file_name(DIRECTORY)
    }
}

fn open(
    directory: &Path,
    key: Zeroizing<[u8; KEY_BYTES]>,
    reader: &LogReader,
) -> Result<Index, ControlError> {
    let last_of = |index| reader.entry(index).ok().map(|entry| sha256(&[&entry]));
    let (index, thrown_away) =
        Index::open(directory, key, last_of).map_err(ControlError::unavailable)?;
    if thrown_away > 0 {
        tracing::warn!(thrown_away, "parts of the search index are built anew from the log");
        metrics::counter!("portcullis_search_index_thrown_away_total")
            .increment(thrown_away as u64);
    }
    Ok(index)
}

/// Takes entries of the log into the index, a batch at a time: the newest first, then the newest
/// part that is missing.
struct Builder {
    index: Arc<Index>,
    reader: LogReader,
    subjects: Subjects,
    /// A full part of the past, on its way.
    old: Option<Part>,
}

impl Builder {
    /// Whether there was anything to do.
    fn step(&mut self, size: u64) -> Result<bool, ControlError> {
        let next = match self.index.next() {
            Some(next) => next,
            None => {
                let part = self.begin(part_of(size))?;
                let next = part.next();
                self.index.begin(part);
                next
            }
        };
        if next < size {
            let end = (next + BATCH).min(size).min(part_of(next) + PART_ENTRIES);
            self.index.extend(&self.read(next, end)?);
            self.index.close_full().map_err(ControlError::unavailable)?;
            return Ok(true);
        }
        self.step_back(size)
    }

    fn step_back(&mut self, size: u64) -> Result<bool, ControlError> {
        let mut part = match self.old.take() {
            Some(part) => part,
            None => {
                let first = self.reader.first().map_err(ControlError::unavailable)?;
                let Some(missing) = self.index.missing(first, size) else { return Ok(false) };
                self.begin(missing)?
            }
        };
        let next = part.next();
        let end = (next + BATCH).min(part.first() + PART_ENTRIES);
        for (entry, terms) in self.read(next, end)? {
            part.add(&entry, &terms);
        }
        if part.is_full() {
            self.index.put(&part).map_err(ControlError::unavailable)?;
        } else {
            self.old = Some(part);
        }
        Ok(true)
    }

    /// A part that begins at an entry, without those that were archived.
    fn begin(&self, first: u64) -> Result<Part, ControlError> {
        let held = self.reader.first().map_err(ControlError::unavailable)?;
        let mut part = Part::begin(first);
        while part.next() < held && part.pass() {}
        Ok(part)
    }

    fn read(&self, from: u64, end: u64) -> Result<Vec<(Vec<u8>, Terms)>, ControlError> {
        let entries: Result<Vec<_>, _> = self.reader.entries(from..end).collect();
        let entries = entries.map_err(ControlError::unavailable)?;
        if entries.len() as u64 != end - from {
            return Err(ControlError::unavailable("entries of the log are not there"));
        }
        let runtime = tokio::runtime::Handle::current();
        let opened =
            runtime.block_on(self.subjects.open_entries(entries.iter().map(|(_, entry)| entry)));
        let opened = opened.map_err(ControlError::unavailable)?;
        let entries = entries.into_iter().map(|(_, entry)| entry);
        Ok(entries.zip(opened.iter().map(terms_of)).collect())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ControlError::unavailable("the work on the search index was interrupted"))
}
