//! The packets before the first message (manual, 55.2.1, 55.2.11, 55.7): requests for TLS and
//! GSSAPI, cancellations, and the start-up itself.

use std::collections::BTreeMap;

use super::{take_i32, take_text};

/// Largest start-up packet (PostgreSQL's own `MAX_STARTUP_PACKET_LENGTH`), in bytes.
pub const MAX_STARTUP_BYTES: usize = 10_000;
/// Longest cancellation key (protocol 3.2), in bytes.
const MAX_KEY_BYTES: usize = 256;
const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
/// Begins the names of options of the protocol itself.
const PROTOCOL_OPTION: &str = "_pq_.";

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// It wants TLS.
    Tls,
    /// It wants GSSAPI encryption.
    Gssapi,
    /// It wants a statement of another connection cancelled.
    Cancel {
        /// Process id it was told there.
        process: i32,
        /// Key it was told there.
        key: Vec<u8>,
    },
    /// It begins a session.
    Session(Session),
}

/// The start of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// Minor version of protocol 3.
    pub minor: u16,
    /// Parameters, among them `user` and `database`.
    pub parameters: BTreeMap<String, String>,
    /// Options of the protocol itself, of which the gate knows none.
    pub protocol_options: Vec<String>,
}

/// Why a start-up packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// Too short, too long, or not of the form its kind has.
    #[error("the start-up packet is malformed")]
    Malformed,
    /// Another major version.
    #[error("protocol version {0}.{1} is not spoken here; use version 3")]
    Version(u16, u16),
}

/// The length of a packet's body by its first four bytes.
pub fn body_length(length: [u8; 4]) -> Result<usize, StartupError> {
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    match length.checked_sub(4) {
        Some(body) if (4..=MAX_STARTUP_BYTES).contains(&body) => Ok(body),
        _ => Err(StartupError::Malformed),
    }
}

/// Reads a packet's body.
pub fn read(body: &[u8]) -> Result<Startup, StartupError> {
    let (code, rest) = take_i32(body).ok_or(StartupError::Malformed)?;
    match code {
        SSL_REQUEST if rest.is_empty() => Ok(Startup::Tls),
        GSSENC_REQUEST if rest.is_empty() => Ok(Startup::Gssapi),
        CANCEL_REQUEST => {
            let (process, key) = take_i32(rest).ok_or(StartupError::Malformed)?;
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(StartupError::Malformed);
            }
            Ok(Startup::Cancel { process, key: key.to_vec() })
        }
        SSL_REQUEST | GSSENC_REQUEST => Err(StartupError::Malformed),
        version => {
            let [a, b, c, d] = version.to_be_bytes();
            let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            if major != 3 {
                return Err(StartupError::Version(major, minor));
            }
            session(minor, rest).map(Startup::Session)
        }
    }
}

fn session(minor: u16, mut rest: &[u8]) -> Result<Session, StartupError> {
    let mut session = Session { minor, ..Session::default() };
    loop {
        let (name, after) = take_text(rest).ok_or(StartupError::Malformed)?;
        if name.is_empty() {
            // The terminator is the last byte: what follows it, nobody would have looked at.
            return if after.is_empty() { Ok(session) } else { Err(StartupError::Malformed) };
        }
        let (value, after) = take_text(after).ok_or(StartupError::Malformed)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let (Ok(name), Ok(value)) = (text(name), text(value)) else {
            return Err(StartupError::Malformed);
        };
        rest = after;
        if name.starts_with(PROTOCOL_OPTION) {
            session.protocol_options.push(name);
        } else if session.parameters.insert(name, value).is_some() {
            // A server takes the last, a reader of the log the first: neither is right.
            return Err(StartupError::Malformed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(minor: u16, pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut body = vec![0, 3];
        body.extend(minor.to_be_bytes());
        for (name, value) in pairs {
            body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        body.push(0);
        body
    }

    #[test]
    fn a_session_is_read_with_its_parameters_and_its_version() {
        let body =
            packet(2, &[("user", "alice"), ("database", "orders-db/orders"), ("_pq_.x", "1")]);
        let Ok(Startup::Session(session)) = read(&body) else { panic!() };
        assert_eq!((session.minor, session.parameters["user"].as_str()), (2, "alice"));
        assert_eq!(session.protocol_options, ["_pq_.x"]);
    }

    #[test]
    fn a_packet_that_two_readers_could_read_differently_is_refused() {
        assert_eq!(read(&packet(0, &[("user", "a"), ("user", "b")])), Err(StartupError::Malformed));
        let mut stuffed = packet(0, &[("user", "a")]);
        stuffed.extend(b"user\0b\0\0");
        assert_eq!(read(&stuffed), Err(StartupError::Malformed));
        assert_eq!(read(&[0, 2, 0, 0, 0]), Err(StartupError::Version(2, 0)));
        let mut tls = SSL_REQUEST.to_be_bytes().to_vec();
        assert_eq!(read(&tls), Ok(Startup::Tls));
        tls.push(0);
        assert_eq!(read(&tls), Err(StartupError::Malformed));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_read() {
        for length in [-1, 0, 4, 7, 10_005, i32::MAX, i32::MIN] {
            assert!(body_length(length.to_be_bytes()).is_err(), "{length}");
        }
        assert_eq!(body_length(8_i32.to_be_bytes()), Ok(4));
    }
}
