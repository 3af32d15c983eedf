//! Resources as code: YAML in, [`portcullis_domain::Resource`]s or precise problems out, and back.
//!
//! [`parse`] reads files strictly and tells every problem with its place; [`check_references`]
//! compares what resources say about each other; [`to_yaml`] writes the canonical form
//! that [`parse`] reads back to the same resource; [`diff`] says what an apply would change;
//! [`schema`] is the JSON Schema of a document for editors. [`parse_access_tests`] reads the example
//! requests that are kept beside resources.
//!
//! Architecture invariant: pure. No file is opened here, nothing is stored and no Cedar is
//! parsed. This is the only crate that names the YAML and the schema library.

mod access_test;
mod decode;
mod diff;
mod document;
#[doc(hidden)]
pub mod fuzzing;
mod located;
mod node;
mod parse;
mod problem;
mod reader;
mod references;
mod schema;
mod source;
mod ssh_key;
mod suggest;
mod yaml;

pub use access_test::{access_test_schema, is_test_file, parse_access_tests};
pub use decode::LEGACY_ALGORITHMS;
pub use diff::{Change, ChangeKind, FieldChange, diff};
pub use located::Located;
pub use parse::parse;
pub use problem::{MAX_PROBLEMS, Problem};
pub use references::check_references;
pub use schema::schema;
pub use source::{MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES};
pub use yaml::{to_yaml, to_yaml_file};
