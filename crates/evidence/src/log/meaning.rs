//! What of an entry a verifier must understand, given by whoever knows what entries say.
//!
//! Entries are opaque here. A finding names the event and its time where the entry still says so,
//! and a key rotation is an entry that names the next key; both are asked of functions.

/// What an entry says of itself; unproved where the entry does not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The event's id.
    pub event: String,
    /// Its time, for people.
    pub time: String,
    /// Its time, in milliseconds since 1970.
    pub at_millis: i64,
}

/// The functions. The default understands nothing.
#[derive(Debug, Clone, Copy)]
pub struct Meaning {
    /// Id and time of an entry.
    pub describe: fn(&[u8]) -> Option<Described>,
    /// The verifier key (vkey) of the log that an entry introduces.
    pub introduces: fn(&[u8]) -> Option<String>,
}

impl Default for Meaning {
    fn default() -> Self {
        Self { describe: |_| None, introduces: |_| None }
    }
}
