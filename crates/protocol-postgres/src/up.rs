//! From the client to the server: every statement is classified, authorised and recorded, then
//! forwarded as the bytes it came in. A refused one is replaced by a stand-in that fails in the
//! server, so that the session goes on as after any other error.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{Action, DatabaseAct};
use portcullis_sql::Prepared;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::conversation::{Portal, Running, TooMuch};
use crate::options::{
    BIND_PREFIX_BYTES, BUFFER_BYTES, MAX_SMALL_BYTES, MAX_WHOLE_BYTES, RECORDED_VALUES,
};
use crate::relay::{Shared, Stopped};
use crate::statement::{Known, recorded_values};
use crate::wire::make::stand_in;
use crate::wire::message::{self, Malformed, Named};
use crate::wire::{HEADER_BYTES, Header};

/// What becomes of a message.
enum Step {
    /// So many bytes of it must be there first.
    Need(usize),
    /// It is forwarded as it is.
    Pass,
    /// This is forwarded in its place.
    Replace(Vec<u8>),
    /// It is the last one, and forwarded.
    Last,
}

/// The client's direction, with what it remembers between messages.
struct Up<'a> {
    shared: &'a Shared,
    prepared: Prepared,
    /// A statement was let through after which texts may be read differently.
    reading_changed: bool,
}

impl From<Malformed> for Stopped {
    fn from(error: Malformed) -> Self {
        Self::Client(error.to_string())
    }
}

impl From<TooMuch> for Stopped {
    fn from(error: TooMuch) -> Self {
        Self::Client(error.to_string())
    }
}

/// Forwards until either side stops.
pub(crate) async fn run(
    shared: &Shared,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
) -> Stopped {
    let up = Up { shared, prepared: Prepared::default(), reading_changed: false };
    match up.forward(from, to).await {
        Ok(()) => Stopped::ClientLeft,
        Err(stopped) => stopped,
    }
}

impl Up<'_> {
    async fn forward(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Stopped> {
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        // What is left of a long message: to be passed on, or passed over.
        let (mut through, mut over) = (0_usize, 0_usize);
        let mut needed = HEADER_BYTES;
        let gone = |_: std::io::Error| Stopped::ServerLeft;
        loop {
            let mut pass = through.min(buffer.len());
            through -= pass;
            if pass == 0 && over > 0 {
                let skip = over.min(buffer.len());
                buffer.advance(skip);
                over -= skip;
            }
            let mut last = false;
            while through == 0 && over == 0 && !last {
                let rest = buffer.get(pass..).unwrap_or_default();
                needed = HEADER_BYTES;
                let header =
                    Header::read(rest).map_err(|error| Stopped::Client(error.to_string()))?;
                let Some(header) = header else { break };
                let here = header.whole().min(rest.len());
                let beyond = header.whole() - here;
                match self.step(header, rest).await? {
                    Step::Need(bytes) => {
                        needed = bytes;
                        break;
                    }
                    Step::Pass => {
                        pass += here;
                        through = beyond;
                    }
                    Step::Last => {
                        pass += here;
                        last = true;
                    }
                    Step::Replace(bytes) => {
                        to.write_all(buffer.get(..pass).unwrap_or_default()).await.map_err(gone)?;
                        to.write_all(&bytes).await.map_err(gone)?;
                        buffer.advance(pass + here);
                        pass = 0;
                        over = beyond;
                    }
                }
            }
            to.write_all(buffer.get(..pass).unwrap_or_default()).await.map_err(gone)?;
            to.flush().await.map_err(gone)?;
            buffer.advance(pass);
            if last {
                return Ok(());
            }
            // Room for what is needed whole, in steps, so that a length alone costs nothing.
            let missing = needed.saturating_sub(buffer.len()).clamp(1, BUFFER_BYTES);
            buffer.reserve(missing.max(HEADER_BYTES));
            match from.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => self.shared.live.touch(),
            }
        }
    }

    /// Decides about one message, of which `bytes` holds as much as came yet.
    async fn step(&mut self, header: Header, bytes: &[u8]) -> Result<Step, Stopped> {
        let looked_at = match header.kind {
            b'd' => HEADER_BYTES,
            b'B' => header.whole().min(BIND_PREFIX_BYTES),
            b'Q' | b'P' | b'F' if header.whole() <= MAX_WHOLE_BYTES => header.whole(),
            b'Q' | b'P' | b'F' => HEADER_BYTES,
            _ if header.body <= MAX_SMALL_BYTES => header.whole(),
            _ => return Err(Stopped::Client("a message that is too long for its type".into())),
        };
        let Some(seen) = bytes.get(HEADER_BYTES..looked_at) else {
            return Ok(Step::Need(looked_at));
        };
        let too_long = header.whole() > MAX_WHOLE_BYTES;
        match header.kind {
            b'Q' if too_long => self.refuse_query(TOO_LONG.into()),
            b'Q' => self.query(message::query(seen)?).await,
            b'P' if too_long => self.refuse(TOO_LONG.into()),
            b'P' => self.parse(message::parse(seen)?).await,
            b'B' => self.bind(message::bind(seen, RECORDED_VALUES)?),
            b'E' => self.execute(message::execute(seen)?).await,
            b'F' if too_long => self.refuse_query(TOO_LONG.into()),
            b'F' => self.call(seen).await,
            b'D' => {
                message::named(seen)?;
                self.shared.tracker().describe()?;
                Ok(Step::Pass)
            }
            b'C' => {
                let mut tracker = self.shared.tracker();
                match message::named(seen)? {
                    Named::Statement(name) => tracker.close_statement(name)?,
                    Named::Portal(name) => tracker.close_portal(name)?,
                }
                Ok(Step::Pass)
            }
            b'S' => {
                self.shared.tracker().sync()?;
                Ok(Step::Pass)
            }
            b'd' => {
                self.shared.tracker().moved(header.body as u64);
                Ok(Step::Pass)
            }
            b'c' | b'f' => {
                self.shared.tracker().copy_end()?;
                Ok(Step::Pass)
            }
            b'H' => Ok(Step::Pass),
            b'X' => Ok(Step::Last),
            kind => Err(Stopped::Client(format!("a message of unknown type {kind}"))),
        }
    }

    async fn query(&mut self, text: &[u8]) -> Result<Step, Stopped> {
        let known = self.read(text).await;
        let running = self.shared.begin();
        match self.admit(&known, &running, None).await? {
            Ok(()) => {
                self.let_through(&known, None);
                self.shared.tracker().query(Some(running), None)?;
                Ok(Step::Pass)
            }
            Err(told) => self.refuse_query(told),
        }
    }

    async fn call(&mut self, body: &[u8]) -> Result<Step, Stopped> {
        let known = Known::function_call(body);
        let running = self.shared.begin();
        match self.admit(&known, &running, None).await? {
            Ok(()) => {
                self.let_through(&known, None);
                self.shared.tracker().call(running)?;
                Ok(Step::Pass)
            }
            Err(told) => self.refuse_query(told),
        }
    }

    async fn parse(&mut self, parse: message::Parse<'_>) -> Result<Step, Stopped> {
        let known = self.read(parse.text).await;
        if let Err((act, told)) = self.authorize(&known).await {
            self.refused(&known, act, &told).await?;
            return self.refuse(told);
        }
        self.let_through(&known, Some(parse.name));
        self.shared.tracker().parse(parse.name, known)?;
        Ok(Step::Pass)
    }

    fn bind(&mut self, bind: message::Bind<'_>) -> Result<Step, Stopped> {
        let mut tracker = self.shared.tracker();
        let known = tracker.statement(bind.statement).map(Arc::clone);
        let statement = known.unwrap_or_else(|| Known::by_name(bind.statement));
        let values = recorded_values(&bind.values, bind.count);
        tracker.bind(bind.portal, Portal { statement, values })?;
        Ok(Step::Pass)
    }

    async fn execute(&mut self, portal: &[u8]) -> Result<Step, Stopped> {
        let found = self.shared.tracker().portal(portal).cloned();
        // A portal of `DECLARE CURSOR` is known to the server alone.
        let found = found
            .unwrap_or_else(|| Portal { statement: Known::by_name(portal), values: Json::Null });
        let running = self.shared.begin();
        match self.admit(&found.statement, &running, Some(&found.values)).await? {
            Ok(()) => {
                self.reading_changed |= found.statement.changes_reading;
                self.shared.tracker().execute(running)?;
                Ok(Step::Pass)
            }
            Err(told) => self.refuse(told),
        }
    }

    /// Classifies a text in the modes the server is in. Where an earlier statement may change them,
    /// its answer is awaited first; where that cannot come yet, the text is not understood.
    async fn read(&mut self, text: &[u8]) -> Arc<Known> {
        if self.shared.replication
            && !text.trim_ascii_start().get(..6).is_some_and(|w| w.eq_ignore_ascii_case(b"select"))
        {
            return Known::replication(text);
        }
        while self.reading_changed {
            let answered = self.shared.answered.notified();
            let (idle, will_be) = {
                let tracker = self.shared.tracker();
                (tracker.is_idle(), tracker.will_be_idle())
            };
            if idle {
                self.reading_changed = false;
            } else if will_be {
                answered.await;
            } else {
                return Known::unread(text);
            }
        }
        let modes = *self.shared.modes();
        Known::read(&self.shared.classifier, text, &modes, &mut self.prepared)
    }

    fn let_through(&mut self, known: &Known, name: Option<&[u8]>) {
        self.reading_changed |= known.changes_reading;
        if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) {
            self.prepared.remember(name, known.set);
        }
    }

    /// Authorises, audits and records a statement that is about to run.
    async fn admit(
        &self,
        known: &Known,
        running: &Running,
        values: Option<&Json>,
    ) -> Result<Result<(), String>, Stopped> {
        if let Err((act, told)) = self.authorize(known).await {
            self.refused(known, act, &told).await?;
            return Ok(Err(told));
        }
        self.shared.record(&known.begins(running.id, values)).await?;
        // What only reads stands in the recording; where there is none, in the log as well.
        if known.changes() || self.shared.live.recorder().is_none() {
            self.audit(known, running.id, Outcome::Success).await?;
        }
        Ok(Ok(()))
    }

    /// Every act of the statement, each once in a session. The error says which one is refused.
    async fn authorize(&self, known: &Known) -> Result<(), (DatabaseAct, String)> {
        for act in known.acts.iter().copied() {
            if self.shared.permitted.has(act) {
                continue;
            }
            let action = Action::Database { act, database: self.shared.database.clone() };
            match self.shared.live.authorize(action).await {
                Ok(_permit) => self.shared.permitted.add(act),
                Err(refused) => {
                    let why = match known.reason_for(act) {
                        Some(why) => format!(" ({why})"),
                        None => String::new(),
                    };
                    let first = format!("`{}` is refused here{why}", act.kind());
                    return Err((act, format!("{first}\n{}", refused.told())));
                }
            }
        }
        Ok(())
    }

    async fn refused(&self, known: &Known, act: DatabaseAct, told: &str) -> Result<(), Stopped> {
        metrics::counter!("portcullis_postgres_statements_refused_total").increment(1);
        let mut event: Json = serde_json::from_str(&known.begins(0, None)).unwrap_or_default();
        if let Some(map) = event.get_mut("statement").and_then(Json::as_object_mut) {
            map.remove("id");
            map.insert("refused".to_owned(), act.kind().as_str().into());
        }
        self.shared.record(&event.to_string()).await?;
        let first = told.lines().next().unwrap_or_default().to_owned();
        self.audit(known, 0, Outcome::Refused(first)).await
    }

    async fn audit(&self, known: &Known, id: u64, outcome: Outcome) -> Result<(), Stopped> {
        let text = match known.fingerprint.is_empty() {
            true => known.kind.clone(),
            false => known.fingerprint.clone(),
        };
        let details = vec![
            ("database", Json::from(self.shared.database.as_str())),
            ("classes", known.classes.as_str().into()),
            ("tables", json!(known.tables.join(" "))),
            ("statement", text.into()),
            ("number", id.into()),
        ];
        let written = self.shared.live.audit(Activity::Statement, outcome, details).await;
        written.map_err(|_| Stopped::Ending)
    }

    fn refuse_query(&self, told: String) -> Result<Step, Stopped> {
        self.shared.tracker().query(None, Some(told))?;
        Ok(Step::Replace(stand_in::query()))
    }

    fn refuse(&self, told: String) -> Result<Step, Stopped> {
        self.shared.tracker().refused(told)?;
        Ok(Step::Replace(stand_in::parse()))
    }
}

const TOO_LONG: &str = "the statement is longer than the gate reads (4 MiB); send it in parts";
