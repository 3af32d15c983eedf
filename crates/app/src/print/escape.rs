//! Makes text from elsewhere safe to print: control characters and characters that reorder text
//! become visible escapes, so that nobody's reason for a request moves the reader's cursor or
//! hides half of a line.

/// One line: line ends are escaped too.
pub(crate) fn line(text: &str) -> String {
    escaped(text, false)
}

/// Several lines: line ends stay, everything else that is not text is escaped.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, true)
}

fn escaped(text: &str, keep_line_ends: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let keep = (c == '\n' && keep_line_ends) || !(c.is_control() || reorders(c));
        match c {
            _ if keep => out.push(c),
            '\n' | '\r' | '\t' => out.extend(c.escape_debug()),
            _ => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// Bidirectional controls and other invisible characters (Unicode Technical Report 36, 3.1):
/// they make a text read differently from what it is.
fn reorders(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_and_reordering_become_visible() {
        assert_eq!(line("a\u{1b}]52;c;x\u{7}\n"), "a\\u{1b}]52;c;x\\u{7}\\n");
        assert_eq!(lines("one\ntwo\r"), "one\ntwo\\r");
        assert_eq!(line("\u{202e}drowssap"), "\\u{202e}drowssap");
        assert_eq!(line("grüße 日本 €"), "grüße 日本 €");
    }

    proptest! {
        #[test]
        fn no_control_character_ever_survives(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(|c| c.is_control() || reorders(c)));
            prop_assert!(!lines(&text).chars().any(|c| c != '\n' && (c.is_control() || reorders(c))));
        }
    }
}
