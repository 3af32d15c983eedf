//! What becomes of recordings after their sessions: their texts are made, and after the time that
//! their environment keeps them they are removed.
//!
//! A loop of its own: work on recordings takes long, and nobody's heartbeat waits for it.
//!
//! Removing is three steps, each durable before the next: an entry of the log says so; the store's
//! half of the recording's key is destroyed, unless a hold covers it, and with it every copy; the
//! files go. Killed between two of them, the next run goes on where it stopped; killed right after
//! the first, the log says it twice.

mod settled;

use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::hold::covering;
use portcullis_domain::{EnvironmentName, Hold, SessionId, Timestamp, format_duration};
use portcullis_gateway::RECORDING_SUFFIX;
use portcullis_store::{RecordingRemoval, RemoveError, SessionRecord, evidence_of};
use tokio_util::sync::CancellationToken;

use crate::search_recordings::TEXT_SUFFIX;
use crate::{Control, ControlError};
use settled::Settled;

/// How often recordings are looked after.
const INTERVAL: Duration = Duration::from_secs(5);
/// Recordings removed in one run at most: the node has other things to do.
const REMOVALS_AT_ONCE: usize = 100;
/// How often the settled time is written down.
const SETTLED_WRITTEN: Duration = Duration::from_secs(60);
/// What an entry of the log says removed a recording.
const CAUSE: &str = "retention";

/// What the loop remembers between its runs.
struct Clocks {
    started: Instant,
    settled: Settled,
    written: Option<Timestamp>,
    /// Whether it has been said that the clock is ahead of the settled time.
    said: bool,
}

impl Control {
    /// Looks after recordings until `stop`.
    pub(crate) async fn look_after_recordings(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut clocks = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.say("make the texts of recordings", self.make_texts().await);
            self.say("remove old recordings", self.remove_old_recordings(&mut clocks).await);
        }
    }

    async fn remove_old_recordings(&self, clocks: &mut Option<Clocks>) -> Result<(), ControlError> {
        let (store, node, wall) =
            (self.gateway().store(), self.gateway().node(), self.gateway().now());
        let clocks = match clocks {
            Some(clocks) => clocks,
            None => {
                let before = store.settled_time(node).await?;
                let settled = Settled::begin(before, wall, Duration::ZERO);
                let started = Instant::now();
                clocks.insert(Clocks { started, settled, written: None, said: false })
            }
        };
        clocks.settled.observe(wall, clocks.started.elapsed());
        let settled = clocks.settled.time();
        let due = |at: Timestamp| settled.since(at).max(at.since(settled)) >= SETTLED_WRITTEN;
        if clocks.written.is_none_or(due) {
            store.settle_time(node, settled).await?;
            clocks.written = Some(settled);
        }
        let snapshot = self.gateway().snapshot();
        let kept: Vec<(EnvironmentName, Duration)> = snapshot
            .facts
            .environments
            .values()
            .filter_map(|found| Some((found.name.clone(), found.recordings.keep?)))
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        self.say_clock_is_ahead(clocks, wall).await?;
        let speaks = self.speaks(wall).await?;
        let holds = store.holds().await?;
        let mut left = REMOVALS_AT_ONCE;
        for (environment, keep) in kept {
            let mut after = None;
            loop {
                let due = store.recordings_due(&environment, settled.minus(keep), after).await?;
                let Some(last) = due.last().map(|session| session.id) else { break };
                after = Some(last);
                for session in due {
                    if left == 0 {
                        return Ok(());
                    }
                    left -= usize::from(self.remove(session, keep, &holds, speaks).await?);
                }
            }
        }
        Ok(())
    }

    /// Says once that nothing more is removed until the clock has settled.
    async fn say_clock_is_ahead(
        &self,
        clocks: &mut Clocks,
        wall: Timestamp,
    ) -> Result<(), ControlError> {
        let Some(ahead) = clocks.settled.waits() else {
            clocks.said = false;
            return Ok(());
        };
        if clocks.said {
            return Ok(());
        }
        let why = format!(
            "the clock is {} ahead of what it was, so recordings are removed as of {} until it has \
             gone evenly for a day; see that it is right",
            format_duration(Duration::from_secs(ahead.as_secs())),
            clocks.settled.time(),
        );
        tracing::warn!(why, "recordings are kept for now");
        let event = Event::new(Activity::Finding, wall)
            .detail("finding", "clock_jumped")
            .detail("node", self.gateway().node())
            .detail("ahead_seconds", ahead.as_secs())
            .outcome(Outcome::Failed(why));
        self.audit(event).await?;
        clocks.said = true;
        Ok(())
    }

    /// Takes one recording as far as this node can; whether that was any work.
    async fn remove(
        &self,
        session: SessionRecord,
        keep: Duration,
        holds: &[Hold],
        speaks: bool,
    ) -> Result<bool, ControlError> {
        let (store, now) = (self.gateway().store(), self.gateway().now());
        let here = session.node == self.gateway().node();
        if session.removal.is_none() {
            let recorded = session.end.as_ref().is_some_and(|end| !end.recording.is_null());
            let key = store.recording_half(session.id).await?.is_some();
            if !recorded && !key && !self.has_files(session.id).await {
                store.recording_over(session.id, now).await?;
                return Ok(false);
            }
            // Whose files are on a node that runs, that node sees to it.
            let ours = here || (speaks && !self.lives(&session.node).await?);
            if !ours || covering(holds, &evidence_of(&session)).is_some() {
                return Ok(false);
            }
            if !self.destroy_key(&session, keep).await? {
                return Ok(false);
            }
        }
        if !here {
            return Ok(false);
        }
        self.remove_files(session.id).await?;
        store.recording_over(session.id, now).await?;
        metrics::counter!("portcullis_recordings_removed_total").increment(1);
        Ok(true)
    }

    /// The entry of the log, then the key; whether it is gone.
    async fn destroy_key(
        &self,
        session: &SessionRecord,
        keep: Duration,
    ) -> Result<bool, ControlError> {
        let now = self.gateway().now();
        let event = Event::new(Activity::RecordingRemove, now)
            .target(&session.target)
            .environment(&session.environment)
            .session(session.id)
            .person("of", &session.user)
            .detail("cause", CAUSE)
            .detail("duration", format_duration(keep));
        let removal = RecordingRemoval { at: now, event: event.id };
        self.audit(event.clone()).await?;
        match self.gateway().store().destroy_recording_half(session.id, removal).await {
            Ok(()) => Ok(true),
            Err(RemoveError::Held(hold)) => {
                let why = format!("hold `{}` was placed meanwhile", hold.id);
                let event = Event { id: portcullis_domain::EventId::generate(now), ..event };
                let event = event.detail("hold", hold.id.to_string());
                self.audit(event.outcome(Outcome::Failed(why))).await?;
                Ok(false)
            }
            Err(RemoveError::Store(error)) => Err(error.into()),
        }
    }

    async fn has_files(&self, session: SessionId) -> bool {
        let directory = self.gateway().recordings();
        let recording = directory.join(format!("{session}.{RECORDING_SUFFIX}"));
        tokio::fs::try_exists(recording).await.unwrap_or(true)
    }

    async fn remove_files(&self, session: SessionId) -> Result<(), ControlError> {
        // No text is made of it at the same time.
        let _making = self.texts().making.lock().await;
        let directory = self.gateway().recordings().to_owned();
        let removed =
            tokio::task::spawn_blocking(move || remove_durably(&directory, session)).await;
        let removed = removed.map_err(|_| ControlError::unavailable("it was interrupted"))?;
        removed.map_err(ControlError::unavailable)
    }
}

fn remove_durably(directory: &Path, session: SessionId) -> std::io::Result<()> {
    for suffix in [RECORDING_SUFFIX, TEXT_SUFFIX] {
        match std::fs::remove_file(directory.join(format!("{session}.{suffix}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::File::open(directory)?.sync_all()
}
