//! What open pages are told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Something to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// Resources, grants, locks or gates.
    Facts,
    /// Access requests that wait.
    Requests,
    /// Changes that wait for a second person.
    Changes,
    /// Live sessions: all of them with the right, else one's own.
    Sessions,
}

/// One event of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// What to look at again.
    pub changed: BTreeSet<Changed>,
}
