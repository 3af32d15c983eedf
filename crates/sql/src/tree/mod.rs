//! The syntax tree: what a statement names, and a second opinion on what it can do.
//!
//! In: the canonical text of one statement. Out: tables, columns, and classes beyond what the
//! tokens told. The only module that reads text with sqlparser; what sqlparser does not know, or
//! knows only from other dialects, is [`Misunderstanding::Unparsed`].

mod visit;

use std::collections::HashSet;

use sqlparser::ast::{Statement, Visit};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::modes::Modes;
use crate::statement::{Analysis, Misunderstanding};

/// Deepest recursion of the parser. A level of brackets costs it a few; [`crate::Limits::depth`]
/// keeps texts well under it.
const RECURSION: usize = 300;
/// Stack for parsing, walking and dropping a tree of [`crate::Limits::operators`] levels.
const STACK_BYTES: usize = 64 << 20;

/// What the words say a statement is, which the tree must agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// `SELECT`, `VALUES`, `TABLE`, `WITH`.
    Query,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `REPLACE`.
    Change,
    /// A statement on objects: only its tables are of interest.
    Definition,
}

/// Names whose bracket lists columns and is no call.
pub(crate) type Listed = HashSet<String>;

/// Parses one statement and adds what its tree shows.
pub(crate) fn read(
    canonical: &str,
    expected: Expected,
    modes: &Modes,
    analysis: &mut Analysis,
) -> Result<Listed, Misunderstanding> {
    with_stack(|| {
        let tree = parse(canonical, modes)?;
        let fits = match expected {
            Expected::Query => matches!(tree, Statement::Query(_)),
            Expected::Change => matches!(
                tree,
                Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
                    | Statement::Merge(_)
                    | Statement::Query(_)
            ),
            Expected::Definition => true,
        };
        if !fits {
            return Err(Misunderstanding::Disagreement);
        }
        let mut visitor = visit::Reading::new(modes, expected, analysis);
        let _continues = tree.visit(&mut visitor);
        visitor.finish()
    })
}

/// Runs what parses, walks or drops a tree where there is stack for the deepest one.
pub(crate) fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::grow(STACK_BYTES, work)
}

/// Parses one statement, which must be the whole text.
pub(crate) fn parse(canonical: &str, modes: &Modes) -> Result<Statement, Misunderstanding> {
    let dialect: &dyn Dialect =
        if modes.dialect.is_mysql_like() { &MySqlDialect {} } else { &PostgreSqlDialect {} };
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(RECURSION)
        .try_with_sql(canonical)
        .map_err(|_| Misunderstanding::Unparsed)?;
    let tree = parser.parse_statement().map_err(|_| Misunderstanding::Unparsed)?;
    // The lexer says that the statement ends here; a parser that stopped before read another one.
    if parser.peek_token().token == Token::EOF {
        Ok(tree)
    } else {
        Err(Misunderstanding::Disagreement)
    }
}
