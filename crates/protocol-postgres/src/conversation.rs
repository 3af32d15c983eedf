//! Which answer belongs to what: the state machine between a client that may send many messages
//! ahead and a server that answers them in order (manual, 55.2.3, 55.2.4, 55.2.6).
//!
//! In: the messages that were forwarded, and the types of the answers. Out: what was begun and is
//! now finished, and which error of the server stands for a refusal of the gate. Pure. Nothing here
//! decides whether a statement is forwarded: a server that answers out of order can confuse the
//! record of its own session and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value as Json;

use crate::options::{MAX_PENDING, MAX_PORTALS, MAX_PREPARED, MAX_PREPARED_BYTES};
use crate::statement::Known;

/// A message that was forwarded and whose answer is due.
#[derive(Debug)]
pub(crate) struct Pending {
    asked: Asked,
    /// The statement that runs with it.
    running: Option<Running>,
    /// What the client is told in place of the server's error, where the message stands in for a
    /// refused one.
    refused: Option<String>,
}

/// What a message asked for.
#[derive(Debug)]
enum Asked {
    Query,
    Call,
    /// With what its name stood for before, to be put back if the server does not take it.
    Parse {
        name: Vec<u8>,
        made: Option<Arc<Known>>,
        before: Option<Arc<Known>>,
    },
    Bind,
    Describe,
    Close,
    Execute,
    Sync,
    CopyEnd,
}

/// A statement that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its number in the session.
    pub(crate) id: u64,
    /// Since when.
    pub(crate) since: Instant,
    /// Rows so far, as the server's tags count them.
    pub(crate) rows: u64,
    /// Bytes of rows so far, both ways.
    pub(crate) bytes: u64,
    /// SQLSTATE and text of its error.
    pub(crate) error: Option<(String, String)>,
}

/// A portal: a statement with values.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    pub(crate) statement: Arc<Known>,
    pub(crate) values: Json,
}

/// What an answer came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// A statement that is finished.
    pub(crate) finished: Option<Running>,
    /// The text of a refusal that stands in place of this error.
    pub(crate) refusal: Option<String>,
}

/// A bound of the session was reached; what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TooMuch(&'static str);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    pending: VecDeque<Pending>,
    /// The server takes rows: it passes over Sync and Flush until their end.
    copying_in: bool,
    statements: HashMap<Vec<u8>, Arc<Known>>,
    statement_bytes: usize,
    portals: HashMap<Vec<u8>, Portal>,
}

impl Running {
    pub(crate) fn new(id: u64, since: Instant) -> Self {
        Self { id, since, rows: 0, bytes: 0, error: None }
    }
}

impl Tracker {
    fn ask(
        &mut self,
        asked: Asked,
        running: Option<Running>,
        refused: Option<String>,
    ) -> Result<(), TooMuch> {
        if self.pending.len() >= MAX_PENDING {
            return Err(TooMuch("too many messages without waiting for an answer"));
        }
        self.pending.push_back(Pending { asked, running, refused });
        Ok(())
    }

    /// Query was forwarded, or something that stands in for it.
    pub(crate) fn query(
        &mut self,
        running: Option<Running>,
        refused: Option<String>,
    ) -> Result<(), TooMuch> {
        self.ask(Asked::Query, running, refused)
    }

    /// FunctionCall was forwarded.
    pub(crate) fn call(&mut self, running: Running) -> Result<(), TooMuch> {
        self.ask(Asked::Call, Some(running), None)
    }

    /// Parse was forwarded.
    pub(crate) fn parse(&mut self, name: &[u8], statement: Arc<Known>) -> Result<(), TooMuch> {
        let grown = self.statement_bytes.saturating_add(statement.text.len());
        if self.statements.len() >= MAX_PREPARED || grown > MAX_PREPARED_BYTES {
            return Err(TooMuch("too many prepared statements; close some"));
        }
        let before = self.put(name, Some(Arc::clone(&statement)));
        self.ask(Asked::Parse { name: name.to_vec(), made: Some(statement), before }, None, None)
    }

    /// Something that stands in for a refused message of the extended protocol was forwarded.
    pub(crate) fn refused(&mut self, told: String) -> Result<(), TooMuch> {
        // The stand-in is a Parse of the unnamed statement, which destroys the one there is.
        let before = self.put(b"", None);
        self.ask(Asked::Parse { name: Vec::new(), made: None, before }, None, Some(told))
    }

    fn put(&mut self, name: &[u8], statement: Option<Arc<Known>>) -> Option<Arc<Known>> {
        let added = statement.as_ref().map_or(0, |known| known.text.len());
        let before = match statement {
            Some(statement) => self.statements.insert(name.to_vec(), statement),
            None => self.statements.remove(name),
        };
        let removed = before.as_ref().map_or(0, |known| known.text.len());
        self.statement_bytes = self.statement_bytes.saturating_add(added).saturating_sub(removed);
        before
    }

    /// Bind was forwarded.
    pub(crate) fn bind(&mut self, name: &[u8], portal: Portal) -> Result<(), TooMuch> {
        if self.portals.len() >= MAX_PORTALS && !self.portals.contains_key(name) {
            return Err(TooMuch("too many open portals; close some"));
        }
        self.portals.insert(name.to_vec(), portal);
        self.ask(Asked::Bind, None, None)
    }

    /// Describe was forwarded.
    pub(crate) fn describe(&mut self) -> Result<(), TooMuch> {
        self.ask(Asked::Describe, None, None)
    }

    /// Close of a statement was forwarded.
    pub(crate) fn close_statement(&mut self, name: &[u8]) -> Result<(), TooMuch> {
        self.put(name, None);
        self.ask(Asked::Close, None, None)
    }

    /// Close of a portal was forwarded.
    pub(crate) fn close_portal(&mut self, name: &[u8]) -> Result<(), TooMuch> {
        self.portals.remove(name);
        self.ask(Asked::Close, None, None)
    }

    /// Execute was forwarded.
    pub(crate) fn execute(&mut self, running: Running) -> Result<(), TooMuch> {
        self.ask(Asked::Execute, Some(running), None)
    }

    /// Sync was forwarded.
    pub(crate) fn sync(&mut self) -> Result<(), TooMuch> {
        let swallowed = self.copying_in
            && !self.pending.iter().any(|pending| matches!(pending.asked, Asked::CopyEnd));
        if swallowed { Ok(()) } else { self.ask(Asked::Sync, None, None) }
    }

    /// CopyDone or CopyFail was forwarded.
    pub(crate) fn copy_end(&mut self) -> Result<(), TooMuch> {
        self.ask(Asked::CopyEnd, None, None)
    }

    /// The statement of this name, if it was prepared by a message.
    pub(crate) fn statement(&self, name: &[u8]) -> Option<&Arc<Known>> {
        self.statements.get(name)
    }

    /// The portal of this name.
    pub(crate) fn portal(&self, name: &[u8]) -> Option<&Portal> {
        self.portals.get(name)
    }

    /// Whether every message was answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.iter().all(|pending| matches!(pending.asked, Asked::CopyEnd))
    }

    /// Whether the server will answer everything without another message.
    pub(crate) fn will_be_idle(&self) -> bool {
        let last = self.pending.back().map(|pending| &pending.asked);
        matches!(last, None | Some(Asked::Query | Asked::Call | Asked::Sync | Asked::CopyEnd))
    }

    /// Rows went by, either way.
    pub(crate) fn moved(&mut self, bytes: u64) {
        if let Some(running) = self.head().and_then(|head| head.running.as_mut()) {
            running.bytes = running.bytes.saturating_add(bytes);
        }
    }

    fn head(&mut self) -> Option<&mut Pending> {
        while matches!(self.pending.front().map(|head| &head.asked), Some(Asked::CopyEnd)) {
            self.pending.pop_front();
        }
        self.pending.front_mut()
    }

    /// An answer of this type that says nothing but that it is done.
    pub(crate) fn answered(&mut self, kind: u8) -> Answer {
        let Some(head) = self.head() else { return Answer::default() };
        let done = match (kind, &head.asked) {
            (b'1', Asked::Parse { .. }) | (b'2', Asked::Bind) | (b'3', Asked::Close) => true,
            (b'T' | b'n', Asked::Describe) => true,
            (b'I' | b's', Asked::Execute) => true,
            (b'G' | b'W', Asked::Execute | Asked::Query) => {
                self.begin_copy_in();
                return Answer::default();
            }
            _ => false,
        };
        match done {
            true => self.finish(),
            false => Answer::default(),
        }
    }

    /// CommandComplete, with the rows its tag counts.
    pub(crate) fn complete(&mut self, rows: u64) -> Answer {
        self.copying_in = false;
        let Some(head) = self.head() else { return Answer::default() };
        if let Some(running) = &mut head.running {
            running.rows = running.rows.saturating_add(rows);
        }
        match head.asked {
            Asked::Execute => self.finish(),
            _ => Answer::default(),
        }
    }

    /// ErrorResponse.
    pub(crate) fn failed(&mut self, state: String, text: String) -> Answer {
        self.copying_in = false;
        let Some(head) = self.head() else { return Answer::default() };
        let refusal = head.refused.take();
        if let Some(running) = &mut head.running {
            running.error = Some((state, text));
        }
        // Query and FunctionCall end with ReadyForQuery; the rest is passed over until Sync.
        if matches!(head.asked, Asked::Query | Asked::Call | Asked::Sync) {
            return Answer { refusal, finished: None };
        }
        let finished = head.running.take();
        self.skip_to_sync();
        Answer { refusal, finished }
    }

    /// ReadyForQuery.
    pub(crate) fn ready(&mut self) -> Answer {
        self.copying_in = false;
        match self.head().map(|head| &head.asked) {
            Some(Asked::Query | Asked::Call | Asked::Sync) => self.finish(),
            _ => Answer::default(),
        }
    }

    fn finish(&mut self) -> Answer {
        let done = self.pending.pop_front();
        Answer { finished: done.and_then(|done| done.running), refusal: None }
    }

    fn begin_copy_in(&mut self) {
        self.copying_in = true;
        // What the client sent ahead before the end of its rows is passed over by the server.
        let mut seen_end = false;
        let mut first = true;
        self.pending.retain(|pending| {
            seen_end |= matches!(pending.asked, Asked::CopyEnd);
            let keep = first || seen_end || !matches!(pending.asked, Asked::Sync);
            first = false;
            keep
        });
    }

    /// The server passes over everything until Sync: what was to be prepared is not.
    fn skip_to_sync(&mut self) {
        let mut skipped = Vec::new();
        while let Some(next) = self.pending.front() {
            if matches!(next.asked, Asked::Sync) {
                break;
            }
            skipped.extend(self.pending.pop_front());
        }
        for pending in skipped.into_iter().rev() {
            let Asked::Parse { name, made, before } = pending.asked else { continue };
            let now = self.statements.get(&name);
            let untouched = match (now, &made) {
                (Some(now), Some(made)) => Arc::ptr_eq(now, made),
                (None, None) => true,
                _ => false,
            };
            // A Parse that fails destroys the unnamed statement, and leaves named ones alone.
            if untouched && !name.is_empty() {
                self.put(&name, before);
            }
        }
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
