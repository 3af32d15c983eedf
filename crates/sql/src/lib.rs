//! What a SQL statement can reach, told before it is forwarded.
//!
//! [`classify`] takes the bytes a client sent and the [`Modes`] the server said it is in, and
//! tells for each statement the [`ClassSet`] it can reach, the tables and columns it names and
//! why. A gate forwards a text when [`Statements::beyond`] what is allowed is nothing.
//!
//! Three readers add up, and no one of them can make a statement milder than another said: a lexer
//! that follows the server's own to the byte, a floor told by tokens and leading words, and
//! sqlparser's tree. The tree is read from canonical text, in which there is no comment, quote or
//! escape left to disagree about. What is not understood is [`Class::Unknown`].
//!
//! What it cannot tell: whether a table is a view whose query calls functions, whether a column
//! of a table is in truth a function of its rows (`select t.f from t`), whether a name that is
//! spelled like a built-in function or operator was redefined by whoever owns the database. A
//! read-only session is therefore confined by the database as well; this crate says early, and to
//! the person, what the database would refuse late.
//!
//! Architecture invariant: pure. The only crate that names sqlparser; it knows no protocol, no
//! connection, no policy, and keeps no value of a literal.

mod class;
mod classifier;
mod floor;
mod functions;
pub mod fuzzing;
mod leading;
mod lexer;
mod limits;
pub mod mask;
mod modes;
mod prepared;
mod reader;
mod span;
mod statement;
mod tree;

use std::sync::Arc;

pub use class::{Class, ClassSet};
pub use classifier::{Classifier, MAX_FINGERPRINT_BYTES, MAX_REMEMBERED, MAX_REMEMBERED_BYTES};
pub use functions::reviewed_postgres_reads;
pub use limits::Limits;
pub use modes::{Charset, Dialect, Modes};
pub use prepared::{MAX_PREPARED, Prepared};
pub use statement::{
    Access, Analysis, ColumnUse, Misunderstanding, Reason, Statement, Statements, TableUse,
};

use crate::lexer::Lexed;
use crate::reader::Reader;

/// Classifies every statement of a text, as sent in one message.
///
/// Never fails: what is over the limits, not read alike by all servers, or not understood is one
/// [`Class::Unknown`] statement. A text without a statement (empty, only comments) has none.
#[must_use]
pub fn classify(text: &[u8], modes: &Modes, limits: &Limits) -> Statements {
    classify_within(Reader::new(text, modes, limits), None)
}

/// Classifies the reader's text, with the memory of a classifier if there is one.
pub(crate) fn classify_within(reader: Reader<'_>, memory: Option<&Classifier>) -> Statements {
    let text = reader.text;
    let mut lexed = Lexed::default();
    if let Err(error) = lexer::lex(text, reader.modes, reader.limits, &mut lexed) {
        return Statements::unknown(text.len(), error.into());
    }
    let mut list: Vec<Statement> = Vec::new();
    let mut reading_changed = false;
    for span in reader::statements(&lexed) {
        if list.len() >= reader.limits.statements {
            return Statements::unknown(text.len(), Misunderstanding::TooMuch);
        }
        let analysis = match memory {
            _ if reading_changed => Arc::new(Analysis::unknown(Misunderstanding::ReadingChanged)),
            Some(classifier) => classifier.statement(reader, span, lexed.setting_hint),
            None => Arc::new(reader.statement(span, lexed.setting_hint)),
        };
        // PostgreSQL reads a whole text before it runs any of it; MySQL reads as it goes.
        reading_changed |= analysis.changes_reading && reader.modes.dialect.is_mysql_like();
        list.push(Statement { range: range(span), analysis });
    }
    Statements { list }
}

fn range(span: span::Span<'_>) -> std::ops::Range<usize> {
    let start = span.token(0).map_or(0, |token| token.start as usize);
    let end = span.token(span.len().saturating_sub(1)).map_or(start, |token| token.end as usize);
    start..end
}
