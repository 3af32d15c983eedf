//! What one account on a target leads to, before it is an answer, and which outcome of several counts.
//!
//! Outcomes of `decide` flow in; the rank that orders them, and one with the reasons of both, flow
//! out. Nothing here evaluates anything.

use std::time::Duration;

use portcullis_domain::{Denial, Grant};

/// What one login leads to.
pub(crate) enum Outcome<'a> {
    Allow { reasons: Vec<String>, grant: Option<&'a Grant> },
    StepUp { max_age: Duration, reasons: Vec<String>, blocked_by: Vec<String> },
    Request { reasons: Vec<String>, blocked_by: Vec<String> },
    Deny(Denial),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// An error under one login is an error of the whole decision.
    Failed,
    Allow,
    StepUp,
    Request,
    Locked,
    Conditions,
    Forbidden,
    NoPolicy,
}

pub(crate) fn rank(outcome: &Outcome<'_>) -> Rank {
    match outcome {
        Outcome::Deny(Denial::PolicyError { .. }) => Rank::Failed,
        Outcome::Allow { .. } => Rank::Allow,
        Outcome::StepUp { .. } => Rank::StepUp,
        Outcome::Request { .. } => Rank::Request,
        Outcome::Deny(Denial::Locked { .. }) => Rank::Locked,
        Outcome::Deny(Denial::Conditions { .. }) => Rank::Conditions,
        Outcome::Deny(Denial::Forbidden { .. }) => Rank::Forbidden,
        Outcome::Deny(_) => Rank::NoPolicy,
    }
}

/// Adds another login's reasons to an outcome of the same rank.
pub(crate) fn merge(into: &mut Outcome<'_>, from: Outcome<'_>) {
    let add = |all: &mut Vec<String>, more: Vec<String>| {
        all.extend(more);
        all.sort();
        all.dedup();
    };
    match (into, from) {
        (
            Outcome::Request { reasons, blocked_by },
            Outcome::Request { reasons: more, blocked_by: blocks },
        ) => {
            add(reasons, more);
            add(blocked_by, blocks);
        }
        (
            Outcome::Deny(Denial::Forbidden { policies }),
            Outcome::Deny(Denial::Forbidden { policies: more }),
        ) => add(policies, more),
        (
            Outcome::Deny(Denial::Conditions { unmet }),
            Outcome::Deny(Denial::Conditions { unmet: more }),
        ) => add(unmet, more),
        (
            Outcome::Deny(Denial::PolicyError { errors }),
            Outcome::Deny(Denial::PolicyError { errors: more }),
        ) => add(errors, more),
        _ => {}
    }
}
