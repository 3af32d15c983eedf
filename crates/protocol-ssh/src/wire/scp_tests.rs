//! scp conversations written out record by record.

use portcullis_domain::Action;
use proptest::collection::vec;
use proptest::prelude::*;

use super::Side;
use super::scp::{
    Direction, FileEvent, FileOperation, RecordError, ScpError, ScpInvocation, ScpObserver,
    parse_scp_command,
};
use super::sftp_transcript::{download, sha256, upload};

const SOURCE: bool = true;
const SINK: bool = false;

fn invocation(command: &str) -> ScpInvocation {
    parse_scp_command(command).unwrap()
}

/// Says every turn; `SOURCE` is whoever sends files.
fn converse(command: &str, turns: &[(bool, &[u8])]) -> (Result<(), ScpError>, Vec<FileEvent>) {
    converse_cut(command, turns, usize::MAX)
}

fn converse_cut(
    command: &str,
    turns: &[(bool, &[u8])],
    cut: usize,
) -> (Result<(), ScpError>, Vec<FileEvent>) {
    let invocation = invocation(command);
    let from_client = invocation.direction == Direction::Upload;
    let mut observer = ScpObserver::new(invocation);
    let mut events = Vec::new();
    let mut result = Ok(());
    'turns: for (source, bytes) in turns {
        for piece in bytes.chunks(cut) {
            result = if *source == from_client {
                observer.from_client(piece, &mut events)
            } else {
                observer.from_target(piece, &mut events)
            };
            if result.is_err() {
                break 'turns;
            }
        }
    }
    observer.finish(&mut events);
    (result, events)
}

fn file(operation: FileOperation, path: &str, content: &[u8]) -> FileEvent {
    FileEvent {
        operation,
        path: path.to_owned(),
        to: None,
        bytes: content.len() as u64,
        sha256: sha256(content),
        complete: true,
        outcome: Ok(()),
    }
}

fn directory(operation: FileOperation, path: &str) -> FileEvent {
    FileEvent { sha256: None, ..file(operation, path, b"") }
}

#[test]
fn an_upload_is_told_with_size_and_digest() {
    let (result, events) = converse(
        "scp -p -t /srv/",
        &[
            (SINK, b"\0"),
            (SOURCE, b"T1700000000 0 1700000000 0\n"),
            (SINK, b"\0"),
            (SOURCE, b"C0644 11 my file\n"),
            (SINK, b"\0"),
            (SOURCE, b"hello world\0"),
            (SINK, b"\0"),
            (SOURCE, b"C0600 0 empty\n"),
            (SINK, b"\0"),
            (SOURCE, b"\0"),
            (SINK, b"\0"),
        ],
    );
    assert_eq!(result, Ok(()));
    let expected = [
        file(FileOperation::Upload, "/srv/my file", b"hello world"),
        file(FileOperation::Upload, "/srv/empty", b""),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_upload_to_what_may_be_a_directory_names_both_places() {
    let turns: [(bool, &[u8]); 5] =
        [(SINK, b"\0"), (SOURCE, b"C0644 1 a\n"), (SINK, b"\0"), (SOURCE, b"x\0"), (SINK, b"\0")];
    let (_, events) = converse("scp -t /srv/b", &turns);
    assert_eq!((&events[0].path[..], events[0].to.as_deref()), ("/srv/b", Some("/srv/b/a")));
    let (_, events) = converse("scp -d -t /srv/b", &turns);
    assert_eq!((&events[0].path[..], events[0].to.as_deref()), ("/srv/b/a", None));
    let (_, events) = converse("scp -t .", &turns);
    assert_eq!((&events[0].path[..], events[0].to.as_deref()), ("./a", None));
}

#[test]
fn a_tree_is_downloaded_with_the_paths_it_has_on_the_target() {
    let (result, events) = converse(
        "scp -r -f /srv/site",
        &[
            (SINK, b"\0"),
            (SOURCE, b"D0755 0 site\n"),
            (SINK, b"\0"),
            (SOURCE, b"C0644 1 a\n"),
            (SINK, b"\0"),
            (SOURCE, b"x\0"),
            (SINK, b"\0"),
            (SOURCE, b"D0755 0 sub\n"),
            (SINK, b"\0"),
            (SOURCE, b"\x01scp: /srv/site/sub/b: Permission denied\n"),
            (SOURCE, b"C0644 1 c\x1b[2J\n"),
            (SINK, b"\0"),
            (SOURCE, b"z\0"),
            (SINK, b"\0"),
            (SOURCE, b"E\n"),
            (SINK, b"\0"),
            (SOURCE, b"E\n"),
            (SINK, b"\0"),
        ],
    );
    assert_eq!(result, Ok(()));
    let denied = FileEvent {
        complete: false,
        outcome: Err("scp: /srv/site/sub/b: Permission denied".to_owned()),
        ..directory(FileOperation::Download, "/srv/site/sub")
    };
    let expected = [
        directory(FileOperation::List, "/srv/site"),
        file(FileOperation::Download, "/srv/site/a", b"x"),
        directory(FileOperation::List, "/srv/site/sub"),
        denied,
        file(FileOperation::Download, r"/srv/site/sub/c\x1b[2J", b"z"),
    ];
    assert_eq!(events, expected);
}

#[test]
fn every_announced_path_has_to_be_allowed_before_its_announcement_goes_on() {
    let check = |command: &str, record: &[u8], expected: &[Action]| {
        let invocation = invocation(command);
        let upload = invocation.direction == Direction::Upload;
        let mut observer = ScpObserver::new(invocation);
        let mut events = Vec::new();
        let mut say = |source, bytes: &[u8]| {
            let result = match source == upload {
                true => observer.from_client(bytes, &mut events),
                false => observer.from_target(bytes, &mut events),
            };
            assert_eq!(result, Ok(()));
            observer.take_actions()
        };
        assert_eq!(say(SINK, b"\0"), []);
        for line in record.split_inclusive(|byte| *byte == b'\n') {
            let (begun, end) = line.split_at(line.len() - 1);
            assert_eq!(say(SOURCE, begun), []);
            let actions = say(SOURCE, end);
            if line == record.split_inclusive(|byte| *byte == b'\n').next_back().unwrap() {
                assert_eq!(actions, expected);
            }
            assert_eq!(say(SINK, b"\0"), []);
        }
    };
    check("scp -t /etc/", b"C0644 1 shadow\n", &[upload("/etc/shadow")]);
    check("scp -t /etc", b"C0644 1 shadow\n", &[upload("/etc/shadow")]);
    check("scp -f /etc/motd", b"C0644 1 motd\n", &[]);
    check("scp -r -f /etc", b"D0755 0 etc\n", &[]);
    check("scp -r -f /etc", b"D0755 0 etc\nC0600 9 shadow\n", &[download("/etc/shadow")]);
    check(
        "scp -r -t /srv/x",
        b"D0755 0 d\nC0600 9 a\n",
        &[upload("/srv/x/a"), upload("/srv/x/d/a")],
    );
}

#[test]
fn a_file_the_sink_does_not_take_is_told_and_the_next_record_is_a_record() {
    let (result, events) = converse(
        "scp -t /srv/",
        &[
            (SINK, b"\0"),
            (SOURCE, b"C0644 5 a\n"),
            (SINK, b"\x01scp: /srv/a: Permission denied\n"),
            (SOURCE, b"C0644 1 b\n"),
            (SINK, b"\0"),
            (SOURCE, b"x\0"),
            (SINK, b"\x01scp: disk full\n"),
        ],
    );
    assert_eq!(result, Ok(()));
    let told: Vec<_> = events.iter().map(|e| (&e.path[..], e.bytes, e.outcome.clone())).collect();
    let expected = [
        ("/srv/a", 0, Err("scp: /srv/a: Permission denied".to_owned())),
        ("/srv/b", 1, Err("scp: disk full".to_owned())),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| !event.complete && event.sha256.is_none()));
}

#[test]
fn an_answer_during_the_content_counts_when_its_turn_comes() {
    let (result, events) = converse(
        "scp -t /srv/",
        &[
            (SINK, b"\0"),
            (SOURCE, b"C0644 4 a\n"),
            (SINK, b"\0"),
            (SOURCE, b"xy"),
            (SINK, b"\x02full\n"),
            (SOURCE, b"zz\0"),
        ],
    );
    assert_eq!(result, Ok(()));
    assert_eq!((events[0].bytes, &events[0].outcome), (4, &Err("full".to_owned())));
}

#[test]
fn what_is_cut_off_is_told_as_incomplete() {
    for turns in [
        &[(SINK, &b"\0"[..]), (SOURCE, b"C0644 9 a\n")][..],
        &[(SINK, b"\0"), (SOURCE, b"C0644 9 a\n"), (SINK, b"\0"), (SOURCE, b"123")],
        &[(SINK, b"\0"), (SOURCE, b"C0644 1 a\n"), (SINK, b"\0"), (SOURCE, b"1")],
        &[(SINK, b"\0"), (SOURCE, b"C0644 1 a\n"), (SINK, b"\0"), (SOURCE, b"1\0")],
    ] {
        let (result, events) = converse("scp -t /srv/", turns);
        assert_eq!((result, events.len()), (Ok(()), 1));
        assert!(!events[0].complete && events[0].sha256.is_none() && events[0].outcome.is_err());
    }
}

#[test]
fn breaches_end_the_conversation() {
    let start = (SINK, &b"\0"[..]);
    let record = (SOURCE, &b"C0644 2 a\n"[..]);
    let client = Side::Client;
    let check = |turns: &[(bool, &[u8])], expected: ScpError| {
        assert_eq!(converse("scp -t /srv/", turns).0, Err(expected));
    };
    let bad = |source| ScpError::BadRecord { side: client, source };
    check(&[(SOURCE, b"C0644 2 a\n")], ScpError::DidNotWait { side: client });
    check(&[start, (SOURCE, b"C0644 2 a\nxy\0")], ScpError::DidNotWait { side: client });
    check(&[start, record, (SINK, b"\0"), (SOURCE, b"xyz")], {
        ScpError::MissingStatus { side: client }
    });
    check(&[start, (SOURCE, b"C0644 2 ../../etc/passwd\n")], bad(RecordError::BadName));
    check(&[start, (SOURCE, b"ls -l\n")], bad(RecordError::UnknownKind));
    check(&[start, (SOURCE, b"D0755 0 d\n")], ScpError::UnexpectedDirectory { side: client });
    check(&[start, (SOURCE, b"E\n")], ScpError::UnexpectedDirectory { side: client });
    let line = vec![b'C'; 5000];
    check(&[start, (SOURCE, &line)], ScpError::LineTooLong { side: client, limit: 4160 });
    let target = Side::Target;
    check(&[start, start], ScpError::UnexpectedAnswer { side: target });
    check(&[(SINK, b"Welcome!\n")], ScpError::UnexpectedAnswer { side: target });
    let long = [&b"\x01"[..], &line].concat();
    check(&[(SINK, &long)], ScpError::LineTooLong { side: target, limit: 4160 });
    let messages = b"\x01\n".repeat(1025);
    check(&[start, (SOURCE, &messages)], {
        ScpError::TooManyMessages { side: client, limit: 1024 }
    });
    check(&[(SINK, b"\x02no\n"), (SOURCE, b"C0644 2 a\n")], {
        ScpError::DidNotWait { side: client }
    });
}

#[test]
fn a_target_that_sends_more_than_was_asked_for_is_stopped() {
    let (result, events) = converse(
        "scp -f /srv/a",
        &[
            (SINK, b"\0"),
            (SOURCE, b"C0644 1 a\n"),
            (SINK, b"\0"),
            (SOURCE, b"x\0"),
            (SINK, b"\0"),
            (SOURCE, b"C0644 1 .bashrc\n"),
        ],
    );
    assert_eq!(result, Err(ScpError::UnaskedFile { side: Side::Target }));
    assert_eq!(events, [file(FileOperation::Download, "/srv/a", b"x")]);
}

#[test]
fn trees_without_end_are_stopped() {
    let mut turns: Vec<(bool, &[u8])> = vec![(SINK, b"\0")];
    for _ in 0..200 {
        turns.extend([(SOURCE, &b"D0755 0 d\n"[..]), (SINK, b"\0")]);
    }
    let too_deep = ScpError::TooDeep { side: Side::Client, depth: 128, path_bytes: 4096 };
    assert_eq!(converse("scp -r -t /srv/", &turns).0, Err(too_deep.clone()));

    let record = [b"D0755 0 ", &[b'd'; 2000][..], b"\n"].concat();
    let mut turns: Vec<(bool, &[u8])> = vec![(SINK, b"\0")];
    for _ in 0..3 {
        turns.extend([(SOURCE, &record[..]), (SINK, b"\0")]);
    }
    assert_eq!(converse("scp -r -t /srv/", &turns).0, Err(too_deep));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(portcullis_testkit::cases(64)))]

    #[test]
    fn the_same_records_cut_in_any_way_mean_the_same(
        contents in vec(vec(any::<u8>(), 0..3000), 1..5),
        upload in any::<bool>(),
        cut in 1_usize..4000,
    ) {
        let (command, operation) = match upload {
            true => ("scp -r -t /srv/", FileOperation::Upload),
            false => ("scp -r -f /srv/d", FileOperation::Download),
        };
        let mut turns = vec![(SINK, vec![0]), (SOURCE, b"D0755 0 d\n".to_vec()), (SINK, vec![0])];
        for (n, content) in contents.iter().enumerate() {
            turns.push((SOURCE, format!("C0644 {} {n}\n", content.len()).into_bytes()));
            turns.push((SINK, vec![0]));
            turns.push((SOURCE, [&content[..], &[0]].concat()));
            turns.push((SINK, vec![0]));
        }
        turns.push((SOURCE, b"E\n".to_vec()));
        let turns: Vec<_> = turns.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let whole = converse(command, &turns);
        prop_assert_eq!(&whole.0, &Ok(()));
        let expected: Vec<_> = contents
            .iter()
            .enumerate()
            .map(|(n, content)| file(operation, &format!("/srv/d/{n}"), content))
            .collect();
        prop_assert_eq!(&whole.1[1..], &expected[..]);
        prop_assert_eq!(converse_cut(command, &turns, cut), whole);
    }
}
