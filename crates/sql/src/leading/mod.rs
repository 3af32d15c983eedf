//! What the words a statement begins with say it is.
//!
//! In: a statement's tokens. Out: its kind and classes, or the part of it that is a statement of
//! its own. A server's grammar decides the kind of a statement by these words alone, so a kind
//! that is recognised here is that kind; what is not recognised is unknown.

pub(crate) mod mysql;
pub(crate) mod postgres;

mod settings;

use crate::class::Class;
use crate::statement::{Analysis, Misunderstanding, Reason};

/// A statement that runs code or text that is not in it.
fn unseen(analysis: &mut Analysis) {
    analysis.add(Reason::NotUnderstood(Misunderstanding::TextElsewhere));
}

/// A statement nobody here knows.
fn unparsed(analysis: &mut Analysis) {
    analysis.add(Reason::NotUnderstood(Misunderstanding::Unparsed));
}

/// The kind, and classes the words give.
fn plain(kind: &'static str, classes: &[Class], analysis: &mut Analysis) {
    analysis.kind = kind;
    for class in classes {
        analysis.add(Reason::Keyword(kind, *class));
    }
}
