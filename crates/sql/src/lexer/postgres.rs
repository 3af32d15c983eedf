//! PostgreSQL's lexer: the rules of its `scan.l`, from "SQL Syntax, Lexical Structure".
//!
//! In: bytes without NUL. Out: tokens into the [`Sink`]. What PostgreSQL 12 to 18 read
//! differently (junk behind a number, Unicode-escaped names) is refused.

use super::cursor::Cursor;
use super::{Kind, LexError, Sink};
use crate::modes::Modes;

/// What may stand in an operator (`op_chars`).
const OPERATOR: &[u8] = b"~!@#^&|`?+-*/%<>=";
/// What must stand in an operator of several characters that ends in `+` or `-`.
const OPERATOR_KEEPS_SIGN: &[u8] = b"~!@#^&|`?%";
/// Longest tag of a dollar quote, as long as a name may be.
const LONGEST_TAG: usize = 63;

pub(super) fn lex(text: &[u8], modes: &Modes, mut sink: Sink<'_>) -> Result<(), LexError> {
    let mut cursor = Cursor::new(text);
    while !cursor.is_done() {
        token(&mut cursor, modes, &mut sink)?;
    }
    Ok(())
}

fn token(cursor: &mut Cursor<'_>, modes: &Modes, sink: &mut Sink<'_>) -> Result<(), LexError> {
    let start = cursor.place();
    let first = cursor.here();
    match first {
        _ if is_space(first) => cursor.skip_while(is_space),
        b'-' if cursor.ahead(1) == b'-' => line_comment(cursor),
        b'/' if cursor.ahead(1) == b'*' => block_comment(cursor)?,
        b'\'' => {
            let escapes = !modes.standard_conforming_strings;
            return string(cursor, 1, escapes, sink);
        }
        b'e' | b'E' if cursor.ahead(1) == b'\'' => return string(cursor, 2, true, sink),
        b'b' | b'B' | b'x' | b'X' if cursor.ahead(1) == b'\'' => {
            return string(cursor, 2, false, sink);
        }
        b'n' | b'N' if cursor.ahead(1) == b'\'' => {
            // `N'...'` is the keyword `nchar` and then a plain string.
            return string(cursor, 2, !modes.standard_conforming_strings, sink);
        }
        b'u' | b'U' if cursor.ahead(1) == b'&' && cursor.ahead(2) == b'\'' => {
            if !modes.standard_conforming_strings {
                return Err(LexError::Odd("Unicode-escaped string"));
            }
            return string(cursor, 3, false, sink);
        }
        b'u' | b'U' if cursor.ahead(1) == b'&' && cursor.ahead(2) == b'"' => {
            return Err(LexError::Odd("Unicode-escaped name"));
        }
        b'"' => return quoted_name(cursor, sink),
        b'$' => return dollar(cursor, sink),
        _ if is_name_start(first) => {
            cursor.skip_while(is_name_part);
            return sink.word(cursor.since(start), start, cursor.place());
        }
        b'0'..=b'9' => return number(cursor, sink),
        b'.' if cursor.ahead(1).is_ascii_digit() => return number(cursor, sink),
        b'.' if cursor.ahead(1) == b'.' => return Err(LexError::Odd("pair of dots")),
        b':' if matches!(cursor.ahead(1), b':' | b'=') => {
            let text = if cursor.ahead(1) == b':' { "::" } else { ":=" };
            cursor.skip(2);
            return sink.push(text, Kind::Operator, start, cursor.place());
        }
        b';' => {
            cursor.skip(1);
            return sink.push(";", Kind::Semicolon, start, cursor.place());
        }
        b',' | b'(' | b')' | b'[' | b']' | b'.' | b':' => {
            cursor.skip(1);
            let text = std::str::from_utf8(cursor.since(start)).unwrap_or_default();
            return sink.push(text, Kind::Operator, start, cursor.place());
        }
        _ if OPERATOR.contains(&first) => return operator(cursor, sink),
        _ => return Err(LexError::Odd("character no token begins with")),
    }
    Ok(())
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// To the end of the line, which a carriage return alone ends too.
fn line_comment(cursor: &mut Cursor<'_>) {
    cursor.find(b'\n', b'\r');
}

/// Block comments nest.
fn block_comment(cursor: &mut Cursor<'_>) -> Result<(), LexError> {
    let mut depth = 0_usize;
    loop {
        if cursor.starts_with(b"/*") {
            depth += 1;
            cursor.skip(2);
        } else if cursor.starts_with(b"*/") {
            depth -= 1;
            cursor.skip(2);
            if depth == 0 {
                return Ok(());
            }
        } else if cursor.is_done() {
            return Err(LexError::Odd("comment without an end"));
        } else {
            cursor.skip(1);
            cursor.find(b'/', b'*');
        }
    }
}

/// A string whose first quote is the last of its `opening` bytes, and what continues it: another
/// string behind white space with a line break belongs to it and is read like its first part.
fn string(
    cursor: &mut Cursor<'_>,
    opening: usize,
    escapes: bool,
    sink: &mut Sink<'_>,
) -> Result<(), LexError> {
    let start = cursor.place();
    cursor.skip(opening);
    loop {
        string_body(cursor, escapes)?;
        let mut after = *cursor;
        if !continues(&mut after) {
            return sink.literal(cursor.since(start), start, cursor.place());
        }
        *cursor = after;
    }
}

fn string_body(cursor: &mut Cursor<'_>, escapes: bool) -> Result<(), LexError> {
    loop {
        if !cursor.find(b'\'', if escapes { b'\\' } else { b'\'' }) {
            return Err(LexError::Odd("string without an end"));
        }
        if cursor.here() == b'\\' || cursor.ahead(1) == b'\'' {
            // An escaped character, or a doubled quote.
            cursor.skip(2);
        } else {
            cursor.skip(1);
            return Ok(());
        }
    }
}

/// Whether white space with a line break, in which there may be line comments, and a quote
/// follow; the cursor is then behind the quote.
fn continues(cursor: &mut Cursor<'_>) -> bool {
    let mut broken = false;
    loop {
        match cursor.here() {
            b'\n' | b'\r' => {
                broken = true;
                cursor.skip(1);
            }
            byte if is_space(byte) => cursor.skip(1),
            b'-' if cursor.ahead(1) == b'-' => line_comment(cursor),
            b'\'' if broken => {
                cursor.skip(1);
                return true;
            }
            _ => return false,
        }
    }
}

fn quoted_name(cursor: &mut Cursor<'_>, sink: &mut Sink<'_>) -> Result<(), LexError> {
    let start = cursor.place();
    cursor.skip(1);
    let mut name = Vec::new();
    loop {
        let from = cursor.place();
        if !cursor.find(b'"', b'"') {
            return Err(LexError::Odd("quoted name without an end"));
        }
        name.extend_from_slice(cursor.since(from));
        cursor.skip(1);
        if cursor.here() != b'"' {
            return sink.quoted(&name, start, cursor.place());
        }
        name.push(b'"');
        cursor.skip(1);
    }
}

/// `$1`, or `$tag$ ... $tag$`.
fn dollar(cursor: &mut Cursor<'_>, sink: &mut Sink<'_>) -> Result<(), LexError> {
    let start = cursor.place();
    cursor.skip(1);
    if cursor.here().is_ascii_digit() {
        cursor.skip_while(|byte| byte.is_ascii_digit());
        if is_name_part(cursor.here()) {
            return Err(LexError::Odd("character behind a parameter"));
        }
        let text = std::str::from_utf8(cursor.since(start)).unwrap_or_default();
        return sink.push(text, Kind::Parameter, start, cursor.place());
    }
    cursor.skip_while(|byte| is_name_part(byte) && byte != b'$');
    let tag = cursor.since(start);
    if cursor.here() != b'$' || tag.len() > LONGEST_TAG {
        return Err(LexError::Odd("dollar sign that begins nothing"));
    }
    cursor.skip(1);
    let delimiter = cursor.since(start);
    if !cursor.find_text(delimiter) {
        return Err(LexError::Odd("dollar-quoted string without an end"));
    }
    sink.literal(cursor.since(start), start, cursor.place())
}

fn number(cursor: &mut Cursor<'_>, sink: &mut Sink<'_>) -> Result<(), LexError> {
    let start = cursor.place();
    let based: Option<fn(u8) -> bool> = match (cursor.here(), cursor.ahead(1)) {
        (b'0', b'x' | b'X') => Some(|byte| byte.is_ascii_hexdigit() || byte == b'_'),
        (b'0', b'o' | b'O' | b'b' | b'B') => Some(|byte| byte.is_ascii_digit() || byte == b'_'),
        _ => None,
    };
    if let Some(is_digit) = based {
        cursor.skip(2);
        cursor.skip_while(is_digit);
    } else {
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        cursor.skip_while(is_digit);
        if cursor.here() == b'.' {
            if cursor.ahead(1) == b'.' {
                return Err(LexError::Odd("pair of dots"));
            }
            cursor.skip(1);
            cursor.skip_while(is_digit);
        }
        if matches!(cursor.here(), b'e' | b'E') {
            let sign = usize::from(matches!(cursor.ahead(1), b'+' | b'-'));
            if cursor.ahead(1 + sign).is_ascii_digit() {
                cursor.skip(1 + sign);
                cursor.skip_while(is_digit);
            }
        }
    }
    // Before version 15, `1e'...'` was a number and an escape string; since then it is an error.
    if is_name_part(cursor.here()) || matches!(cursor.here(), b'\'' | b'"') {
        return Err(LexError::Odd("character behind a number"));
    }
    sink.number(cursor.since(start), start, cursor.place())
}

/// The longest run of operator characters, cut where a comment begins, and without trailing
/// signs unless another character allows them.
fn operator(cursor: &mut Cursor<'_>, sink: &mut Sink<'_>) -> Result<(), LexError> {
    let start = cursor.place();
    cursor.skip(1);
    while OPERATOR.contains(&cursor.here())
        && !cursor.is_done()
        && !cursor.starts_with(b"--")
        && !cursor.starts_with(b"/*")
    {
        cursor.skip(1);
    }
    // `+--`: the comment begins at the first of two dashes, also when the run's first is a dash.
    let mut length = cursor.since(start).len();
    let run = cursor.since(start);
    let keeps = |bytes: &[u8]| bytes.iter().any(|byte| OPERATOR_KEEPS_SIGN.contains(byte));
    while length > 1 {
        let (last, before) = match run.get(..length).and_then(<[u8]>::split_last) {
            Some(parts) => parts,
            None => break,
        };
        if !matches!(last, b'+' | b'-') || keeps(before) {
            break;
        }
        length -= 1;
    }
    cursor.go_to(start + length);
    let text = std::str::from_utf8(cursor.since(start)).unwrap_or_default();
    let text = if text == "!=" { "<>" } else { text };
    sink.push(text, Kind::Operator, start, cursor.place())
}
