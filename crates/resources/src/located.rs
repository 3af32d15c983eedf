//! A value together with the place in a file it was declared at.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::Problem;
use crate::references::Link;
use crate::source::{Position, Source};

/// A value and where it was declared.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    source: Arc<Source>,
    at: Position,
    places: Arc<BTreeMap<Link, Position>>,
}

impl<T> Located<T> {
    pub(crate) fn new(
        value: T,
        source: Arc<Source>,
        at: Position,
        places: BTreeMap<Link, Position>,
    ) -> Self {
        Self { value, source, at, places: Arc::new(places) }
    }

    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Line of the resource's name, from 1.
    pub fn line(&self) -> u32 {
        self.at.line
    }

    /// Column of the resource's name in characters, from 1.
    pub fn column(&self) -> u32 {
        self.at.column
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// A problem with this resource that another part of the program found, such as Cedar text
    /// that does not parse; shown at the resource's name. The message follows the house wording:
    /// lower case, no full stop.
    pub fn problem(&self, message: impl Into<String>, suggestion: Option<String>) -> Problem {
        Problem::at(&self.source, self.at, message.into(), suggestion)
    }

    /// A problem at the place a link is written, or at the resource's name.
    pub(crate) fn problem_at(
        &self,
        link: &Link,
        message: String,
        suggestion: Option<String>,
    ) -> Problem {
        let at = self.places.get(link).copied().unwrap_or(self.at);
        Problem::at(&self.source, at, message, suggestion)
    }

    /// `file:line` of the name, for other resources' messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", crate::problem::quoted(self.file()), self.at.line)
    }
}
