//! Where resources are written: file and line, for what is found out about them later.
//!
//! The files of a change flow in; problems and findings flow out with their place. Nothing here
//! judges a resource.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_policy::CompileError;
use portcullis_proof::Finding;
use portcullis_resources::parse;

use crate::ControlError;
use crate::view::PlanBody;

/// File and line of each resource, by `Kind/name`.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, (String, u32)>);

impl Places {
    /// Of a change that parses; empty for one that does not.
    pub(crate) fn of(body: &PlanBody) -> Self {
        let files: Vec<(&str, &str)> =
            body.files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
        let parsed = parse(&files).unwrap_or_default();
        let place = parsed.iter().map(|located| {
            (located.value.key().to_string(), (located.file().to_owned(), located.line()))
        });
        Self(place.collect())
    }

    /// The resources that are in the files.
    pub(crate) fn resources(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// Findings with the place of what they are about.
    pub(crate) fn placed(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let place = |finding: Finding| match self.0.get(&finding.resource) {
            Some((file, line)) => {
                Finding { file: Some(file.clone()), line: Some(*line), ..finding }
            }
            None => finding,
        };
        findings.into_iter().map(place).collect()
    }

    /// What does not compile or type-check, each with its place.
    pub(crate) fn uncompiled(&self, error: &CompileError) -> ControlError {
        let CompileError::Invalid(problems) = error else { return ControlError::invalid(error) };
        let line = |problem: &portcullis_policy::Problem| match self
            .0
            .get(&problem.resource.to_string())
        {
            Some((file, line)) => format!("{}:{line}: {problem}", file.escape_debug()),
            None => problem.to_string(),
        };
        ControlError::invalid(problems.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}
