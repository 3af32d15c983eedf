//! From a statement's text to its [`Masking`].
//!
//! In: a text, modes, protected columns, perhaps a schema. Out: origins of the result's columns.
//! A statement whose result is not a query's is untouched only where its words say so.

use sqlparser::ast::{Query, Statement};

use super::origin::Masking;
use super::protected::{Protected, Schema};
use super::query::Tracer;
use super::scope::{Item, Names, Scope, outputs};
use crate::lexer::{self, Lexed};
use crate::limits::Limits;
use crate::modes::Modes;
use crate::reader;
use crate::span::Span;
use crate::statement::Analysis;
use crate::tree::{self, Expected};

/// Statements whose results hold no rows of tables.
const WITHOUT_ROWS: [&str; 27] = [
    "set",
    "reset",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "listen",
    "unlisten",
    "notify",
    "deallocate",
    "discard",
    "lock",
    "truncate",
    "vacuum",
    "reindex",
    "cluster",
    "comment",
    "grant",
    "revoke",
    "use",
    "unlock",
    "drop",
    "checkpoint",
];

/// Traces the one statement of a text. A text with several statements, or one that is not
/// understood, has unknown origins: everything of its result is withheld.
#[must_use]
pub fn trace(
    text: &[u8],
    modes: &Modes,
    limits: &Limits,
    protected: &Protected,
    schema: Option<&Schema>,
) -> Masking {
    if protected.is_empty() {
        return Masking::untouched();
    }
    let mut lexed = Lexed::default();
    if lexer::lex(text, modes, limits, &mut lexed).is_err() {
        return Masking::unknown();
    }
    let mut spans = reader::statements(&lexed);
    match (spans.next(), spans.next()) {
        (None, _) => Masking::untouched(),
        (Some(span), None) if !reader::exceeds(span, limits) => {
            of_statement(span, modes, protected, schema, 0)
        }
        _ => Masking::unknown(),
    }
}

/// Deepest nesting of `prepare`, `declare` and `copy`.
const DEEPEST: usize = 3;

fn of_statement(
    span: Span<'_>,
    modes: &Modes,
    protected: &Protected,
    schema: Option<&Schema>,
    depth: usize,
) -> Masking {
    let inner = |inner: Option<Span<'_>>| match inner {
        Some(inner) if depth < DEEPEST => of_statement(inner, modes, protected, schema, depth + 1),
        _ => Masking::unknown(),
    };
    if span.is(0, "prepare") && !modes.dialect.is_mysql_like() {
        return inner(span.outer(&["as"]).map(|place| span.from(place + 1)));
    }
    if span.is(0, "declare") {
        return inner(span.from(2).outer(&["for"]).map(|place| span.from(place + 3)));
    }
    if span.is(0, "copy") && span.is_sign(1, "(") {
        return inner(span.closing(1).map(|end| span.between(2, end)));
    }
    if span.is_one(0, &WITHOUT_ROWS) || (span.is(0, "show") && !modes.dialect.is_mysql_like()) {
        return Masking::untouched();
    }
    if span.is(0, "explain") {
        return Masking::estimates();
    }
    let reads = ["select", "with", "values", "table", "insert", "update", "delete", "replace"];
    if !span.is_one(0, &reads) && !span.is_sign(0, "(") {
        return Masking::unknown();
    }
    // What is not understood as a statement is not traced either.
    let text = reader::for_parser(span);
    if tree::read(&text, Expected::Change, modes, &mut Analysis::default()).is_err() {
        return Masking::unknown();
    }
    tree::with_stack(|| {
        let Ok(statement) = tree::parse(&text, modes) else {
            return Masking::unknown();
        };
        let names = Names { protected, mysql: modes.dialect.is_mysql_like() };
        let mut tracer =
            Tracer { modes, names, schema, side_channels: Vec::new(), depth: 0, queries: 0 };
        let items: Vec<Item> = match &statement {
            Statement::Query(query) => tracer.query(query, None),
            other => tracer.change(other, &Scope::default()),
        };
        Masking { outputs: outputs(items, names), side_channels: tracer.side_channels }
    })
}

/// The query a view is defined by.
pub(super) fn query_of(definition: &str, modes: &Modes) -> Option<Query> {
    let mut lexed = Lexed::default();
    let limits = Limits::STANDARD;
    lexer::lex(definition.as_bytes(), modes, &limits, &mut lexed).ok()?;
    let mut spans = reader::statements(&lexed);
    let span = spans.next()?;
    if spans.next().is_some() || reader::exceeds(span, &limits) {
        return None;
    }
    match tree::parse(&reader::for_parser(span), modes) {
        Ok(Statement::Query(query)) => Some(*query),
        _ => None,
    }
}
