//! Holding recordings against the audit log: one, or all that the log knows of.
//!
//! The log is what is believed, not the store: a session whose row was deleted is still looked
//! for, and a recording that is not where the log says it must be is missing. `audit verify`
//! shows that the log itself was not changed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{ControlAction, SessionId};
use portcullis_evidence::log::LogReader;
use portcullis_evidence::recording::{End, KeyWrapError, ReadError, RecordingReader, verify};
use portcullis_gateway::{Authenticated, KEY_DESTROYED, RECORDING_SUFFIX, RecordingKey};
use portcullis_store::SessionRecord;
use tokio::sync::mpsc;

use crate::trail::{Step, Trail, Trails, contains, opening};
use crate::view::{RecordingState, VerifiedRecording, VerifyLine};
use crate::{Control, ControlError};

/// Bad recordings of one verification that the log is told of; the answer names all of them.
const MAX_SAID: u64 = 20;
/// Results waiting for a slow reader.
const RESULT_QUEUE: usize = 64;

impl Control {
    /// Verifies the recording of one session, or of all that the log knows of. Each result comes
    /// as soon as it is known; the last line says that it was the last.
    pub async fn verify_recordings(
        &self,
        who: &Authenticated,
        session: Option<&str>,
    ) -> Result<mpsc::Receiver<VerifyLine>, ControlError> {
        self.must_hold(who, ControlAction::ReadRecordings, Activity::RecordingRead).await?;
        let mut event = self.event(who, Activity::RecordingRead).detail("kind", "verify");
        let only = match session {
            None => None,
            Some(id) => {
                let record = self.readable_session(who, id).await?;
                event = event
                    .target(&record.target)
                    .environment(&record.environment)
                    .session(record.id)
                    .person("of", &record.user);
                Some(record)
            }
        };
        self.audit(event).await?;
        // Live first, the log's size second: what closes in between is still called live.
        let live = self.gateway().live_sessions().iter().map(|view| view.id).collect();
        let log = self.gateway().auditor().log();
        let (reader, size) = (log.reader(), log.size());
        let check = Check {
            recordings: self.gateway().recordings().to_owned(),
            control: self.clone(),
            live,
        };
        let (out, queue) = mpsc::channel(RESULT_QUEUE);
        let control = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut walk = Walk { check, out: &out, absent: BTreeMap::new(), checked: 0, bad: 0 };
            let done = walk.log(&reader, size, only.as_ref());
            let absent = std::mem::take(&mut walk.absent);
            let done = done.and_then(|()| walk.absent(&control, absent));
            let (checked, bad) = (walk.checked, walk.bad);
            let last = match done {
                Ok(()) => VerifyLine::Done { checked, bad, log_size: size },
                Err(why) => VerifyLine::Failed { why: why.to_string() },
            };
            // Whoever asked may have gone.
            let _ = out.blocking_send(last);
        });
        Ok(queue)
    }
}

/// Where recordings are, and how they are opened.
struct Check {
    recordings: PathBuf,
    control: Control,
    live: BTreeSet<SessionId>,
}

/// A walk through the log, from one session's opening to its end or over all of it.
struct Walk<'a> {
    check: Check,
    out: &'a mpsc::Sender<VerifyLine>,
    /// Sessions whose recording is not there: the log may still say that it was removed.
    absent: BTreeMap<SessionId, VerifiedRecording>,
    checked: u64,
    bad: u64,
}

impl Walk<'_> {
    fn log(
        &mut self,
        reader: &LogReader,
        size: u64,
        only: Option<&SessionRecord>,
    ) -> Result<(), ControlError> {
        let id = only.map(|record| record.id.to_string());
        let first = only.map_or(0, |record| opening(reader, record));
        let mut trails = Trails::default();
        for read in reader.entries(first..size) {
            let (_, entry) = read.map_err(ControlError::unavailable)?;
            if id.as_ref().is_some_and(|id| !contains(&entry, id.as_bytes())) {
                continue;
            }
            match trails.take(&entry)? {
                Step::None => {}
                Step::Closed(session, trail) => {
                    if only.is_some_and(|record| record.id != session) {
                        continue;
                    }
                    self.session(session, &trail)?;
                    // Where the recording is there, nothing later matters.
                    if only.is_some() && self.absent.is_empty() {
                        return Ok(());
                    }
                }
                Step::Removed(session, why) => {
                    if let Some(mut found) = self.absent.remove(&session) {
                        found.state = RecordingState::Removed;
                        found.first_bad_chunk = None;
                        found.why = Some(why);
                        self.tell(found)?;
                    }
                }
            }
        }
        for (session, trail) in trails.rest() {
            if only.is_none_or(|record| record.id == session) {
                self.session(session, &trail)?;
            }
        }
        if only.is_some() && self.checked == 0 && self.absent.is_empty() {
            let why = "the audit log has no opening entry of this session";
            return Err(ControlError::unavailable(why));
        }
        Ok(())
    }

    fn session(&mut self, session: SessionId, trail: &Trail) -> Result<(), ControlError> {
        let key = self.check.key(session)?;
        let found = self.check.recording(session, trail, &key);
        if found.state == RecordingState::Missing {
            self.absent.insert(session, found);
            return Ok(());
        }
        self.tell(found)
    }

    /// What is left is missing, unless another node has it.
    fn absent(
        &mut self,
        control: &Control,
        absent: BTreeMap<SessionId, VerifiedRecording>,
    ) -> Result<(), ControlError> {
        let runtime = tokio::runtime::Handle::current();
        for (session, mut found) in absent {
            let record = runtime.block_on(control.gateway().store().session(session));
            if let Ok(record) = record
                && record.node != control.gateway().node()
            {
                found.state = RecordingState::Elsewhere;
                found.why = Some(format!("node `{}` has it", record.node));
            }
            self.tell(found)?;
        }
        Ok(())
    }

    fn tell(&mut self, found: VerifiedRecording) -> Result<(), ControlError> {
        self.checked += 1;
        if found.state.is_bad() && self.bad < MAX_SAID {
            self.check.say(&found)?;
        }
        self.bad += u64::from(found.state.is_bad());
        self.out
            .blocking_send(VerifyLine::Recording(found))
            .map_err(|_| ControlError::unavailable("nobody reads the results any more"))
    }
}

impl Check {
    /// Writes into the log that a recording is not what it was.
    fn say(&self, found: &VerifiedRecording) -> Result<(), ControlError> {
        let control = &self.control;
        let finding = match found.state {
            RecordingState::Missing => "recording_missing",
            _ => "recording_damaged",
        };
        let event = Event::new(Activity::Finding, control.gateway().now())
            .session(found.session)
            .detail("finding", finding)
            .outcome(Outcome::Failed(found.why.clone().unwrap_or_default()));
        tokio::runtime::Handle::current().block_on(control.audit(event)).map(drop)
    }

    fn key(&self, session: SessionId) -> Result<RecordingKey, ControlError> {
        let runtime = tokio::runtime::Handle::current();
        Ok(runtime.block_on(self.control.gateway().recording_key(session))?)
    }

    fn recording(
        &self,
        session: SessionId,
        trail: &Trail,
        key: &RecordingKey,
    ) -> VerifiedRecording {
        let path = self.recordings.join(format!("{session}.{RECORDING_SUFFIX}"));
        let mut found = VerifiedRecording {
            session,
            state: RecordingState::NotRecorded,
            chunks: 0,
            vouched: trail.vouched.chunks(),
            logged: trail.logged,
            closing_sha256: trail.vouched.closing.map(|closing| closing.head.to_string()),
            bytes: std::fs::metadata(&path).map_or(0, |file| file.len()),
            first_bad_chunk: None,
            why: None,
        };
        match open_and_verify(&path, key, trail) {
            Ok(end) => {
                let (chunks, finished) = match &end {
                    End::Finished(summary) => (summary.chunks, true),
                    End::Unfinished { chunks, .. } => (*chunks, false),
                };
                found.chunks = chunks;
                found.state = match finished && trail.finished {
                    true => RecordingState::Verified,
                    false if self.live.contains(&session) => RecordingState::Live,
                    false => RecordingState::Unfinished,
                };
                if found.state == RecordingState::Unfinished {
                    found.why = Some(unfinished(trail, &end));
                }
            }
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                if trail.recorded && trail.vouched.chunks() > 0 {
                    found.state = RecordingState::Missing;
                    found.first_bad_chunk = Some(0);
                    found.why = Some("the file is not there".into());
                }
            }
            // The file is on its way out, if the log says so.
            Err(ReadError::Key(KeyWrapError(why))) if why == KEY_DESTROYED => {
                found.state = RecordingState::Missing;
                found.first_bad_chunk = Some(0);
                found.why = Some(format!("its key is gone: {why}"));
            }
            Err(error) => {
                found.state = RecordingState::Damaged;
                found.first_bad_chunk = error.chunk();
                found.why = Some(error.to_string());
            }
        }
        found
    }
}

fn open_and_verify(path: &Path, key: &RecordingKey, trail: &Trail) -> Result<End, ReadError> {
    let recording = RecordingReader::open(path, key)?;
    verify(recording, trail.vouched.clone())
}

/// What is known of a recording that did not end cleanly.
fn unfinished(trail: &Trail, end: &End) -> String {
    let cut = match end {
        End::Unfinished { cut_bytes, .. } if *cut_bytes > 0 => {
            format!("; {cut_bytes} bytes of a chunk that was being written follow")
        }
        _ => String::new(),
    };
    let closed = match (trail.closed, trail.vouched.closing.is_some()) {
        (true, true) => "its session's closing entry vouches for every chunk in the file",
        (true, false) => "its session was closed without a word on it",
        (false, _) => "its session has no closing entry yet",
    };
    let logged = trail.logged;
    format!("the recording was not closed; {logged} chunks were logged as written, {closed}{cut}")
}
