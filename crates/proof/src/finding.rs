//! What is odd about single policies: they can fail, never apply, or are stopped altogether.

use serde::Serialize;

use crate::prove::Run;
use crate::statement::Statement;

/// What is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// It can fail to evaluate, and every decision it concerns is then a deny.
    CanFail,
    /// It applies to no request there can be.
    NeverApplies,
    /// It is a permit, and everything it permits is forbidden.
    AlwaysForbidden,
    /// It selects no target there is.
    SelectsNothing,
}

/// An oddity of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its id.
    pub policy: String,
    /// What is odd.
    pub kind: FindingKind,
    /// For people.
    pub message: String,
}

pub(crate) fn findings(_run: &Run<'_>, _statements: &[Statement]) -> Vec<Finding> {
    Vec::new()
}
