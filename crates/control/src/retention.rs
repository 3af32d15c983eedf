//! What becomes of recordings after their sessions: their texts are made.
//!
//! A loop of its own: work on recordings takes long, and nobody's heartbeat waits for it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often recordings are looked after.
const INTERVAL: Duration = Duration::from_secs(5);

impl Control {
    /// Looks after recordings until `stop`.
    pub(crate) async fn look_after_recordings(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.say("make the texts of recordings", self.make_texts().await);
        }
    }
}
