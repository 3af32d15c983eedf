//! Running a program: from an authorised channel to its last byte, and back.
//!
//! Bytes flow both ways between the two halves; each is recorded before it is passed on. One task
//! drives both directions of a channel. What a file transfer says is [`crate::files`]'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_gateway::{EndReason, LiveSession, Observation};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client, server};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::conversation::Wanted;
use crate::files;
use crate::flow::Counted;
use crate::start::{Started, start};
use crate::tell::{farewell, refuse};

/// Exit status of a session the gate refused or ended.
pub(crate) const REFUSED_STATUS: u32 = 254;
/// Exit status where a connection without a target was asked to run something.
pub(crate) const USAGE_STATUS: u32 = 255;
/// `SSH_EXTENDED_DATA_STDERR` (RFC 4254 section 5.2).
pub(crate) const STDERR: u32 = 1;
/// Longest time an end of output is held back while the client is still sending.
const END_OF_OUTPUT_HELD: std::time::Duration = std::time::Duration::from_millis(200);

/// The client's side of a channel.
pub(crate) type Front = Channel<server::Msg>;
/// The target's side.
pub(crate) type Far = Channel<client::Msg>;
/// Writing to the client.
pub(crate) type FrontWriter = ChannelWriteHalf<server::Msg>;
/// Writing to the target.
pub(crate) type FarWriter = ChannelWriteHalf<client::Msg>;

/// Why a direction stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The channel was closed.
    Closed,
    /// The connection is gone, or the session must not go on; its end is under way.
    Gone,
}

/// Authorises and runs what a session channel wants, and closes it.
pub(crate) async fn run(
    connection: Arc<Connection>,
    front: Front,
    wanted: Wanted,
    place: OwnedSemaphorePermit,
) {
    let _place = place;
    let counted = Counted::new(&connection.gauges, front.id());
    let has_terminal = wanted.preparation().terminal.is_some();
    let plan = match files::Plan::of(wanted.command(), has_terminal) {
        Ok(plan) => plan,
        Err(told) => return refuse(&front, &told, has_terminal, REFUSED_STATUS).await,
    };
    // Boxed: only the relaying itself lives as long as the channel.
    let entered = Box::pin(connection.enter(plan.actions(wanted.command()))).await;
    let (open, program) = match entered {
        Ok((open, allowed)) => (open, wanted.allowed(&allowed)),
        Err(told) => return refuse(&front, &told, has_terminal, REFUSED_STATUS).await,
    };
    let number = connection.next_number();
    let started = tokio::select! {
        started = Box::pin(start(&open, &connection, &front, &program, number)) => started,
        () = connection.over().cancelled() => Err(String::new()),
    };
    let Started { far, counted: far_counted, agent: _agent } = match started {
        Ok(started) => started,
        Err(told) => {
            let told = connection.farewell().unwrap_or(&told).to_owned();
            return refuse(&front, &told, has_terminal, REFUSED_STATUS).await;
        }
    };
    let pair = Pair {
        live: open.live.clone(),
        number,
        counted,
        far_counted,
        input_ended: AtomicBool::new(false),
    };
    let front_id = front.id();
    let (front_reader, front_writer) = front.split();
    let (far_reader, far_writer) = far.split();
    let ends =
        Ends { front_reader, front_writer: &front_writer, far_reader, far_writer: &far_writer };
    let relayed = async {
        match plan {
            files::Plan::Terminal => terminal(&pair, &connection, ends).await,
            files::Plan::Scp(invocation) => {
                Box::pin(files::scp(&pair, &connection, ends, invocation)).await;
            }
            files::Plan::Sftp => Box::pin(files::sftp(&pair, &connection, ends)).await,
        }
    };
    tokio::select! {
        () = relayed => {}
        () = connection.over().cancelled() => {
            Box::pin(farewell(&connection, front_id, &front_writer, has_terminal)).await;
            let _ = far_writer.close().await;
        }
    }
}

/// One relayed channel.
pub(crate) struct Pair {
    pub(crate) live: LiveSession,
    pub(crate) number: u32,
    pub(crate) counted: Counted,
    pub(crate) far_counted: Counted,
    /// The client has sent the end of its input.
    pub(crate) input_ended: AtomicBool,
}

/// The four halves of a relayed channel.
pub(crate) struct Ends<'a> {
    pub(crate) front_reader: ChannelReadHalf,
    pub(crate) front_writer: &'a FrontWriter,
    pub(crate) far_reader: ChannelReadHalf,
    pub(crate) far_writer: &'a FarWriter,
}

/// Shells and commands: everything is recorded.
async fn terminal(pair: &Pair, connection: &Arc<Connection>, ends: Ends<'_>) {
    let Ends { mut front_reader, front_writer, mut far_reader, far_writer } = ends;
    let up = async {
        while let Some(message) = front_reader.wait().await {
            let step = upward(pair, message, far_writer, Content::Recorded).await;
            if let Err(stopped) = step {
                return stopped;
            }
        }
        Stopped::Gone
    };
    let down = async {
        let mut end = EndOfOutput::default();
        while let Some(message) = end.next(pair, &mut far_reader, front_writer).await {
            let step = downward(pair, connection, message, front_writer, Content::Recorded).await;
            if let Err(stopped) = end.after(step, front_writer).await {
                return stopped;
            }
        }
        Stopped::Gone
    };
    both(pair, up, down, front_writer, far_writer).await;
}

/// The target's end of output, held back until the exit status is through.
///
/// A client that has sent all its input closes the channel as soon as it sees the end of output,
/// and russh answers that at once, which would lose an exit status still on its way. (OpenSSH's
/// server keeps the channel until the status is sent.)
#[derive(Default)]
pub(crate) struct EndOfOutput {
    held_until: Option<Instant>,
    status_came: bool,
    passed: bool,
}

impl EndOfOutput {
    /// The next message to pass on. A held end of output is passed on when nothing else comes for
    /// a while and the client is still sending, since a program may close its output early.
    pub(crate) async fn next(
        &mut self,
        pair: &Pair,
        far: &mut ChannelReadHalf,
        front: &FrontWriter,
    ) -> Option<ChannelMsg> {
        loop {
            let message = match self.held_until {
                Some(until) if !pair.input_ended.load(Ordering::Relaxed) => tokio::select! {
                    message = far.wait() => message,
                    () = sleep_until(until) => {
                        self.pass(front).await;
                        continue;
                    }
                },
                _ => far.wait().await,
            };
            match message {
                Some(ChannelMsg::Eof) if !self.passed => {
                    self.held_until = Some(Instant::now() + END_OF_OUTPUT_HELD);
                    if self.status_came {
                        self.pass(front).await;
                    }
                }
                Some(ChannelMsg::Close) => {
                    self.pass(front).await;
                    return message;
                }
                _ => {
                    self.status_came = matches!(
                        message,
                        Some(ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. })
                    ) || self.status_came;
                    return message;
                }
            }
        }
    }

    /// After a message was passed on: the end of output may follow the exit status.
    pub(crate) async fn after(
        &mut self,
        step: Result<(), Stopped>,
        front: &FrontWriter,
    ) -> Result<(), Stopped> {
        if self.status_came {
            self.pass(front).await;
        }
        step
    }

    async fn pass(&mut self, front: &FrontWriter) {
        if self.held_until.take().is_some() && !self.passed {
            self.passed = true;
            let _ = front.eof().await;
        }
    }
}

/// Drives both directions. The target's end ends the channel; the client's end is passed to the
/// target, whose end is awaited.
pub(crate) async fn both(
    pair: &Pair,
    up: impl Future<Output = Stopped>,
    down: impl Future<Output = Stopped>,
    front_writer: &FrontWriter,
    far_writer: &FarWriter,
) {
    tokio::pin!(up, down);
    let mut client_is_done = false;
    loop {
        tokio::select! {
            stopped = &mut down => {
                if stopped == Stopped::Gone {
                    target_gone(pair).await;
                }
                let _ = front_writer.close().await;
                return;
            }
            stopped = &mut up, if !client_is_done => {
                client_is_done = true;
                let _ = far_writer.close().await;
                if stopped == Stopped::Gone {
                    return;
                }
            }
        }
    }
}

/// The target's connection broke without closing the channel: the whole session ends, which then
/// tells the person.
async fn target_gone(pair: &Pair) {
    pair.live.end(EndReason::TargetLeft);
    std::future::pending().await
}

/// Whether bytes are recorded or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// As frames of the recording.
    Recorded,
    /// File content, which the audit log has by digest.
    Counted,
}

/// One message from the client.
pub(crate) async fn upward(
    pair: &Pair,
    message: ChannelMsg,
    far: &FarWriter,
    content: Content,
) -> Result<(), Stopped> {
    let number = pair.number;
    let sent = match message {
        ChannelMsg::Data { data } => {
            match content {
                Content::Recorded => {
                    let seen = Observation::Input { channel: number, data: &data };
                    recorded(pair.live.observe(seen).await).await?;
                }
                Content::Counted => pair.live.touch(),
            }
            let bytes = data.len();
            let sent = far.data_bytes(data).await;
            pair.counted.went(bytes);
            sent
        }
        ChannelMsg::ExtendedData { data, .. } => {
            pair.counted.went(data.len());
            Ok(())
        }
        ChannelMsg::Eof => {
            pair.input_ended.store(true, Ordering::Relaxed);
            far.eof().await
        }
        ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
            pair.counted.went(0);
            let seen = Observation::Resize { channel: number, cols: col_width, rows: row_height };
            recorded(pair.live.observe(seen).await).await?;
            far.window_change(col_width, row_height, pix_width, pix_height).await
        }
        ChannelMsg::Signal { signal } => {
            pair.counted.went(0);
            let text = format!("signal {signal:?}");
            recorded(pair.live.observe(Observation::Note { text: &text }).await).await?;
            far.signal(signal).await
        }
        ChannelMsg::Close => return Err(Stopped::Closed),
        _ => Ok(()),
    };
    sent.map_err(|_| Stopped::Gone)
}

/// One message from the target.
pub(crate) async fn downward(
    pair: &Pair,
    connection: &Connection,
    message: ChannelMsg,
    front: &FrontWriter,
    content: Content,
) -> Result<(), Stopped> {
    let number = pair.number;
    let sent = match message {
        ChannelMsg::Data { data } => {
            match content {
                Content::Recorded => {
                    let seen = Observation::Output { channel: number, data: &data };
                    recorded(pair.live.observe(seen).await).await?;
                }
                Content::Counted => pair.live.touch(),
            }
            let bytes = data.len();
            let sent = front.data_bytes(data).await;
            pair.far_counted.went(bytes);
            sent
        }
        ChannelMsg::ExtendedData { data, ext } => {
            let bytes = data.len();
            let seen = Observation::Error { channel: number, data: &data };
            recorded(pair.live.observe(seen).await).await?;
            let sent = front.extended_data_bytes(ext, data).await;
            pair.far_counted.went(bytes);
            sent
        }
        ChannelMsg::Eof => front.eof().await,
        ChannelMsg::ExitStatus { exit_status } => {
            let seen = Observation::Exit { channel: number, status: exit_status };
            recorded(pair.live.observe(seen).await).await?;
            front.exit_status(exit_status).await
        }
        ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, lang_tag } => {
            let id = front.id();
            let handle = &connection.front;
            handle
                .exit_signal_request(id, signal_name, core_dumped, error_message, lang_tag)
                .await
                .map_err(|()| russh::Error::SendError)
        }
        ChannelMsg::Close => return Err(Stopped::Closed),
        _ => Ok(()),
    };
    // A client that is gone ends the session from its own side.
    sent.map_err(|_| Stopped::Closed)
}

/// INVARIANT: what could not be recorded is not passed on. The session has been told to end; this
/// direction waits for that instead of ending the channel as if the program had.
async fn recorded(observed: Result<(), portcullis_gateway::RecordError>) -> Result<(), Stopped> {
    match observed {
        Ok(()) => Ok(()),
        Err(_) => std::future::pending().await,
    }
}
