//! Backpressure: how much of a peer's data may wait in memory, and what happens when it is too
//! much.
//!
//! russh renews a channel's receive window when it *reads* data, not when we have used it, and
//! offers no way to renew it later. Left alone, a stalled reader makes the gate buffer without
//! bound, or (with a bounded queue) blocks the whole connection, window adjustments of the other
//! direction included, which deadlocks programs that read and write at once. So:
//!
//! * every channel counts what waits for it in a [`Gauge`], all channels of a connection in one
//!   [`Flow`];
//! * [`Throttled`], the stream under russh, reads less from the socket when the flow is congested,
//!   and the kernel and TCP make the peer wait;
//! * towards clients a congested flow first shrinks the window to [`TRICKLE_BYTES`]
//!   ([`Flow::next_window`]), so that the client's window adjustments still get through.
//!
//! Bytes and wakers flow through here; no SSH message and no person does.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::task::AtomicWaker;
use russh::ChannelId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::options::CLIENT_WINDOW_BYTES;

/// Window given to a congested client: enough to keep hearing from it, too little to matter.
pub(crate) const TRICKLE_BYTES: u32 = 64;
/// What a waiting message costs beyond its bytes.
const MESSAGE_OVERHEAD: i64 = 128;
/// Waiting bytes at which a flow is congested.
const HIGH: i64 = 512 * 1024;
/// Waiting bytes at which it is not any more.
const LOW: i64 = HIGH / 2;
/// Waiting bytes from which a trickling client is read ever more slowly. A client that honours its
/// window reaches this only by trickling.
const SLOW: i64 = HIGH + CLIENT_WINDOW_BYTES as i64;
/// Waiting bytes at which a client that ignores its window is not read at all.
const STOP: i64 = SLOW + 2 * 1024 * 1024;
/// First and longest pause after what a trickling client sent. It doubles until the client makes
/// room for what is sent to it: that must not wait long behind data nobody takes.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a congested connection is slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// By a tiny window first, then by slow reads: towards clients.
    Trickle,
    /// By not reading: towards targets, whose window russh always renews in full.
    Pause,
}

/// What one connection's channels have waiting, and its switch.
pub(crate) struct Flow {
    rule: Rule,
    waiting: AtomicI64,
    congested: AtomicBool,
    pauses: AtomicU32,
    pause_due: AtomicBool,
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    born: Instant,
    last_read_millis: AtomicU64,
    write_blocked: AtomicBool,
}

/// What the stream may do now.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Go,
    After(Duration),
    Wait,
}

impl Flow {
    pub(crate) fn new(rule: Rule) -> Arc<Self> {
        Arc::new(Self {
            rule,
            waiting: AtomicI64::new(0),
            congested: AtomicBool::new(false),
            pauses: AtomicU32::new(0),
            pause_due: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            born: Instant::now(),
            last_read_millis: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
        })
    }

    /// Cuts the connection: every further read and write fails, whatever the peer does.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// The window to offer when the present one is used up.
    pub(crate) fn next_window(&self, full: u32) -> u32 {
        if self.congested.load(Ordering::Relaxed) { TRICKLE_BYTES } else { full }
    }

    /// The peer made room for more of what is sent to it.
    pub(crate) fn room_was_made(&self) {
        self.pauses.store(0, Ordering::Relaxed);
    }

    /// Whether the peer should have answered our keepalives and has not.
    pub(crate) fn peer_is_gone(&self, after: Duration) -> bool {
        let silent =
            self.now_millis().saturating_sub(self.last_read_millis.load(Ordering::Relaxed));
        !self.congested.load(Ordering::Relaxed)
            && !self.write_blocked.load(Ordering::Relaxed)
            && u128::from(silent) > after.as_millis()
    }

    fn now_millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn add(&self, amount: i64) {
        let waiting = self.waiting.fetch_add(amount, Ordering::AcqRel).saturating_add(amount);
        if amount > 0 && waiting >= HIGH {
            self.pause_due.store(waiting >= SLOW, Ordering::Relaxed);
            self.congested.store(true, Ordering::Release);
        } else if amount < 0 && waiting < LOW && self.congested.swap(false, Ordering::AcqRel) {
            self.pauses.store(0, Ordering::Relaxed);
            self.reader.wake();
        }
    }

    fn reading(&self) -> Reading {
        if !self.congested.load(Ordering::Acquire) {
            return Reading::Go;
        }
        let waiting = self.waiting.load(Ordering::Acquire);
        match self.rule {
            Rule::Pause => Reading::Wait,
            Rule::Trickle if waiting >= STOP => Reading::Wait,
            Rule::Trickle if self.pause_due.swap(false, Ordering::Relaxed) => {
                let doublings = self.pauses.fetch_add(1, Ordering::Relaxed).min(16);
                Reading::After(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
            }
            Rule::Trickle => Reading::Go,
        }
    }
}

/// What one channel has waiting.
pub(crate) struct Gauge {
    flow: Arc<Flow>,
    overhead: i64,
    waiting: Mutex<Option<i64>>,
}

impl Gauge {
    /// A message of this many bytes came from the peer.
    pub(crate) fn came(&self, bytes: usize) {
        self.change(self.cost(bytes));
    }

    /// A message of this many bytes has been passed on.
    pub(crate) fn went(&self, bytes: usize) {
        self.change(-self.cost(bytes));
    }

    fn cost(&self, bytes: usize) -> i64 {
        i64::try_from(bytes).unwrap_or(i64::MAX / 4).saturating_add(self.overhead)
    }

    fn change(&self, amount: i64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.as_mut() {
            *waiting = waiting.saturating_add(amount);
            self.flow.add(amount);
        }
    }

    /// Nobody reads this channel any more: what waits is forgotten, what comes is not counted.
    fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.take() {
            self.flow.add(-waiting);
        }
    }
}

/// The gauges of one connection's channels.
pub(crate) struct Gauges {
    flow: Arc<Flow>,
    channels: Mutex<HashMap<ChannelId, Arc<Gauge>>>,
}

impl Gauges {
    pub(crate) fn new(flow: Arc<Flow>) -> Arc<Self> {
        Arc::new(Self { flow, channels: Mutex::new(HashMap::new()) })
    }

    pub(crate) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// The gauge of `channel`, made if there is none. One whose messages are read as messages.
    pub(crate) fn open(&self, channel: ChannelId) -> Arc<Gauge> {
        self.open_with(channel, MESSAGE_OVERHEAD)
    }

    /// The same for a channel that is read as a stream of bytes.
    pub(crate) fn open_stream(&self, channel: ChannelId) -> Arc<Gauge> {
        self.open_with(channel, 0)
    }

    fn open_with(&self, channel: ChannelId, overhead: i64) -> Arc<Gauge> {
        self.channels()
            .entry(channel)
            .or_insert_with(|| {
                Arc::new(Gauge {
                    flow: Arc::clone(&self.flow),
                    overhead,
                    waiting: Mutex::new(Some(0)),
                })
            })
            .clone()
    }

    /// Data came for `channel`.
    pub(crate) fn came(&self, channel: ChannelId, bytes: usize) {
        let gauge = self.channels().get(&channel).cloned();
        if let Some(gauge) = gauge {
            gauge.came(bytes);
        }
    }

    /// `channel` is not read any more.
    pub(crate) fn close(&self, channel: ChannelId) {
        let gauge = self.channels().remove(&channel);
        if let Some(gauge) = gauge {
            gauge.close();
        }
    }

    fn channels(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelId, Arc<Gauge>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads of at most this many bytes read ahead.
const SMALL_READ: usize = 16;
/// How far.
const READ_AHEAD: usize = 4 * 1024;

/// Closes a channel's gauge when dropped.
pub(crate) struct Counted {
    gauges: Arc<Gauges>,
    channel: ChannelId,
    gauge: Arc<Gauge>,
}

impl Counted {
    pub(crate) fn new(gauges: &Arc<Gauges>, channel: ChannelId) -> Self {
        Self { gauges: Arc::clone(gauges), channel, gauge: gauges.open(channel) }
    }
}

impl std::ops::Deref for Counted {
    type Target = Gauge;
    fn deref(&self) -> &Gauge {
        &self.gauge
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauges.close(self.channel);
    }
}

/// A stream that obeys a [`Flow`].
pub(crate) struct Throttled<S> {
    stream: S,
    flow: Arc<Flow>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes read ahead of a request for a few; an idle connection holds none.
    ahead: Bytes,
}

impl<S> Throttled<S> {
    pub(crate) fn new(stream: S, flow: Arc<Flow>) -> Self {
        Self { stream, flow, pause: None, ahead: Bytes::new() }
    }
}

impl<S: AsyncRead + Unpin> Throttled<S> {
    /// russh asks for the four bytes of a packet's length before it asks for the packet. One
    /// system call for both is enough for the packets of a keystroke.
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            if buffer.remaining() > SMALL_READ {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
            let mut room = vec![0; READ_AHEAD];
            let mut read = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let length = read.filled().len();
            room.truncate(length);
            self.ahead = room.into();
        }
        let taken = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(taken));
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn aborted() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionAborted)
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Registered before looking, so that a change in between is not missed.
        this.flow.reader.register(cx.waker());
        if this.flow.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(aborted()));
        }
        match this.pause.take() {
            Some(mut pause) if this.flow.congested.load(Ordering::Acquire) => {
                if pause.as_mut().poll(cx).is_pending() {
                    this.pause = Some(pause);
                    return Poll::Pending;
                }
            }
            _ => match this.flow.reading() {
                Reading::Go => {}
                Reading::Wait => return Poll::Pending,
                Reading::After(pause) => {
                    let mut sleep = Box::pin(tokio::time::sleep(pause));
                    if sleep.as_mut().poll(cx).is_pending() {
                        this.pause = Some(sleep);
                        return Poll::Pending;
                    }
                }
            },
        }
        let read = this.read(cx, buffer);
        if read.is_ready() {
            this.flow.last_read_millis.store(this.flow.now_millis(), Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.flow.writer.register(cx.waker());
        if self.flow.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(aborted()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.flow.write_blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flow.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(aborted()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn gauge(flow: &Arc<Flow>) -> Gauge {
        Gauge { flow: Arc::clone(flow), overhead: 0, waiting: Mutex::new(Some(0)) }
    }

    #[tokio::test]
    async fn a_congested_target_is_not_read_until_the_client_has_caught_up() {
        let flow = Flow::new(Rule::Pause);
        let (mut peer, ours) = tokio::io::duplex(1024);
        let mut stream = Throttled::new(ours, Arc::clone(&flow));
        let gauge = gauge(&flow);
        gauge.came(HIGH as usize);
        peer.write_all(b"x").await.unwrap();
        let reader = tokio::spawn(async move { stream.read_u8().await.unwrap() });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!reader.is_finished());
        gauge.went(HIGH as usize);
        assert_eq!(reader.await.unwrap(), b'x');
    }

    #[test]
    fn a_congested_client_trickles_then_slows_then_stops() {
        let flow = Flow::new(Rule::Trickle);
        let gauge = gauge(&flow);
        assert_eq!(flow.next_window(1000), 1000);
        gauge.came(HIGH as usize);
        assert_eq!(flow.next_window(1000), TRICKLE_BYTES);
        assert_eq!(flow.reading(), Reading::Go);
        gauge.came((SLOW - HIGH) as usize);
        assert_eq!(flow.reading(), Reading::After(FIRST_PAUSE));
        assert_eq!(flow.reading(), Reading::Go);
        gauge.came(1);
        assert_eq!(flow.reading(), Reading::After(FIRST_PAUSE * 2));
        flow.room_was_made();
        gauge.came(1);
        assert_eq!(flow.reading(), Reading::After(FIRST_PAUSE));
        gauge.came((STOP - SLOW) as usize);
        assert_eq!(flow.reading(), Reading::Wait);
        gauge.went(STOP as usize + 2);
        assert_eq!(flow.reading(), Reading::Go);
        assert_eq!(flow.next_window(1000), 1000);
    }

    #[test]
    fn a_closed_channel_leaves_nothing_behind() {
        let flow = Flow::new(Rule::Pause);
        let gauge = gauge(&flow);
        gauge.came(HIGH as usize * 2);
        gauge.close();
        gauge.came(HIGH as usize);
        assert_eq!(flow.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(flow.reading(), Reading::Go);
    }

    #[tokio::test]
    async fn a_cut_connection_fails_at_once_even_when_blocked() {
        let flow = Flow::new(Rule::Pause);
        let (_peer, ours) = tokio::io::duplex(8);
        let mut stream = Throttled::new(ours, Arc::clone(&flow));
        let writer = tokio::spawn(async move { stream.write_all(&[0; 64]).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        flow.cut();
        assert!(writer.await.unwrap().is_err());
    }
}
