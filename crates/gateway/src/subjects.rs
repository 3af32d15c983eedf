//! Whose key a personal field goes under, and reading it again.
//!
//! Events flow in, entries with their personal fields sealed flow out; sealed entries flow in and
//! readable ones flow out. Keys come from the store and are kept here for a while, bounded; a
//! person forgotten on any node is dropped when the store tells of the change.
//!
//! INVARIANT: writing never waits long for the store, and never writes a personal field in clear.
//! A person whose key cannot be had in time is sealed under the key unknown people share, which
//! is always at hand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_domain::audit::{Entry, Event, read};
use portcullis_domain::{SubjectId, Timestamp, UserName};
use portcullis_evidence::subject::{
    KeyState, SealError, SubjectKey, open_entry, pseudonyms, seal_field,
};
use portcullis_store::{Store, StoreError, Subject, SubjectState};
use serde_json::Value;
use thiserror::Error;

/// People whose keys are kept in memory.
const MAX_CACHED: usize = 16_384;
/// Longest wait for a key that is not in memory before the shared one is taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a failing store is not asked again for keys to seal with.
const STORE_RESTS: Duration = Duration::from_secs(2);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Keys of people could not be had.
#[derive(Debug, Error)]
pub enum SubjectsError {
    /// The store did not give them.
    #[error("the keys of personal fields cannot be read")]
    Store(#[from] StoreError),
    /// What the store gave is no key.
    #[error("a key of personal fields is damaged")]
    Key(#[from] SealError),
}

/// Handle to the keys of people; clones are the same.
#[derive(Clone)]
pub struct Subjects(Arc<Inner>);

struct Inner {
    store: Store,
    cache: Mutex<Cache>,
}

#[derive(Clone)]
struct Held {
    id: String,
    key: Arc<SubjectKey>,
}

enum Known {
    Key(Arc<SubjectKey>),
    Erased,
}

struct Cache {
    by_name: HashMap<UserName, Held>,
    by_id: HashMap<String, Known>,
    shared: Held,
    shared_day: i64,
    /// Forgotten subjects when the cache was last held against the store.
    forgotten: u64,
    /// Until when the store is left alone.
    resting: Option<std::time::Instant>,
}

impl Subjects {
    /// Reads what must be at hand before the first event.
    pub(crate) async fn load(store: Store, now: Timestamp) -> Result<Self, SubjectsError> {
        let forgotten = store.forgotten_subjects().await?;
        let shared = held(store.shared_subject(now).await?)?;
        let cache = Cache {
            by_name: HashMap::new(),
            by_id: HashMap::new(),
            shared,
            shared_day: now.as_millis() / DAY_MS,
            forgotten,
            resting: None,
        };
        Ok(Self(Arc::new(Inner { store, cache: Mutex::new(cache) })))
    }

    /// The event as it goes into the log: canonical, its personal fields sealed.
    pub(crate) async fn seal(&self, event: &Event) -> Result<Vec<u8>, SealError> {
        let mut entry = event.to_entry();
        if entry.personal.is_empty() {
            return Ok(entry.to_bytes());
        }
        let names: BTreeSet<Option<&UserName>> =
            entry.personal.iter().map(|personal| personal.whose.as_ref()).collect();
        let mut keys = BTreeMap::new();
        for name in names {
            keys.insert(name.cloned(), self.of(name, event.at).await);
        }
        read::make_room(&mut entry.value);
        let Entry { value, personal } = &mut entry;
        for field in personal {
            let missing = || SealError::NoField { place: field.place.clone() };
            let held = keys.get(&field.whose).ok_or_else(missing)?;
            seal_field(value, &field.place, &held.id, &held.key)?;
        }
        Ok(entry.to_bytes())
    }

    /// An entry of the log for a reader: sealed fields opened where their keys are there, and
    /// `erased` where they were destroyed. What is no JSON is `null`.
    ///
    /// # Errors
    /// [`SubjectsError`] where keys cannot be read.
    pub async fn open_entry(&self, bytes: &[u8]) -> Result<Value, SubjectsError> {
        let mut values = self.open_entries([bytes]).await?;
        Ok(values.pop().unwrap_or(Value::Null))
    }

    /// Many entries at once: every key is looked for once. Same order.
    ///
    /// # Errors
    /// [`SubjectsError`] where keys cannot be read.
    pub async fn open_entries(
        &self,
        entries: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Value>, SubjectsError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let mut values: Vec<Value> =
            entries.into_iter().map(|bytes| parse(bytes.as_ref())).collect();
        let wanted: BTreeSet<String> = values
            .iter()
            .flat_map(|value| pseudonyms(value).into_iter().map(str::to_owned))
            .collect();
        let keys = self.keys(wanted).await?;
        let state = |id: &str| match keys.get(id) {
            Some(Known::Key(key)) => KeyState::Known(key),
            Some(Known::Erased) => KeyState::Erased,
            None => KeyState::Unknown,
        };
        for value in &mut values {
            open_entry(value, &state);
            read::restore(value);
        }
        Ok(values)
    }

    /// Drops all keys where somebody was forgotten since the last look, and gives new users theirs
    /// ahead of their first event.
    pub(crate) async fn follow(&self, now: Timestamp) -> Result<(), SubjectsError> {
        self.0.store.enrol_subjects(now).await?;
        let forgotten = self.0.store.forgotten_subjects().await?;
        let stale = {
            let mut cache = self.cache();
            let moved = cache.forgotten != forgotten;
            if moved {
                cache.by_name.clear();
                cache.by_id.clear();
                cache.forgotten = forgotten;
            }
            moved || cache.shared_day != now.as_millis() / DAY_MS
        };
        if stale {
            let shared = held(self.0.store.shared_subject(now).await?)?;
            let mut cache = self.cache();
            cache.shared = shared;
            cache.shared_day = now.as_millis() / DAY_MS;
        }
        Ok(())
    }

    /// Whether the key unknown people share is of a day that is over.
    pub(crate) fn day_is_over(&self, now: Timestamp) -> bool {
        self.cache().shared_day != now.as_millis() / DAY_MS
    }

    /// The key to seal with. Never fails: where there is no other, the shared one.
    async fn of(&self, name: Option<&UserName>, now: Timestamp) -> Held {
        let resting = {
            let cache = self.cache();
            match name {
                None => return cache.shared.clone(),
                Some(name) => {
                    if let Some(held) = cache.by_name.get(name) {
                        return held.clone();
                    }
                }
            }
            cache.resting.is_some_and(|until| std::time::Instant::now() < until)
        };
        let Some(name) = name.filter(|_| !resting) else { return self.cache().shared.clone() };
        let found = tokio::time::timeout(PATIENCE, self.0.store.subject_for(name, now)).await;
        let found = match found {
            Ok(Ok(subject)) => {
                let shared = subject.shared;
                held(subject).map(|held| (held, shared)).map_err(|error| error.to_string())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store did not answer in time".to_owned()),
        };
        let mut cache = self.cache();
        match found {
            Ok((held, shared)) => {
                // Names without a key of their own are not remembered: there is no end of them.
                if !shared {
                    make_room(&mut cache.by_name);
                    cache.by_name.insert(name.clone(), held.clone());
                }
                held
            }
            Err(why) => {
                tracing::warn!(why, "a person's key could not be had; the shared one is used");
                cache.resting = Some(std::time::Instant::now() + STORE_RESTS);
                cache.shared.clone()
            }
        }
    }

    async fn keys(
        &self,
        wanted: BTreeSet<String>,
    ) -> Result<HashMap<String, Known>, SubjectsError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        let before = {
            let cache = self.cache();
            for id in wanted {
                match cache.by_id.get(&id) {
                    Some(Known::Key(key)) => {
                        found.insert(id, Known::Key(key.clone()));
                    }
                    Some(Known::Erased) => {
                        found.insert(id, Known::Erased);
                    }
                    None => missing.extend(id.parse::<SubjectId>().ok()),
                }
            }
            cache.forgotten
        };
        for (id, state) in self.0.store.subject_keys(&missing).await? {
            let known = match state {
                SubjectState::Known(key) => Known::Key(Arc::new(SubjectKey::new(key.expose())?)),
                SubjectState::Forgotten => Known::Erased,
            };
            let mut cache = self.cache();
            // Nothing that was read before somebody was forgotten is remembered after it.
            if cache.forgotten == before {
                make_room(&mut cache.by_id);
                cache.by_id.insert(id.to_string(), copy(&known));
            }
            found.insert(id.to_string(), known);
        }
        Ok(found)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn copy(known: &Known) -> Known {
    match known {
        Known::Key(key) => Known::Key(key.clone()),
        Known::Erased => Known::Erased,
    }
}

fn held(subject: Subject) -> Result<Held, SubjectsError> {
    let key = Arc::new(SubjectKey::new(subject.key.expose())?);
    Ok(Held { id: subject.id.to_string(), key })
}

/// What was kept longest is not known; starting over keeps it simple and bounded.
fn make_room<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= MAX_CACHED {
        map.clear();
    }
}
