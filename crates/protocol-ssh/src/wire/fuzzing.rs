//! Entry points for fuzzers: any bytes in, nothing out but a panic where a promise is broken.
//!
//! The first byte of each piece says who sends it, the second and third how long it is; so one input
//! is a whole conversation, cut in the ways a network cuts it.

use bytes::Bytes;

use super::scp::{Direction, ScpInvocation, ScpObserver, parse_scp_command};
use super::sftp::{SftpObserver, SftpStep};
use super::{FileEvent, Side};

/// What an observer may keep between calls, whatever it is fed. Paths 2 MiB, content ahead of its
/// turn 2 MiB, heads and replies, requests: below this.
pub const MAX_RETAINED_BYTES: usize = 8 * 1024 * 1024;

/// A whole SFTP conversation; requests with an odd id are refused.
pub fn sftp(input: &[u8]) {
    let mut observer = SftpObserver::new();
    let mut steps = Vec::new();
    for (side, piece) in pieces(input) {
        let piece = Bytes::copy_from_slice(piece);
        let result = match side {
            Side::Client => observer.from_client(piece, &mut steps),
            Side::Target => observer.from_target(piece, &mut steps),
        };
        for step in steps.drain(..) {
            if let SftpStep::Authorize { id, actions, packet } = step {
                assert!((1..=2).contains(&actions.len()) && !packet.is_empty());
                if id % 2 == 0 {
                    observer.allow(id);
                } else {
                    drop(observer.refuse(id, "refused by the fuzzer"));
                }
            }
        }
        assert!(observer.retained_bytes() < MAX_RETAINED_BYTES);
        if result.is_err() {
            break;
        }
    }
    let mut events = Vec::new();
    observer.finish(&mut events);
    check(&events);
}

/// A whole scp conversation; the first byte chooses the direction and `-r`.
pub fn scp(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else {
        return;
    };
    let mut observer = ScpObserver::new(ScpInvocation {
        direction: if choice & 1 == 0 { Direction::Upload } else { Direction::Download },
        path: "/srv/x".to_owned(),
        recursive: choice & 2 != 0,
        directory: choice & 4 != 0,
    });
    let mut events = Vec::new();
    for (side, piece) in pieces(input) {
        let result = match side {
            Side::Client => observer.from_client(piece, &mut events),
            Side::Target => observer.from_target(piece, &mut events),
        };
        assert!(observer.take_actions().len() <= 2);
        assert!(observer.retained_bytes() < MAX_RETAINED_BYTES);
        if result.is_err() {
            break;
        }
    }
    observer.finish(&mut events);
    check(&events);
}

/// A command line: what is taken for scp holds nothing a shell would act on.
pub fn scp_command(input: &[u8]) {
    let Ok(command) = std::str::from_utf8(input) else {
        return;
    };
    if let Some(invocation) = parse_scp_command(command) {
        let meta = |c: char| " \t\r\n'\"\\`$;&|<>(){}[]*?!#^".contains(c) || !c.is_ascii_graphic();
        assert!(!invocation.path.is_empty() && !invocation.path.contains(meta));
        assert!(command.starts_with("scp ") || command.trim_start_matches(' ').starts_with("scp "));
    }
}

/// What holds for every event.
fn check(events: &[FileEvent]) {
    for event in events {
        assert!(!event.path.is_empty() && !event.path.chars().any(char::is_control));
        assert!(event.sha256.is_none() || event.complete);
        assert!(!event.complete || event.outcome.is_ok());
    }
}

fn pieces(mut input: &[u8]) -> impl Iterator<Item = (Side, &[u8])> {
    std::iter::from_fn(move || {
        let ([side, high, low], rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        input = rest;
        Some((if side & 1 == 0 { Side::Client } else { Side::Target }, piece))
    })
}
