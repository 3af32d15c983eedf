//! Tokens into canonical text.
//!
//! In: tokens with their bytes, from the lexers. Out: the token list and the canonical text of
//! [`Lexed`]. Folds names, replaces literals and shortens lists of literals after `IN`; knows
//! nothing of quotes and comments.

use super::{Kind, LexError, Lexed, Token};
use crate::limits::Limits;
use crate::modes::{Charset, Modes};

/// Longest name PostgreSQL keeps, in bytes; the rest is cut (`NAMEDATALEN` - 1).
const LONGEST_POSTGRES_NAME: usize = 63;
/// Numbers below this keep their value behind `BY`: a place in the list of results.
const PLACES: usize = 3;

/// Takes tokens from a lexer.
pub(crate) struct Sink<'a> {
    lexed: &'a mut Lexed,
    mysql: bool,
    charset: Charset,
    most_tokens: usize,
    /// Where the tokens of this statement begin.
    statement: usize,
    after_by: bool,
}

impl<'a> Sink<'a> {
    pub(super) fn new(lexed: &'a mut Lexed, modes: &Modes, limits: &Limits) -> Self {
        Self {
            lexed,
            mysql: modes.dialect.is_mysql_like(),
            charset: modes.charset,
            most_tokens: limits.tokens,
            statement: 0,
            after_by: false,
        }
    }

    /// The last token and its canonical text.
    pub(super) fn last(&self) -> Option<(Token, &str)> {
        let token = *self.lexed.tokens.last()?;
        (self.lexed.tokens.len() > self.statement).then(|| (token, self.lexed.text(token)))
    }

    /// Notes an optimiser hint that changes settings.
    pub(super) fn setting_hint(&mut self) {
        self.lexed.setting_hint = true;
    }

    /// An unquoted name or keyword; `bytes` are its own.
    pub(super) fn word(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<(), LexError> {
        let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let digit_first = bytes.first().is_some_and(u8::is_ascii_digit);
        if !plain || digit_first {
            let folded = if self.mysql { bytes.to_vec() } else { bytes.to_ascii_lowercase() };
            return self.quoted(&folded, start, end);
        }
        let bytes = if self.mysql { bytes } else { cut(bytes) };
        let from = self.open(false);
        for byte in bytes {
            let byte = if self.mysql { *byte } else { byte.to_ascii_lowercase() };
            self.lexed.canonical.push(char::from(byte));
        }
        let word = self.lexed.canonical.get(from..).unwrap_or_default();
        self.after_by = match word.len() {
            2 if word.eq_ignore_ascii_case("by") => true,
            3..=5 => {
                self.after_by
                    && ["asc", "desc", "nulls", "first", "last"]
                        .iter()
                        .any(|allowed| word.eq_ignore_ascii_case(allowed))
            }
            _ => false,
        };
        self.close(Kind::Word, from, start, end)
    }

    /// A quoted name; `name` is what the quotes hold, doubled quotes already made single.
    pub(super) fn quoted(&mut self, name: &[u8], start: usize, end: usize) -> Result<(), LexError> {
        if name.is_empty() {
            return Err(LexError::Odd("name without a character"));
        }
        let name = if self.mysql { name } else { cut(name) };
        let quote = if self.mysql { '`' } else { '"' };
        let from = self.open(false);
        self.lexed.canonical.push(quote);
        self.push_name(name, quote);
        self.lexed.canonical.push(quote);
        self.close(Kind::Quoted, from, start, end)
    }

    fn push_name(&mut self, name: &[u8], quote: char) {
        let mut push = |character: char| {
            if character == quote {
                self.lexed.canonical.push(quote);
            }
            self.lexed.canonical.push(character);
        };
        match (self.charset, std::str::from_utf8(name)) {
            (Charset::Utf8, Ok(name)) => name.chars().for_each(&mut push),
            // One character for each byte: different names stay different.
            _ => name.iter().map(|byte| char::from(*byte)).for_each(&mut push),
        }
    }

    /// A string literal of any kind; `bytes` are its own, quotes included. In a `SET` a simple one
    /// keeps its value, because there the value can decide the class.
    pub(super) fn literal(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Result<(), LexError> {
        if self.mysql && self.last().is_some_and(|(last, _)| last.kind == Kind::Text) {
            // 'a' 'b' is 'ab'.
            self.extend(end);
            return Ok(());
        }
        match simple_value(bytes) {
            Some(value) if self.is_set() => {
                let value = format!("'{value}'");
                self.push(&value, Kind::Text, start, end)
            }
            _ => self.value("'s'", Kind::Text, start, end),
        }
    }

    fn is_set(&self) -> bool {
        self.lexed.tokens.get(self.statement).is_some_and(|first| {
            first.kind == Kind::Word && self.lexed.text(*first).eq_ignore_ascii_case("set")
        })
    }

    /// A number literal; `bytes` are its own.
    pub(super) fn number(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Result<(), LexError> {
        let place = self.after_by && bytes.len() < PLACES && bytes.iter().all(u8::is_ascii_digit);
        match std::str::from_utf8(bytes) {
            Ok(digits) if place => self.push(digits, Kind::Number, start, end),
            _ => self.value("0", Kind::Number, start, end),
        }
    }

    /// A literal. In `in (1, 2, 3)` all but the first are left out.
    fn value(&mut self, text: &str, kind: Kind, start: usize, end: usize) -> Result<(), LexError> {
        if self.is_further_in_list(kind) {
            // The comma before it goes too; the first literal stands for all.
            if let Some(comma) = self.lexed.tokens.pop() {
                self.lexed.canonical.truncate(comma.from as usize);
            }
            self.extend(end);
            return Ok(());
        }
        self.push(text, kind, start, end)
    }

    /// Whether the tokens so far end in `in ( LITERAL ,` with a literal of the same kind.
    fn is_further_in_list(&self, kind: Kind) -> bool {
        let own = self.lexed.tokens.get(self.statement..).unwrap_or_default();
        let [.., in_word, open, first, comma] = own else { return false };
        first.kind == kind
            && self.lexed.text(*comma) == ","
            && self.lexed.text(*open) == "("
            && in_word.kind == Kind::Word
            && self.lexed.text(*in_word).eq_ignore_ascii_case("in")
    }

    /// A parameter, variable, operator or punctuation, as it stands.
    pub(super) fn push(
        &mut self,
        text: &str,
        kind: Kind,
        start: usize,
        end: usize,
    ) -> Result<(), LexError> {
        let tight = matches!(text, "." | "," | ")" | "]" | "::" | "[");
        let from = self.open(tight && kind == Kind::Operator);
        self.lexed.canonical.push_str(text);
        if text == "(" || text == ")" {
            self.after_by = false;
        }
        self.close(kind, from, start, end)?;
        if kind == Kind::Semicolon {
            self.statement = self.lexed.tokens.len();
            self.after_by = false;
        }
        Ok(())
    }

    /// A space where one belongs; where the next token begins.
    fn open(&mut self, tight: bool) -> usize {
        let space = match self.last() {
            None => false,
            Some((last, text)) => {
                let glued = last.kind == Kind::Operator && matches!(text, "." | "(" | "[" | "::");
                !tight && !glued
            }
        };
        if space {
            self.lexed.canonical.push(' ');
        }
        self.lexed.canonical.len()
    }

    fn close(&mut self, kind: Kind, from: usize, start: usize, end: usize) -> Result<(), LexError> {
        if self.lexed.tokens.len() - self.statement >= self.most_tokens {
            return Err(LexError::TooMuch);
        }
        let place = |place: usize| u32::try_from(place).map_err(|_| LexError::TooMuch);
        self.lexed.tokens.push(Token {
            kind,
            start: place(start)?,
            end: place(end)?,
            from: place(from)?,
            to: place(self.lexed.canonical.len())?,
        });
        Ok(())
    }

    /// The last token reaches to `end`.
    fn extend(&mut self, end: usize) {
        if let (Some(last), Ok(end)) = (self.lexed.tokens.last_mut(), u32::try_from(end)) {
            last.end = end;
        }
    }
}

/// What a literal without escapes and line breaks says, when it is short.
fn simple_value(bytes: &[u8]) -> Option<&str> {
    let (b'\'' | b'"', rest) = bytes.split_first()? else { return None };
    let (b'\'' | b'"', value) = rest.split_last()? else { return None };
    let is_simple = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+,./: ".contains(byte);
    if value.len() > LONGEST_POSTGRES_NAME || !value.iter().all(is_simple) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

/// The part of a name PostgreSQL keeps, cut between characters.
fn cut(name: &[u8]) -> &[u8] {
    let mut length = name.len().min(LONGEST_POSTGRES_NAME);
    if length < name.len() {
        while length > 0 && name.get(length).is_some_and(|byte| byte & 0xc0 == 0x80) {
            length -= 1;
        }
    }
    name.get(..length).unwrap_or_default()
}
