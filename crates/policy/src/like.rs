//! Text of people inside Cedar: string literals and `like` patterns, escaped so that no name,
//! label, command or path can change the structure of a policy.

use std::fmt::Write as _;

/// A Cedar string literal, quotes included. Everything but printable ASCII is written as an
/// escape, so that what a reviewer reads is what is compared.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_literal(&mut out, c);
    }
    out.push('"');
    out
}

/// A Cedar `like` pattern, quotes included, in which `*` stands for any text and everything
/// else for itself. A run of `*` is written once: it means the same and matches faster.
pub(crate) fn pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut star = false;
    for c in text.chars() {
        if c == '*' {
            if !star {
                out.push('*');
            }
            star = true;
        } else {
            star = false;
            push_literal(&mut out, c);
        }
    }
    out.push('"');
    out
}

/// Whether a pattern matches every text, so that it restricts nothing.
pub(crate) fn matches_everything(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.chars().all(|c| c == '*')
}

fn push_literal(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        ' '..='~' => out.push(c),
        _ => drop(write!(out, "{}", c.escape_unicode())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_invisible_characters_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{202e}é*"), r#""a\"b\\c\u{a}\u{202e}\u{e9}*""#);
        assert_eq!(pattern("a\"**b*"), r#""a\"*b*""#);
    }

    #[test]
    fn only_stars_alone_match_everything() {
        assert!(matches_everything("*") && matches_everything("**"));
        assert!(!matches_everything("") && !matches_everything("a*"));
    }
}
