//! The JSON Schema of one document, for editors and reviewers. It says what can be said about one
//! document alone; `parse` and `check_references` are stricter.

use serde_json::Value;

use crate::document::Document;

/// JSON Schema (draft 2020-12) of one document, with the descriptions an editor shows.
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}
