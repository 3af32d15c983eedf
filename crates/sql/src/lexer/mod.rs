//! Text into tokens, exactly as the server's own lexer reads it.
//!
//! In: bytes and [`Modes`]. Out: tokens, and one canonical text of them in which comments are
//! gone, every literal is a placeholder and every name is folded as the server folds it. The
//! canonical text is all that the rest of the crate looks at: the parser reads it (its own way of
//! reading quotes and comments cannot differ there, because none are left), and it is the
//! fingerprint, so that two statements with one fingerprint are classified alike by construction.
//!
//! Never guesses: what a server refuses, or servers read differently, is a [`LexError`].

mod cursor;
mod mysql;
mod postgres;
mod sink;

use crate::limits::Limits;
use crate::modes::{Charset, Modes};
use crate::statement::Misunderstanding;

pub(crate) use sink::Sink;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted word: keyword or name. Folded to lower case for PostgreSQL.
    Word,
    /// A quoted name, or an unquoted one no keyword can be; canonically in quotes.
    Quoted,
    /// A string literal; canonically `'s'`.
    Text,
    /// A number; canonically `0` unless it is a place in an `ORDER BY` or `GROUP BY`.
    Number,
    /// `$1` or `?`.
    Parameter,
    /// MySQL's `@x` and `@@x`.
    Variable,
    /// An operator, or a single character of punctuation.
    Operator,
    /// `;`
    Semicolon,
}

/// A token's kind and where it stands, in the text and in the canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A text, read.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    pub(crate) tokens: Vec<Token>,
    pub(crate) canonical: String,
    /// A statement of MySQL carries an optimiser hint that sets variables or limits.
    pub(crate) setting_hint: bool,
}

/// The text is not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LexError {
    /// Servers differ on it or refuse it; what it is.
    Odd(&'static str),
    /// Over a limit.
    TooMuch,
}

impl From<LexError> for Misunderstanding {
    fn from(error: LexError) -> Self {
        match error {
            LexError::Odd(what) => Self::Lexical(what),
            LexError::TooMuch => Self::TooMuch,
        }
    }
}

/// Reads a text into `lexed`, whose memory is used again.
pub(crate) fn lex(
    text: &[u8],
    modes: &Modes,
    limits: &Limits,
    lexed: &mut Lexed,
) -> Result<(), LexError> {
    lexed.tokens.clear();
    lexed.canonical.clear();
    lexed.setting_hint = false;
    if text.len() > limits.text_bytes || u32::try_from(text.len()).is_err() {
        return Err(LexError::TooMuch);
    }
    check_bytes(text, modes.charset)?;
    let sink = Sink::new(lexed, modes, limits);
    if modes.dialect.is_mysql_like() {
        mysql::lex(text, modes, sink)
    } else {
        postgres::lex(text, modes, sink)
    }
}

fn check_bytes(text: &[u8], charset: Charset) -> Result<(), LexError> {
    if memchr::memchr(0, text).is_some() {
        return Err(LexError::Odd("NUL byte"));
    }
    match charset {
        Charset::Utf8 if std::str::from_utf8(text).is_err() => {
            Err(LexError::Odd("byte that is not UTF-8"))
        }
        Charset::Opaque if !text.is_ascii() => {
            Err(LexError::Odd("byte of a character set that can hide a quote"))
        }
        _ => Ok(()),
    }
}

impl Lexed {
    /// The canonical text of a token.
    pub(crate) fn text(&self, token: Token) -> &str {
        self.canonical.get(token.from as usize..token.to as usize).unwrap_or_default()
    }
}
