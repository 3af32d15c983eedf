//! One export's task: waits for entries, delivers, remembers, tries again.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use portcullis_evidence::log::Checkpoint;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::collect::Collector;
use super::progress::ExportState;
use super::{Begin, CursorStore, Export, ExportOptions, Source, WallClock};
use crate::backoff;
use crate::sinks::{DeliverError, Sink};

/// Entries a filter may hold back before the cursor is written without a delivery.
pub(super) const PASSED_OVER_UNSAVED: u64 = 65_536;

/// The task is over: the node stops, or its log is closed.
struct Ended;

/// What a try came to where it did not work.
struct Failed {
    why: String,
    retry_after: Option<Duration>,
    too_large: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, retry_after: None, too_large: false }
    }
}

pub(super) struct Pump {
    options: ExportOptions,
    sink: Box<dyn Sink>,
    cursor: CursorStore,
    origin: String,
    collector: Arc<Collector>,
    checkpoints: watch::Receiver<Checkpoint>,
    state: watch::Sender<ExportState>,
    clock: WallClock,
    stop: CancellationToken,
    /// Where the cursor file is.
    saved: u64,
    /// Entries of the next batch at most; fewer than configured after one was too large.
    entries: usize,
}

impl Pump {
    pub(super) fn new(
        export: Export,
        source: &Source,
        stop: CancellationToken,
    ) -> (Self, watch::Receiver<ExportState>) {
        let Export { options, sink, cursor } = export;
        let origin = source.log.verifier().name().to_owned();
        let first = ExportState::new(options.name.clone(), sink.kind(), sink.destination());
        let (state, states) = watch::channel(first);
        let collector = Arc::new(Collector {
            reader: source.log.reader(),
            origin: origin.clone(),
            filter: options.filter.clone(),
            open: source.open.clone(),
        });
        let pump = Self {
            entries: options.limits.entries,
            options,
            sink,
            cursor,
            origin,
            collector,
            checkpoints: source.log.checkpoints(),
            state,
            clock: source.clock.clone(),
            stop,
            saved: 0,
        };
        (pump, states)
    }

    pub(super) async fn run(mut self) {
        loop {
            // INVARIANT: an export ends with the node and not before. What a defect in a sink or a
            // library throws is a failure like any other, tried again from the durable cursor.
            let delivered = AssertUnwindSafe(self.deliver_all()).catch_unwind().await;
            let panicked = match delivered {
                Ok(Err(Ended)) => break,
                Err(_panic) => "a defect of this program; its log has a panic".to_owned(),
            };
            if self.failed(panicked.into()).await.is_err() {
                break;
            }
        }
        tracing::debug!(export = self.options.name, "the export has ended");
    }

    async fn deliver_all(&mut self) -> Result<std::convert::Infallible, Ended> {
        self.take_up().await?;
        loop {
            let size = self.wait_for_entries().await?;
            let batch = self.collect(size).await?;
            let Some(batch) = batch else { continue };
            if batch.entries.is_empty() {
                self.pass_over(&batch).await?;
                continue;
            }
            self.deliver(batch).await?;
        }
    }

    /// Finds where the export is.
    async fn take_up(&mut self) -> Result<(), Ended> {
        loop {
            let size = self.checkpoints.borrow_and_update().size;
            let (cursor, origin) = (self.cursor.clone(), self.origin.clone());
            let begin = self.options.begin;
            let found = blocking(move || {
                if let Some(next) = cursor.load(&origin, size).map_err(chain)? {
                    return Ok(next);
                }
                let next = if begin == Begin::Now { size } else { 0 };
                // Kept at once: `now` must not become later because the node restarts.
                cursor.save(&origin, next).map_err(chain).map(|()| next)
            });
            match found.await {
                Ok(next) => {
                    self.saved = next;
                    let now = (self.clock)();
                    self.change(|state| {
                        state.moved(next, now, false);
                        state.seen(size, now);
                    });
                    return Ok(());
                }
                Err(why) => self.failed(why.into()).await?,
            }
        }
    }

    /// Waits until there is a batch's worth under a checkpoint, or something has waited for long
    /// enough; returns the checkpoint's size.
    async fn wait_for_entries(&mut self) -> Result<u64, Ended> {
        let mut due: Option<Instant> = None;
        loop {
            let size = self.checkpoints.borrow_and_update().size;
            let now = (self.clock)();
            self.change(|state| state.seen(size, now));
            let waiting = size.saturating_sub(self.next());
            let enough = waiting >= self.entries as u64;
            if waiting > 0 {
                let due = due.get_or_insert_with(|| Instant::now() + self.options.limits.wait);
                if enough || *due <= Instant::now() {
                    return Ok(size);
                }
            }
            let changed = self.checkpoints.changed();
            tokio::select! {
                () = self.stop.cancelled() => return Err(Ended),
                () = sleep_until(due) => {}
                changed = changed => changed.map_err(|_| Ended)?,
            }
        }
    }

    /// Reads the next batch; `None` where that failed and the wait is over.
    async fn collect(&mut self, size: u64) -> Result<Option<Batch>, Ended> {
        let collector = self.collector.clone();
        let from = self.next();
        let limits = super::Limits { entries: self.entries, ..self.options.limits };
        match blocking(move || collector.collect(from, size, &limits).map_err(chain)).await {
            Ok(batch) => Ok(Some(batch)),
            Err(why) => self.failed(why.into()).await.map(|()| None),
        }
    }

    async fn pass_over(&mut self, batch: &Batch) -> Result<(), Ended> {
        if batch.next.saturating_sub(self.saved) >= PASSED_OVER_UNSAVED
            && let Err(failed) = self.save(batch.next).await
        {
            return self.failed(failed).await;
        }
        let now = (self.clock)();
        self.change(|state| state.moved(batch.next, now, false));
        Ok(())
    }

    /// Delivers one batch, however long that takes; the same bytes at every try.
    async fn deliver(&mut self, batch: Batch) -> Result<(), Ended> {
        let mut acknowledged = false;
        loop {
            let tried = match acknowledged {
                false => self.try_once(&batch).await?,
                true => Ok(()),
            };
            acknowledged = tried.is_ok();
            let done = match tried {
                Ok(()) => self.save(batch.next).await,
                Err(failed) => Err(failed),
            };
            match done {
                Ok(()) => {
                    let now = (self.clock)();
                    self.change(|state| state.moved(batch.next, now, true));
                    self.count("portcullis_export_entries_total", batch.entries.len());
                    self.entries =
                        (self.entries.saturating_mul(2)).min(self.options.limits.entries);
                    return Ok(());
                }
                Err(failed) if failed.too_large && batch.entries.len() > 1 => {
                    self.entries = (batch.entries.len() / 2).max(1);
                    let why = &failed.why;
                    tracing::info!(export = self.options.name, why, "a batch is halved");
                    return Ok(());
                }
                Err(failed) => self.failed(failed).await?,
            }
        }
    }

    async fn try_once(&mut self, batch: &Batch) -> Result<Result<(), Failed>, Ended> {
        let now = (self.clock)();
        let delivery = self.sink.deliver(batch, now);
        let within = tokio::time::timeout(self.options.timeout, delivery);
        let delivered = tokio::select! {
            () = self.stop.cancelled() => return Err(Ended),
            delivered = within => delivered,
        };
        Ok(match delivered {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed_because(&error)),
            Err(_) => {
                let seconds = self.options.timeout.as_secs();
                Err(format!("the receiver has not acknowledged within {seconds} s").into())
            }
        })
    }

    async fn save(&mut self, next: u64) -> Result<(), Failed> {
        let (cursor, origin) = (self.cursor.clone(), self.origin.clone());
        blocking(move || cursor.save(&origin, next).map_err(chain)).await?;
        self.saved = next;
        Ok(())
    }

    /// Notes a failure and waits before the next try.
    async fn failed(&mut self, failed: Failed) -> Result<(), Ended> {
        let now = (self.clock)();
        let size = self.checkpoints.borrow_and_update().size;
        let mut tries = 0;
        self.change(|state| {
            state.seen(size, now);
            tries = state.failed(&failed.why, now);
        });
        self.count("portcullis_export_failures_total", 1);
        let wait = backoff::wait(tries, backoff::random(), failed.retry_after);
        let (export, why) = (&self.options.name, &failed.why);
        let wait_seconds = wait.as_secs_f32();
        tracing::warn!(export, why, tries, wait_seconds, "an export is tried again");
        tokio::select! {
            () = self.stop.cancelled() => Err(Ended),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    fn next(&self) -> u64 {
        self.state.borrow().next
    }

    fn change(&self, change: impl FnOnce(&mut ExportState)) {
        let now = (self.clock)();
        self.state.send_modify(|state| {
            change(state);
            let _ = state.becomes_overdue(self.options.alert_after, now);
        });
        let state = self.state.borrow();
        let gauge = |name, value: u64| {
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; entries fit well")]
            metrics::gauge!(name, "export" => self.options.name.clone()).set(value as f64);
        };
        gauge("portcullis_export_lag_entries", state.lag());
        gauge("portcullis_export_overdue", u64::from(state.overdue_since.is_some()));
    }

    fn count(&self, name: &'static str, more: usize) {
        metrics::counter!(name, "export" => self.options.name.clone())
            .increment(u64::try_from(more).unwrap_or(u64::MAX));
    }
}

fn sleep_until(due: Option<Instant>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match due {
        Some(due) => Box::pin(tokio::time::sleep_until(due)),
        None => Box::pin(std::future::pending()),
    }
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(run).await;
    done.unwrap_or_else(|_| Err("a thread of the export was interrupted".into()))
}

fn failed_because(error: &DeliverError) -> Failed {
    Failed {
        why: chain(error),
        retry_after: error.retry_after(),
        too_large: matches!(error, DeliverError::TooLarge { .. }),
    }
}

/// An error with its sources, in one line.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
