//! One function per parser that reads bytes nobody vouches for. Each must return, without a
//! panic and within bounded memory, whatever it is given; a fuzzer or the tests call them.

use crate::export::cursor::Cursor;
use crate::export::entry::for_receiver;
use crate::http::Url;
use crate::s3::listing::{Listing, error_code};
use crate::tls::Endpoint;

/// Answers of object storage.
pub fn fuzz_listing(data: &[u8]) {
    if let Some(listing) = Listing::parse(data) {
        let bytes: usize = listing.keys.iter().chain(&listing.prefixes).map(String::len).sum();
        // A byte that is no UTF-8 becomes a replacement character of three.
        assert!(bytes <= data.len() * 3);
    }
    assert!(!error_code(data).contains(char::is_control));
}

/// Cursor files.
pub fn fuzz_cursor(data: &[u8]) {
    if let Some(cursor) = Cursor::from_bytes(data) {
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Some(cursor));
    }
}

/// Entries on their way out.
pub fn fuzz_entry(data: &[u8]) {
    let exported = for_receiver("log", 0, data);
    assert!(!exported.line.contains(&b'\n'));
}

/// Addresses in the configuration.
pub fn fuzz_address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        assert_eq!(endpoint.to_string().parse::<Endpoint>().as_ref(), Ok(&endpoint));
    }
    if let Ok(url) = text.parse::<Url>() {
        assert!(url.path().starts_with('/'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_given_makes_a_parser_panic(bytes: Vec<u8>, text in ".{0,100}") {
            for data in [bytes.as_slice(), text.as_bytes()] {
                super::fuzz_listing(data);
                super::fuzz_cursor(data);
                super::fuzz_entry(data);
                super::fuzz_address(data);
            }
            super::fuzz_address(format!("https://{text}").as_bytes());
            super::fuzz_cursor(format!("{{\"origin\":\"a\",\"next\":{text}}}").as_bytes());
        }
    }
}
