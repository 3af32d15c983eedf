//! A real rsyslog, over TLS, with either of its TLS drivers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis_connectors::export::ExportState;
use portcullis_connectors::sinks::SyslogSink;
use portcullis_connectors::sinks::syslog::SyslogOptions;
use portcullis_connectors::sinks::syslog::message::{Header, LOG_AUDIT};
use portcullis_connectors::tls::Trust;
use portcullis_testkit::{Daemon, free_port};

use crate::authority::Authority;
use crate::journal::{Journal, SOON, assert_complete, sequences};

/// rsyslog and what it has written.
struct Rsyslog {
    daemon: Option<Daemon>,
    directory: PathBuf,
    port: u16,
    driver: &'static str,
    certified: bool,
}

impl Rsyslog {
    fn start(
        directory: &Path,
        authority: &Authority,
        driver: &'static str,
        certified: bool,
    ) -> Self {
        fs::create_dir_all(directory.join("work")).unwrap();
        let port = free_port();
        let shown = directory.display();
        // Only clients with a certificate of the authority, or anyone.
        let mode = if certified { "x509/certvalid" } else { "anon" };
        let (ca, (certificate, key)) = (authority.ca.display(), &authority.server);
        let (certificate, key) = (certificate.display(), key.display());
        let configuration = format!(
            r#"global(workDirectory="{shown}/work" maxMessageSize="128k" defaultNetstreamDriver="{driver}"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
main_queue(queue.type="Direct")
module(load="imtcp" streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="{mode}")
template(name="line" type="string" string="%syslogfacility%.%syslogseverity% %hostname% %app-name% %msgid% %msg%\n")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{shown}/received" template="line" asyncWriting="off" flushOnTXEnd="on")
"#
        );
        fs::write(directory.join("rsyslog.conf"), configuration).unwrap();
        let mut server =
            Self { daemon: None, directory: directory.to_owned(), port, driver, certified };
        server.up();
        server
    }

    fn up(&mut self) {
        let package = if self.driver == "ossl" { "rsyslog-openssl" } else { "rsyslog-gnutls" };
        let (configuration, pid) =
            (self.directory.join("rsyslog.conf"), self.directory.join("pid"));
        let (configuration, pid) = (configuration.to_str().unwrap(), pid.to_str().unwrap());
        let arguments = ["-n", "-f", configuration, "-i", pid];
        let port = self.port;
        self.daemon = Some(Daemon::start(package, "rsyslogd", &arguments, &self.directory, port));
    }

    fn down(&mut self) {
        drop(self.daemon.take());
        let _ = fs::remove_file(self.directory.join("pid"));
    }

    /// What it has written, once it has `count` lines.
    fn lines(&self, count: usize) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let text = fs::read_to_string(self.directory.join("received")).unwrap_or_default();
            if text.lines().count() >= count || Instant::now() > deadline {
                return text;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sink(&self, trust: &Trust) -> Box<SyslogSink> {
        Box::new(SyslogSink::new(SyslogOptions {
            endpoint: format!("127.0.0.1:{}", self.port).parse().unwrap(),
            tls: Some(trust.client_config().unwrap()),
            close_notify: self.driver == "ossl",
            header: Header {
                facility: LOG_AUDIT,
                hostname: "gate-1".into(),
                app_name: "portcullis".into(),
            },
        }))
    }
}

fn json(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", &line[line.find(" {").unwrap() + 1..])).collect()
}

async fn arrives(driver: &'static str, certified: bool) {
    let journal = Journal::open();
    let authority = Authority::make(&journal.path().join("tls"));
    let server = Rsyslog::start(&journal.path().join("rsyslog"), &authority, driver, certified);
    let running = journal.export(vec![server.sink(&authority.trust(server.certified))]);
    journal.write(500).await;
    running.caught_up(0, &journal).await;
    let text = server.lines(500);
    assert_eq!(sequences(&json(&text)), journal.all());
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("13.6 gate-1 portcullis authorize  {")
            || first.starts_with("13.6 gate-1 portcullis authorize {"),
        "{first}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_over_tls_gets_every_entry_as_a_message_it_understands() {
    arrives("ossl", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_that_wants_a_client_certificate_gets_it() {
    arrives("ossl", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_that_never_ends_tls_is_served_where_the_configuration_says_so() {
    arrives("gtls", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_nobody_vouches_for_and_one_that_refuses_us_get_nothing() {
    let journal = Journal::open();
    let authority = Authority::make(&journal.path().join("tls"));
    let server = Rsyslog::start(&journal.path().join("rsyslog"), &authority, "ossl", true);
    let stranger = Authority::make(&journal.path().join("stranger")).trust(true);
    let wrong_certificate =
        Trust { ca: Some(authority.ca.clone()), client: stranger.client.clone() };
    let trusts = [stranger, authority.trust(false), wrong_certificate, Trust::default()];
    let sinks = trusts.iter().map(|trust| server.sink(trust) as Box<_>).collect();
    let running = journal.export(sinks);
    journal.write(10).await;
    for place in 0..trusts.len() {
        let failing = |state: &ExportState| state.failing.as_ref().is_some_and(|f| f.tries > 1);
        let state = running.wait_for(place, "it was served", failing).await;
        assert_eq!(state.next, 0, "{state:?}");
    }
    assert_eq!(server.lines(0), "");
}

/// Stopped as its service is: what it has acknowledged it writes. Killed with `kill -9` it may lose
/// what lies in its own memory, acknowledged or not; that is between it and its operator.
#[tokio::test(flavor = "multi_thread")]
async fn an_rsyslog_stopped_again_and_again_costs_duplicates_at_most() {
    let journal = Journal::open();
    let authority = Authority::make(&journal.path().join("tls"));
    let mut server = Rsyslog::start(&journal.path().join("rsyslog"), &authority, "ossl", false);
    for round in 0..4 {
        let running = journal.export(vec![server.sink(&authority.trust(false))]);
        journal.write(2000).await;
        tokio::time::sleep(Duration::from_millis(100 + 50 * round)).await;
        server.down();
        let settled =
            |state: &ExportState| state.failing.is_some() || state.next == 2000 * (round + 1);
        running.wait_for(0, "neither failed nor done", settled).await;
        running.kill().await;
        server.up();
    }
    let running = journal.export(vec![server.sink(&authority.trust(false))]);
    running.caught_up(0, &journal).await;
    server.down();
    assert_complete(&sequences(&json(&server.lines(0))), &journal.all());
}
