//! Answers that go on: lines of JSON, server-sent events and pieces of recordings, from a bounded
//! queue to the caller.
//!
//! The queue is read as fast as the caller reads; when the caller leaves, it is dropped and whoever
//! fills it sees that. Every second the caller's token and right are asked about again: a person who
//! was signed out, locked or lost the role sees nothing more. A stream that ends before its source
//! does breaks off instead of ending, so that the caller can tell.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use portcullis_control::{Control, ControlError};
use portcullis_domain::{ControlAction, UserName};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, Framing};
use crate::problem::Problem;

/// Most streams at a time.
const MAX_STREAMS: usize = 256;
/// Most streams of one person.
const MAX_STREAMS_PER_PERSON: usize = 16;
/// Most items of a queue put into one write.
const MAX_BATCH: usize = 64;
/// How often a caller's token and right are asked about again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// An empty line after this much silence shows both sides that the other is there.
const BEAT: Duration = Duration::from_secs(15);
/// Newline-delimited JSON.
const NDJSON: &str = "application/x-ndjson";
/// Server-sent events (HTML, 9.2.5).
const EVENTS: &str = "text/event-stream";

/// Makes answers that go on.
#[derive(Clone)]
pub(crate) struct Streams {
    control: Control,
    stop: CancellationToken,
    slots: Arc<Semaphore>,
    shares: Shares,
}

impl Streams {
    pub(crate) fn new(control: Control, stop: CancellationToken) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { control, stop, slots, shares: Shares::default() }
    }

    /// A place for one more stream; taken before its source is opened.
    /// Without a right it goes on while the caller is signed in.
    pub(crate) fn open(
        &self,
        caller: Caller,
        right: impl Into<Option<ControlAction>>,
    ) -> Result<Opened, Problem> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| Problem::busy())?;
        let share = Share::take(&self.shares, caller.who().user())?;
        let mut again = interval_at(Instant::now() + ASK_AGAIN, ASK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Opened {
            control: self.control.clone(),
            stop: self.stop.clone(),
            caller,
            right: right.into(),
            again,
            _slot: slot,
            _share: share,
        })
    }
}

/// A place for a stream, and the caller it is for.
pub(crate) struct Opened {
    control: Control,
    stop: CancellationToken,
    caller: Caller,
    right: Option<ControlAction>,
    again: Interval,
    _slot: OwnedSemaphorePermit,
    _share: Share,
}

/// One of the streams a person may have open.
struct Share {
    shares: Shares,
    user: UserName,
}

type Shares = Arc<Mutex<HashMap<UserName, usize>>>;

impl Share {
    fn take(shares: &Shares, user: &UserName) -> Result<Self, Problem> {
        let mut taken = shares.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.clone()).or_default();
        if *count >= MAX_STREAMS_PER_PERSON {
            return Err(Problem::busy());
        }
        *count += 1;
        Ok(Self { shares: Arc::clone(shares), user: user.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

impl Opened {
    /// Who it is for.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Answers with one line of JSON, or one event, for each item.
    pub(crate) fn lines<T: Serialize + Send + 'static>(self, queue: mpsc::Receiver<T>) -> Response {
        let beat = Some((BEAT, self.caller.framing()));
        match self.caller.framing() {
            Framing::Lines => self.answer(queue, NDJSON, beat, |items| {
                let mut text = Vec::new();
                for item in items {
                    line(&mut text, &item)?;
                }
                Ok(text)
            }),
            Framing::Events => self.answer(queue, EVENTS, beat, |items| {
                let mut text = Vec::new();
                for item in items {
                    text.extend(b"data: ");
                    line(&mut text, &item)?;
                    text.push(b'\n');
                }
                Ok(text)
            }),
        }
    }

    /// Answers with text as it comes, of this media type.
    pub(crate) fn pieces(
        self,
        queue: mpsc::Receiver<Result<Vec<u8>, ControlError>>,
        media: &'static str,
    ) -> Response {
        self.answer(queue, media, None, |items| {
            let mut text = Vec::new();
            for item in items {
                text.extend(item.map_err(io::Error::other)?);
            }
            Ok(text)
        })
    }

    fn answer<T: Send + 'static>(
        self,
        queue: mpsc::Receiver<T>,
        media: &'static str,
        beat: Option<(Duration, Framing)>,
        encode: fn(Vec<T>) -> io::Result<Vec<u8>>,
    ) -> Response {
        let running = Running { opened: self, queue, beat, last: Instant::now(), encode };
        let body = stream::try_unfold(Some(running), |running| async {
            let Some(mut running) = running else { return Ok(None) };
            let next = running.next().await?;
            Ok::<_, io::Error>(next.map(|bytes| (Bytes::from(bytes), Some(running))))
        });
        ([(CONTENT_TYPE, media)], Body::from_stream(body)).into_response()
    }

    /// Whether the caller is still signed in and still holds the right.
    async fn still(&self) -> bool {
        let Some(who) = self.caller.again(&self.control).await else { return false };
        let Some(right) = self.right else { return true };
        self.control.whoami(&who).await.is_ok_and(|view| view.control.contains(&right))
    }
}

struct Running<T> {
    opened: Opened,
    queue: mpsc::Receiver<T>,
    beat: Option<(Duration, Framing)>,
    last: Instant,
    encode: fn(Vec<T>) -> io::Result<Vec<u8>>,
}

impl<T> Running<T> {
    /// What to send next; `None` at the end of the source.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut items = Vec::new();
        loop {
            let beat = self.last + self.beat.map_or(BEAT, |(every, _)| every);
            // Biased: a full queue must not keep us from asking again.
            tokio::select! {
                biased;
                () = self.opened.stop.cancelled() => {
                    return Err(io::Error::other("the node stops"));
                }
                _ = self.opened.again.tick() => {
                    if !self.opened.still().await {
                        tracing::info!(
                            user = %self.opened.caller.who().user(),
                            "a stream ends: its caller may not read it any more"
                        );
                        return Err(io::Error::other("the caller may not read this any more"));
                    }
                }
                received = self.queue.recv_many(&mut items, MAX_BATCH) => {
                    self.last = Instant::now();
                    return if received == 0 { Ok(None) } else { (self.encode)(items).map(Some) };
                }
                () = sleep_until(beat), if self.beat.is_some() => {
                    self.last = Instant::now();
                    let silence: &[u8] = match self.beat {
                        Some((_, Framing::Events)) => b":\n\n",
                        _ => b"\n",
                    };
                    return Ok(Some(silence.to_vec()));
                }
            }
        }
    }
}

/// A whole answer as lines of JSON.
pub(crate) fn all<T: Serialize>(items: &[T]) -> Result<Response, Problem> {
    let mut text = Vec::new();
    for item in items {
        line(&mut text, item).map_err(|_| Problem::internal())?;
    }
    Ok(([(CONTENT_TYPE, NDJSON)], text).into_response())
}

fn line<T: Serialize>(text: &mut Vec<u8>, item: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *text, item)?;
    text.push(b'\n');
    Ok(())
}
