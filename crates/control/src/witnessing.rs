//! Having the log's checkpoints cosigned: each new one goes to the witnesses, and what a quorum of
//! them cosigned is published beside the log.
//!
//! Flows in: checkpoints, and witnesses reached through [`WitnessTransport`]. Flows out: the cosigned
//! checkpoint, and an alert where a witness refuses, lies, or has not been heard for too long. Nothing
//! waits for a witness but whoever asks for a cosigned checkpoint. Knows nothing of HTTP.
//!
//! A witness is not believed: what it answers is bounded by its transport, and counts only where the
//! signature is its own, over this checkpoint, at a time that is about now.

mod own_line;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::Timestamp;
use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_evidence::log::holding::COSIGNED_PATH;
use portcullis_evidence::log::note::{MAX_NOTE_BYTES, add_signatures};
use portcullis_evidence::log::trust::{QuorumError, Trust};
use portcullis_evidence::log::witness::AddCheckpoint;
use portcullis_evidence::log::{Answer, Checkpoint, LogReader, NoteVerifier, WitnessKey};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::own_line::own_line;
use crate::{Control, ControlError};

/// Longest wait for a witness, all its answers to one checkpoint together.
const WITNESS_PATIENCE: Duration = Duration::from_secs(10);
/// Shortest time from one round to the next.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between two rounds while nothing happens, where cosignatures may be so old.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Times one witness is asked about one checkpoint: it may know another size than we thought.
const MAX_ASKED: usize = 3;
/// How long a witness may have seen more of the log than this node: with several nodes on one log,
/// another may have been quicker.
const AHEAD_PATIENCE: Duration = Duration::from_secs(30);
/// A witness in the same trouble is an alert again after this long.
const ALERT_INTERVAL: Duration = Duration::from_secs(600);

/// Carries one request to one witness, with bounds of its own on size and time.
pub trait WitnessTransport: Send + Sync {
    /// Sends the body of an `add-checkpoint` request; what the witness answers, or why nothing came.
    fn add_checkpoint(
        &self,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, String>> + Send + '_>>;
}

/// The witnesses of a log.
#[derive(Clone)]
pub struct Witnesses {
    each: Vec<(WitnessKey, Arc<dyn WitnessTransport>)>,
    quorum: usize,
    max_age: Duration,
}

impl Witnesses {
    /// These witnesses, of which a quorum must cosign. A cosigned checkpoint older than `max_age` is
    /// an alert.
    ///
    /// # Errors
    /// [`QuorumError`].
    pub fn new(
        each: Vec<(WitnessKey, Arc<dyn WitnessTransport>)>,
        quorum: usize,
        max_age: Duration,
    ) -> Result<Self, QuorumError> {
        let witnesses = each.len();
        if quorum == 0 || quorum > witnesses {
            return Err(QuorumError::TooHigh { quorum, witnesses });
        }
        let twice = |(at, (key, _)): (usize, &(WitnessKey, _))| {
            each.iter().skip(at + 1).any(|(other, _)| other.same_key(key))
        };
        if each.iter().enumerate().any(twice) {
            return Err(QuorumError::Twice);
        }
        Ok(Self { each, quorum, max_age })
    }

    fn refresh(&self) -> Duration {
        (self.max_age / 3).clamp(ROUND_INTERVAL, REFRESH_INTERVAL)
    }

    fn trust(&self, log: NoteVerifier, now: Timestamp) -> Result<Trust, QuorumError> {
        let keys = self.each.iter().map(|(key, _)| key.clone()).collect();
        Ok(Trust::new(log).with_witnesses(keys, self.quorum)?.at(seconds(now)))
    }
}

/// What a node knows of its witnesses.
pub(crate) struct Witnessing {
    witnesses: Witnesses,
    known: watch::Sender<Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    latest: Option<Cosigned>,
    /// What is wrong with which witness now.
    troubles: BTreeMap<String, String>,
    stale: bool,
}

/// A checkpoint that a quorum cosigned.
#[derive(Debug, Clone)]
struct Cosigned {
    note: Vec<u8>,
    size: u64,
    /// When the quorum was complete, by the witnesses' clocks.
    at: Timestamp,
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    Silent(String),
    Refused(String),
    Lied(&'static str),
    /// It has cosigned this many entries and the log has fewer.
    Ahead(u64),
    /// It has cosigned this many entries and they are not those of the log.
    Forked(u64),
}

impl Trouble {
    /// Stable, for alerts and metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Silent(_) => "witness_silent",
            Self::Refused(_) => "witness_refused",
            Self::Lied(_) => "witness_lied",
            Self::Ahead(_) => "log_rolled_back",
            Self::Forked(_) => "log_forked",
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Silent(why) => format!("does not answer: {why}"),
            Self::Refused(why) => format!("refuses the checkpoint: {why}"),
            Self::Lied(what) => format!("answers what does not count: {what}"),
            Self::Ahead(size) => {
                format!(
                    "has cosigned {size} entries of this log, which has fewer: it was rolled back"
                )
            }
            Self::Forked(size) => format!(
                "has cosigned {size} entries of this log, which are not those it has: it was forked"
            ),
        }
    }
}

impl Control {
    /// Has the log's checkpoints cosigned from now on; only the first call counts. [`Control::cosign`]
    /// does it.
    pub fn set_witnesses(&self, witnesses: Witnesses) {
        let known = watch::Sender::new(Known::default());
        let _ = self.witnessing_slot().set(Witnessing { witnesses, known });
    }

    /// What is wrong with the witnesses, for people; empty where all is well or there are none.
    pub fn witness_notices(&self) -> Vec<String> {
        let Some(witnessing) = self.witnessing() else { return Vec::new() };
        let known = witnessing.known.borrow();
        let stale = known.stale.then(|| match &known.latest {
            Some(latest) => format!("the last checkpoint cosigned by a quorum is of {}", latest.at),
            None => "no checkpoint was cosigned by a quorum yet".to_owned(),
        });
        let troubles = known.troubles.iter().map(|(name, what)| format!("witness `{name}` {what}"));
        stale.into_iter().chain(troubles).collect()
    }

    /// The verifier keys of the witnesses.
    pub(crate) fn witness_keys(&self) -> Vec<String> {
        let each = self.witnessing().map(|witnessing| witnessing.witnesses.each.as_slice());
        each.unwrap_or_default().iter().map(|(key, _)| key.to_vkey()).collect()
    }

    /// A cosigned checkpoint over at least `size` entries, as soon as there is one; `None` where
    /// there are no witnesses or they take longer than `patience`.
    pub(crate) async fn cosigned_over(&self, size: u64, patience: Duration) -> Option<Vec<u8>> {
        let mut known = self.witnessing()?.known.subscribe();
        let enough =
            known.wait_for(|known| known.latest.as_ref().is_some_and(|latest| latest.size >= size));
        let known = tokio::time::timeout(patience, enough).await.ok()?.ok()?;
        known.latest.as_ref().map(|latest| latest.note.clone())
    }

    /// Runs until `stop`. Without witnesses there is nothing to do.
    pub async fn cosign(&self, stop: CancellationToken) {
        let Some(witnessing) = self.witnessing() else {
            return stop.cancelled().await;
        };
        let mut cosigning = Cosigning {
            control: self,
            witnessing,
            olds: vec![0; witnessing.witnesses.each.len()],
            alerted: BTreeMap::new(),
            started: self.gateway().now(),
            ahead_since: BTreeMap::new(),
        };
        cosigning.take_up().await;
        let mut checkpoints = self.gateway().auditor().log().checkpoints();
        checkpoints.mark_changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = checkpoints.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(witnessing.witnesses.refresh()) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = cosigning.round() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ROUND_INTERVAL) => {}
            }
        }
    }
}

/// The loop's own state.
struct Cosigning<'a> {
    control: &'a Control,
    witnessing: &'a Witnessing,
    /// The size each witness cosigned last, as far as is known.
    olds: Vec<u64>,
    /// When which alert was given last.
    alerted: BTreeMap<(String, &'static str), Timestamp>,
    started: Timestamp,
    /// Since when each witness has seen more than there is.
    ahead_since: BTreeMap<usize, Timestamp>,
}

impl Cosigning<'_> {
    /// Takes up what was cosigned before the node started.
    async fn take_up(&mut self) {
        let reader = self.control.gateway().auditor().log().reader();
        let read = blocking(move || {
            reader.tiles().read(COSIGNED_PATH, MAX_NOTE_BYTES).map_err(ControlError::unavailable)
        });
        if let Ok(Some(note)) = read.await {
            self.take(note);
        }
    }

    /// Makes a note the latest cosigned checkpoint, if a quorum did cosign it.
    fn take(&self, note: Vec<u8>) -> bool {
        let control = self.control;
        let log = control.gateway().auditor().log().verifier().clone();
        let Ok(trust) = self.witnessing.witnesses.trust(log, control.gateway().now()) else {
            return false;
        };
        let Ok(signed) = trust.open(&note) else { return false };
        let mut times: Vec<u64> = signed.cosigned.iter().map(|one| one.at_seconds).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let complete = times.get(self.witnessing.witnesses.quorum.saturating_sub(1));
        let at = i64::try_from(complete.copied().unwrap_or(0)).unwrap_or(0).saturating_mul(1000);
        let at = Timestamp::from_millis(at);
        let size = signed.checkpoint.size;
        self.witnessing.known.send_modify(|known| {
            known.latest = Some(Cosigned { note, size, at });
        });
        true
    }

    /// Asks every witness about the latest checkpoint.
    async fn round(&mut self) {
        if let Err(error) = self.ask_all().await {
            tracing::warn!(%error, "checkpoints could not be sent to the witnesses; they are sent again");
        }
        self.look_at_age().await;
    }

    async fn ask_all(&mut self) -> Result<(), ControlError> {
        let reader = self.control.gateway().auditor().log().reader();
        let note = blocking({
            let reader = reader.clone();
            move || reader.checkpoint_note().map_err(ControlError::unavailable)
        })
        .await?;
        let mut asking = JoinSet::new();
        let each = self.witnessing.witnesses.each.iter().zip(&self.olds).enumerate();
        for (at, ((key, transport), old)) in each {
            let asked = Asked {
                reader: reader.clone(),
                key: key.clone(),
                transport: transport.clone(),
                note: note.clone(),
                now: self.control.gateway().now(),
            };
            let old = *old;
            asking.spawn(async move {
                let answered = tokio::time::timeout(WITNESS_PATIENCE, asked.ask(old)).await;
                let silent = || Trouble::Silent("no answer in time".into());
                (at, answered.unwrap_or_else(|_| Err(silent())))
            });
        }
        let mut lines = String::new();
        while let Some(joined) = asking.join_next().await {
            let Ok((at, answered)) = joined else { continue };
            match answered {
                Ok((line, size)) => {
                    lines.push_str(&line);
                    if let Some(old) = self.olds.get_mut(at) {
                        *old = size;
                    }
                    self.ahead_since.remove(&at);
                    self.settled(at);
                }
                Err(Trouble::Ahead(_)) if self.may_be_ahead(at) => {}
                Err(trouble) => self.alert(at, &trouble).await,
            }
        }
        self.publish(reader, &note, &lines).await
    }

    /// Publishes the checkpoint where a quorum cosigned it.
    async fn publish(
        &self,
        reader: LogReader,
        note: &[u8],
        lines: &str,
    ) -> Result<(), ControlError> {
        let whole = add_signatures(note, lines).map_err(ControlError::unavailable)?;
        let published = whole.clone();
        if self.take(whole) {
            let write = move || {
                reader.tiles().publish(COSIGNED_PATH, &published).map_err(ControlError::unavailable)
            };
            blocking(write).await?;
        }
        Ok(())
    }

    /// Whether a witness may still have seen more than this node has.
    fn may_be_ahead(&mut self, at: usize) -> bool {
        let now = self.control.gateway().now();
        let since = *self.ahead_since.entry(at).or_insert(now);
        now.since(since) <= AHEAD_PATIENCE.min(self.witnessing.witnesses.max_age)
    }

    fn name(&self, at: usize) -> String {
        let each = self.witnessing.witnesses.each.get(at);
        each.map(|(key, _)| key.name().to_owned()).unwrap_or_default()
    }

    fn settled(&self, at: usize) {
        let name = self.name(at);
        self.witnessing.known.send_if_modified(|known| known.troubles.remove(&name).is_some());
    }

    async fn alert(&mut self, at: usize, trouble: &Trouble) {
        let name = self.name(at);
        metrics::counter!("portcullis_witness_troubles_total", "kind" => trouble.name())
            .increment(1);
        let told = trouble.told();
        self.witnessing.known.send_modify(|known| {
            known.troubles.insert(name.clone(), told.clone());
        });
        self.finding(name, trouble.name(), told).await;
    }

    /// Sets the age of what was cosigned against its limit.
    async fn look_at_age(&mut self) {
        let now = self.control.gateway().now();
        let since = self.witnessing.known.borrow().latest.as_ref().map(|latest| latest.at);
        let age = now.since(since.unwrap_or(self.started));
        metrics::gauge!("portcullis_witness_cosignature_age_seconds").set(age.as_secs_f64());
        let stale = age > self.witnessing.witnesses.max_age;
        let was = self.witnessing.known.borrow().stale;
        self.witnessing.known.send_if_modified(|known| {
            let changed = known.stale != stale;
            known.stale = stale;
            changed
        });
        if stale && !was {
            let told = format!(
                "no quorum has cosigned a checkpoint for {} s, more than the {} s allowed",
                age.as_secs(),
                self.witnessing.witnesses.max_age.as_secs()
            );
            self.finding(String::new(), "cosignature_stale", told).await;
        }
    }

    /// Writes an alert into the log, unless it was given lately.
    async fn finding(&mut self, witness: String, kind: &'static str, told: String) {
        let now = self.control.gateway().now();
        let last = self.alerted.get(&(witness.clone(), kind));
        if last.is_some_and(|last| now.since(*last) < ALERT_INTERVAL) {
            return;
        }
        tracing::warn!(witness, kind, told, "the log's witnesses need a look");
        let mut event = Event::new(Activity::Finding, now)
            .detail("finding", kind)
            .outcome(Outcome::Failed(told));
        if !witness.is_empty() {
            event = event.detail("witness", witness.clone());
        }
        match self.control.audit(event).await {
            Ok(_) => drop(self.alerted.insert((witness, kind), now)),
            Err(error) => tracing::error!(%error, "an alert about a witness was not written"),
        }
    }
}

/// One witness being asked about one checkpoint.
struct Asked {
    reader: LogReader,
    key: WitnessKey,
    transport: Arc<dyn WitnessTransport>,
    note: Vec<u8>,
    now: Timestamp,
}

impl Asked {
    /// The witness' signature line and the size it is over. `old` is what it should know.
    async fn ask(&self, mut old: u64) -> Result<(String, u64), Trouble> {
        let unreadable = |error: &dyn std::fmt::Display| Trouble::Silent(error.to_string());
        let size = Checkpoint::read_unverified(&self.note).map_err(|e| unreadable(&e))?.size;
        for _ in 0..MAX_ASKED {
            if old > size {
                return Err(Trouble::Ahead(old));
            }
            let reader = self.reader.clone();
            let proof = blocking(move || {
                reader.consistency_proof(old, size).map_err(ControlError::unavailable)
            });
            let proof = proof.await.map_err(|error| unreadable(&error))?;
            let request = AddCheckpoint { old, proof, checkpoint: self.note.clone() };
            let answer = self.transport.add_checkpoint(request.to_bytes()).await;
            match answer.map_err(Trouble::Silent)? {
                Answer::Cosigned(lines) => {
                    let line = own_line(&self.note, &lines, &self.key, seconds(self.now));
                    return line.map(|line| (line, size)).map_err(Trouble::Lied);
                }
                Answer::Conflict(known) | Answer::Forked(known) if known == old => {
                    return Err(Trouble::Forked(known));
                }
                Answer::Conflict(known) | Answer::Forked(known) => old = known,
                Answer::Inconsistent => return Err(Trouble::Forked(old)),
                Answer::Malformed(why) => return Err(Trouble::Refused(why.to_owned())),
                Answer::Unsigned => {
                    return Err(Trouble::Refused("it does not know the log's key".into()));
                }
                Answer::UnknownLog => {
                    return Err(Trouble::Refused("it does not know this log".into()));
                }
                Answer::Unavailable => {
                    return Err(Trouble::Refused("it cannot write its state".into()));
                }
            }
        }
        Err(Trouble::Refused("it keeps changing the size it knows".into()))
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_seconds()).unwrap_or(0)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ControlError::unavailable("reading the log was interrupted")))
}
