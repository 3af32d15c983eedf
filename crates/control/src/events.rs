//! Telling open pages that something changed, so that they look again.
//!
//! One look at the store for everyone who listens, several times a second and only while somebody
//! does. What changed is not said, only in which list: whoever may not see it learns that there is
//! something going on and nothing else, and of sessions only what is theirs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::{ControlAction, SessionId};
use portcullis_gateway::Authenticated;
use portcullis_store::Pulse;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::view::{Changed, EventView};
use crate::{Control, ControlError};

/// How often the store is asked while somebody listens.
const LOOK: Duration = Duration::from_millis(100);
/// Changes a slow listener may be behind; then it waits, and misses nothing: what it is told is to
/// look again.
const EVENT_QUEUE: usize = 8;

/// Who listens.
#[derive(Default)]
pub(crate) struct Listening(Mutex<Option<watch::Receiver<Arc<Pulse>>>>);

impl Control {
    /// Tells the caller which lists changed, from now on.
    pub async fn events(
        &self,
        who: &Authenticated,
    ) -> Result<mpsc::Receiver<EventView>, ControlError> {
        self.must_be_active(who)?;
        let mut pulse = self.pulse().await?;
        let (out, queue) = mpsc::channel(EVENT_QUEUE);
        let (control, who) = (self.clone(), who.clone());
        tokio::spawn(async move {
            let mut seen = pulse.borrow_and_update().clone();
            loop {
                tokio::select! {
                    changed = pulse.changed() => if changed.is_err() { return },
                    () = out.closed() => return,
                }
                let now = pulse.borrow_and_update().clone();
                let changed = control.differences(&who, &seen, &now);
                seen = now;
                if !changed.is_empty() && out.send(EventView { changed }).await.is_err() {
                    return;
                }
            }
        });
        Ok(queue)
    }

    /// Which lists differ, for this caller.
    fn differences(&self, who: &Authenticated, before: &Pulse, now: &Pulse) -> BTreeSet<Changed> {
        let all = self.holds(who, ControlAction::ListSessions);
        let of = |pulse: &Pulse| -> Vec<SessionId> {
            let theirs = pulse.sessions.iter().filter(|(_, user)| all || user == who.user());
            theirs.map(|(id, _)| *id).collect()
        };
        let facts = before.revision != now.revision;
        [
            (Changed::Facts, facts),
            // An approval grows the revision and takes its request off those that wait.
            (Changed::Requests, before.requests != now.requests),
            (Changed::Changes, before.changes != now.changes),
            (Changed::Sessions, of(before) != of(now)),
        ]
        .into_iter()
        .filter_map(|(list, differs)| differs.then_some(list))
        .collect()
    }

    /// The pulse everyone listens to; felt by one task, which ends with the last listener.
    async fn pulse(&self) -> Result<watch::Receiver<Arc<Pulse>>, ControlError> {
        let first = Arc::new(self.gateway().store().pulse().await?);
        let mut listening = self.listening().0.lock().unwrap_or_else(PoisonError::into_inner);
        // A receiver whose sender is gone is of a task that has ended.
        if let Some(pulse) = listening.as_ref().filter(|pulse| pulse.has_changed().is_ok()) {
            return Ok(pulse.clone());
        }
        let (sender, receiver) = watch::channel(first);
        *listening = Some(receiver.clone());
        let control = self.clone();
        tokio::spawn(async move {
            let mut tick = interval(LOOK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                // One receiver is kept for those who come next.
                if sender.receiver_count() <= 1 {
                    let mut listening =
                        control.listening().0.lock().unwrap_or_else(PoisonError::into_inner);
                    if sender.receiver_count() <= 1 {
                        *listening = None;
                        return;
                    }
                }
                match control.gateway().store().pulse().await {
                    Ok(now) => {
                        sender.send_if_modified(|known| {
                            let differs = **known != now;
                            if differs {
                                *known = Arc::new(now);
                            }
                            differs
                        });
                    }
                    Err(error) => tracing::debug!(%error, "the store's pulse cannot be felt"),
                }
            }
        });
        Ok(receiver)
    }
}
