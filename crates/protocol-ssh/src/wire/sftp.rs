//! SFTP version 3 (draft-ietf-secsh-filexfer-02, with OpenSSH's extensions) between a client and a
//! target, observed and authorised request by request.
//!
//! In: the bytes of both directions of one `sftp` channel. Out: [`SftpStep`]s. Content of files is
//! passed on as it comes, in slices of the input, and hashed in place; only requests that need a
//! decision are gathered whole. Never learns who asks or what policy says: it names the
//! [`Action`]s and somebody else decides.
//!
//! # Driving it
//! One call at a time: the steps of a call are carried out in order, to the end, before
//! `from_client` or `from_target` is called again (hold one lock across a call and its steps). A
//! reply made here goes to the client between two packets of the target; bytes written in another
//! order than they were put out would put it into the middle of one.
//! - [`SftpStep::Forward`]: to the other peer of the call (`from_client`: to the target).
//! - [`SftpStep::Reply`]: to the client, whichever call it came from.
//! - [`SftpStep::Event`]: audit it before the steps behind it are carried out.
//! - [`SftpStep::Authorize`]: decide on **all** its actions. All allowed: [`SftpObserver::allow`], then
//!   send `packet` to the target. Otherwise: [`SftpObserver::refuse`], and send what that returns to
//!   the client (nothing, when the refusal has to wait for the target to finish a packet; it follows
//!   as a [`SftpStep::Reply`] of `from_target`).
//!
//! After an error the channel is closed; steps that were put out before it may still be carried
//! out. Then [`SftpObserver::finish`], in every case.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use portcullis_domain::Action;

use super::Side;
pub use super::file_event::{FileEvent, FileOperation};
use super::sftp_admission::{Admission, Refusal, admit};
pub use super::sftp_error::SftpError;
use super::sftp_files::{FileKey, Files};
use super::sftp_lane::{Head, Lane, Piece, Run};
use super::sftp_packet::{
    ATTRS, ClientRequest, DATA, HANDLE, INIT, NAME, STATUS, STATUS_BAD_MESSAGE,
    STATUS_PERMISSION_DENIED, VERSION, VERSION_REPLY, init_packet, status_packet,
};
use super::sftp_request::{ENOUGH_REQUESTS, Effect, Requests};
use super::sftp_settlement::{
    HandleFault, Status, settle_attributes, settle_cut_off, settle_handle, settle_names,
    settle_refused, settle_status,
};

/// Most replies that wait for the target to finish a packet.
const MAX_QUEUED_REPLIES: usize = 1024;

/// What is to be done next; see the module for how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SftpStep {
    /// Bytes for the other peer.
    Forward(Bytes),
    /// Bytes for the client, made here: a refusal.
    Reply(Bytes),
    /// A request that needs a decision.
    Authorize {
        /// The request id, for [`SftpObserver::allow`] and [`SftpObserver::refuse`].
        id: u32,
        /// One or two actions; every one of them has to be allowed.
        actions: Vec<Action>,
        /// The request, for the target.
        packet: Bytes,
    },
    /// Something happened to a file.
    Event(FileEvent),
}

/// One SFTP conversation.
pub struct SftpObserver {
    phase: Phase,
    client: Lane,
    target: Lane,
    client_content: Content,
    target_content: Content,
    requests: Requests,
    files: Files,
    replies: VecDeque<Bytes>,
    failed: Option<SftpError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingInit,
    AwaitingVersion,
    Open,
}

/// What the content behind a head is.
#[derive(Clone, Copy)]
enum Content {
    /// Of no interest.
    Pass,
    /// Belongs to a refused request.
    Discard,
    /// A file's, from this offset on.
    File { file: FileKey, offset: u64 },
}

/// What becomes of a head.
enum Verdict {
    /// It goes on, its content as said.
    Pass(Content),
    /// It is held, refused or replaced; its content is dropped.
    Drop,
}

impl Default for SftpObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl SftpObserver {
    /// A conversation in which nothing was said yet.
    pub fn new() -> Self {
        Self {
            phase: Phase::AwaitingInit,
            client: Lane::new(Side::Client),
            target: Lane::new(Side::Target),
            client_content: Content::Pass,
            target_content: Content::Pass,
            requests: Requests::default(),
            files: Files::default(),
            replies: VecDeque::new(),
            failed: None,
        }
    }

    /// Bytes came from the client. Steps are appended to `out`.
    ///
    /// # Errors
    /// The client broke the protocol (or the conversation failed before): the channel has to end.
    pub fn from_client(&mut self, data: Bytes, out: &mut Vec<SftpStep>) -> Result<(), SftpError> {
        let mut run = Run::new(data);
        let walked = self.check_alive().and_then(|()| self.walk_client(&mut run, out));
        run.flush(out);
        self.keep_failure(walked)
    }

    /// Bytes came from the target. Steps are appended to `out`.
    ///
    /// # Errors
    /// The target broke the protocol (or the conversation failed before): the channel has to end.
    pub fn from_target(&mut self, data: Bytes, out: &mut Vec<SftpStep>) -> Result<(), SftpError> {
        let mut run = Run::new(data);
        let walked = self.check_alive().and_then(|()| self.walk_target(&mut run, out));
        run.flush(out);
        self.keep_failure(walked)
    }

    /// Whether more of the client's data should be read now. False while many requests wait for
    /// their answers or a refusal waits for its turn; a driver that then leaves the client's data in the channel window is never
    /// handed [`SftpError::TooManyRequests`] for a client that merely asks far ahead.
    pub fn wants_client_data(&self) -> bool {
        self.requests.len() < ENOUGH_REQUESTS && self.replies.is_empty()
    }

    /// Every action of the held request `id` is allowed; its packet is now sent to the target.
    pub fn allow(&mut self, id: u32) {
        self.requests.send(id);
    }

    /// The held request `id` is refused and forgotten. Returns an `SSH_FXP_STATUS` with permission
    /// denied for the client; empty when nothing is held under `id`, and when the target is in the
    /// middle of a packet (then the refusal follows as a [`SftpStep::Reply`]).
    #[must_use]
    pub fn refuse(&mut self, id: u32, reason: &str) -> Bytes {
        let Some(effect) = self.requests.take_held(id) else {
            return Bytes::new();
        };
        settle_refused(&mut self.files, effect);
        let packet = status_packet(id, STATUS_PERMISSION_DENIED, reason);
        if !self.target.is_inside_packet() {
            return packet;
        }
        if let Err(error) = self.queue(packet) {
            self.failed.get_or_insert(error);
        }
        Bytes::new()
    }

    /// The connection is over. Events for requests without an answer and for files still open.
    pub fn finish(&mut self, out: &mut Vec<FileEvent>) {
        settle_cut_off(&mut self.files, self.requests.drain_sent(), out);
        self.replies.clear();
    }

    /// Roughly what is kept between calls, in bytes; for tests of the bounds.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.client.retained_bytes()
            + self.target.retained_bytes()
            + self.files.retained_bytes()
            + self.replies.iter().map(Bytes::len).sum::<usize>()
            + self.requests.retained_bytes()
    }

    fn check_alive(&self) -> Result<(), SftpError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn keep_failure(&mut self, result: Result<(), SftpError>) -> Result<(), SftpError> {
        self.failed = result.clone().err();
        result
    }

    fn walk_client(&mut self, run: &mut Run, out: &mut Vec<SftpStep>) -> Result<(), SftpError> {
        let mut at = 0;
        while let Some(piece) = self.client.next(run.chunk(), &mut at)? {
            match piece {
                Piece::Content(range) => match &mut self.client_content {
                    Content::Discard => {}
                    Content::Pass => run.keep(range, out),
                    Content::File { file, offset } => {
                        let content = run.chunk().get(range.clone()).unwrap_or_default();
                        self.files.wrote(*file, *offset, content);
                        *offset = advanced(*offset, &range);
                        run.keep(range, out);
                    }
                },
                Piece::Head(head) => {
                    let mut steps = Vec::new();
                    let verdict = self.on_request(&head, &mut steps)?;
                    self.client_content = Self::apply(verdict, head, steps, run, out);
                }
            }
        }
        Ok(())
    }

    fn walk_target(&mut self, run: &mut Run, out: &mut Vec<SftpStep>) -> Result<(), SftpError> {
        let mut at = 0;
        while let Some(piece) = self.target.next(run.chunk(), &mut at)? {
            match piece {
                Piece::Content(range) => {
                    if let Content::File { file, offset } = &mut self.target_content {
                        let content = run.chunk().get(range.clone()).unwrap_or_default();
                        self.files.read(*file, *offset, content);
                        *offset = advanced(*offset, &range);
                    }
                    run.keep(range, out);
                }
                Piece::Head(head) => {
                    let mut events = Vec::new();
                    let content = self.on_response(&head, &mut events);
                    let steps: Vec<_> = events.into_iter().map(SftpStep::Event).collect();
                    let verdict = match content {
                        Ok(content) => Verdict::Pass(content),
                        Err(error) => {
                            run.flush(out);
                            out.extend(steps);
                            return Err(error);
                        }
                    };
                    self.target_content = Self::apply(verdict, head, steps, run, out);
                }
            }
            if !self.replies.is_empty() && !self.target.is_inside_packet() {
                run.flush(out);
                out.extend(self.replies.drain(..).map(SftpStep::Reply));
            }
        }
        Ok(())
    }

    /// Puts out what was decided about a head: `steps` come before the head itself.
    fn apply(
        verdict: Verdict,
        head: Head,
        steps: Vec<SftpStep>,
        run: &mut Run,
        out: &mut Vec<SftpStep>,
    ) -> Content {
        if !steps.is_empty() {
            run.flush(out);
            out.extend(steps);
        }
        match verdict {
            Verdict::Pass(content) => {
                run.keep_head(head, out);
                content
            }
            Verdict::Drop => Content::Discard,
        }
    }

    fn on_request(&mut self, head: &Head, steps: &mut Vec<SftpStep>) -> Result<Verdict, SftpError> {
        let Head { id, kind, .. } = *head;
        match (self.phase, kind) {
            (Phase::AwaitingInit, INIT) => return self.on_init(id, steps),
            (Phase::AwaitingInit, _) => return Err(SftpError::MissingInit { kind }),
            (_, INIT) => return Err(SftpError::RepeatedInit),
            (Phase::AwaitingVersion, _) => return Err(SftpError::RequestBeforeVersion { kind }),
            (Phase::Open, _) => {}
        }
        self.requests.check(id)?;
        let request = match ClientRequest::read(kind, head.payload()) {
            Ok(request) => request,
            Err(reason) => {
                let refusal = Refusal { code: STATUS_BAD_MESSAGE, reason };
                return self.answer(id, &refusal, steps);
            }
        };
        match admit(&mut self.files, request) {
            Err(refusal) => self.answer(id, &refusal, steps),
            Ok(Admission::Forward(effect)) => {
                self.requests.insert(id, false, effect);
                Ok(Verdict::Pass(self.content_of(request)))
            }
            Ok(Admission::Ask(effect, actions)) => {
                self.requests.insert(id, true, effect);
                let packet = head.bytes.clone();
                steps.push(SftpStep::Authorize { id, actions, packet });
                Ok(Verdict::Drop)
            }
        }
    }

    /// Newer versions are offered as version 3, which every server speaks: what the gate cannot
    /// follow must not be agreed on.
    fn on_init(&mut self, version: u32, steps: &mut Vec<SftpStep>) -> Result<Verdict, SftpError> {
        if version < VERSION {
            return Err(SftpError::UnsupportedVersion { side: Side::Client, version });
        }
        self.phase = Phase::AwaitingVersion;
        if version == VERSION {
            return Ok(Verdict::Pass(Content::Pass));
        }
        steps.push(SftpStep::Forward(init_packet()));
        Ok(Verdict::Drop)
    }

    fn content_of(&self, request: ClientRequest<'_>) -> Content {
        match request {
            ClientRequest::Write { handle, offset } => match self.files.find(handle) {
                Some((file, _)) => Content::File { file, offset },
                None => Content::Pass,
            },
            _ => Content::Pass,
        }
    }

    /// Answers a request here. The request goes no further.
    fn answer(
        &mut self,
        id: u32,
        refusal: &Refusal,
        steps: &mut Vec<SftpStep>,
    ) -> Result<Verdict, SftpError> {
        let packet = status_packet(id, refusal.code, refusal.reason);
        if self.target.is_inside_packet() {
            self.queue(packet)?;
        } else {
            steps.push(SftpStep::Reply(packet));
        }
        Ok(Verdict::Drop)
    }

    /// Keeps a reply until the target has finished the packet it is in.
    fn queue(&mut self, reply: Bytes) -> Result<(), SftpError> {
        if self.replies.len() >= MAX_QUEUED_REPLIES {
            return Err(SftpError::TooManyReplies { limit: MAX_QUEUED_REPLIES });
        }
        self.replies.push_back(reply);
        Ok(())
    }

    fn on_response(
        &mut self,
        head: &Head,
        events: &mut Vec<FileEvent>,
    ) -> Result<Content, SftpError> {
        let Head { id, kind, .. } = *head;
        let unexpected = SftpError::UnexpectedResponse { id, kind };
        if kind == VERSION_REPLY {
            return match (self.phase, id) {
                (Phase::AwaitingVersion, VERSION) => {
                    self.phase = Phase::Open;
                    Ok(Content::Pass)
                }
                (Phase::AwaitingVersion, version) => {
                    Err(SftpError::UnsupportedVersion { side: Side::Target, version })
                }
                _ => Err(unexpected),
            };
        }
        let effect = self.requests.take_sent(id).ok_or_else(|| unexpected.clone())?;
        if !effect.expects(kind) {
            // Put back, so that `finish` still tells of it.
            self.requests.insert(id, false, effect);
            return Err(unexpected);
        }
        self.settle(head, effect, events)
    }

    fn settle(
        &mut self,
        head: &Head,
        effect: Effect,
        events: &mut Vec<FileEvent>,
    ) -> Result<Content, SftpError> {
        let malformed =
            |what| SftpError::MalformedPacket { side: Side::Target, kind: head.kind, what };
        match head.kind {
            STATUS => {
                let status = Status::read(head.payload());
                let readable = status.is_some();
                let status = status.unwrap_or_else(Status::unreadable);
                settle_status(&mut self.files, effect, status, events);
                if !readable {
                    return Err(malformed("it ends before its code"));
                }
            }
            HANDLE => {
                settle_handle(&mut self.files, effect, head.payload(), events).map_err(|fault| {
                    match fault {
                        HandleFault::Unreadable => malformed("its handle does not fit into it"),
                        HandleFault::TooLong => malformed("its handle is longer than 256 bytes"),
                        HandleFault::Taken => SftpError::DuplicateHandle,
                    }
                })?
            }
            DATA => {
                if let Effect::Read { file, offset, length } = effect {
                    let asked = usize::try_from(length).unwrap_or(usize::MAX);
                    if head.content_bytes > asked {
                        return Err(malformed("it holds more content than was asked for"));
                    }
                    self.files.answered(file, Ok(()));
                    return Ok(Content::File { file, offset });
                }
            }
            ATTRS => settle_attributes(&mut self.files, effect, head.payload())
                .ok_or_else(|| malformed("its attributes do not fit into it"))?,
            NAME => {
                let bytes = u64::try_from(head.content_bytes).unwrap_or(u64::MAX);
                settle_names(&mut self.files, effect, bytes, events);
            }
            _ => {}
        }
        Ok(Content::Pass)
    }
}

/// The offset behind a piece of content. At the end of the numbers it stays there: no file is that
/// long, and the digest is given up by the transfer.
fn advanced(offset: u64, range: &Range<usize>) -> u64 {
    offset.saturating_add(u64::try_from(range.len()).unwrap_or(u64::MAX))
}
