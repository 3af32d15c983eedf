//! The lexer of MySQL and MariaDB: the manual's "Literal Values", "Schema Object Names" and
//! "Comments", and what their `sql_lex.cc` does beyond.
//!
//! In: bytes without NUL. Out: tokens into the [`Sink`]. What executable comments hold is read
//! when the server of this version executes it; a comment whose end depends on whether it is
//! executed is refused.

use super::cursor::Cursor;
use super::{Kind, LexError, Sink};
use crate::modes::{Dialect, Modes};

/// Every server this crate speaks of executes comments up to this version (MySQL 5.0).
const EXECUTED_EVERYWHERE: u32 = 50_000;
/// MariaDB skips comments of MySQL versions its own numbers do not reach.
const SKIPPED_BY_MARIADB: std::ops::RangeInclusive<u32> = 50_700..=99_999;

struct Lexer<'a, 's> {
    cursor: Cursor<'a>,
    modes: &'a Modes,
    sink: Sink<'s>,
    /// In the content of a comment that is executed.
    executing: bool,
}

pub(super) fn lex(text: &[u8], modes: &Modes, sink: Sink<'_>) -> Result<(), LexError> {
    let mut lexer = Lexer { cursor: Cursor::new(text), modes, sink, executing: false };
    while !lexer.cursor.is_done() {
        lexer.token()?;
    }
    if lexer.executing { Err(LexError::Odd("executable comment without an end")) } else { Ok(()) }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

impl Lexer<'_, '_> {
    fn token(&mut self) -> Result<(), LexError> {
        let start = self.cursor.place();
        let (first, second) = (self.cursor.here(), self.cursor.ahead(1));
        match first {
            _ if is_space(first) => {
                self.cursor.skip_while(is_space);
                Ok(())
            }
            b'#' => self.line_comment(),
            b'-' if second == b'-' && self.dashes_begin_comment() => self.line_comment(),
            b'/' if second == b'*' => self.block_comment(),
            b'*' if second == b'/' => self.end_of_executable(),
            b'\'' => self.string(0, true),
            b'"' if self.modes.ansi_quotes => self.quoted_name(b'"'),
            b'"' => self.string(0, true),
            b'`' => self.quoted_name(b'`'),
            b'x' | b'X' | b'b' | b'B' if second == b'\'' => self.string(1, false),
            b'n' | b'N' if second == b'\'' => self.string(1, true),
            b'@' => self.variable(),
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() && !self.is_behind_name() => self.number(),
            b'.' => {
                self.cursor.skip(1);
                self.sink.push(".", Kind::Operator, start, start + 1)?;
                // Behind a dot everything is a name, also what begins with a digit.
                if self.cursor.here().is_ascii_digit() { self.word() } else { Ok(()) }
            }
            b'?' => {
                self.cursor.skip(1);
                self.sink.push("?", Kind::Parameter, start, start + 1)
            }
            b';' => {
                if self.executing {
                    return Err(LexError::Odd("semicolon in an executable comment"));
                }
                self.cursor.skip(1);
                self.sink.push(";", Kind::Semicolon, start, start + 1)
            }
            b'\\' if second == b'N' && !is_name_part(self.cursor.ahead(2)) => {
                self.cursor.skip(2);
                self.sink.push("null", Kind::Word, start, start + 2)
            }
            _ if is_name_part(first) => self.word(),
            _ => self.operator(),
        }
    }

    /// Two dashes begin a comment only before white space, a control character or the end.
    fn dashes_begin_comment(&self) -> bool {
        let third = self.cursor.ahead(2);
        is_space(third) || third.is_ascii_control()
    }

    fn line_comment(&mut self) -> Result<(), LexError> {
        if self.executing {
            return Err(LexError::Odd("line comment in an executable comment"));
        }
        self.cursor.find(b'\n', b'\n');
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), LexError> {
        if self.executing {
            return Err(LexError::Odd("comment in an executable comment"));
        }
        let mariadb_only = matches!(self.cursor.ahead(2), b'M') && self.cursor.ahead(3) == b'!';
        if self.cursor.ahead(2) == b'!' {
            return self.executable(3);
        }
        if mariadb_only && self.modes.dialect == Dialect::MariaDb {
            return self.executable(4);
        }
        let is_hint = self.cursor.ahead(2) == b'+';
        self.cursor.skip(2);
        let start = self.cursor.place();
        if !self.cursor.find_text(b"*/") {
            return Err(LexError::Odd("comment without an end"));
        }
        if is_hint {
            self.hint(start);
        }
        Ok(())
    }

    /// `/*+ SET_VAR(...) */` sets a variable, `MAX_EXECUTION_TIME(...)` a limit, for a statement.
    fn hint(&mut self, start: usize) {
        let text = self.cursor.since(start).to_ascii_lowercase();
        for setting in ["set_var", "max_execution_time", "resource_group"] {
            if memchr::memmem::find(&text, setting.as_bytes()).is_some() {
                self.sink.setting_hint();
            }
        }
    }

    /// `/*! ... */` and `/*!80100 ... */`, whose first bytes are skipped.
    fn executable(&mut self, opening: usize) -> Result<(), LexError> {
        self.cursor.skip(opening);
        let start = self.cursor.place();
        self.cursor.skip_while(|byte| byte.is_ascii_digit());
        let digits = std::str::from_utf8(self.cursor.since(start)).unwrap_or_default();
        let version = match digits.len() {
            0 => 0,
            5 | 6 if is_space(self.cursor.here()) => digits.parse().unwrap_or(u32::MAX),
            _ => return Err(LexError::Odd("version of an executable comment")),
        };
        if self.executes(version)? {
            self.executing = true;
            return Ok(());
        }
        let start = self.cursor.place();
        if !self.cursor.find_text(b"*/") {
            return Err(LexError::Odd("comment without an end"));
        }
        // MySQL nests comments in one that is not executed, MariaDB's versions differ.
        if memchr::memmem::find(self.cursor.since(start), b"/*").is_some() {
            return Err(LexError::Odd("comment in an executable comment"));
        }
        Ok(())
    }

    fn executes(&self, version: u32) -> Result<bool, LexError> {
        let server = self.modes.server_version;
        if version <= EXECUTED_EVERYWHERE {
            return Ok(true);
        }
        if server == 0 {
            return Err(LexError::Odd("executable comment, the server's version not being known"));
        }
        let skipped =
            self.modes.dialect == Dialect::MariaDb && SKIPPED_BY_MARIADB.contains(&version);
        Ok(version <= server && !skipped)
    }

    fn end_of_executable(&mut self) -> Result<(), LexError> {
        if self.executing {
            self.executing = false;
            self.cursor.skip(2);
            return Ok(());
        }
        self.operator()
    }

    /// A string whose quote stands behind `prefix` bytes.
    fn string(&mut self, prefix: usize, may_escape: bool) -> Result<(), LexError> {
        let start = self.cursor.place();
        self.cursor.skip(prefix);
        let quote = self.cursor.here();
        self.cursor.skip(1);
        let escapes = may_escape && !self.modes.no_backslash_escapes;
        loop {
            if !self.cursor.find(quote, if escapes { b'\\' } else { quote }) {
                return Err(LexError::Odd("string without an end"));
            }
            if self.cursor.here() == b'\\' || (self.cursor.ahead(1) == quote && may_escape) {
                self.cursor.skip(2);
            } else {
                self.cursor.skip(1);
                break;
            }
        }
        self.check_no_end_inside(start)?;
        self.sink.literal(self.cursor.since(start), start, self.cursor.place())
    }

    /// Where a comment ends must not depend on whether the server executes it.
    fn check_no_end_inside(&self, start: usize) -> Result<(), LexError> {
        let inside = self.cursor.since(start);
        if self.executing && memchr::memmem::find(inside, b"*/").is_some() {
            return Err(LexError::Odd("end of a comment in a string"));
        }
        Ok(())
    }

    fn quoted_name(&mut self, quote: u8) -> Result<(), LexError> {
        let start = self.cursor.place();
        self.cursor.skip(1);
        let name = self.until_quote(quote)?;
        self.check_no_end_inside(start)?;
        self.sink.quoted(&name, start, self.cursor.place())
    }

    fn until_quote(&mut self, quote: u8) -> Result<Vec<u8>, LexError> {
        let mut name = Vec::new();
        loop {
            let from = self.cursor.place();
            if !self.cursor.find(quote, quote) {
                return Err(LexError::Odd("quoted name without an end"));
            }
            name.extend_from_slice(self.cursor.since(from));
            self.cursor.skip(1);
            if self.cursor.here() != quote {
                return Ok(name);
            }
            name.push(quote);
            self.cursor.skip(1);
        }
    }

    fn word(&mut self) -> Result<(), LexError> {
        let start = self.cursor.place();
        self.cursor.skip_while(is_name_part);
        self.sink.word(self.cursor.since(start), start, self.cursor.place())
    }

    /// `@x`, `@'x'`, `@@x`, `@@global.x`; also the host of `user@host`.
    fn variable(&mut self) -> Result<(), LexError> {
        let start = self.cursor.place();
        self.cursor.skip(1);
        if self.cursor.here() == b'@' {
            self.cursor.skip(1);
            self.cursor.skip_while(|byte| is_name_part(byte) || byte == b'.');
            let name = self.cursor.since(start);
            let plain =
                |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@');
            let name =
                std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| plain(&b)));
            let name = name.ok_or(LexError::Odd("name of a variable"))?;
            return self.sink.push(name, Kind::Variable, start, self.cursor.place());
        }
        match self.cursor.here() {
            quote @ (b'`' | b'"' | b'\'') => {
                self.cursor.skip(1);
                let name = self.until_quote(quote)?;
                if name.contains(&b'\\') {
                    return Err(LexError::Odd("backslash in the name of a variable"));
                }
                self.check_no_end_inside(start)?;
            }
            _ => self.cursor.skip_while(|byte| is_name_part(byte) || byte == b'.'),
        }
        self.sink.push("@v", Kind::Variable, start, self.cursor.place())
    }

    fn is_behind_name(&self) -> bool {
        self.sink.last().is_some_and(|(last, _)| {
            matches!(last.kind, Kind::Word | Kind::Quoted)
                && last.end as usize == self.cursor.place()
        })
    }

    /// A number, or a name that begins with digits.
    fn number(&mut self) -> Result<(), LexError> {
        let start = self.cursor.place();
        let marker = self.cursor.ahead(1);
        if self.cursor.here() == b'0' && matches!(marker, b'x' | b'b') {
            self.cursor.skip(2);
            self.cursor.skip_while(|byte| byte.is_ascii_hexdigit());
            return self.end_of_number(start);
        }
        self.cursor.skip_while(|byte| byte.is_ascii_digit());
        let whole = self.cursor.place() > start;
        if whole && is_name_part(self.cursor.here()) && !self.exponent() {
            // `2fast` is a name. `1e5x` is a number and a name, which is refused below.
            self.cursor.skip_while(is_name_part);
            return self.sink.word(self.cursor.since(start), start, self.cursor.place());
        }
        if self.cursor.here() == b'.' {
            self.cursor.skip(1);
            self.cursor.skip_while(|byte| byte.is_ascii_digit());
            self.exponent();
        }
        self.end_of_number(start)
    }

    /// Goes behind an exponent; whether there is one.
    fn exponent(&mut self) -> bool {
        let sign = usize::from(matches!(self.cursor.ahead(1), b'+' | b'-'));
        let is_one = matches!(self.cursor.here(), b'e' | b'E')
            && self.cursor.ahead(1 + sign).is_ascii_digit();
        if is_one {
            self.cursor.skip(1 + sign);
            self.cursor.skip_while(|byte| byte.is_ascii_digit());
        }
        is_one
    }

    /// `1.e(` and its like are read in ways no manual describes.
    fn end_of_number(&mut self, start: usize) -> Result<(), LexError> {
        if is_name_part(self.cursor.here()) || self.cursor.here() == b'.' {
            return Err(LexError::Odd("character behind a number"));
        }
        self.sink.number(self.cursor.since(start), start, self.cursor.place())
    }

    fn operator(&mut self) -> Result<(), LexError> {
        const LONG: [&str; 12] =
            ["<=>", "->>", "<<", ">>", "<=", ">=", "<>", "!=", ":=", "&&", "||", "->"];
        const SHORT: &str = "+-*/%^&|~!<>=(),:{}[]";
        let start = self.cursor.place();
        let long = LONG.into_iter().find(|text| self.cursor.starts_with(text.as_bytes()));
        let first = self.cursor.here();
        let text = match long {
            Some(text) => text,
            None => {
                let place = SHORT.bytes().position(|byte| byte == first);
                let place = place.ok_or(LexError::Odd("character no token begins with"))?;
                SHORT.get(place..=place).unwrap_or_default()
            }
        };
        self.cursor.skip(text.len());
        self.sink.push(text, Kind::Operator, start, self.cursor.place())
    }
}
