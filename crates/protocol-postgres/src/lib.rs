//! The PostgreSQL room: unmodified PostgreSQL clients reach databases through it, and it protects
//! the databases' rows, the right to change them, and the credentials that open them.
//!
//! The gate is a PostgreSQL server towards the client and a client towards the server (protocol 3,
//! PostgreSQL manual chapter 55). Every statement is classified, authorised and recorded before it
//! is forwarded, and forwarded as the bytes it came in. In flow connections, out flow authorised,
//! recorded, audited sessions that end the moment they should.
//!
//! Architecture invariants:
//! * nothing is read from a client before TLS but the request for it, and for a cancellation;
//! * no statement reaches a server except through `Up`, which asks the gateway;
//! * the client never sees what the gate proves itself to the server with, nor the server's own
//!   cancellation key;
//! * this crate knows no store, no policy and no other protocol.

mod back;
mod cancel;
pub mod conversation;
mod down;
mod enter;
mod front;
pub mod options;
mod relay;
mod serve;
mod statement;
mod up;
pub mod wire;

pub use options::Options;
pub use serve::PostgresRoom;
