//! A real web server that takes webhooks, Python's, with signatures checked by Python.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_connectors::export::{ExportState, Limits};
use portcullis_connectors::sinks::WebhookSink;
use portcullis_connectors::sinks::webhook::{Format, WebhookOptions};
use portcullis_domain::Secret;
use portcullis_testkit::{Daemon, free_port};

use crate::authority::Authority;
use crate::journal::{Journal, assert_complete, sequences};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exports/receiver.py");
pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, or so";

pub(crate) struct WebServer {
    _daemon: Daemon,
    pub(crate) authority: Authority,
    pub(crate) kept: PathBuf,
    pub(crate) port: u16,
}

impl WebServer {
    pub(crate) fn start(journal: &Journal, manners: &[&str]) -> Self {
        let directory = journal.path().join("web");
        let authority = Authority::make(&directory);
        let (port, kept) = (free_port(), directory.join("kept"));
        let (number, secret) = (port.to_string(), STANDARD.encode(SECRET));
        let (certificate, key) = &authority.server;
        let mut arguments = vec![SCRIPT, &number, certificate.to_str().unwrap()];
        arguments.extend([key.to_str().unwrap(), &secret, kept.to_str().unwrap()]);
        arguments.extend(manners);
        let daemon = Daemon::start("python3", "python3", &arguments, &directory, port);
        Self { _daemon: daemon, authority, kept, port }
    }

    fn sink(&self, secret: &[u8]) -> Box<WebhookSink> {
        let text = format!("whsec_{}", STANDARD.encode(secret));
        Box::new(WebhookSink::new(WebhookOptions {
            url: format!("https://127.0.0.1:{}/in", self.port).parse().unwrap(),
            tls: self.authority.trust(false).client_config().unwrap(),
            format: Format::Json,
            secret: Some(Secret::new(text.into_bytes())),
            authorization: None,
            node: "gate".into(),
        }))
    }

    fn sequences(&self) -> Vec<u64> {
        sequences(&fs::read_to_string(&self.kept).unwrap())
    }

    /// Manner and id of every request.
    fn requests(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.kept.with_extension("ids")).unwrap();
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        text.lines().filter_map(pair).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_in_every_way_gets_everything_with_the_same_id_at_every_try() {
    let journal = Journal::open();
    let manners = ["busy", "redirect", "drop", "keep-and-die", "endless", "ok"];
    let server = WebServer::start(&journal, &manners);
    journal.write(300).await;
    let running = journal.export(vec![server.sink(SECRET)]);
    running.caught_up(0, &journal).await;
    let got = server.sequences();
    assert!(got.len() > 300, "what was kept before the reset comes again");
    assert_complete(&got, &journal.all());
    let requests = server.requests();
    let first: Vec<_> = requests.iter().take(5).map(|(_, id)| id.clone()).collect();
    assert_eq!(first, vec!["gate-0-99"; 5], "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_takes_little_at_once_gets_smaller_batches() {
    let journal = Journal::open();
    let server = WebServer::start(&journal, &["large"]);
    journal.write(300).await;
    let running = journal.export(vec![server.sink(SECRET)]);
    running.caught_up(0, &journal).await;
    assert_eq!(server.sequences(), journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_and_shown() {
    let journal = Journal::open();
    let server = WebServer::start(&journal, &["ok"]);
    journal.write(3).await;
    let running = journal.export(vec![server.sink(b"another")]);
    let failing = |state: &ExportState| state.failing.is_some();
    let why = running.wait_for(0, "it was taken", failing).await.failing.unwrap().why;
    assert!(why.contains("401") && why.contains("the signature is wrong"), "{why}");
    assert_eq!(server.sequences(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_are_caught_up_after_a_long_silence() {
    let journal = Journal::open();
    for _ in 0..25 {
        journal.write(4000).await;
    }
    let server = WebServer::start(&journal, &["ok"]);
    let begun = std::time::Instant::now();
    let running = journal.export_with(vec![server.sink(SECRET)], &|options| {
        options.limits = Limits { entries: 5000, bytes: 8 << 20, ..options.limits };
    });
    running.caught_up(0, &journal).await;
    println!("100,000 entries delivered in {:?}", begun.elapsed());
    assert_eq!(server.sequences(), journal.all());
}
