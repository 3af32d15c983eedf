//! What is known of a statement after it was classified.
//!
//! In: what the lexer, the floor and the tree found. Out: [`Statements`] for the gate, the record
//! and the refusal's message. Holds names of the statement, never values of its literals.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::class::{Class, ClassSet};

/// The statements of one text, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statements {
    /// In the order of the text; empty statements (`;;`, only a comment) are left out.
    pub list: Vec<Statement>,
}

/// One statement: where it stands, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes in the text, without the semicolon and surrounding comments.
    pub range: Range<usize>,
    /// What it is; shared by all statements with the same fingerprint.
    pub analysis: Arc<Analysis>,
}

/// What a statement is, whatever its literals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Everything it can reach.
    pub classes: ClassSet,
    /// Its leading words in lower case, for records: `select`, `create table`, `copy`.
    pub kind: &'static str,
    /// Why it has the classes beyond the plain one of its kind, the first few.
    pub reasons: Vec<Reason>,
    /// Tables it names, as written, without the names its own `WITH` makes.
    pub tables: Vec<TableUse>,
    /// Columns it names, as written, and `*`; empty where the statement was not parsed.
    pub columns: Vec<ColumnUse>,
    /// The name it prepares a statement under (`PREPARE name AS ...`); the prepared statement's
    /// classes are in `classes` already.
    pub prepares: Option<String>,
    /// The prepared statement it runs (`EXECUTE name`); its own classes say
    /// [`Class::Procedure`], which [`crate::Prepared`] narrows for names it has seen.
    pub executes: Option<String>,
    /// It may change how the server reads the texts after it (`standard_conforming_strings`,
    /// `client_encoding`, `sql_mode`, `SET NAMES`, a rollback of such a change): ask the server
    /// for its modes before the next text is classified.
    pub changes_reading: bool,
    /// The statement without literals and comments, folded as the server folds names: equal for
    /// statements that differ only in values. Empty when the text could not be split.
    pub fingerprint: String,
    /// It was read from the text of a literal, which the fingerprint does not tell: never cached.
    pub(crate) own_text: bool,
    /// Of a statement that executes a prepared one: what it can reach besides that.
    pub(crate) besides_execute: ClassSet,
}

/// A table, view or sequence a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableUse {
    /// Its name's parts as the server reads them: `["public", "orders"]` or `["orders"]`.
    pub name: Vec<String>,
    /// Whether its rows are only read, or changed too.
    pub access: Access,
}

/// How a table is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Its rows are read.
    Read,
    /// Its rows, or it itself, are changed.
    Write,
}

/// A column a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnUse {
    /// Its name's parts as the server reads them; the last is `*` for a whole row.
    pub name: Vec<String>,
}

/// Why a statement has a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The leading or an inner keyword says so.
    Keyword(&'static str, Class),
    /// It calls, or names, this function, which has a class of its own.
    Function(String, Class),
    /// It calls this function, which is not on the list of reviewed built-ins.
    UnreviewedFunction(String),
    /// It uses this operator, which is not on the list of built-in ones.
    UnreviewedOperator(String),
    /// It converts to this type, which is not a built-in one; the conversion may run a function.
    UnreviewedType(String),
    /// It changes this setting.
    Setting(String, Class),
    /// It could not be understood.
    NotUnderstood(Misunderstanding),
}

/// Why a statement is [`Class::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misunderstanding {
    /// Over [`crate::Limits`].
    #[error("the text is longer, deeper or has more statements than is looked at")]
    TooMuch,
    /// The lexer of the server would refuse it, or servers differ on it.
    #[error("a {0} that servers read differently or refuse")]
    Lexical(&'static str),
    /// The parser does not know it.
    #[error("the parser does not know this statement")]
    Unparsed,
    /// The parser ended elsewhere than the lexer.
    #[error("the parser and the lexer disagree where the statement ends")]
    Disagreement,
    /// It runs text that is not in the statement.
    #[error("it runs text that is not in it")]
    TextElsewhere,
    /// Earlier in the same text the way texts are read changes.
    #[error("an earlier statement of the text changes how this one is read")]
    ReadingChanged,
}

impl Reason {
    /// The class it gives.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Keyword(_, class) | Self::Function(_, class) | Self::Setting(_, class) => *class,
            Self::UnreviewedFunction(_) | Self::UnreviewedOperator(_) | Self::UnreviewedType(_) => {
                Class::Procedure
            }
            Self::NotUnderstood(_) => Class::Unknown,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(words, _) => write!(f, "it says `{words}`"),
            Self::Function(name, _) => write!(f, "it names the function `{name}`"),
            Self::UnreviewedFunction(name) => {
                write!(f, "it calls `{name}`, which is not a reviewed built-in function")
            }
            Self::UnreviewedOperator(name) => {
                write!(f, "it uses `{name}`, which is not a reviewed built-in operator")
            }
            Self::UnreviewedType(name) => {
                write!(f, "it converts to `{name}`, which is not a reviewed built-in type")
            }
            Self::Setting(name, _) => write!(f, "it changes the setting `{name}`"),
            Self::NotUnderstood(why) => write!(f, "{why}"),
        }
    }
}

/// Most reasons kept of one statement.
const MAX_REASONS: usize = 8;

impl Analysis {
    /// Adds the reason's class, and the reason while there is room.
    pub(crate) fn add(&mut self, reason: Reason) {
        self.classes.insert(reason.class());
        if self.reasons.len() < MAX_REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// A statement of which nothing is known.
    pub(crate) fn unknown(why: Misunderstanding) -> Self {
        let mut analysis = Self { changes_reading: true, ..Self::default() };
        analysis.add(Reason::NotUnderstood(why));
        analysis
    }

    /// The first reason for a class that is not allowed, for the refusal's message.
    #[must_use]
    pub fn reason_beyond(&self, allowed: ClassSet) -> Option<&Reason> {
        self.reasons.iter().find(|reason| !allowed.contains(reason.class()))
    }
}

impl Statements {
    /// Everything the text can reach.
    #[must_use]
    pub fn classes(&self) -> ClassSet {
        self.list
            .iter()
            .fold(ClassSet::EMPTY, |all, statement| all.union(statement.analysis.classes))
    }

    /// The first statement that can reach something that is not allowed.
    #[must_use]
    pub fn beyond(&self, allowed: ClassSet) -> Option<&Statement> {
        self.list.iter().find(|statement| !statement.analysis.classes.within(allowed))
    }

    /// Whether a statement may change how the server reads the texts after this one.
    #[must_use]
    pub fn changes_reading(&self) -> bool {
        self.list.iter().any(|statement| statement.analysis.changes_reading)
    }

    /// The text as one statement that was not understood.
    pub(crate) fn unknown(length: usize, why: Misunderstanding) -> Self {
        let analysis = Arc::new(Analysis::unknown(why));
        Self { list: vec![Statement { range: 0..length, analysis }] }
    }
}
