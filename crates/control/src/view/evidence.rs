//! Evidence holds and erasure.

use portcullis_domain::{HoldScope, SubjectId, UserName};
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

/// Whom to forget.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetBody {
    /// A person's name or pseudonym.
    pub subject: String,
    /// Why; who asked for it, not whom it is about.
    pub reason: String,
}

/// Who was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetView {
    /// The pseudonym.
    pub subject: SubjectId,
}
