//! People told of what happened: a web server that checks the signature by itself, and a command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_connectors::export::ExportState;
use portcullis_connectors::sinks::NotifySink;
use portcullis_connectors::sinks::notify::message::Topic;
use portcullis_connectors::sinks::notify::{MAX_AGE, Way};
use portcullis_domain::audit::{Activity, Event};
use portcullis_domain::{Secret, Timestamp};
use serde_json::Value;

use crate::journal::{Journal, now};
use crate::web_server::{SECRET, WebServer};

async fn happens(journal: &Journal, activity: Activity, at: Timestamp, reason: &str) {
    let event = Event::new(activity, at)
        .user(&"bob".parse().unwrap())
        .target(&"core".parse().unwrap())
        .detail("role", "fire-brigade")
        .detail("reason", reason);
    journal.log.append_many(vec![event.to_ocsf()]).await.unwrap();
}

fn sink(topics: &[Topic], way: Way) -> Box<NotifySink> {
    Box::new(NotifySink::new("gate-people".into(), topics.iter().copied().collect(), way))
}

fn command(argv: &[&str]) -> Way {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Way::Command { argv, timeout: Duration::from_secs(1) }
}

fn told(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_message_arrives_although_the_receiver_was_busy_and_broke_off() {
    let journal = Journal::open();
    let server = WebServer::start(&journal, &["busy", "drop", "ok"]);
    journal.write(40).await;
    happens(&journal, Activity::BreakGlass, now(), "the <site> is down").await;
    // Too old, and not asked for.
    let old = now().minus(MAX_AGE + Duration::from_secs(60));
    happens(&journal, Activity::BreakGlass, old, "long ago").await;
    happens(&journal, Activity::GateDrop, now(), "not told").await;
    let way = Way::Webhook {
        url: Box::new(format!("https://127.0.0.1:{}/in", server.port).parse().unwrap()),
        tls: server.authority.trust(false).client_config().unwrap(),
        secret: Some(Secret::new(SECRET.to_vec())),
    };
    let running = journal.export(vec![sink(&[Topic::BreakGlass, Topic::RequestMade], way)]);
    running.caught_up(0, &journal).await;
    let told = told(&server.kept);
    assert_eq!(told.len(), 1, "{told:#?}");
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.starts_with("BREAK-GLASS: bob took role fire-brigade out for core"), "{text}");
    assert!(text.contains("the &lt;site&gt; is down"), "nobody writes markup: {text}");
    assert_eq!(told[0]["events"].as_array().unwrap().len(), 1);
    assert_eq!(told[0]["events"][0]["topic"], "break_glass");
    let state = running.state(0);
    assert!(!format!("{state:?}").contains("/in"), "the path of a chat's webhook is its secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_told_on_its_standard_input_without_a_shell() {
    let journal = Journal::open();
    let path = journal.path().join("$(told) file");
    let way = command(&["/usr/bin/tee", path.to_str().unwrap()]);
    happens(&journal, Activity::RequestCreate, now(), "ticket \"7\"; reboot").await;
    let running = journal.export(vec![sink(&[Topic::RequestMade], way)]);
    running.caught_up(0, &journal).await;
    let told = told(&path);
    assert_eq!(told[0]["text"], "bob asks for access to core: ticket \"7\"; reboot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_or_hangs_is_tried_again_and_shown() {
    let journal = Journal::open();
    let script = journal.path().join("tell");
    let kept = journal.path().join("kept");
    let write = |text: &str| {
        let next = journal.path().join("next");
        fs::write(&next, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, &script).unwrap();
    };
    write("cat > /dev/null; echo 'no pager' >&2; exit 3\n");
    happens(&journal, Activity::BreakGlass, now(), "down").await;
    let way = command(&[script.to_str().unwrap()]);
    let running = journal.export(vec![sink(&[Topic::BreakGlass], way)]);
    let failing = |text: &'static str| {
        move |state: &ExportState| state.failing.as_ref().is_some_and(|f| f.why.contains(text))
    };
    running.wait_for(0, "the failure is not shown", failing("no pager")).await;
    write("exec sleep 600\n");
    let begun = Instant::now();
    running.wait_for(0, "the command is not stopped", failing("in time")).await;
    assert!(begun.elapsed() < Duration::from_secs(20));
    write(&format!("env > '{0}.env'; exec cat > '{0}'\n", kept.display()));
    running.caught_up(0, &journal).await;
    assert_eq!(told(&kept).len(), 1);
    let environment = fs::read_to_string(kept.with_extension("env")).unwrap();
    assert!(!environment.contains("CARGO"), "{environment}");
}
