//! Evidence holds and erasure.

use portcullis_domain::{HoldScope, UserName};
use serde::{Deserialize, Serialize};

/// A hold to place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldBody {
    /// What is held.
    pub scope: HoldScope,
    /// Why.
    pub reason: String,
    /// Who answers for it; default: whoever places it.
    #[serde(default)]
    pub owner: Option<UserName>,
}
