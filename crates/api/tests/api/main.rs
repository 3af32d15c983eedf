//! The API over a real node: store, log, gate and use cases as they ship, no stand-ins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at what they did not expect"
)]

mod changes;
mod client;
mod confirmations;
mod console;
mod credentials;
mod edge;
mod erasure;
mod events;
mod factors;
mod holds;
mod invariants;
mod map;
mod node;
mod pages;
mod probes;
mod requests;
mod search;
mod second_person;
mod separation;
mod streams;
mod usage;
mod web_sessions;
