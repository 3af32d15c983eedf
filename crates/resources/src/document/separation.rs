//! How roles that are kept apart are written.

use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeparationSpec {
    /// What it is for, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The roles that are kept apart.
    #[schemars(length(min = 2, max = 64))]
    pub(super) roles: Vec<String>,
    /// How. Default: `static`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<SeparationModeSpec>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeparationModeSpec {
    /// Nobody holds two of the roles.
    Static,
    /// Somebody may hold several and uses the one they have a grant for.
    Dynamic,
}
