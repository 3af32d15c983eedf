//! Searching what was on the screen and what was typed, across sessions.
//!
//! Each recording's text is kept beside it, encrypted under a key of the recording's: made when a
//! session has closed, or by the first search that needs it, and made again when it is not there
//! or not its. Only recordings the caller may read are searched. One session at a time is in
//! work, and results go out as they are found, so that neither memory nor the wait for the first
//! of them grows with the number of sessions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, EnvironmentName, SessionId, TargetName, Timestamp};
use portcullis_evidence::recording::text::{
    BuildError, TextKind, TextLine, TextReader, TextState, build, render,
};
use portcullis_evidence::recording::{ReadError, RecordingReader};
use portcullis_gateway::{Authenticated, RECORDING_SUFFIX, RecordingKey};
use portcullis_store::{Page, SessionFilter, SessionRecord};
use tokio::sync::{Mutex, mpsc};

use crate::right::user_name;
use crate::trail::{Trail, trail_of};
use crate::view::{SearchLine, TextMatch, TextQuery, TextWithin};
use crate::{Control, ControlError};

/// File name ending of a recording's text.
pub(crate) const TEXT_SUFFIX: &str = "text";
/// Longest text that is looked for, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// Lines found, by default and at most.
const DEFAULT_FOUND: usize = 1000;
const MAX_FOUND: usize = 10_000;
/// Lines waiting for a slow reader.
const FOUND_QUEUE: usize = 256;
/// Sessions asked of the store at a time.
const PAGE: usize = 100;
/// Texts made in one run of the reconciler.
const TEXTS_AT_ONCE: usize = 20;

/// Texts that are being made, one at a time, and those that cannot be.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Held while one is made, and while a recording is removed.
    pub(crate) making: Mutex<BTreeSet<SessionId>>,
}

/// Sessions remembered as impossible to render; beyond it they are tried again.
const MAX_IMPOSSIBLE: usize = 10_000;

/// What is looked for, once it has been understood.
#[derive(Debug, Clone)]
struct Wanted {
    text: String,
    within: Option<TextWithin>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// What is left to find, and what was done.
#[derive(Debug, Clone, Copy)]
struct Count {
    searched: u64,
    found: u64,
    left: usize,
}

impl Control {
    /// Searches recordings, the newest session first.
    pub async fn search_recordings(
        &self,
        who: &Authenticated,
        query: TextQuery,
    ) -> Result<mpsc::Receiver<SearchLine>, ControlError> {
        self.must_hold(who, ControlAction::ReadRecordings, Activity::RecordingRead).await?;
        if query.text.trim().is_empty() || query.text.len() > MAX_TEXT_BYTES {
            let why = format!("give a text to look for, of at most {MAX_TEXT_BYTES} bytes");
            return Err(ControlError::invalid(why));
        }
        let filter = SessionFilter {
            user: query.user.as_deref().map(user_name).transpose()?,
            target: query
                .target
                .as_deref()
                .map(TargetName::new)
                .transpose()
                .map_err(ControlError::invalid)?,
            environment: query
                .environment
                .as_deref()
                .map(EnvironmentName::new)
                .transpose()
                .map_err(ControlError::invalid)?,
            from: query.from,
            to: query.to,
            live: None,
            page: Page { before: None, limit: PAGE },
        };
        let asked = serde_json::to_string(&query).unwrap_or_default();
        let event = self
            .event(who, Activity::RecordingRead)
            .detail("kind", "search")
            .detail("query", asked);
        self.audit(event).await?;
        let wanted = Wanted {
            text: query.text.to_lowercase(),
            within: query.within,
            from: query.from,
            to: query.to,
        };
        let left = query.limit.unwrap_or(DEFAULT_FOUND).min(MAX_FOUND);
        let (out, queue) = mpsc::channel(FOUND_QUEUE);
        let (control, who) = (self.clone(), who.clone());
        tokio::spawn(async move {
            let mut count = Count { searched: 0, found: 0, left };
            let last = match control.search(&who, filter, wanted, &out, &mut count).await {
                Ok(()) => SearchLine::Done {
                    searched: count.searched,
                    found: count.found,
                    limited: count.left == 0,
                },
                Err(error) => SearchLine::Failed { why: error.to_string() },
            };
            // Whoever asked may have gone.
            let _ = out.send(last).await;
        });
        Ok(queue)
    }

    async fn search(
        &self,
        who: &Authenticated,
        mut filter: SessionFilter,
        wanted: Wanted,
        out: &mpsc::Sender<SearchLine>,
        count: &mut Count,
    ) -> Result<(), ControlError> {
        loop {
            let page = self.gateway().store().sessions(&filter).await?;
            let Some(last) = page.last().map(|session| session.id) else { return Ok(()) };
            filter.page.before = Some(last);
            for session in page {
                if count.left == 0 || out.is_closed() {
                    return Ok(());
                }
                if !self.may_read_in(who, &session.environment) {
                    continue;
                }
                let id = session.id;
                let why = match self.search_one(session, &wanted, out, count).await {
                    Ok(None) => continue,
                    Ok(Some(TextState::Whole)) => {
                        count.searched += 1;
                        continue;
                    }
                    Ok(Some(TextState::Damaged { chunk })) => {
                        count.searched += 1;
                        format!(
                            "it does not verify: only what stands before chunk {chunk} was searched"
                        )
                    }
                    Err(error) => error.to_string(),
                };
                let _ = out.send(SearchLine::Skipped { session: id, why }).await;
            }
        }
    }

    /// Searches one recording; `None` where there is none.
    async fn search_one(
        &self,
        session: SessionRecord,
        wanted: &Wanted,
        out: &mpsc::Sender<SearchLine>,
        count: &mut Count,
    ) -> Result<Option<TextState>, ControlError> {
        if session.removal.is_some() {
            return Ok(None);
        }
        let place = TextPlace::of(self, session.id);
        if !tokio::fs::try_exists(&place.recording).await.unwrap_or(false) {
            let recorded = session.end.as_ref().is_some_and(|end| !end.recording.is_null());
            return match recorded && session.node != self.gateway().node() {
                true => Err(ControlError::unavailable(format!("node `{}` has it", session.node))),
                false => Ok(None),
            };
        }
        let live = session.end.is_none();
        if !live {
            self.make_text(&session).await?;
        } else if let Some(live) = self.gateway().live_session(session.id)
            && let Some(recorder) = live.recorder()
        {
            recorder.flush_all().await.map_err(ControlError::unavailable)?;
        }
        let trail = if live { Some(self.trail(&session).await?) } else { None };
        let key = self.gateway().recording_key(session.id).await?;
        let (wanted, out, mut counted) = (wanted.clone(), out.clone(), *count);
        let searched = tokio::task::spawn_blocking(move || {
            let mut see = |line: TextLine| found(&session, &wanted, line, &out, &mut counted);
            let state = match trail {
                Some(trail) => place.render(&key, trail, &mut |line| {
                    see(line);
                }),
                None => place.read(&key, &wanted.text, &mut see),
            };
            state.map(|state| (state, counted))
        });
        let (state, counted) = searched.await.map_err(|_| impossible())??;
        *count = counted;
        Ok(Some(state))
    }

    async fn trail(&self, session: &SessionRecord) -> Result<Trail, ControlError> {
        let log = self.gateway().auditor().log();
        let (reader, size, session) = (log.reader(), log.size(), session.clone());
        let trail = tokio::task::spawn_blocking(move || trail_of(&reader, size, &session)).await;
        trail.map_err(|_| ControlError::unavailable("reading was interrupted"))?
    }

    /// Makes the text of a closed session's recording, unless it is there.
    async fn make_text(&self, session: &SessionRecord) -> Result<(), ControlError> {
        let place = TextPlace::of(self, session.id);
        let key = self.gateway().recording_key(session.id).await?;
        if place.is_made(&key).await? {
            return Ok(());
        }
        let mut impossible_ones = self.texts().making.lock().await;
        if impossible_ones.contains(&session.id) {
            return Err(impossible());
        }
        // Somebody else may have made it meanwhile.
        if place.is_made(&key).await? {
            return Ok(());
        }
        let trail = self.trail(session).await?;
        let made = tokio::task::spawn_blocking(move || place.make(&key, trail)).await;
        match made {
            Ok(made) => made.map(drop),
            // What renders hostile output gave up on it.
            Err(_) => {
                if impossible_ones.len() >= MAX_IMPOSSIBLE {
                    impossible_ones.clear();
                }
                impossible_ones.insert(session.id);
                Err(impossible())
            }
        }
    }

    /// Reconciler: makes the texts of sessions that have closed of late. Older ones are made by
    /// the first search that needs them.
    pub(crate) async fn make_texts(&self) -> Result<(), ControlError> {
        let page = Page { before: None, limit: PAGE };
        let filter = SessionFilter { live: Some(false), page, ..SessionFilter::default() };
        let mut made = 0;
        for session in self.gateway().store().sessions(&filter).await? {
            let place = TextPlace::of(self, session.id);
            let there =
                |path: PathBuf| async { tokio::fs::try_exists(path).await.unwrap_or(false) };
            if !there(place.recording.clone()).await || there(place.text.clone()).await {
                continue;
            }
            if made >= TEXTS_AT_ONCE {
                break;
            }
            made += 1;
            if let Err(error) = self.make_text(&session).await {
                tracing::warn!(%error, session = %session.id, "a recording's text cannot be made");
            }
        }
        Ok(())
    }
}

/// A recording and its text.
#[derive(Debug, Clone)]
struct TextPlace {
    recording: PathBuf,
    text: PathBuf,
}

impl TextPlace {
    fn of(control: &Control, session: SessionId) -> Self {
        let directory: &Path = control.gateway().recordings();
        Self {
            recording: directory.join(format!("{session}.{RECORDING_SUFFIX}")),
            text: directory.join(format!("{session}.{TEXT_SUFFIX}")),
        }
    }

    async fn is_made(&self, key: &RecordingKey) -> Result<bool, ControlError> {
        let (place, key) = (self.clone(), key.clone());
        let opened =
            tokio::task::spawn_blocking(move || place.open(&key).map(|text| text.is_some()));
        opened.await.map_err(|_| impossible())?
    }

    fn open(&self, key: &RecordingKey) -> Result<Option<TextReader>, ControlError> {
        TextReader::open(&self.text, &self.recording, key).map_err(ControlError::unavailable)
    }

    fn frames(
        &self,
        key: &RecordingKey,
        trail: Trail,
    ) -> Result<RecordingReader<std::io::BufReader<std::fs::File>>, ReadError> {
        RecordingReader::open(&self.recording, key)?.against(trail.vouched)
    }

    fn make(&self, key: &RecordingKey, trail: Trail) -> Result<TextState, ControlError> {
        let frames = self.frames(key, trail).map_err(ControlError::unavailable)?;
        build(&self.recording, frames, key, &self.text).map_err(|error| {
            match &error {
                BuildError::Write(cause) => tracing::error!(%cause, "a text cannot be written"),
                BuildError::Read(_) => {}
            }
            ControlError::unavailable(error)
        })
    }

    fn render(
        &self,
        key: &RecordingKey,
        trail: Trail,
        line: &mut impl FnMut(TextLine),
    ) -> Result<TextState, ControlError> {
        let mut frames = self.frames(key, trail).map_err(ControlError::unavailable)?;
        render(&mut frames, line).map_err(ControlError::unavailable)
    }

    fn read(
        &self,
        key: &RecordingKey,
        wanted: &str,
        line: &mut impl FnMut(TextLine) -> bool,
    ) -> Result<TextState, ControlError> {
        let reader = self.open(key)?;
        let read = reader.map(|text| text.lines(wanted, line)).transpose();
        match read.map_err(ControlError::unavailable)?.flatten() {
            Some(state) => Ok(state),
            None => {
                // It is made again by the next search; nothing of it is believed until then.
                let _ = std::fs::remove_file(&self.text);
                Err(ControlError::unavailable(
                    "its text was not as it was made and has been thrown away; search again",
                ))
            }
        }
    }
}

/// Takes a line in; `false` when enough has been found.
fn found(
    session: &SessionRecord,
    wanted: &Wanted,
    line: TextLine,
    out: &mpsc::Sender<SearchLine>,
    count: &mut Count,
) -> bool {
    if count.left == 0 {
        return false;
    }
    let kind = match line.kind {
        TextKind::Screen => "screen",
        TextKind::Typed => "typed",
        TextKind::Command => "command",
    };
    let within = match wanted.within {
        None => true,
        Some(TextWithin::Screen) => line.kind == TextKind::Screen,
        Some(TextWithin::Typed) => line.kind != TextKind::Screen,
    };
    let at = session.started_at.plus(Duration::from_micros(micros(line.at)));
    let in_time = wanted.from.is_none_or(|from| at >= from) && wanted.to.is_none_or(|to| at < to);
    if !within || !in_time || !line.text.to_lowercase().contains(&wanted.text) {
        return true;
    }
    count.found += 1;
    count.left -= 1;
    let found = TextMatch {
        session: session.id,
        user: session.user.clone(),
        target: session.target.clone(),
        environment: session.environment.clone(),
        at_us: micros(line.at),
        at,
        channel: line.channel,
        kind: kind.to_owned(),
        line: line.text,
    };
    out.blocking_send(SearchLine::Match(found)).is_ok() && count.left > 0
}

fn impossible() -> ControlError {
    ControlError::unavailable("its output cannot be rendered; `sessions export` has it as it was")
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}
