//! Sessions: list, end, watch.

use std::str::FromStr;
use std::sync::Arc;

use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, SessionId, TargetName};
use portcullis_evidence::recording::Frame;
use portcullis_gateway::{Authenticated, EndReason, LiveSession};
use portcullis_store::{Page, SessionFilter, SessionRecord};
use tokio::sync::{broadcast, mpsc};

use crate::access::ends_with;
use crate::pages::{of_store, paged};
use crate::recordings::{FRAME_QUEUE, frame_view, past_frames};
use crate::right::{reason, user_name};
use crate::view::{FrameView, PageAsked, Paged, ReasonBody, SessionQuery, SessionRow};
use crate::{Control, ControlError};

impl Control {
    /// Sessions, newest first: one's own, or everyone's with the right.
    pub async fn sessions(
        &self,
        who: &Authenticated,
        query: SessionQuery,
        page: &PageAsked,
    ) -> Result<Paged<SessionRow>, ControlError> {
        self.must_be_active(who)?;
        let mut user = query.user.as_deref().map(user_name).transpose()?;
        if !self.holds(who, ControlAction::ListSessions) {
            if user.as_ref().is_some_and(|user| user != who.user()) {
                self.must_hold(who, ControlAction::ListSessions, Activity::AuditRead).await?;
            }
            user = Some(who.user().clone());
        }
        let target = query.target.as_deref().map(TargetName::new).transpose();
        let page = of_store(page)?;
        let filter = SessionFilter {
            user,
            target: target.map_err(ControlError::invalid)?,
            live: query.live.then_some(true),
            page,
            ..SessionFilter::default()
        };
        let found = self.gateway().store().sessions(&filter).await?;
        Ok(paged(found, page.limit, |record| record.id, |record| Some(self.row(record))))
    }

    /// Ends a live session.
    pub async fn kill(
        &self,
        who: &Authenticated,
        id: &str,
        body: ReasonBody,
    ) -> Result<SessionRow, ControlError> {
        self.must_hold(who, ControlAction::KillSessions, Activity::SessionKill).await?;
        let why = reason(&body.reason)?;
        let record = self.find_session(who, id).await?;
        let Some(live) = self.gateway().live_session(record.id) else {
            return Err(ControlError::not_found(format!(
                "live session `{}` on this node",
                record.id
            )));
        };
        let event = self
            .event(who, Activity::SessionKill)
            .target(&record.target)
            .environment(&record.environment)
            .session(record.id)
            .person("of", &record.user)
            .detail("reason", why.clone());
        self.audit(event).await?;
        live.end(EndReason::Killed { by: who.user().clone(), reason: why });
        Ok(self.row(record))
    }

    /// Follows a live session: what was on the screen so far, then what happens. The person whose
    /// session it is learns of it from the log, not on the screen.
    pub async fn watch(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<mpsc::Receiver<FrameView>, ControlError> {
        let record = self.readable_session(who, id).await?;
        let live = self.gateway().live_session(record.id);
        let Some((live, recorder)) = live.as_ref().and_then(|live| Some((live, live.recorder()?)))
        else {
            return Err(ControlError::not_found(format!(
                "live, recorded session `{}` on this node",
                record.id
            )));
        };
        let event = self
            .event(who, Activity::RecordingRead)
            .target(&record.target)
            .environment(&record.environment)
            .session(record.id)
            .person("of", &record.user)
            .detail("live", true);
        self.audit(event).await?;
        // Subscribed first, read second: a frame is in the file, in the feed, or in both.
        let mut feed = recorder.watch();
        recorder.flush_all().await.map_err(ControlError::unavailable)?;
        let path = recorder.path().to_owned();
        let key = self.gateway().recording_key(record.id).await?;
        let past = tokio::task::spawn_blocking(move || past_frames(&path, &key)).await;
        let past = past.unwrap_or_default();
        let (out, queue) = mpsc::channel(FRAME_QUEUE);
        let live = live.clone();
        tokio::spawn(async move {
            let mut latest = None;
            for frame in &past {
                latest = Some(frame.at);
                if out.send(frame_view(frame)).await.is_err() {
                    return;
                }
            }
            while let Some(frame) = next_frame(&mut feed, &live, &out).await {
                if latest.is_none_or(|latest| frame.at > latest)
                    && out.send(frame_view(&frame)).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(queue)
    }

    /// A session by its id or a unique ending of it; only those the caller may know of.
    pub(crate) async fn find_session(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<SessionRecord, ControlError> {
        let missing = || ControlError::not_found(format!("session `{}`", id.escape_debug()));
        let all = self.holds(who, ControlAction::ListSessions)
            || self.holds(who, ControlAction::ReadRecordings)
            || self.holds(who, ControlAction::KillSessions);
        if let Ok(id) = SessionId::from_str(id) {
            let record = self.gateway().store().session(id).await?;
            return if all || record.user == *who.user() { Ok(record) } else { Err(missing()) };
        }
        let filter = SessionFilter {
            user: (!all).then(|| who.user().clone()),
            page: Page { before: None, limit: portcullis_store::MAX_PAGE },
            ..SessionFilter::default()
        };
        let records = self.gateway().store().sessions(&filter).await?;
        let mut found: Vec<_> =
            records.into_iter().filter(|record| ends_with(&record.id.to_string(), id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(record), true) => Ok(record),
            (Some(_), false) => Err(ControlError::invalid("give more of the session's id")),
            (None, _) => Err(missing()),
        }
    }

    pub(crate) fn row(&self, record: SessionRecord) -> SessionRow {
        let live = self.gateway().live_session(record.id).is_some();
        let recording = record
            .end
            .as_ref()
            .map(|end| end.recording.clone())
            .filter(|recording| !recording.is_null());
        SessionRow {
            id: record.id,
            user: record.user,
            target: record.target,
            environment: record.environment,
            login: record.login,
            source: record.source,
            opened: record.started_at,
            closed: record.end.as_ref().map(|end| end.at),
            end_reason: record.end.map(|end| end.reason),
            live,
            recording,
        }
    }
}

/// The next frame of the feed; `None` once the session has ended or nobody watches any more. A
/// watcher too slow for the feed misses frames; the recording has them.
async fn next_frame(
    feed: &mut broadcast::Receiver<Arc<Frame>>,
    live: &LiveSession,
    out: &mpsc::Sender<FrameView>,
) -> Option<Arc<Frame>> {
    loop {
        let heard = tokio::select! {
            biased;
            heard = feed.recv() => heard,
            _ = live.ended() => return None,
            () = out.closed() => return None,
        };
        match heard {
            Ok(frame) => return Some(frame),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}
