//! What the names of a session's prepared statements stand for.
//!
//! In: analyses of statements that were let through. Out: the classes an `EXECUTE` has. A name
//! that was prepared twice has both statements' classes, because whether the second `PREPARE`
//! succeeded is for the server to say; a name that was not seen stays [`crate::Class::Procedure`].

use std::collections::HashMap;

use crate::class::ClassSet;
use crate::statement::Analysis;

/// Most names remembered of one session; statements of further names stay
/// [`crate::Class::Procedure`].
pub const MAX_PREPARED: usize = 10_000;

/// The prepared statements of one session, by name. Statements prepared with protocol messages
/// share their names with those of `PREPARE`.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    names: HashMap<String, ClassSet>,
}

impl Prepared {
    /// Remembers that this name was, or may have been, prepared with these classes.
    pub fn remember(&mut self, name: &str, classes: ClassSet) {
        if let Some(known) = self.names.get_mut(name) {
            *known = known.union(classes);
        } else if self.names.len() < MAX_PREPARED {
            self.names.insert(name.to_owned(), classes);
        }
    }

    /// Remembers what a statement prepares, if it does.
    pub fn observe(&mut self, analysis: &Analysis) {
        if let Some(name) = &analysis.prepares {
            self.remember(name, analysis.classes);
        }
    }

    /// The classes of a statement with what it executes: a known name's instead of
    /// [`crate::Class::Procedure`]. A call of an unreviewed function in its arguments stays one.
    #[must_use]
    pub fn classes(&self, analysis: &Analysis) -> ClassSet {
        let Some(known) = analysis.executes.as_ref().and_then(|name| self.names.get(name)) else {
            return analysis.classes;
        };
        analysis.besides_execute.union(*known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Limits, Modes, classify};

    fn one(text: &str) -> Analysis {
        let found = classify(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD);
        Analysis::clone(&found.list[0].analysis)
    }

    #[test]
    fn an_execute_has_the_classes_of_what_was_prepared() {
        let mut prepared = Prepared::default();
        prepared.observe(&one("prepare p as select 1"));
        let reads = prepared.classes(&one("execute p"));
        assert!(reads.within(ClassSet::READ_ONLY), "{reads}");
        prepared.observe(&one("prepare p as delete from t"));
        assert!(prepared.classes(&one("execute p")).contains(Class::Write));
    }

    #[test]
    fn an_execute_of_an_unseen_name_or_with_a_call_is_a_procedure_call() {
        let mut prepared = Prepared::default();
        assert!(prepared.classes(&one("execute p")).contains(Class::Procedure));
        prepared.observe(&one("prepare p (int) as select $1"));
        assert!(prepared.classes(&one("execute p (f(1))")).contains(Class::Procedure));
        assert!(!prepared.classes(&one("execute p (lower('x'))")).contains(Class::Procedure));
    }
}
