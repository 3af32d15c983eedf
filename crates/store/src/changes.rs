//! Telling everyone that the revision grew.
//!
//! A change made here is told at once. Changes of other nodes and processes come by PostgreSQL's
//! NOTIFY, with polling behind it for when the listening connection is lost; on SQLite by
//! polling alone. A store that cannot be read is not told here: the node's lease notices that.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::transaction::CHANNEL;
use crate::{Inner, Store};

/// How long a change elsewhere can stay unseen when no notification comes through.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait before listening anew after the connection was lost.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Store {
    /// The newest revision, as it grows. A receiver that falls behind sees the newest only.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Starts to watch for changes made elsewhere, for as long as a clone of the store lives.
    pub(crate) fn watch(&self) {
        tokio::spawn(poll(Arc::downgrade(&self.inner)));
        if self.inner.database.postgres().is_some() {
            tokio::spawn(listen(Arc::downgrade(&self.inner)));
        }
    }
}

impl Inner {
    /// INVARIANT: the revision told only grows, in whatever order the news arrive.
    pub(crate) fn announce(&self, revision: u64) {
        self.changes.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
    }
}

async fn poll(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let store = Store { inner };
        match store.revision().await {
            Ok(revision) => store.inner.announce(revision),
            Err(error) => tracing::debug!(%error, "the revision of the store cannot be read"),
        }
    }
}

async fn listen(inner: Weak<Inner>) {
    while let Some(pool) = inner.upgrade().and_then(|inner| inner.database.postgres().cloned()) {
        if pool.is_closed() {
            return;
        }
        if let Err(error) = relay(&inner, &pool).await {
            tracing::debug!(%error, "listening for changes of the store was interrupted");
        }
        drop(pool);
        tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
    }
}

/// Passes notifications on until the connection or the store is gone.
async fn relay(inner: &Weak<Inner>, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // The timeout lets the task end with the store; nothing is lost, `try_recv` is
        // cancel safe.
        let news = tokio::time::timeout(LISTEN_AGAIN_AFTER, listener.try_recv()).await;
        let Some(inner) = inner.upgrade() else { return Ok(()) };
        match news {
            Err(_) => {}
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(news))) => {
                if let Ok(revision) = news.payload().parse() {
                    inner.announce(revision);
                }
            }
            Ok(Err(error)) => return Err(error),
        }
    }
}
