//! What use cases take and give, as plain data with serde: the same types are the bodies of the
//! HTTP API and what the command line prints with `--json`.
//!
//! Names in here are names in the API; changing one is a change of the API.

mod access;
mod account;
mod audit;
mod events;
mod evidence;
mod exports;
mod factors;
mod map;
mod pages;
mod resources;
mod sessions;
mod sign_ins;
mod usage;

pub use access::*;
pub use account::*;
pub use audit::*;
pub use events::*;
pub use evidence::*;
pub use exports::*;
pub use factors::*;
pub use map::*;
pub use pages::*;
pub use resources::*;
pub use sessions::*;
pub use sign_ins::*;
pub use usage::*;
