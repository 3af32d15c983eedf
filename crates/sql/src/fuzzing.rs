//! Entry points for tests and fuzzers: bytes in, nothing out; a wrong answer panics.
//!
//! Not for production code. `tests/fuzzing.rs` calls them with random and with damaged texts.

#![allow(clippy::panic, reason = "a wrong answer ends the fuzzing run")]

use crate::mask::{ColumnPattern, Protected, Schema, Treatment, trace};
use crate::{Class, Classifier, Limits, Modes, Statements, classify};

/// Modes a text is tried in.
const MODES: [Modes; 6] = [
    Modes::postgres(),
    Modes { standard_conforming_strings: false, ..Modes::postgres() },
    Modes::mysql(80_036),
    Modes { ansi_quotes: true, ..Modes::mysql(80_036) },
    Modes { no_backslash_escapes: true, ..Modes::mysql(80_036) },
    Modes::mariadb(101_100),
];

/// Classifies any bytes in several modes, with and without memory, and holds the answers to what
/// must always be so: every statement lies in the text, in order, has a class, and is classified
/// the same alone and from memory.
pub fn fuzz_classify(bytes: &[u8]) {
    let classifier = Classifier::default();
    for modes in MODES {
        let found = classify(bytes, &modes, &Limits::STANDARD);
        hold(bytes, &found);
        for _ in 0..2 {
            assert_eq!(found, classifier.classify(bytes, &modes), "memory changes the answer");
        }
        alone(bytes, &modes, &found);
    }
}

/// Traces any bytes; whatever they are, each column of a result has a treatment, and a query that is
/// not understood passes none.
pub fn fuzz_trace(bytes: &[u8]) {
    let patterns = ["t.a", "u.*"].into_iter().filter_map(|text| ColumnPattern::parse(text).ok());
    let protected = Protected::new(patterns.collect());
    let mut schema = Schema::default();
    schema.add_table(&["public", "t"], &["a", "b"]);
    schema.add_view(&["public", "u"], &["a", "b"], "select a, u.b from t, u");
    for modes in MODES {
        let understood = classify(bytes, &modes, &Limits::STANDARD);
        let withheld = understood.list.iter().any(|statement| {
            let query = matches!(statement.analysis.kind, "select" | "with" | "update" | "delete");
            query && statement.analysis.classes.contains(Class::Unknown)
        });
        for schema in [None, Some(&schema)] {
            let found = trace(bytes, &modes, &Limits::STANDARD, &protected, schema);
            for count in 0..5 {
                let treatments = found.treatments(count);
                assert_eq!(treatments.len(), count, "a column has no treatment");
                let pass = treatments.contains(&Treatment::Pass);
                assert!(!(withheld && pass), "a column of an unknown statement passes");
            }
        }
    }
}

fn hold(bytes: &[u8], found: &Statements) {
    let mut end = 0;
    for statement in &found.list {
        assert!(statement.range.start >= end, "statements overlap");
        assert!(statement.range.end <= bytes.len(), "a statement ends behind the text");
        assert!(!statement.analysis.classes.is_empty(), "a statement has no class");
        end = statement.range.end;
    }
}

/// A PostgreSQL statement cut out of its text is the same statement.
fn alone(bytes: &[u8], modes: &Modes, found: &Statements) {
    let understood = !found.classes().contains(Class::Unknown);
    if modes.dialect.is_mysql_like() || !understood {
        return;
    }
    for statement in &found.list {
        let own = bytes.get(statement.range.clone()).unwrap_or_default();
        let again = classify(own, modes, &Limits::STANDARD);
        let [only] = again.list.as_slice() else { panic!("one statement became several") };
        assert_eq!(only.analysis, statement.analysis, "alone it is another statement");
    }
}
