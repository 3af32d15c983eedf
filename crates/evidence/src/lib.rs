//! Evidence: what Portcullis says happened, so that someone who trusts neither its operators nor
//! its database can check it.
//!
//! Four rooms: [`log`], a transparency log of entries, [`subject`], the sealing of what is personal
//! in them, [`index`], where they may be found, and [`recording`], the sessions themselves.
//! Flows in: entries and frames, opaque here. Flows out: files in published formats, hashes and
//! signatures. Never knows users, targets or policies; depends on no other crate of the gate, so
//! that verification runs where nothing else does.

#[doc(hidden)]
pub mod fuzzing;
pub mod index;
pub mod log;
pub mod recording;
pub mod subject;
