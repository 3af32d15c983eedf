//! A log with exports on it, as a node has them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_connectors::export::{
    Begin, CursorStore, Export, ExportOptions, ExportState, Exports, Filter, Limits, Source,
    unopened,
};
use portcullis_connectors::sinks::Sink;
use portcullis_domain::Timestamp;
use portcullis_domain::audit::{Activity, Event};
use portcullis_evidence::log::{Log, LogOptions, NoteSigner};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything in a test.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A log, and the exports that run on it.
pub(crate) struct Journal {
    pub(crate) log: Log,
    directory: tempfile::TempDir,
}

/// Exports that run; they end when this is dropped, as abruptly as with a killed node.
pub(crate) struct Running {
    pub(crate) exports: Exports,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Journal {
    pub(crate) fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options =
            LogOptions { checkpoint_interval: Duration::from_millis(50), ..LogOptions::default() };
        let signer = NoteSigner::new("portcullis/test".to_owned(), &[7; 32]).unwrap();
        let log = Log::open(&directory.path().join("log"), signer, options).unwrap();
        Self { log, directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Logs `count` events.
    pub(crate) async fn write(&self, count: usize) {
        let entries = (0..count).map(|n| event(n).to_ocsf()).collect();
        self.log.append_many(entries).await.unwrap();
    }

    /// Starts one export for each sink, named by its place.
    pub(crate) fn export(&self, sinks: Vec<Box<dyn Sink>>) -> Running {
        self.export_with(sinks, &|_| {})
    }

    pub(crate) fn export_with(
        &self,
        sinks: Vec<Box<dyn Sink>>,
        change: &dyn Fn(&mut ExportOptions),
    ) -> Running {
        let exports = sinks.into_iter().enumerate().map(|(place, sink)| {
            let mut options = options(&format!("export-{place}"));
            change(&mut options);
            let cursor = CursorStore::new(&self.path().join("exports"), &options.name);
            Export { options, sink, cursor }
        });
        let stop = CancellationToken::new();
        let source = Source { log: self.log.clone(), open: unopened(), clock: Arc::new(now) };
        let (exports, tasks) = Exports::start(exports.collect(), &source, &stop);
        Running { exports, stop, tasks }
    }

    /// The indices of everything logged.
    pub(crate) fn all(&self) -> Vec<u64> {
        (0..self.log.size()).collect()
    }
}

fn event(n: usize) -> Event {
    let activity = if n.is_multiple_of(3) { Activity::Authorize } else { Activity::Channel };
    Event::new(activity, now()).detail("n", n).detail("command", "é \u{1b}[2J\n".repeat(n % 40))
}

fn options(name: &str) -> ExportOptions {
    ExportOptions {
        name: name.to_owned(),
        filter: Filter::default(),
        limits: Limits { entries: 100, bytes: 1 << 20, wait: Duration::from_millis(20) },
        timeout: Duration::from_secs(5),
        alert_after: Duration::from_secs(2),
        begin: Begin::Start,
    }
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

impl Running {
    pub(crate) fn state(&self, place: usize) -> ExportState {
        self.exports.states()[place].clone()
    }

    /// Waits until a state is as wanted, and returns it.
    pub(crate) async fn wait_for(
        &self,
        place: usize,
        what: &str,
        wanted: impl Fn(&ExportState) -> bool,
    ) -> ExportState {
        let deadline = Instant::now() + SOON;
        loop {
            let state = self.state(place);
            if wanted(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "{what}: {state:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until everything of a log is acknowledged.
    pub(crate) async fn caught_up(&self, place: usize, journal: &Journal) {
        let size = journal.log.size();
        self.wait_for(place, "never caught up", |state| state.next >= size).await;
    }

    /// Ends the tasks wherever they are.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
        drop(self.stop);
    }
}

/// The indices in lines of JSON, in their order.
pub(crate) fn sequences(lines: &str) -> Vec<u64> {
    let read = |line: &str| -> Value { serde_json::from_str(line).expect(line) };
    lines.lines().map(|line| read(line)["metadata"]["sequence"].as_u64().unwrap()).collect()
}

/// What at-least-once and in order mean: without what is repeated, it is all there, in order.
pub(crate) fn assert_complete(got: &[u64], wanted: &[u64]) {
    let mut reached = 0;
    for (place, index) in got.iter().enumerate() {
        assert!(*index <= reached, "{index} comes at {place}, after a gap from {reached}");
        reached = reached.max(index + 1);
    }
    assert_eq!(reached, wanted.len() as u64, "the end is missing");
}
