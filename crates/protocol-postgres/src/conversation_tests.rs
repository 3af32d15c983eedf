//! Answers find what they belong to, in every order a client and a server can speak in.

use portcullis_sql::{Classifier, Modes, Prepared};
use proptest::prelude::*;

use super::*;

fn known(text: &str) -> Arc<Known> {
    let classifier = Classifier::default();
    Known::read(&classifier, text.as_bytes(), &Modes::postgres(), &mut Prepared::default())
}

fn running(id: u64) -> Running {
    Running::new(id, Instant::now())
}

fn id(answer: &Answer) -> Option<u64> {
    answer.finished.as_ref().map(|running| running.id)
}

fn portal() -> Portal {
    Portal { statement: known("select 1"), values: Json::Null }
}

#[test]
fn a_query_is_finished_when_the_server_is_ready() {
    let mut tracker = Tracker::default();
    tracker.query(Some(running(1)), None).unwrap();
    assert_eq!(id(&tracker.complete(3)), None);
    assert_eq!(id(&tracker.complete(4)), None);
    let finished = tracker.ready().finished.unwrap();
    assert_eq!((finished.id, finished.rows), (1, 7));
    assert!(tracker.is_idle());
}

#[test]
fn pipelined_statements_are_told_apart() {
    let mut tracker = Tracker::default();
    for number in 1..=2 {
        tracker.parse(b"", known("select 1")).unwrap();
        tracker.bind(b"", portal()).unwrap();
        tracker.describe().unwrap();
        tracker.execute(running(number)).unwrap();
    }
    tracker.sync().unwrap();
    for number in 1..=2 {
        for kind in *b"12T" {
            assert_eq!(tracker.answered(kind), Answer::default());
        }
        assert_eq!(id(&tracker.complete(1)), Some(number));
    }
    assert!(!tracker.is_idle());
    tracker.ready();
    assert!(tracker.is_idle());
}

#[test]
fn a_refusal_stands_in_place_of_its_own_error_only() {
    let mut tracker = Tracker::default();
    tracker.query(Some(running(1)), None).unwrap();
    tracker.query(None, Some("no".into())).unwrap();
    assert_eq!(tracker.failed("42601".into(), String::new()).refusal, None);
    tracker.ready();
    let answer = tracker.failed("42601".into(), String::new());
    assert_eq!(answer.refusal.as_deref(), Some("no"));
    tracker.ready();
    assert!(tracker.is_idle());
}

#[test]
fn after_an_error_the_rest_until_sync_is_passed_over_and_was_never_prepared() {
    let mut tracker = Tracker::default();
    tracker.parse(b"s", known("select 1")).unwrap();
    tracker.sync().unwrap();
    tracker.answered(b'1');
    tracker.ready();
    tracker.refused("no".into()).unwrap();
    tracker.parse(b"s", known("select 2")).unwrap();
    tracker.execute(running(1)).unwrap();
    tracker.sync().unwrap();
    assert_eq!(tracker.failed("42601".into(), String::new()).refusal.as_deref(), Some("no"));
    assert_eq!(tracker.statement(b"s").unwrap().text, "select 1");
    tracker.ready();
    assert!(tracker.is_idle());
}

#[test]
fn a_sync_sent_ahead_of_rows_is_swallowed_as_the_server_does() {
    let mut tracker = Tracker::default();
    tracker.execute(running(1)).unwrap();
    tracker.sync().unwrap();
    tracker.answered(b'G');
    tracker.moved(10);
    tracker.copy_end().unwrap();
    tracker.sync().unwrap();
    let finished = tracker.complete(2).finished.unwrap();
    assert_eq!((finished.rows, finished.bytes), (2, 10));
    tracker.ready();
    assert!(tracker.is_idle());
}

#[test]
fn a_client_that_never_waits_is_stopped_at_a_bound() {
    let mut tracker = Tracker::default();
    let told = (0..=MAX_PENDING).find_map(|_| tracker.describe().err());
    assert!(told.is_some());
}

proptest! {
    /// Whatever a server answers, nothing panics and no statement finishes twice.
    #[test]
    fn any_order_of_messages_and_answers_is_survived(
        steps in prop::collection::vec((0..10u8, 0..9u8), 0..200)
    ) {
        let mut tracker = Tracker::default();
        let mut seen = std::collections::HashSet::new();
        for (number, (step, answer)) in steps.into_iter().enumerate() {
            let running = running(number as u64);
            let _ = match step {
                0 => tracker.query(Some(running), None),
                1 => tracker.parse(b"s", known("select 1")),
                2 => tracker.bind(b"p", portal()),
                3 => tracker.describe(),
                4 => tracker.execute(running),
                5 => tracker.sync(),
                6 => tracker.copy_end(),
                7 => tracker.call(running),
                8 => tracker.close_statement(b"s"),
                _ => tracker.refused("no".into()),
            };
            let answer = match answer {
                0 => tracker.answered(b'1'),
                1 => tracker.answered(b'2'),
                2 => tracker.answered(b'3'),
                3 => tracker.answered(b'T'),
                4 => tracker.answered(b'G'),
                5 => tracker.complete(1),
                6 => tracker.failed("x".into(), String::new()),
                7 => tracker.ready(),
                _ => tracker.answered(b's'),
            };
            if let Some(finished) = answer.finished {
                prop_assert!(seen.insert(finished.id));
            }
        }
    }
}
