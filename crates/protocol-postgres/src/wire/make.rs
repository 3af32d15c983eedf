//! The messages the gate makes itself.

/// Status of a session outside a transaction, in ReadyForQuery.
pub const IDLE: u8 = b'I';

/// How severe an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session is over.
    Fatal,
}

/// SQLSTATEs the gate uses (manual, appendix A).
pub mod state {
    /// `insufficient_privilege`
    pub const REFUSED: &str = "42501";
    /// `invalid_authorization_specification`
    pub const SIGN_IN: &str = "28000";
    /// `invalid_password`
    pub const PASSWORD: &str = "28P01";
    /// `admin_shutdown`
    pub const ENDED: &str = "57P01";
    /// `sqlclient_unable_to_establish_sqlconnection`
    pub const NO_SERVER: &str = "08001";
    /// `protocol_violation`
    pub const PROTOCOL: &str = "08P01";
    /// `program_limit_exceeded`
    pub const LIMIT: &str = "54000";
    /// `invalid_catalog_name`
    pub const DATABASE: &str = "3D000";
}

/// A message of this type with this body.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(body.len().saturating_add(5));
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// ErrorResponse. Every line of `text` after the first is its hint.
pub fn error(severity: Severity, state: &str, text: &str) -> Vec<u8> {
    let word = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut body = Vec::new();
    let mut field = |kind: u8, value: &str| {
        body.push(kind);
        body.extend(value.bytes().filter(|byte| *byte != 0));
        body.push(0);
    };
    field(b'S', word);
    field(b'V', word);
    field(b'C', state);
    field(b'M', &format!("portcullis: {first}"));
    if !rest.trim().is_empty() {
        field(b'H', rest.trim());
    }
    body.push(0);
    message(b'E', &body)
}

/// AuthenticationOk.
pub fn authentication_ok() -> Vec<u8> {
    message(b'R', &0_i32.to_be_bytes())
}

/// AuthenticationCleartextPassword; only ever inside TLS.
pub fn ask_password() -> Vec<u8> {
    message(b'R', &3_i32.to_be_bytes())
}

/// NegotiateProtocolVersion: minor version 0, and these options are not known.
pub fn negotiate(unknown: &[String]) -> Vec<u8> {
    let mut body = 0_i32.to_be_bytes().to_vec();
    body.extend(u32::try_from(unknown.len()).unwrap_or(u32::MAX).to_be_bytes());
    for name in unknown {
        body.extend(name.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    message(b'v', &body)
}

/// BackendKeyData of protocol 3.0.
pub fn key_data(process: i32, key: [u8; 4]) -> Vec<u8> {
    message(b'K', &[&process.to_be_bytes()[..], &key].concat())
}

/// A start-up packet of protocol 3.0.
pub fn startup<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut body = 196_608_i32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend(text.bytes().filter(|byte| *byte != 0));
            body.push(0);
        }
    }
    body.push(0);
    packet(&body)
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    packet(&80_877_103_i32.to_be_bytes())
}

/// CancelRequest with what the server told.
pub fn cancel_request(key_data: &[u8]) -> Vec<u8> {
    packet(&[&80_877_102_i32.to_be_bytes()[..], key_data].concat())
}

/// What stands in for a refused statement: it fails in the server as the refused one would have,
/// so that transaction, pipeline and order of answers are the server's own. The server's error is
/// replaced by [`error`] on its way back.
pub mod stand_in {
    use super::message;

    /// No statement begins so: the server's parser refuses it before it looks at anything.
    const TEXT: &[u8] = b"portcullis_refused_this_statement\0";

    /// For Query and FunctionCall.
    pub fn query() -> Vec<u8> {
        message(b'Q', TEXT)
    }

    /// For the messages of the extended protocol.
    pub fn parse() -> Vec<u8> {
        message(b'P', &[b"\0", TEXT, &[0, 0]].concat())
    }
}

fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, message, startup as read_startup};

    #[test]
    fn an_error_is_read_back_and_holds_no_zero_byte_of_the_texts() {
        let bytes = error(Severity::Error, state::REFUSED, "no\0\nask for it");
        let header = Header::read(&bytes).unwrap().unwrap();
        assert_eq!(header.whole(), bytes.len());
        let read = message::error(&bytes[5..]);
        assert_eq!(read, ("42501".into(), "portcullis: no".into()));
    }

    #[test]
    fn a_start_up_is_read_back() {
        let bytes = startup([("user", "app"), ("database", "orders")]);
        let body = read_startup::body_length(bytes[..4].try_into().unwrap()).unwrap();
        assert_eq!(body + 4, bytes.len());
        let Ok(read_startup::Startup::Session(read)) = read_startup::read(&bytes[4..]) else {
            panic!()
        };
        assert_eq!(read.parameters["database"], "orders");
    }
}
