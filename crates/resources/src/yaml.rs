//! Resources as canonical YAML: one form for one resource, which `parse` reads back to it.

use portcullis_domain::Resource;

use crate::document::Document;

/// Lines up to this many characters are not folded: a key that is compared by eye stays on one.
const UNFOLDED: usize = 100_000;

/// The canonical YAML of a resource: every default of an environment and of a target's connection
/// written out, empty lists left out, sets in order.
///
/// `parse` gives the same resource back for every resource it ever gave.
pub fn to_yaml(resource: &Resource) -> String {
    // Writing into a string fails only for shapes that `Document` does not have, such as keys
    // that are not text; a test round-trips every kind.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: UNFOLDED };
    let document = Document::from(resource);
    serde_saphyr::to_string_with_options(&document, options).unwrap_or_default()
}

/// Several resources as one file, `---` between them.
pub fn to_yaml_file<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> String {
    let documents: Vec<String> = resources.into_iter().map(to_yaml).collect();
    documents.join("---\n")
}
