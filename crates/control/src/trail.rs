//! What the audit log says of sessions and their recordings, gathered entry by entry.
//!
//! Flows in: the entries of the log, in order. Flows out: for each session its [`Trail`], as soon
//! as its closing entry is read. In memory are the sessions open at one time and those whose
//! recording is looked for, never the whole log. The store is asked only where to begin.

use std::collections::BTreeMap;

use portcullis_domain::SessionId;
use portcullis_domain::audit::read;
use portcullis_evidence::log::LogReader;
use portcullis_evidence::recording::Vouched;
use portcullis_gateway::{logged_chunk, logged_closing};
use portcullis_store::SessionRecord;
use serde_json::Value;

use crate::ControlError;

/// Sessions open at one time that are followed; more are an error and not a guess.
const MAX_OPEN: usize = 100_000;

/// What the log says of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    /// What it vouches for.
    pub(crate) vouched: Vouched,
    /// Whether it was to be recorded at all.
    pub(crate) recorded: bool,
    /// Whether its closing entry was read.
    pub(crate) closed: bool,
    /// Whether the closing entry says that the recording ended cleanly.
    pub(crate) finished: bool,
    /// Chunks whose hashes were logged while it ran.
    pub(crate) logged: u32,
}

/// What an entry of the log means for recordings.
pub(crate) enum Step {
    /// Nothing yet.
    None,
    /// A session was closed; this is all there is of it.
    Closed(SessionId, Box<Trail>),
    /// The log says when and why a recording was removed, in this event.
    Removed(SessionId, String),
}

/// The sessions that are open at a place of the log.
#[derive(Debug, Default)]
pub(crate) struct Trails {
    open: BTreeMap<SessionId, Trail>,
}

impl Trails {
    /// Takes in the next entry.
    pub(crate) fn take(&mut self, entry: &[u8]) -> Result<Step, ControlError> {
        if !speaks_of_recordings(entry) {
            return Ok(Step::None);
        }
        let event: Value = serde_json::from_slice(entry).unwrap_or_default();
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let Some(id) = text("/unmapped/session").and_then(|id| id.parse::<SessionId>().ok()) else {
            return Ok(Step::None);
        };
        match text("/metadata/event_code").unwrap_or_default() {
            "session.open" => {
                if self.open.len() >= MAX_OPEN {
                    let why = format!("more than {MAX_OPEN} sessions were open at one time");
                    return Err(ControlError::unavailable(why));
                }
                let recorded = text("/unmapped/recording").is_some_and(|terms| terms != "off");
                let vouched = Vouched { session: id.to_string(), ..Vouched::default() };
                self.open.entry(id).or_insert(Trail { vouched, recorded, ..Trail::default() });
            }
            "recording" => {
                if let Some(trail) = self.open.get_mut(&id)
                    && let Some((index, hash)) = logged_chunk(&event)
                {
                    // The first entry of a chunk stands: it was written when the chunk was.
                    trail.vouched.chunks.entry(index).or_insert(hash);
                    trail.logged = trail.vouched.chunks();
                }
            }
            "session.close" => {
                if let Some(mut trail) = self.open.remove(&id) {
                    let closing = logged_closing(&event);
                    trail.closed = true;
                    trail.finished = closing.is_some_and(|(_, finished)| finished);
                    trail.vouched.closing = closing.map(|(closing, _)| closing);
                    return Ok(Step::Closed(id, Box::new(trail)));
                }
            }
            "recording.remove" => {
                if read::outcome(&event) != "success" {
                    return Ok(Step::None);
                }
                let at = read::time(&event).map(|at| at.to_string()).unwrap_or_default();
                let cause = text("/unmapped/cause").unwrap_or("unknown");
                let uid = read::id(&event).unwrap_or("unknown");
                return Ok(Step::Removed(id, format!("removed by {cause} at {at} (event {uid})")));
            }
            _ => {}
        }
        Ok(Step::None)
    }

    /// Those without a closing entry.
    pub(crate) fn rest(self) -> BTreeMap<SessionId, Trail> {
        self.open
    }
}

/// What the log says of one session: from its opening entry to its closing one, or to the end.
pub(crate) fn trail_of(
    reader: &LogReader,
    size: u64,
    session: &SessionRecord,
) -> Result<Trail, ControlError> {
    let id = session.id.to_string();
    let mut trails = Trails::default();
    for read in reader.entries(opening(reader, session)..size) {
        let (_, entry) = read.map_err(ControlError::unavailable)?;
        if !contains(&entry, id.as_bytes()) {
            continue;
        }
        if let Step::Closed(closed, trail) = trails.take(&entry)?
            && closed == session.id
        {
            return Ok(*trail);
        }
    }
    trails.rest().remove(&session.id).ok_or_else(|| {
        ControlError::unavailable(format!("the audit log has no opening entry of session `{id}`"))
    })
}

/// Where to begin to read. The store's hint is believed only where the log agrees.
pub(crate) fn opening(reader: &LogReader, session: &SessionRecord) -> u64 {
    let id = session.id.to_string();
    let opens = |entry: Vec<u8>| {
        contains(&entry, id.as_bytes()) && contains(&entry, br#""event_code":"session.open""#)
    };
    let hint = session.opened_entry;
    hint.filter(|index| reader.entry(*index).is_ok_and(opens)).unwrap_or(0)
}

fn speaks_of_recordings(entry: &[u8]) -> bool {
    contains(entry, br#""event_code":"session."#) || contains(entry, br#""event_code":"recording"#)
}

pub(crate) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(bytes, wanted).is_some()
}
