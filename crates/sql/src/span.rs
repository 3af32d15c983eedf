//! A statement's tokens, or a part of them.
//!
//! In: tokens of one statement. Out: questions about words by their place. An unquoted word right
//! behind a dot is a name, never a keyword.

use crate::lexer::{Kind, Lexed, Token};

/// Tokens that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    lexed: &'a Lexed,
    tokens: &'a [Token],
}

impl<'a> Span<'a> {
    pub(crate) fn new(lexed: &'a Lexed, tokens: &'a [Token]) -> Self {
        Self { lexed, tokens }
    }

    pub(crate) fn len(self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn token(self, place: usize) -> Option<Token> {
        self.tokens.get(place).copied()
    }

    /// The canonical text of a token; empty outside.
    pub(crate) fn text(self, place: usize) -> &'a str {
        self.tokens.get(place).map_or("", |token| self.lexed.text(*token))
    }

    pub(crate) fn kind(self, place: usize) -> Option<Kind> {
        self.tokens.get(place).map(|token| token.kind)
    }

    /// The canonical text of all.
    pub(crate) fn canonical(self) -> &'a str {
        let (Some(first), Some(last)) = (self.tokens.first(), self.tokens.last()) else {
            return "";
        };
        self.lexed.canonical.get(first.from as usize..last.to as usize).unwrap_or_default()
    }

    /// From a place to the end.
    pub(crate) fn from(self, place: usize) -> Self {
        Self { lexed: self.lexed, tokens: self.tokens.get(place..).unwrap_or_default() }
    }

    /// From a place up to another.
    pub(crate) fn between(self, place: usize, end: usize) -> Self {
        let tokens = self.tokens.get(place..end.max(place)).unwrap_or_default();
        Self { lexed: self.lexed, tokens }
    }

    /// Whether a keyword may stand here: an unquoted word, not behind a dot.
    pub(crate) fn is_bare(self, place: usize) -> bool {
        self.kind(place) == Some(Kind::Word) && (place == 0 || self.text(place - 1) != ".")
    }

    /// Whether this keyword, in lower case, stands here.
    pub(crate) fn is(self, place: usize, keyword: &str) -> bool {
        self.is_bare(place) && self.text(place).eq_ignore_ascii_case(keyword)
    }

    /// Whether one of these keywords stands here.
    pub(crate) fn is_one(self, place: usize, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(place, keyword))
    }

    /// Whether these keywords stand here, one after the other.
    pub(crate) fn are(self, place: usize, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(further, keyword)| self.is(place + further, keyword))
    }

    /// Whether this operator or punctuation stands here.
    pub(crate) fn is_sign(self, place: usize, sign: &str) -> bool {
        self.kind(place) == Some(Kind::Operator) && self.text(place) == sign
    }

    /// Whether the keyword stands anywhere.
    pub(crate) fn has(self, keyword: &str) -> bool {
        (0..self.len()).any(|place| self.is(place, keyword))
    }

    /// Whether the keywords stand anywhere, one after the other.
    pub(crate) fn has_all(self, keywords: &[&str]) -> bool {
        (0..self.len()).any(|place| self.are(place, keywords))
    }

    /// The place of the first of these keywords that is in no bracket.
    pub(crate) fn outer(self, keywords: &[&str]) -> Option<usize> {
        let mut depth = 0_usize;
        for place in 0..self.len() {
            if self.is_sign(place, "(") {
                depth += 1;
            } else if self.is_sign(place, ")") {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && self.is_one(place, keywords) {
                return Some(place);
            }
        }
        None
    }

    /// The place of the bracket that closes the one at `open`.
    pub(crate) fn closing(self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for place in open..self.len() {
            if self.is_sign(place, "(") {
                depth += 1;
            } else if self.is_sign(place, ")") {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(place);
                }
            }
        }
        None
    }

    /// The name at a place as the server reads it: unquoted and folded.
    pub(crate) fn name(self, place: usize) -> Option<String> {
        match self.kind(place)? {
            Kind::Word => Some(self.text(place).to_owned()),
            Kind::Quoted => Some(unquoted(self.text(place))),
            _ => None,
        }
    }
}

/// A canonical quoted name without its quotes.
fn unquoted(text: &str) -> String {
    let mut characters = text.chars();
    let Some(quote) = characters.next() else { return String::new() };
    characters.next_back();
    let mut name = String::with_capacity(text.len());
    let mut escaped = false;
    for character in characters {
        if character == quote && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        name.push(character);
    }
    name
}
