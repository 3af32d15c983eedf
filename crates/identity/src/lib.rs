//! Who someone is: passwords, one-time codes, recovery codes, passkeys, tokens, lockout, the SSH
//! certificate authorities, and the sign-in state machine that puts them together.
//!
//! In flow what a person presented and what the store remembers; out flow verdicts
//! ([`password::PasswordCheck`], [`totp::TotpCheck`], [`limit::Verdict`]) and, at the end of a
//! [`login::SignIn`], a [`portcullis_domain::Authentication`].
//!
//! Architecture invariant: no async runtime, no file, no socket, no database, no clock and no
//! global randomness. `now` and [`random::Random`] are parameters. Of `russh` only `russh::keys`
//! (key and certificate types) is used. What may be done by whom is not known here.

pub mod authority;
pub mod limit;
pub mod login;
pub mod password;
pub mod random;
pub mod recovery;
pub mod ssh_user;
#[cfg(test)]
mod testing;
pub mod token;
pub mod totp;
pub mod webauthn;

/// Key and certificate types, so that whoever handles them need not name the SSH library.
pub use russh::keys;
