//! SFTP conversations that break the protocol or a bound.

use super::Side;
use super::sftp::SftpError;
use super::sftp_transcript::*;

const READ: u32 = 0x01;

#[test]
fn a_client_that_speaks_a_newer_version_is_offered_version_three() {
    let mut c = Conversation::new();
    c.client(&packet(1, &6_u32.to_be_bytes())).unwrap();
    assert_eq!(c.to_target, init());
    let mut c = Conversation::new();
    let old = SftpError::UnsupportedVersion { side: Side::Client, version: 2 };
    assert_eq!(c.client(&packet(1, &2_u32.to_be_bytes())), Err(old));
    let mut c = Conversation::new();
    c.client(&init()).unwrap();
    let other = SftpError::UnsupportedVersion { side: Side::Target, version: 4 };
    assert_eq!(c.target(&packet(2, &4_u32.to_be_bytes())), Err(other));
}

#[test]
fn breaches_by_the_client_end_the_conversation() {
    let limit = 34_000;
    let long = |kind, length: u32| [&length.to_be_bytes()[..], &[kind, 0, 0, 0, 1]].concat();
    let check = |conversation: fn() -> Conversation, bytes: &[u8], expected: SftpError| {
        let mut c = conversation();
        assert_eq!(c.client(bytes), Err(expected.clone()));
        assert_eq!(c.client(&init()), Err(expected.clone()), "it stays ended");
        assert_eq!(c.target(&version()), Err(expected));
    };
    let malformed = |kind, what| SftpError::MalformedPacket { side: Side::Client, kind, what };
    let too_long =
        |kind, length, limit| SftpError::PacketTooLong { side: Side::Client, kind, length, limit };
    check(Conversation::new, &open(1, "a", 1), SftpError::MissingInit { kind: 3 });
    check(Conversation::new, b"GET / HTTP/1.1", too_long(b'/', 0x4745_5420, limit));
    check(Conversation::open, &init(), SftpError::RepeatedInit);
    check(
        Conversation::new,
        &[init(), open(1, "a", 1)].concat(),
        SftpError::RequestBeforeVersion { kind: 3 },
    );
    check(
        Conversation::open,
        &[on_path(17, 7, "a"), on_path(17, 7, "b")].concat(),
        SftpError::DuplicateRequest { id: 7 },
    );
    check(
        Conversation::open,
        &[open(7, "a", 1), open(7, "b", 1)].concat(),
        SftpError::DuplicateRequest { id: 7 },
    );
    check(Conversation::open, &long(3, 34_001), too_long(3, 34_001, limit));
    check(Conversation::open, &long(6, u32::MAX), too_long(6, u32::MAX, limit + 256 * 1024));
    check(Conversation::open, &long(13, 4), malformed(13, "it is shorter than its header"));
    let handle = write(1, &"h".repeat(257), 0, b"x");
    check(Conversation::open, &handle, malformed(6, "its handle is longer than 256 bytes"));
    let mut lying = write(1, "h", 0, b"content");
    lying[25] += 1;
    check(Conversation::open, &lying, malformed(6, "its content is not as long as it says"));
    let cut = request(6, 1, &[string("h"), u32_field(0)]);
    check(Conversation::open, &cut, malformed(6, "it ends before its content"));
}

#[test]
fn breaches_by_the_target_end_the_conversation() {
    let check = |asked: &[u8], bytes: &[u8], expected: SftpError| {
        let mut c = Conversation::open();
        c.opened(1, "/a", READ, "h");
        c.client(asked).unwrap();
        c.take_to_client();
        assert_eq!(c.target(bytes), Err(expected));
        assert!(c.take_to_client().is_empty());
        assert!(!c.finish().is_empty(), "the open file is told of");
    };
    let malformed = |kind, what| SftpError::MalformedPacket { side: Side::Target, kind, what };
    let unexpected = |id, kind| SftpError::UnexpectedResponse { id, kind };
    let ask = read(2, "h", 0, 4);
    check(&ask, &status(3, 0, ""), unexpected(3, 101));
    check(&ask, &handle(2, "x"), unexpected(2, 102));
    check(&ask, &version(), unexpected(3, 2));
    check(&ask, &request(3, 2, &[]), unexpected(2, 3));
    check(&ask, &data(2, b"12345"), malformed(103, "it holds more content than was asked for"));
    let mut lying = data(2, b"1234");
    lying[12] += 1;
    check(&ask, &lying, malformed(103, "its content is not as long as it says"));
    check(&on_path(13, 2, "b"), &request(101, 2, &[]), malformed(101, "it ends before its code"));
    check(&open(2, "/b", READ), &handle(2, "h"), SftpError::DuplicateHandle);
    let long = "x".repeat(257);
    let what = "its handle is longer than 256 bytes";
    check(&open(2, "/b", READ), &handle(2, &long), malformed(102, what));
    check(&on_path(17, 2, "b"), &request(105, 2, &[u32_field(2)]), {
        malformed(105, "its attributes do not fit into it")
    });
}

#[test]
fn an_answer_to_a_request_that_is_still_held_ends_the_conversation() {
    let mut c = Conversation::open();
    let mut steps = Vec::new();
    c.observer.from_client(open(1, "/a", READ).into(), &mut steps).unwrap();
    let unexpected = SftpError::UnexpectedResponse { id: 1, kind: 102 };
    assert_eq!(c.target(&handle(1, "h")), Err(unexpected));
    assert!(c.finish().is_empty(), "it was never sent");
}

#[test]
fn requests_without_an_answer_are_bounded_and_ask_the_driver_to_wait_long_before() {
    let limit = 16_384;
    let mut c = Conversation::open();
    c.opened(0, "/a", READ, "h");
    for id in 1..=limit as u32 {
        assert_eq!(c.observer.wants_client_data(), id <= 1024);
        c.client(&read(id, "h", 0, 4)).unwrap();
    }
    assert_eq!(c.client(&read(0, "h", 0, 4)), Err(SftpError::TooManyRequests { limit }));

    let mut c = Conversation::open();
    let path = "a".repeat(4096);
    let refused = (1..).map(|id| c.client(&on_path(17, id, &path))).find_map(Result::err);
    assert_eq!(refused, Some(SftpError::TooManyRequests { limit }));
    assert!(c.observer.retained_bytes() < 2 * 1024 * 1024);
}

#[test]
fn refusals_that_wait_are_bounded() {
    let mut c = Conversation::open();
    c.opened(1, "/a", READ, "h");
    c.client(&read(2, "h", 0, 100)).unwrap();
    c.target(&data(2, &[7; 100])[..50]).unwrap();
    let refused = (0..2000).map(|_| c.client(&open(3, "/secret", READ))).find_map(Result::err);
    assert_eq!(refused, Some(SftpError::TooManyReplies { limit: 1024 }));
}
