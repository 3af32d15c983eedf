//! Entry points for fuzzers: any bytes in, no panic, and no reading beyond what is there.

use super::{Header, message, startup};

/// Reads bytes as every packet and message the room looks into.
pub fn fuzz_wire(bytes: &[u8]) {
    let _ = Header::read(bytes);
    if let Ok(startup::Startup::Session(session)) = startup::read(bytes) {
        assert!(session.parameters.len() <= bytes.len());
    }
    let _ = message::query(bytes);
    let _ = message::parse(bytes);
    if let Ok(bind) = message::bind(bytes, 16) {
        assert!(bind.values.len() <= 16);
    }
    let _ = message::named(bytes);
    let _ = message::execute(bytes);
    let _ = message::error(bytes);
    let _ = message::rows(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::fuzz_wire(&bytes);
        }

        #[test]
        fn bytes_that_begin_well_are_read_or_refused(
            begin in proptest::sample::select(vec![&b"\0\x03\0\0user\0"[..], b"p\0s\0\0\x01", b"S", b"\0"]),
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            super::fuzz_wire(&[begin, &bytes].concat());
        }
    }
}
