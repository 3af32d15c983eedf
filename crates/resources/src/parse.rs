//! Files in, resources or problems out.
//!
//! Every document of every file is read even after a problem, so that one run tells everything
//! that is wrong. There is no partial answer: with one problem no resource comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_domain::{Resource, ResourceKey};

use crate::decode;
use crate::located::Located;
use crate::node;
use crate::problem::{Problem, Problems};
use crate::reader::Reader;
use crate::source::{
    Chunk, MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Position, Source,
};

/// Reads files of resources, each a file name and its text.
///
/// Names are checked and canonical in the answer, defaults are filled in, and no two resources
/// have the same key. What resources say about each other is for
/// [`check_references`](crate::check_references).
///
/// # Errors
/// Every problem found, in the order of the files, at most
/// [`MAX_PROBLEMS`](crate::MAX_PROBLEMS) of them.
pub fn parse<N: AsRef<str>, T: AsRef<str>>(
    files: &[(N, T)],
) -> Result<Vec<Located<Resource>>, Vec<Problem>> {
    let mut found = Found::default();
    let total: usize = files.iter().map(|(_, text)| text.as_ref().len()).sum();
    if files.len() > MAX_FILES || total > MAX_TOTAL_BYTES {
        let message = format!(
            "there are {} files with {total} bytes; at most {MAX_FILES} files and {MAX_TOTAL_BYTES} bytes are allowed",
            files.len()
        );
        found.problems.push(|| Problem::of_file("", message, Some("apply them in parts".into())));
        return Err(found.problems.into_vec());
    }
    for (name, text) in files {
        found.file(name.as_ref(), text.as_ref());
    }
    if found.problems.count() == 0 { Ok(found.resources) } else { Err(found.problems.into_vec()) }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    resources: Vec<Located<Resource>>,
    /// Where each resource was first declared.
    declared: BTreeMap<ResourceKey, String>,
    documents: usize,
    problems: Problems,
}

impl Found {
    fn file(&mut self, name: &str, text: &str) {
        if text.len() > MAX_FILE_BYTES {
            let message =
                format!("this file has {} bytes; at most {MAX_FILE_BYTES} are allowed", text.len());
            let help = "split it into several files".into();
            self.problems.push(|| Problem::of_file(name, message, Some(help)));
            return;
        }
        let source = Arc::new(Source::new(name, text));
        for chunk in source.documents() {
            self.documents += 1;
            if self.documents > MAX_DOCUMENTS {
                let message = format!("there are more than {MAX_DOCUMENTS} documents");
                let help = "apply them in parts".into();
                self.problems.push(|| Problem::of_file(name, message, Some(help)));
                return;
            }
            self.document(&source, chunk);
        }
    }

    fn document(&mut self, source: &Arc<Source>, chunk: Chunk<'_>) {
        let root = match node::parse(chunk) {
            Ok(root) => root,
            Err(node::Malformed { at, message, suggestion }) => {
                self.problems.push(|| Problem::at(source, at, message, suggestion));
                return;
            }
        };
        let before = self.problems.count();
        let mut reader = Reader::new(source, &mut self.problems);
        let Ok((resource, at)) = decode::document(&mut reader, &root) else { return };
        if reader.count() > before {
            return;
        }
        let places = reader.into_places();
        self.declare(Located::new(resource, Arc::clone(source), at, places), at, source);
    }

    fn declare(&mut self, located: Located<Resource>, at: Position, source: &Source) {
        let key = located.value.key();
        if let Some(first) = self.declared.get(&key) {
            let message = format!("{key} is declared twice; the first one is at {first}");
            let help = "remove one of the two, or give it another name".into();
            self.problems.push(|| Problem::at(source, at, message, Some(help)));
            return;
        }
        self.declared.insert(key, located.place());
        self.resources.push(located);
    }
}
