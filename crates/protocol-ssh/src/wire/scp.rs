//! The old scp protocol (`scp -O`), observed: `scp -t` or `scp -f` on the target, records and file
//! contents one way, acknowledgements the other.
//!
//! In: the bytes of both directions of an `exec` channel whose command [`parse_scp_command`] took for
//! scp, which was authorised as an upload to (or a download of) its path. Out: [`FileEvent`]s. The
//! caller forwards the bytes of a call only after they were observed without an error, every action of
//! [`ScpObserver::take_actions`] was allowed, and the events were audited.
//!
//! The two sides take turns: the source sends a record and waits for the sink. That is enforced,
//! because bytes sent ahead of an acknowledgement are content to a sink that accepts the file and
//! records to one that does not: nobody in between could tell.

use aws_lc_rs::digest::Context;
use portcullis_domain::Action;

use super::Side;
pub use super::file_event::{FileEvent, FileOperation};
use super::file_event::{hex, message, printable, sha256};
pub use super::scp_command::{Direction, ScpInvocation, parse_scp_command};
pub use super::scp_error::ScpError;
pub use super::scp_record::RecordError;
use super::scp_record::{MAX_LINE_BYTES, Record};
use super::sftp_packet::MAX_PATH_BYTES;

/// Deepest directory tree.
const MAX_DEPTH: usize = 128;
/// Most messages of a source about files it cannot read.
const MAX_MESSAGES: usize = 1024;
/// Acknowledgement bytes of the sink, which the source uses too.
const OK: u8 = 0;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const NOT_FINISHED: &str = "the connection ended before the file did";

/// One scp conversation.
pub struct ScpObserver {
    invocation: ScpInvocation,
    state: State,
    /// A record or message of the source that is not complete yet.
    source_line: Vec<u8>,
    /// A message of the sink that is not complete yet, with the byte before it.
    sink_line: Vec<u8>,
    directories: Vec<Place>,
    actions: Vec<Action>,
    /// Whether the target sent what was asked for.
    offered: bool,
    /// Messages of the source so far.
    messages: usize,
    failed: Option<ScpError>,
}

/// Where something is written on the target (or read from).
#[derive(Debug, Clone)]
struct Place {
    path: Vec<u8>,
    /// The path it has if the path of the command is a directory, where that is not known.
    inside: Option<Vec<u8>>,
}

/// A file being transferred.
struct Transfer {
    place: Place,
    size: u64,
    seen: u64,
    context: Context,
    /// What the source or, ahead of its turn, the sink said about it.
    failure: Option<String>,
    early: Option<Answer>,
}

/// What the sink says.
struct Answer {
    outcome: Result<(), String>,
    fatal: bool,
}

enum State {
    /// The source may send a record.
    Record,
    /// The source has to wait for the sink.
    Waiting(Subject),
    /// Content of a file.
    Content(Box<Transfer>),
    /// The source's status behind the content.
    Status(Box<Transfer>),
    /// Nothing more may come from the source.
    Ended,
    /// Left behind while a state is consumed.
    Between,
}

/// What the sink is asked about.
enum Subject {
    Start,
    Times,
    File(Box<Transfer>),
    Directory(Place),
    DirectoryEnd,
    FileEnd(Box<Transfer>),
}

impl ScpObserver {
    /// A conversation in which nothing was said yet.
    pub fn new(invocation: ScpInvocation) -> Self {
        Self {
            invocation,
            state: State::Waiting(Subject::Start),
            source_line: Vec::new(),
            sink_line: Vec::new(),
            directories: Vec::new(),
            actions: Vec::new(),
            offered: false,
            messages: 0,
            failed: None,
        }
    }

    /// Bytes came from the client.
    ///
    /// # Errors
    /// The client broke the protocol (or the conversation failed before): the bytes must not be
    /// forwarded and the channel has to end.
    pub fn from_client(
        &mut self,
        data: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<(), ScpError> {
        self.observe(Side::Client, data, events)
    }

    /// Bytes came from the target.
    ///
    /// # Errors
    /// The target broke the protocol (or the conversation failed before): the bytes must not be
    /// forwarded and the channel has to end.
    pub fn from_target(
        &mut self,
        data: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<(), ScpError> {
        self.observe(Side::Target, data, events)
    }

    /// What the bytes of the last call need beside the command's own path: the paths of the files
    /// and directories they announce. One that is refused ends the channel, with those bytes not
    /// forwarded: the side they are for has then not seen the announcement, and nothing was written or
    /// shown.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The connection is over. An event for a file that was still on its way.
    pub fn finish(&mut self, events: &mut Vec<FileEvent>) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        match state {
            State::Content(transfer)
            | State::Status(transfer)
            | State::Waiting(Subject::File(transfer) | Subject::FileEnd(transfer)) => {
                let outcome = transfer.failure.clone().unwrap_or_else(|| NOT_FINISHED.to_owned());
                events.push(self.file_event(*transfer, Err(outcome)));
            }
            _ => {}
        }
    }

    /// What is kept between calls, in bytes; for tests of the bounds.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        let place = |place: &Place| place.path.len() + place.inside.as_ref().map_or(0, Vec::len);
        self.source_line.len()
            + self.sink_line.len()
            + self.directories.iter().map(place).sum::<usize>()
    }

    fn observe(
        &mut self,
        side: Side,
        data: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<(), ScpError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let source = match self.invocation.direction {
            Direction::Upload => Side::Client,
            Direction::Download => Side::Target,
        };
        let result = if side == source {
            self.observe_source(side, data, events)
        } else {
            self.observe_sink(side, data, events)
        };
        self.failed = result.clone().err();
        result
    }

    fn observe_source(
        &mut self,
        side: Side,
        mut data: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<(), ScpError> {
        while let Some((first, rest)) = data.split_first() {
            match std::mem::replace(&mut self.state, State::Between) {
                State::Content(mut transfer) => {
                    data = transfer.take(data);
                    self.state = transfer.content_or_status();
                }
                State::Status(transfer) => {
                    data = rest;
                    self.state = self.source_status(side, *first, transfer, events)?;
                }
                State::Record => {
                    data = rest;
                    self.state = State::Record;
                    if let Some(line) = gather(&mut self.source_line, *first, side)? {
                        self.state = self.source_line(side, &line, events)?;
                    }
                }
                // Kept, so that `finish` tells of the file.
                state @ (State::Waiting(_) | State::Ended | State::Between) => {
                    self.state = state;
                    return Err(ScpError::DidNotWait { side });
                }
            }
        }
        Ok(())
    }

    /// A byte behind a file's content: all is well, or a message begins or goes on.
    fn source_status(
        &mut self,
        side: Side,
        byte: u8,
        mut transfer: Box<Transfer>,
        events: &mut Vec<FileEvent>,
    ) -> Result<State, ScpError> {
        match byte {
            OK if self.source_line.is_empty() => {}
            WARNING | FATAL if self.source_line.is_empty() => {
                self.source_line.push(byte);
                return Ok(State::Status(transfer));
            }
            _ if self.source_line.is_empty() => {
                // Kept, so that `finish` tells of the file.
                self.state = State::Status(transfer);
                return Err(ScpError::MissingStatus { side });
            }
            _ => match gather(&mut self.source_line, byte, side) {
                Ok(None) => return Ok(State::Status(transfer)),
                Ok(Some(line)) => {
                    transfer.failure.get_or_insert(message(line.get(1..).unwrap_or_default()));
                }
                Err(error) => {
                    self.state = State::Status(transfer);
                    return Err(error);
                }
            },
        }
        Ok(match transfer.early.take() {
            Some(answer) => self.answered(Subject::FileEnd(transfer), answer, events),
            None => State::Waiting(Subject::FileEnd(transfer)),
        })
    }

    fn source_line(
        &mut self,
        side: Side,
        line: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<State, ScpError> {
        if let Some((kind @ (&WARNING | &FATAL), text)) = line.split_first() {
            // The source could not read something; the sink does not answer.
            self.messages += 1;
            if self.messages > MAX_MESSAGES {
                return Err(ScpError::TooManyMessages { side, limit: MAX_MESSAGES });
            }
            let place = self.directories.last().cloned().unwrap_or_else(|| self.root());
            events.push(self.event(self.operation(), place, Err(message(text))));
            return Ok(if *kind == FATAL { State::Ended } else { State::Record });
        }
        let record = Record::read(line).map_err(|source| ScpError::BadRecord { side, source })?;
        let subject = match record {
            Record::File { size, name } => {
                let place = self.place(side, name)?;
                Subject::File(Box::new(Transfer {
                    place,
                    size,
                    seen: 0,
                    context: sha256(),
                    failure: None,
                    early: None,
                }))
            }
            Record::Directory { .. } if !self.invocation.recursive => {
                return Err(ScpError::UnexpectedDirectory { side });
            }
            Record::Directory { name } => Subject::Directory(self.place(side, name)?),
            Record::DirectoryEnd if self.directories.is_empty() => {
                return Err(ScpError::UnexpectedDirectory { side });
            }
            Record::DirectoryEnd => Subject::DirectoryEnd,
            Record::Times => Subject::Times,
        };
        Ok(State::Waiting(subject))
    }

    fn observe_sink(
        &mut self,
        side: Side,
        data: &[u8],
        events: &mut Vec<FileEvent>,
    ) -> Result<(), ScpError> {
        for byte in data {
            let answer = match *byte {
                OK if self.sink_line.is_empty() => Answer { outcome: Ok(()), fatal: false },
                WARNING | FATAL if self.sink_line.is_empty() => {
                    self.sink_line.push(*byte);
                    continue;
                }
                _ if self.sink_line.is_empty() => return Err(ScpError::UnexpectedAnswer { side }),
                byte => match gather(&mut self.sink_line, byte, side)? {
                    None => continue,
                    Some(line) => Answer {
                        outcome: Err(message(line.get(1..).unwrap_or_default())),
                        fatal: line.first() == Some(&FATAL),
                    },
                },
            };
            self.state = match std::mem::replace(&mut self.state, State::Between) {
                State::Waiting(subject) => self.answered(subject, answer, events),
                // A sink that cannot write may say so at once; the source reads it in its turn.
                State::Content(mut transfer) if transfer.early.is_none() => {
                    transfer.early = Some(answer);
                    State::Content(transfer)
                }
                State::Status(mut transfer) if transfer.early.is_none() => {
                    transfer.early = Some(answer);
                    State::Status(transfer)
                }
                State::Ended if answer.outcome.is_err() => State::Ended,
                other => {
                    self.state = other;
                    return Err(ScpError::UnexpectedAnswer { side });
                }
            };
        }
        Ok(())
    }

    /// The sink answered; what the source may do now.
    fn answered(&mut self, subject: Subject, answer: Answer, events: &mut Vec<FileEvent>) -> State {
        let accepted = answer.outcome.is_ok();
        let next = match subject {
            Subject::Start if accepted => State::Record,
            Subject::Start => {
                events.push(self.event(self.operation(), self.root(), answer.outcome));
                State::Ended
            }
            Subject::Times => State::Record,
            Subject::File(transfer) if accepted => transfer.content_or_status(),
            Subject::File(transfer) | Subject::FileEnd(transfer) => {
                events.push(self.file_event(*transfer, answer.outcome));
                State::Record
            }
            Subject::Directory(place) => {
                let operation = match self.invocation.direction {
                    Direction::Upload => FileOperation::MakeDirectory,
                    Direction::Download => FileOperation::List,
                };
                events.push(self.event(operation, place.clone(), answer.outcome));
                if accepted {
                    self.directories.push(place);
                }
                State::Record
            }
            Subject::DirectoryEnd => {
                self.directories.pop();
                State::Record
            }
        };
        if answer.fatal { State::Ended } else { next }
    }

    /// Where `name` goes or comes from.
    fn place(&mut self, side: Side, name: &[u8]) -> Result<Place, ScpError> {
        let place = match self.directories.last() {
            Some(directory) => Place {
                path: joined(&directory.path, name),
                inside: directory.inside.as_ref().map(|inside| joined(inside, name)),
            },
            None if self.invocation.direction == Direction::Download => {
                // One path without patterns was asked for: one file or one tree comes.
                if std::mem::replace(&mut self.offered, true) {
                    return Err(ScpError::UnaskedFile { side });
                }
                self.root()
            }
            None => {
                let root = self.root();
                let inside = joined(&root.path, name);
                if self.invocation.is_directory() {
                    Place { path: inside, inside: None }
                } else {
                    Place { inside: Some(inside), ..root }
                }
            }
        };
        let longest = place.inside.as_ref().map_or(place.path.len(), Vec::len);
        if self.directories.len() >= MAX_DEPTH || longest > MAX_PATH_BYTES {
            let (depth, path_bytes) = (MAX_DEPTH, MAX_PATH_BYTES);
            return Err(ScpError::TooDeep { side, depth, path_bytes });
        }
        self.announce(&place);
        Ok(place)
    }

    /// Notes the actions of an announced path. Bounded: one announcement, then the source waits.
    fn announce(&mut self, place: &Place) {
        for path in std::iter::once(&place.path).chain(&place.inside) {
            if path != self.invocation.path.as_bytes() {
                let path = printable(path);
                self.actions.push(match self.invocation.direction {
                    Direction::Upload => Action::Upload { path },
                    Direction::Download => Action::Download { path },
                });
            }
        }
    }

    fn root(&self) -> Place {
        Place { path: self.invocation.path.clone().into_bytes(), inside: None }
    }

    fn operation(&self) -> FileOperation {
        match self.invocation.direction {
            Direction::Upload => FileOperation::Upload,
            Direction::Download => FileOperation::Download,
        }
    }

    fn event(
        &self,
        operation: FileOperation,
        place: Place,
        outcome: Result<(), String>,
    ) -> FileEvent {
        let to = place.inside.as_deref().map(printable);
        FileEvent::plain(operation, printable(&place.path), to, outcome)
    }

    fn file_event(&self, transfer: Transfer, outcome: Result<(), String>) -> FileEvent {
        let Transfer { place, size, seen, context, failure, .. } = transfer;
        let outcome = failure.map_or(Ok(()), Err).and(outcome);
        let whole = outcome.is_ok() && seen == size;
        FileEvent {
            bytes: seen,
            sha256: whole.then(|| hex(context)),
            complete: whole,
            ..self.event(self.operation(), place, outcome)
        }
    }
}

impl Transfer {
    /// Takes content from the front of `data` and returns the rest.
    fn take<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let left = usize::try_from(self.size.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let (content, rest) = data.split_at(left.min(data.len()));
        self.context.update(content);
        self.seen = self.seen.saturating_add(u64::try_from(content.len()).unwrap_or(u64::MAX));
        rest
    }

    fn content_or_status(self: Box<Self>) -> State {
        if self.seen < self.size { State::Content(self) } else { State::Status(self) }
    }
}

/// Adds a byte to a line; the line without its newline when that is what came.
fn gather(line: &mut Vec<u8>, byte: u8, side: Side) -> Result<Option<Vec<u8>>, ScpError> {
    if byte == b'\n' {
        return Ok(Some(std::mem::take(line)));
    }
    if line.len() >= MAX_LINE_BYTES {
        return Err(ScpError::LineTooLong { side, limit: MAX_LINE_BYTES });
    }
    line.push(byte);
    Ok(None)
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
