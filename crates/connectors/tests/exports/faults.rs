//! Receivers that are down, slow, cut off or dead, and nodes that are killed: nothing is lost,
//! nothing is out of order, nobody else waits.

use std::time::{Duration, Instant};

use portcullis_connectors::export::{Begin, Filter};
use portcullis_connectors::sinks::FileSink;
use portcullis_connectors::sinks::file::FileOptions;

use crate::hostile::{Hostile, Manner};
use crate::journal::{Journal, assert_complete, sequences};

const MANY: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_gets_all_of_it_in_order_when_it_is_back() {
    let (journal, address) = (Journal::open(), Hostile::nowhere());
    let running = journal.export(vec![Hostile::sink(address)]);
    journal.write(MANY).await;
    let down = running.wait_for(0, "it never failed", |state| state.failing.is_some()).await;
    assert_eq!((down.next, down.lag()), (0, MANY as u64));
    // The node does not stay up for as long as the receiver is down.
    running.kill().await;
    let running = journal.export(vec![Hostile::sink(address)]);
    journal.write(MANY).await;
    let late = running.wait_for(0, "no alarm", |state| state.overdue_since.is_some()).await;
    assert!(late.failing.unwrap().why.contains("cannot be reached"));
    let receiver = Hostile::start_at(address, &[Manner::Good]);
    running.caught_up(0, &journal).await;
    assert_eq!(sequences(&receiver.lines()), journal.all());
    let well = running.wait_for(0, "the alarm stays", |state| state.overdue_since.is_none()).await;
    assert!(well.failing.is_none() && well.delivered_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_anywhere_in_a_batch_loses_nothing() {
    let journal = Journal::open();
    let cuts = [0, 1, 3, 200, 5000, 20_000].map(Manner::Cut);
    let receiver = Hostile::start(&[&cuts[..], &[Manner::Good]].concat());
    journal.write(MANY).await;
    // A new process after each cut: its first wait is a short one.
    for _ in 0..5 {
        let running = journal.export(vec![Hostile::sink(receiver.address)]);
        running.wait_for(0, "no failure", |state| state.failing.is_some()).await;
        running.kill().await;
    }
    let running = journal.export(vec![Hostile::sink(receiver.address)]);
    running.caught_up(0, &journal).await;
    assert_complete(&sequences(&receiver.lines()), &journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dying_receiver_had_taken_comes_again() {
    let journal = Journal::open();
    let receiver = Hostile::start(&[Manner::KeepAndDie, Manner::KeepAndDie, Manner::Good]);
    let running = journal.export(vec![Hostile::sink(receiver.address)]);
    journal.write(MANY).await;
    running.caught_up(0, &journal).await;
    let got = sequences(&receiver.lines());
    assert!(got.len() > MANY, "there were duplicates");
    assert_complete(&got, &journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_reads_nothing_holds_up_neither_the_log_nor_another_export() {
    let journal = Journal::open();
    let silent = Hostile::start(&[Manner::Silent]);
    let talkative = Hostile::start(&[Manner::Talkative]);
    let slow = Hostile::start(&[Manner::Slow]);
    let good = Hostile::start(&[Manner::Good]);
    let sinks = [&silent, &talkative, &slow, &good].map(|receiver| receiver.address);
    let running = journal.export(sinks.map(|at| Hostile::sink(at) as Box<_>).into());
    let begun = Instant::now();
    for _ in 0..10 {
        journal.write(MANY).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "appending took {:?}", begun.elapsed());
    running.caught_up(3, &journal).await;
    assert_eq!(sequences(&good.lines()), journal.all());
    assert_eq!(running.state(0).next, 0, "nothing was acknowledged");
    running.wait_for(0, "silence is no failure", |state| state.failing.is_some()).await;
    running.wait_for(1, "talk is no failure", |state| state.failing.is_some()).await;
    running.wait_for(0, "nobody is told", |state| state.overdue_since.is_some()).await;
    running.caught_up(2, &journal).await;
    assert_eq!(sequences(&slow.lines()), journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_killed_at_any_moment_go_on_where_they_were_acknowledged() {
    let journal = Journal::open();
    let path = journal.path().join("out/audit.jsonl");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let sink = || {
        let options = FileOptions { path: path.clone(), rotate_bytes: 100_000, keep: None };
        vec![Box::new(FileSink::new(options)) as Box<_>]
    };
    for round in 0..30 {
        let running = journal.export(sink());
        journal.write(97).await;
        tokio::time::sleep(Duration::from_millis(round * 5 % 83)).await;
        running.kill().await;
    }
    let running = journal.export(sink());
    running.caught_up(0, &journal).await;
    running.kill().await;
    let mut files: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| *file != path)
        .collect();
    assert!(files.len() > 3, "it was rotated");
    files.sort_unstable();
    files.push(path);
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_complete(&sequences(&text), &journal.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_passes_over_entries_without_stopping_at_them() {
    let journal = Journal::open();
    let receiver = Hostile::start(&[Manner::Good]);
    journal.write(MANY).await;
    let running = journal.export_with(vec![Hostile::sink(receiver.address)], &|options| {
        options.filter = Filter { classes: vec![3003], ..Filter::default() };
    });
    running.caught_up(0, &journal).await;
    let wanted: Vec<u64> = journal.all().into_iter().filter(|n| n % 3 == 0).collect();
    assert_eq!(sequences(&receiver.lines()), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_begins_now_stays_there_over_a_restart() {
    let journal = Journal::open();
    let receiver = Hostile::start(&[Manner::Good]);
    journal.write(10).await;
    let mut checkpoints = journal.log.checkpoints();
    checkpoints.wait_for(|checkpoint| checkpoint.size == 10).await.unwrap();
    let begin = |journal: &Journal| {
        journal.export_with(vec![Hostile::sink(receiver.address)], &|options| {
            options.begin = Begin::Now;
        })
    };
    let running = begin(&journal);
    running.wait_for(0, "it never began", |state| state.next == 10).await;
    running.kill().await;
    journal.write(5).await;
    let running = begin(&journal);
    running.caught_up(0, &journal).await;
    assert_eq!(sequences(&receiver.lines()), [10, 11, 12, 13, 14]);
}
