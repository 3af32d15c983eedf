//! Raw Cedar beside the roles: read with bounds, told apart policy by policy, errors placed.

use cedar_policy::{ParseErrors, Policy, PolicyId, PolicySet};
use miette::Diagnostic;

use crate::compile::Effect;
use crate::limits::check_text;

/// A Cedar policy out of a text, with its new id.
#[derive(Debug, Clone)]
pub(crate) struct RawPolicy {
    pub(crate) id: String,
    pub(crate) policy: Policy,
    pub(crate) effect: Effect,
    pub(crate) text: String,
    pub(crate) description: Option<String>,
}

/// An error and the line of the text it is on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misread {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

/// Reads a text into policies in their order; `id` names the n-th, counted from 1. A policy's own
/// `@id` is a remark to people only, so that no text can take another's id.
pub(crate) fn read(
    cedar: &str,
    id: impl Fn(usize, &Policy) -> String,
) -> Result<Vec<RawPolicy>, Vec<Misread>> {
    check_text(cedar).map_err(|(line, message)| vec![Misread { line: Some(line), message }])?;
    let set: PolicySet = cedar.parse().map_err(|errors| misread(cedar, &errors))?;
    if set.num_of_templates() > 0 {
        let message = "templates (`?principal`, `?resource`) are not supported; name the principal and the resource, or compare in `when`".to_owned();
        return Err(vec![Misread { line: None, message }]);
    }
    let mut policies: Vec<&Policy> = set.policies().collect();
    if policies.is_empty() {
        let message =
            "there is no policy in the text; write one, or remove the resource".to_owned();
        return Err(vec![Misread { line: None, message }]);
    }
    // Cedar numbers policies in the order of the text: `policy0`, `policy1`, ...
    policies.sort_by_key(|p| number(p.id()));
    Ok(policies.into_iter().enumerate().map(|(n, p)| renamed(p, id(n + 1, p))).collect())
}

fn number(id: &PolicyId) -> usize {
    let text: &str = id.as_ref();
    text.strip_prefix("policy").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX)
}

fn renamed(policy: &Policy, id: String) -> RawPolicy {
    RawPolicy {
        policy: policy.new_id(PolicyId::new(&id)),
        effect: effect(policy),
        text: policy.to_string(),
        description: policy.annotation("description").map(str::to_owned),
        id,
    }
}

pub(crate) fn effect(policy: &Policy) -> Effect {
    match policy.effect() {
        cedar_policy::Effect::Permit => Effect::Permit,
        cedar_policy::Effect::Forbid => Effect::Forbid,
    }
}

fn misread(cedar: &str, errors: &ParseErrors) -> Vec<Misread> {
    errors.iter().map(|error| place(cedar, error, &error.to_string())).collect()
}

/// Puts a diagnostic on its line of the text and adds Cedar's own advice.
pub(crate) fn place(cedar: &str, error: &dyn Diagnostic, text: &str) -> Misread {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let line = offset.map(|at| cedar.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1);
    let message = match error.help() {
        Some(help) => format!("{text} ({help})"),
        None => text.to_owned(),
    };
    Misread { line, message }
}
