//! The product end to end: the real binary, set up through its own `init`, serving real OpenSSH
//! clients in front of a real OpenSSH server.
//!
//! In: nothing but the machine's `ssh`, `sshd`, `python3` with paramiko and `asciinema`. Out: what a
//! person, an attacker or a failing disk would see, and what the audit log says about it.
//!
//! Must never know: the insides of any crate. Everything goes through sockets, files and signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking; it is never part of the binary"
)]

mod echo;
mod gate;
mod http;
mod node;
mod people;
mod plan;
mod python;

mod access_tests;
mod attacks;
mod break_glass;
mod certificates;
mod conditions;
mod crash;
mod credentials;
mod databases;
mod evidence;
mod exports;
mod factors;
mod function;
mod hostile_client;
mod hostile_target;
mod invariants;
mod live;
mod master_key;
mod matrix;
mod nodes;
mod recorded;
mod recording;
mod witness;
