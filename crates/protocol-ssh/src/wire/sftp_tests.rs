//! SFTP conversations written out packet by packet.

use super::sftp::{FileEvent, FileOperation};
use super::sftp_transcript::*;

const READ: u32 = 0x01;
const WRITE: u32 = 0x02;
const CREATE: u32 = 0x08;
const TRUNCATE: u32 = 0x10;
const PUT: u32 = WRITE | CREATE | TRUNCATE;

fn event(operation: FileOperation, path: &str) -> FileEvent {
    FileEvent {
        operation,
        path: path.to_owned(),
        to: None,
        bytes: 0,
        sha256: None,
        complete: true,
        outcome: Ok(()),
    }
}

#[test]
fn an_upload_is_authorised_forwarded_unchanged_and_told_with_its_digest() {
    let mut c = Conversation::open();
    c.opened(1, "/srv/a", PUT, "h");
    let writes = [write(2, "h", 0, b"hello "), write(3, "h", 6, b"world")].concat();
    c.client(&writes).unwrap();
    c.target(&[status(2, 0, ""), status(3, 0, "")].concat()).unwrap();
    c.client(&close(4, "h")).unwrap();
    assert!(c.events.is_empty());
    c.target(&status(4, 0, "")).unwrap();

    assert_eq!(c.asked, [[upload("/srv/a")]]);
    assert_eq!(c.to_target, [open(1, "/srv/a", PUT), writes, close(4, "h")].concat());
    let sha256 = sha256(b"hello world");
    let expected = FileEvent { bytes: 11, sha256, ..event(FileOperation::Upload, "/srv/a") };
    assert_eq!(c.finish(), [expected]);
}

#[test]
fn an_upload_in_place_has_a_digest_once_the_file_is_cut_to_what_was_written() {
    let mut c = Conversation::open();
    c.opened(1, "/srv/a", WRITE | CREATE, "h");
    c.client(&write(2, "h", 0, b"hello")).unwrap();
    let cut = request(10, 3, &[string("h"), u32_field(1), u64_field(5)]);
    c.client(&[cut, close(4, "h")].concat()).unwrap();
    c.target(&[status(2, 0, ""), status(3, 0, ""), status(4, 0, "")].concat()).unwrap();
    assert_eq!(c.asked, [[upload("/srv/a")], [upload("/srv/a")]]);
    let sha256 = sha256(b"hello");
    assert_eq!(
        c.finish(),
        [
            event(FileOperation::SetAttributes, "/srv/a"),
            FileEvent { bytes: 5, sha256, ..event(FileOperation::Upload, "/srv/a") }
        ]
    );
}

#[test]
fn a_write_that_fails_leaves_the_upload_incomplete_and_without_a_digest() {
    let mut c = Conversation::open();
    c.opened(1, "/srv/a", PUT, "h");
    c.client(&[write(2, "h", 0, b"hello"), close(3, "h")].concat()).unwrap();
    c.target(&[status(2, 4, "disk\x07full"), status(3, 0, "")].concat()).unwrap();
    let expected = FileEvent {
        bytes: 5,
        complete: false,
        outcome: Err(r"disk\x07full".to_owned()),
        ..event(FileOperation::Upload, "/srv/a")
    };
    assert_eq!(c.finish(), [expected]);
}

#[test]
fn a_download_pipelined_past_the_end_is_told_with_its_digest() {
    let mut c = Conversation::open();
    c.opened(1, "/etc/motd", READ, "h");
    let reads = [read(2, "h", 0, 4), read(3, "h", 4, 4), read(4, "h", 8, 4)].concat();
    c.client(&reads).unwrap();
    // The second is answered first and short, so that the client asks for the rest again.
    c.target(&[data(3, b"ef"), data(2, b"abcd"), status(4, 1, "")].concat()).unwrap();
    c.client(&read(5, "h", 6, 2)).unwrap();
    c.target(&status(5, 1, "")).unwrap();
    c.client(&close(6, "h")).unwrap();
    c.target(&status(6, 0, "")).unwrap();
    assert_eq!(c.asked, [[download("/etc/motd")]]);
    let sha256 = sha256(b"abcdef");
    let expected = FileEvent { bytes: 6, sha256, ..event(FileOperation::Download, "/etc/motd") };
    assert_eq!(c.finish(), [expected]);
}

#[test]
fn a_client_that_asks_for_the_size_and_never_reads_past_the_end_gets_a_digest_too() {
    let mut c = Conversation::open();
    c.client(&on_path(17, 1, "/etc/motd")).unwrap();
    c.target(&attrs_with_size(1, 4)).unwrap();
    c.opened(1, "/etc/motd", READ, "h");
    c.client(&[read(2, "h", 0, 4), close(3, "h")].concat()).unwrap();
    c.target(&[data(2, b"abcd"), status(3, 0, "")].concat()).unwrap();
    assert_eq!(c.finish()[0].sha256, sha256(b"abcd"));
}

#[test]
fn part_of_a_file_has_no_digest() {
    let mut c = Conversation::open();
    c.opened(1, "/etc/motd", READ, "h");
    c.client(&[read(2, "h", 0, 4), close(3, "h")].concat()).unwrap();
    c.target(&[data(2, b"abcd"), status(3, 0, "")].concat()).unwrap();
    let event = &c.finish()[0];
    assert_eq!((event.bytes, &event.sha256, event.complete), (4, &None, true));
}

#[test]
fn what_is_opened_for_both_needs_both_and_is_told_as_both() {
    let mut c = Conversation::open();
    c.opened(1, "/srv/a", READ | WRITE, "h");
    c.client(&[write(2, "h", 0, b"ab"), read(3, "h", 0, 8), close(4, "h")].concat()).unwrap();
    c.target(&[status(2, 0, ""), data(3, b"ab"), status(4, 0, "")].concat()).unwrap();
    assert_eq!(c.asked, [vec![download("/srv/a"), upload("/srv/a")]]);
    let events = c.finish();
    let told: Vec<_> = events.iter().map(|event| (event.operation, event.bytes)).collect();
    assert_eq!(told, [(FileOperation::Upload, 2), (FileOperation::Download, 2)]);
    assert!(events.iter().all(|event| event.sha256.is_none()));
}

#[test]
fn flags_that_open_for_reading_without_saying_so_need_the_download_right() {
    for (flags, expected) in [
        (0, vec![download("a")]),
        (READ, vec![download("a")]),
        (WRITE, vec![upload("a")]),
        (CREATE, vec![download("a"), upload("a")]),
        (TRUNCATE, vec![download("a"), upload("a")]),
        (0x40, vec![download("a"), upload("a")]),
        (READ | CREATE, vec![download("a"), upload("a")]),
    ] {
        let mut c = Conversation::open();
        c.client(&open(1, "a", flags)).unwrap();
        assert_eq!(c.asked, [expected], "{flags:#x}");
    }
}

#[test]
fn every_request_that_changes_something_is_authorised_for_every_path() {
    let none = u32_field(0);
    let one = |kind, path| request(kind, 9, &[string(path)]);
    let two = |kind| request(kind, 9, &[string("/a"), string("/b")]);
    let with = |kind, path| request(kind, 9, &[string(path), none.clone()]);
    let paths = [string("/a"), string("/b")];
    let both = vec![upload("/a"), upload("/b")];
    for (packet, actions, operation) in [
        (one(13, "/a"), vec![upload("/a")], FileOperation::Remove),
        (with(14, "/a"), vec![upload("/a")], FileOperation::MakeDirectory),
        (one(15, "/a"), vec![upload("/a")], FileOperation::RemoveDirectory),
        (with(9, "/a"), vec![upload("/a")], FileOperation::SetAttributes),
        (two(18), both.clone(), FileOperation::Rename),
        (two(20), both.clone(), FileOperation::SymbolicLink),
        (one(19, "/a"), vec![download("/a")], FileOperation::ReadLink),
        (extended(9, "posix-rename@openssh.com", &paths), both.clone(), FileOperation::Rename),
        (extended(9, "hardlink@openssh.com", &paths), both, FileOperation::HardLink),
        (
            extended(9, "lsetstat@openssh.com", &[string("/a"), none.clone()]),
            vec![upload("/a")],
            FileOperation::SetAttributes,
        ),
    ] {
        let mut c = Conversation::open();
        c.client(&packet).unwrap();
        assert_eq!((&c.asked, &c.to_target), (&vec![actions.clone()], &packet));
        c.target(&status(9, 3, "denied")).unwrap();
        let event = &c.finish()[0];
        assert_eq!((event.operation, &event.path[..]), (operation, "/a"));
        assert_eq!(event.to.is_some(), actions.len() == 2);
        assert_eq!(event.outcome, Err("denied".to_owned()));

        let mut c = Conversation::open();
        c.client(&packet).unwrap();
        let event = &c.finish()[0];
        assert!(!event.complete && event.outcome.is_err(), "cut off before the answer");
    }
}

#[test]
fn questions_that_show_no_content_are_forwarded_without_an_action() {
    for packet in [
        on_path(7, 1, "/a"),
        on_path(17, 1, "/a"),
        on_path(16, 1, "."),
        extended(1, "limits@openssh.com", &[]),
        extended(1, "statvfs@openssh.com", &[string("/")]),
        extended(1, "expand-path@openssh.com", &[string("~")]),
        extended(1, "home-directory", &[string("")]),
    ] {
        let mut c = Conversation::open();
        c.client(&packet).unwrap();
        assert_eq!((c.to_target, c.asked.len()), (packet, 0));
    }
}

#[test]
fn a_listing_is_a_download_of_the_directory() {
    let mut c = Conversation::open();
    c.client(&on_path(11, 1, "/srv")).unwrap();
    c.target(&handle(1, "d")).unwrap();
    c.client(&[on_path(12, 2, "d"), on_path(12, 3, "d")].concat()).unwrap();
    let names = request(104, 2, &[u32_field(1), string("a"), string("-rw a"), u32_field(0)]);
    c.target(&[names, status(3, 1, "")].concat()).unwrap();
    c.client(&close(4, "d")).unwrap();
    c.target(&status(4, 0, "")).unwrap();
    assert_eq!(c.asked, [[download("/srv")]]);
    assert_eq!(c.finish(), [FileEvent { bytes: 22, ..event(FileOperation::List, "/srv") }]);
}

#[test]
fn what_is_not_understood_is_answered_with_unsupported_and_not_forwarded() {
    for packet in [
        request(21, 5, &[string("/a"), string("/b")]),
        request(99, 5, &[]),
        request(103, 5, &[string("x")]),
        extended(5, "copy-file", &[string("/a"), string("/b")]),
        extended(5, "check-file-name", &[string("/etc/shadow")]),
    ] {
        let mut c = Conversation::open();
        c.client(&packet).unwrap();
        assert!(c.to_target.is_empty() && c.asked.is_empty());
        assert_eq!(c.to_client[4..13], [101, 0, 0, 0, 5, 0, 0, 0, 8]);
        c.client(&on_path(17, 5, "/a")).unwrap();
        assert!(!c.to_target.is_empty(), "the conversation goes on");
    }
}

#[test]
fn a_refused_request_is_answered_and_never_reaches_the_target() {
    let mut c = Conversation::open();
    let stat = on_path(17, 2, "/a");
    c.client(&[open(1, "/secret", READ), stat.clone()].concat()).unwrap();
    assert_eq!(c.to_target, stat);
    assert_eq!(c.to_client[4..13], [101, 0, 0, 0, 1, 0, 0, 0, 3]);
    assert!(c.finish().is_empty());
    // Both paths count.
    let mut c = Conversation::open();
    c.client(&request(18, 1, &[string("/a"), string("/secret")])).unwrap();
    assert!(c.to_target.is_empty());
}

#[test]
fn a_refusal_waits_for_the_packet_the_target_is_sending() {
    let mut c = Conversation::open();
    c.opened(1, "/a", READ, "h");
    c.client(&read(2, "h", 0, 100)).unwrap();
    c.take_to_client();
    let answer = data(2, &[7; 100]);
    let (first, rest) = answer.split_at(50);
    c.target(first).unwrap();
    assert!(c.observer.wants_client_data());
    c.client(&open(3, "/secret", READ)).unwrap();
    c.client(&request(99, 4, &[])).unwrap();
    assert_eq!(c.to_client, first, "nothing is put into the middle of the packet");
    assert!(!c.observer.wants_client_data());
    c.target(&[rest, &status(5, 0, "")[..3]].concat()).unwrap();
    let sent = c.take_to_client();
    assert_eq!(sent[..answer.len()], answer);
    assert_eq!(sent[answer.len() + 4..][..9], [101, 0, 0, 0, 3, 0, 0, 0, 3]);
    assert!(c.observer.wants_client_data());
}

#[test]
fn handles_nobody_opened_and_the_wrong_use_of_a_handle_are_refused_here() {
    let mut c = Conversation::open();
    c.opened(1, "/r", READ, "r");
    c.opened(1, "/w", PUT, "w");
    c.client(&on_path(11, 1, "/d")).unwrap();
    c.target(&handle(1, "d")).unwrap();
    c.to_target.clear();
    c.take_to_client();
    for (packet, code) in [
        (write(7, "r", 0, &[1; 40_000]), 3),
        (read(7, "w", 0, 10), 3),
        (read(7, "d", 0, 10), 3),
        (on_path(12, 7, "r"), 3),
        (write(7, "?", 0, b"x"), 4),
        (read(7, "?", 0, 1), 4),
        (close(7, "?"), 4),
        (on_path(8, 7, "?"), 4),
        (extended(7, "fsync@openssh.com", &[string("?")]), 4),
        (request(10, 7, &[string("?"), u32_field(0)]), 4),
    ] {
        c.client(&packet).unwrap();
        assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 7, 0, 0, 0, code]);
    }
    assert!(c.to_target.is_empty());
}

#[test]
fn a_handle_is_gone_when_its_close_is_sent_and_may_then_be_given_again() {
    let mut c = Conversation::open();
    c.opened(1, "/a", PUT, "h");
    c.client(&close(2, "h")).unwrap();
    c.client(&open(3, "/b", PUT)).unwrap();
    c.take_to_client();
    c.client(&write(4, "h", 0, b"guessed")).unwrap();
    assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 4, 0, 0, 0, 4]);
    c.target(&[handle(3, "h"), status(2, 0, "")].concat()).unwrap();
    c.client(&write(5, "h", 0, b"b")).unwrap();
    let events = c.finish();
    assert_eq!((&events[0].path[..], events[0].complete), ("/a", true));
    assert_eq!((&events[1].path[..], events[1].complete, events[1].bytes), ("/b", false, 1));
}

#[test]
fn a_copy_on_the_target_is_told_and_takes_the_digest_away() {
    let mut c = Conversation::open();
    c.opened(1, "/r", READ, "r");
    c.opened(1, "/w", PUT, "w");
    let zero = u64_field(0);
    let copy = |from, to| {
        let fields = [string(from), zero.clone(), zero.clone(), string(to), zero.clone()];
        extended(2, "copy-data", &fields)
    };
    c.take_to_client();
    c.client(&copy("w", "r")).unwrap();
    assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 2, 0, 0, 0, 3]);
    c.client(&copy("r", "w")).unwrap();
    c.client(&close(3, "w")).unwrap();
    c.target(&[status(2, 0, ""), status(3, 0, "")].concat()).unwrap();
    let copied = FileEvent { to: Some("/w".to_owned()), ..event(FileOperation::Copy, "/r") };
    assert_eq!(c.events, [copied, event(FileOperation::Upload, "/w")]);
}

#[test]
fn paths_that_policy_could_misread_are_refused_or_escaped() {
    let mut c = Conversation::open();
    c.client(&on_path(13, 1, "/ok\0/etc/passwd")).unwrap();
    assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 1, 0, 0, 0, 5]);
    c.client(&on_path(13, 1, &"a".repeat(4097))).unwrap();
    assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 1, 0, 0, 0, 4]);
    c.client(&on_path(11, 1, "")).unwrap();
    c.client(&on_path(13, 2, "a\nb")).unwrap();
    assert_eq!(c.asked, [[download(".")], [upload(r"a\x0ab")]]);
}

#[test]
fn a_request_that_is_longer_or_shorter_than_its_fields_is_not_forwarded() {
    let mut c = Conversation::open();
    let mut short = open(1, "/a", READ);
    short.truncate(short.len() - 4);
    short[3] -= 4;
    let mut long = on_path(13, 1, "/a");
    long.push(0);
    long[3] += 1;
    for packet in [short, long] {
        c.client(&packet).unwrap();
        assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 1, 0, 0, 0, 5]);
    }
    assert!(c.to_target.is_empty() && c.asked.is_empty());
}

#[test]
fn too_many_open_files_are_refused_and_closing_makes_room() {
    let mut c = Conversation::open();
    for n in 0..1024 {
        c.opened(1, "/a", READ, &n.to_string());
    }
    c.take_to_client();
    c.client(&open(1, "/a", READ)).unwrap();
    assert_eq!(c.take_to_client()[4..13], [101, 0, 0, 0, 1, 0, 0, 0, 4]);
    c.client(&close(2, "7")).unwrap();
    c.target(&status(2, 0, "")).unwrap();
    c.opened(1, "/a", READ, "again");
}

#[test]
fn content_is_passed_on_as_it_comes_in_one_slice_per_chunk() {
    let mut c = Conversation::open();
    c.opened(1, "/a", PUT, "h");
    let content = vec![5; 250_000];
    let packet = write(2, "h", 0, &content);
    (c.to_target, c.forwards) = (Vec::new(), 0);
    for chunk in packet.chunks(32_768) {
        let before = c.to_target.len();
        c.client(chunk).unwrap();
        assert_eq!(c.to_target.len() - before, chunk.len(), "nothing is held back");
    }
    assert_eq!(c.forwards, packet.chunks(32_768).len());
    let many: Vec<u8> = (3..103_u32).flat_map(|id| write(id, "h", 0, &[1; 200])).collect();
    c.forwards = 0;
    c.client(&many).unwrap();
    assert_eq!(c.forwards, 1, "neighbouring packets go on in one slice");
}

#[test]
fn a_write_cut_off_in_the_middle_is_told_as_incomplete() {
    let mut c = Conversation::open();
    c.opened(1, "/a", PUT, "h");
    c.client(&write(2, "h", 0, &[1; 1000])[..500]).unwrap();
    let event = &c.finish()[0];
    assert!(event.bytes > 400 && event.bytes < 500);
    assert!(!event.complete && event.sha256.is_none() && event.outcome.is_err());
}
