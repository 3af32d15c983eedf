//! The SSH room: unmodified SSH clients reach targets through it, and it protects the targets'
//! shells, files and networks, and the credentials that open them.
//!
//! The gate is an SSH server towards the client and an SSH client towards the target; between the two every channel and request is authorised, and every byte of a terminal
//! is recorded before it is passed on. In flow connections, out flow authorised, recorded, audited
//! sessions that end the moment they should.
//!
//! Architecture invariants:
//! * nothing happens before sign-in is complete, and nothing reaches a target except through
//!   `Connection::enter`, which asks the gateway;
//! * the client never sees what the gate proves itself to the target with;
//! * this crate knows no store, no policy and no other protocol.

mod algorithms;
mod back;
mod connection;
pub mod conversation;
mod files;
mod flow;
mod forward;
mod front;
mod jump;
mod metered;
pub mod options;
mod relay;
mod serve;
mod sign_in;
mod start;
mod tell;
pub mod wire;

pub use options::Options;
pub use serve::SshRoom;
