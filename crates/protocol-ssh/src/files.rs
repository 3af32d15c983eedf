//! File transfers: which program is one, and relaying it with every operation decided and audited.
//!
//! Content flows through [`crate::wire`], which reads it as file operations; decisions come from the
//! live session, and what happened to which file goes to the audit log before the bytes that say
//! so are passed on. Content itself is not recorded: the log has path, size and digest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use portcullis_domain::Action;
use portcullis_domain::audit::{Activity, Outcome};
use portcullis_gateway::LiveSession;
use russh::ChannelMsg;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::conversation::Command;
use crate::options::FAREWELL;
use crate::relay::{
    Content, EndOfOutput, Ends, FarWriter, FrontWriter, Pair, REFUSED_STATUS, STDERR, Stopped,
    both, downward, upward,
};
use crate::tell::lines;
use crate::wire::FileEvent;
use crate::wire::scp::{Direction, ScpInvocation, ScpObserver, parse_scp_command};
use crate::wire::sftp::{SftpObserver, SftpStep};

/// Bytes of SFTP requests on their way to a slow target at which no more are read from the client.
const MAX_OUTBOUND_BYTES: usize = 256 * 1024;

/// How a program is relayed.
pub(crate) enum Plan {
    /// A shell or command: recorded as a terminal.
    Terminal,
    /// `scp -t` or `scp -f`.
    Scp(ScpInvocation),
    /// SFTP.
    Sftp,
}

impl Plan {
    /// How to relay `command`; the error is what to tell the person.
    ///
    /// On a terminal, bytes are not what they look like (the line discipline edits them), so a
    /// transfer there is a command like any other, and SFTP is refused.
    pub(crate) fn of(command: &Command, has_terminal: bool) -> Result<Self, String> {
        match command {
            Command::Shell => Ok(Self::Terminal),
            Command::Subsystem(name) if name != "sftp" => Err(format!(
                "the subsystem `{}` is not available through the gate; `sftp` is",
                name.escape_debug()
            )),
            Command::Subsystem(_) if has_terminal => {
                Err("sftp does not work on a terminal; leave out `-t`".into())
            }
            Command::Subsystem(_) => Ok(Self::Sftp),
            Command::Exec(_) if has_terminal => Ok(Self::Terminal),
            Command::Exec(line) => Ok(parse_scp_command(line).map_or(Self::Terminal, Self::Scp)),
        }
    }

    /// What has to be allowed to begin: any one of these. SFTP asks again for every operation.
    pub(crate) fn actions(&self, command: &Command) -> Vec<Action> {
        match self {
            Self::Sftp => vec![
                Action::Download { path: String::new() },
                Action::Upload { path: String::new() },
            ],
            Self::Scp(invocation) => {
                let path = invocation.path.clone();
                vec![match invocation.direction {
                    Direction::Upload => Action::Upload { path },
                    Direction::Download => Action::Download { path },
                }]
            }
            Self::Terminal => vec![match command {
                Command::Exec(line) => Action::Exec { command: line.clone() },
                Command::Shell | Command::Subsystem(_) => Action::Shell,
            }],
        }
    }
}

/// Relays an scp conversation.
pub(crate) async fn scp(
    pair: &Pair,
    connection: &Connection,
    ends: Ends<'_>,
    invocation: ScpInvocation,
) {
    let Ends { mut front_reader, front_writer, mut far_reader, far_writer } = ends;
    let observer = Mutex::new(ScpObserver::new(invocation));
    let observe = |side: Way, data: &Bytes| {
        let mut events = Vec::new();
        let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match side {
            Way::Up => observer.from_client(data, &mut events),
            Way::Down => observer.from_target(data, &mut events),
        };
        (events, observer.take_actions(), seen)
    };
    let up = async {
        while let Some(message) = front_reader.wait().await {
            if let ChannelMsg::Data { data } = &message {
                let (events, actions, seen) = observe(Way::Up, data);
                audit(pair, events).await;
                if let Err(told) = may_pass(pair, actions, seen).await {
                    return broken(&told, front_writer).await;
                }
            }
            if let Err(stopped) = upward(pair, message, far_writer, Content::Counted).await {
                return stopped;
            }
        }
        Stopped::Gone
    };
    let down = async {
        let mut end = EndOfOutput::default();
        while let Some(message) = end.next(pair, &mut far_reader, front_writer).await {
            if let ChannelMsg::Data { data } = &message {
                let (events, actions, seen) = observe(Way::Down, data);
                audit(pair, events).await;
                if let Err(told) = may_pass(pair, actions, seen).await {
                    return broken(&told, front_writer).await;
                }
            }
            let step = downward(pair, connection, message, front_writer, Content::Counted).await;
            if let Err(stopped) = end.after(step, front_writer).await {
                return stopped;
            }
        }
        Stopped::Gone
    };
    both(pair, up, down, front_writer, far_writer).await;
    let mut events = Vec::new();
    observer.lock().unwrap_or_else(PoisonError::into_inner).finish(&mut events);
    audit(pair, events).await;
}

/// INVARIANT: the bytes that announce a file are passed on only if that file is allowed, whatever
/// was allowed for the command as a whole.
async fn may_pass(
    pair: &Pair,
    actions: Vec<Action>,
    seen: Result<(), impl std::fmt::Display>,
) -> Result<(), String> {
    seen.map_err(|error| error.to_string())?;
    for action in actions {
        if let Err(refused) = pair.live.authorize(action).await {
            return Err(refused.told().to_owned());
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// Says what is wrong with the transfer and ends the channel.
async fn broken(told: &str, front: &FrontWriter) -> Stopped {
    let text = lines(&format!("portcullis: {told}"), false);
    let telling = async {
        let _ = front.extended_data_bytes(STDERR, text.into_bytes()).await;
        let _ = front.exit_status(REFUSED_STATUS).await;
        let _ = front.close().await;
    };
    let _ = timeout(FAREWELL, telling).await;
    Stopped::Closed
}

/// Writes file events to the audit log. A log that does not take them ends the session, which then
/// stops every channel.
async fn audit(pair: &Pair, events: Vec<FileEvent>) {
    for event in events {
        if audit_one(&pair.live, pair.number, event).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn audit_one(
    live: &LiveSession,
    number: u32,
    event: FileEvent,
) -> Result<(), portcullis_gateway::AuditError> {
    let mut details: Vec<(&'static str, Value)> = vec![
        ("channel", number.into()),
        ("operation", event.operation.as_str().into()),
        ("path", event.path.into()),
        ("bytes", event.bytes.into()),
        ("complete", event.complete.into()),
    ];
    if let Some(to) = event.to {
        details.push(("to", to.into()));
    }
    if let Some(sha256) = event.sha256 {
        details.push(("sha256", sha256.into()));
    }
    let outcome = match event.outcome {
        Ok(()) => Outcome::Success,
        Err(message) => Outcome::Failed(message),
    };
    live.audit(Activity::File, outcome, details).await
}

/// What goes to the target, in order.
enum Outbound {
    Data(Bytes),
    Eof,
}

/// The way to the target: written by its own future, so that a target that does not read cannot
/// keep us from reading what it writes (and the other way round).
struct ToTarget {
    queue: mpsc::UnboundedSender<Outbound>,
    bytes: AtomicUsize,
    room: Notify,
}

impl ToTarget {
    fn send(&self, data: Bytes) {
        self.bytes.fetch_add(data.len(), Ordering::AcqRel);
        let _ = self.queue.send(Outbound::Data(data));
    }

    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < MAX_OUTBOUND_BYTES
    }

    async fn write(
        &self,
        mut queue: mpsc::UnboundedReceiver<Outbound>,
        far: &FarWriter,
    ) -> Stopped {
        while let Some(next) = queue.recv().await {
            let written = match next {
                Outbound::Data(data) => {
                    let bytes = data.len();
                    let written = far.data_bytes(data).await;
                    self.bytes.fetch_sub(bytes, Ordering::AcqRel);
                    self.room.notify_one();
                    written
                }
                Outbound::Eof => far.eof().await,
            };
            if written.is_err() {
                return Stopped::Gone;
            }
        }
        Stopped::Closed
    }
}

/// Relays an SFTP conversation. One future reads both sides, one after the other: what the
/// observer puts out for the client must be written in that order.
pub(crate) async fn sftp(pair: &Pair, connection: &Connection, ends: Ends<'_>) {
    let Ends { front_reader, front_writer, far_reader, far_writer } = ends;
    let (queue, outbound) = mpsc::unbounded_channel();
    let to_target = ToTarget { queue, bytes: AtomicUsize::new(0), room: Notify::new() };
    let mut transfer = Transfer {
        pair,
        connection,
        observer: SftpObserver::new(),
        front: front_writer,
        to_target: &to_target,
    };
    let stopped = tokio::select! {
        stopped = transfer.drive(front_reader, far_reader) => stopped,
        stopped = to_target.write(outbound, far_writer) => stopped,
    };
    let mut events = Vec::new();
    transfer.observer.finish(&mut events);
    audit(pair, events).await;
    let _ = far_writer.close().await;
    if stopped == Stopped::Gone {
        pair.live.end(portcullis_gateway::EndReason::TargetLeft);
        std::future::pending::<()>().await;
    }
    let _ = front_writer.close().await;
}

struct Transfer<'a> {
    pair: &'a Pair,
    connection: &'a Connection,
    observer: SftpObserver,
    front: &'a FrontWriter,
    to_target: &'a ToTarget,
}

impl Transfer<'_> {
    async fn drive(
        &mut self,
        mut front: russh::ChannelReadHalf,
        mut far: russh::ChannelReadHalf,
    ) -> Stopped {
        loop {
            let wanted = self.to_target.has_room() && self.observer.wants_client_data();
            let step = tokio::select! {
                message = front.wait(), if wanted => match message {
                    Some(message) => self.hear_client(message).await,
                    None => Err(Stopped::Closed),
                },
                message = far.wait() => match message {
                    Some(message) => self.hear_target(message).await,
                    None => Err(Stopped::Gone),
                },
                () = self.to_target.room.notified() => Ok(()),
            };
            if let Err(stopped) = step {
                return stopped;
            }
        }
    }

    async fn hear_client(&mut self, message: ChannelMsg) -> Result<(), Stopped> {
        match message {
            ChannelMsg::Data { data } => {
                self.pair.live.touch();
                self.pair.counted.went(data.len());
                let mut steps = Vec::new();
                let seen = self.observer.from_client(data, &mut steps);
                self.carry_out(steps, Way::Up).await?;
                self.judge(seen.map_err(|error| error.to_string())).await
            }
            ChannelMsg::ExtendedData { data, .. } => {
                self.pair.counted.went(data.len());
                Ok(())
            }
            ChannelMsg::Eof => {
                let _ = self.to_target.queue.send(Outbound::Eof);
                Ok(())
            }
            ChannelMsg::Close => Err(Stopped::Closed),
            _ => Ok(()),
        }
    }

    async fn hear_target(&mut self, message: ChannelMsg) -> Result<(), Stopped> {
        let ChannelMsg::Data { data } = message else {
            return downward(self.pair, self.connection, message, self.front, Content::Counted)
                .await;
        };
        self.pair.live.touch();
        let bytes = data.len();
        let mut steps = Vec::new();
        let seen = self.observer.from_target(data, &mut steps);
        let carried = self.carry_out(steps, Way::Down).await;
        self.pair.far_counted.went(bytes);
        carried?;
        self.judge(seen.map_err(|error| error.to_string())).await
    }

    async fn judge(&self, seen: Result<(), String>) -> Result<(), Stopped> {
        match seen {
            Ok(()) => Ok(()),
            Err(told) => Err(broken(&told, self.front).await),
        }
    }

    async fn carry_out(&mut self, steps: Vec<SftpStep>, way: Way) -> Result<(), Stopped> {
        for step in steps {
            match (step, way) {
                (SftpStep::Forward(data), Way::Up) => self.to_target.send(data),
                (SftpStep::Forward(data), Way::Down) | (SftpStep::Reply(data), _) => {
                    self.to_client(data).await?;
                }
                (SftpStep::Event(event), _) => audit(self.pair, vec![event]).await,
                (SftpStep::Authorize { id, actions, packet }, _) => {
                    self.decide(id, actions, packet).await?;
                }
            }
        }
        Ok(())
    }

    /// INVARIANT: the request goes to the target only if every one of its actions is allowed.
    async fn decide(
        &mut self,
        id: u32,
        actions: Vec<Action>,
        packet: Bytes,
    ) -> Result<(), Stopped> {
        for action in actions {
            if let Err(refused) = self.pair.live.authorize(action).await {
                let reply = self.observer.refuse(id, refused.told());
                return self.to_client(reply).await;
            }
        }
        self.observer.allow(id);
        self.to_target.send(packet);
        Ok(())
    }

    async fn to_client(&self, data: Bytes) -> Result<(), Stopped> {
        // A client that is gone ends the session from its own side.
        self.front.data_bytes(data).await.map_err(|_| Stopped::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_subsystem_is_sftp_and_a_program_of_that_name_is_a_command() {
        let plan = Plan::of(&Command::Subsystem("sftp".into()), false);
        assert!(matches!(plan, Ok(Plan::Sftp)));
        for line in ["sftp-server", "/usr/lib/openssh/sftp-server", "/tmp/drop/sftp-server"] {
            let plan = Plan::of(&Command::Exec(line.into()), false);
            assert!(matches!(plan, Ok(Plan::Terminal)), "{line}");
        }
    }

    #[test]
    fn on_a_terminal_a_transfer_is_a_command_and_sftp_is_refused() {
        let scp = Command::Exec("scp -t /etc/passwd".into());
        assert!(matches!(Plan::of(&scp, false), Ok(Plan::Scp(_))));
        assert!(matches!(Plan::of(&scp, true), Ok(Plan::Terminal)));
        assert!(Plan::of(&Command::Subsystem("sftp".into()), true).is_err());
        assert!(Plan::of(&Command::Subsystem("netconf".into()), false).is_err());
    }

    #[test]
    fn what_has_to_be_allowed_follows_from_the_program() {
        let command = Command::Exec("scp -f /var/log/syslog".into());
        let plan = Plan::of(&command, false).unwrap();
        let path = "/var/log/syslog".to_owned();
        assert_eq!(plan.actions(&command), [Action::Download { path }]);
        let command = Command::Exec("id".into());
        let plan = Plan::of(&command, false).unwrap();
        assert_eq!(plan.actions(&command), [Action::Exec { command: "id".into() }]);
    }
}
