//! One file of resources: its name, its text, and where its lines and documents begin.
//!
//! In: a file name and its text. Out: lines by number, and the documents between `---` markers,
//! each with the line it begins on, so that a document that cannot be parsed does not hide the
//! problems of the others. Knows nothing of what a document says.

use std::ops::Range;

/// Largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Most files in one call.
pub const MAX_FILES: usize = 1000;
/// Largest sum of all files, in bytes.
pub const MAX_TOTAL_BYTES: usize = 16 * 1024 * 1024;
/// Most documents in one call, over all files.
pub const MAX_DOCUMENTS: usize = 10_000;

/// A place in a file: line and column in characters, both from 1, and how many characters a
/// caret line marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) width: u32,
}

/// A file as it was given.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    lines: Vec<Range<usize>>,
}

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'s> {
    /// Lines of the file before this document.
    pub(crate) lines_before: u32,
    /// Its text, the `---` line included.
    pub(crate) text: &'s str,
}

impl Source {
    /// Takes a file; a byte order mark at its beginning is dropped.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { name: name.to_owned(), text: text.to_owned(), lines: line_ranges(text) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A line by its number from 1, without its line break; empty where there is none.
    pub(crate) fn line(&self, number: u32) -> &str {
        let index = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        self.lines.get(index).and_then(|range| self.text.get(range.clone())).unwrap_or("")
    }

    /// The documents that say anything, in order. A line that begins with `---` or `...` always
    /// ends what came before it, inside block scalars too (YAML 1.2.2 section 9.1.2).
    pub(crate) fn documents(&self) -> Vec<Chunk<'_>> {
        let mut chunks = Vec::new();
        let mut begins: (usize, u32) = (0, 0);
        let mut says = false;
        let mut number: u32 = 0;
        for range in &self.lines {
            let line = self.text.get(range.clone()).unwrap_or("");
            let marker = is_marker(line, "---") || is_marker(line, "...");
            if marker {
                self.push(&mut chunks, says, begins, range.start);
                begins = (range.start, number);
                says = false;
            }
            says |= says_something(line, marker);
            number = number.saturating_add(1);
        }
        self.push(&mut chunks, says, begins, self.text.len());
        chunks
    }

    fn push<'s>(
        &'s self,
        chunks: &mut Vec<Chunk<'s>>,
        says: bool,
        begins: (usize, u32),
        end: usize,
    ) {
        let text = self.text.get(begins.0..end).unwrap_or("");
        // A bare `...` would make the parser see an empty document before the next one.
        let text = match text.strip_prefix("...").map(|rest| (rest, rest.find(['\n', '\r']))) {
            Some((rest, Some(at))) if rest.get(..at).is_some_and(|end| end.trim().is_empty()) => {
                rest.get(at..).unwrap_or("")
            }
            _ => text,
        };
        if says {
            chunks.push(Chunk { lines_before: begins.1, text });
        }
    }
}

/// `marker` at the beginning of a line, alone or followed by white space.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn says_something(line: &str, marker: bool) -> bool {
    let content = if marker { line.get(3..).unwrap_or("") } else { line };
    let content = content.trim_matches([' ', '\t']);
    !content.is_empty() && !content.starts_with('#')
}

/// Lines end with LF, CR LF or CR, as in YAML (1.2.2 section 5.4).
fn line_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut begin = 0;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'\n' && byte != b'\r' {
            continue;
        }
        ranges.push(begin..at);
        begin = at + 1;
        if byte == b'\r' && bytes.peek().is_some_and(|(_, next)| *next == b'\n') {
            bytes.next();
            begin = at + 2;
        }
    }
    ranges.push(begin..text.len());
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<(u32, String)> {
        let source = Source::new("f", text);
        source.documents().into_iter().map(|c| (c.lines_before, c.text.to_owned())).collect()
    }

    #[test]
    fn documents_are_split_at_markers_and_know_the_line_they_begin_on() {
        let found = documents("a: 1\n---\nb: 2\n--- \nc: 3\n");
        assert_eq!(
            found,
            [(0, "a: 1\n".into()), (1, "---\nb: 2\n".into()), (3, "--- \nc: 3\n".into())]
        );
    }

    #[test]
    fn documents_that_say_nothing_are_left_out() {
        assert_eq!(documents("# only a comment\n---\n\n---   \n# more\n"), []);
        assert_eq!(documents(""), []);
        assert_eq!(documents("a: 1\n...\n# end\n").len(), 1);
    }

    #[test]
    fn a_document_may_follow_the_end_marker_without_a_begin_marker() {
        assert_eq!(documents("a: 1\n...\nb: 2\n"), [(0, "a: 1\n".into()), (1, "\nb: 2\n".into())]);
    }

    #[test]
    fn dashes_inside_a_line_or_longer_than_three_do_not_split() {
        assert_eq!(documents("a: ---\n----\n ---\n").len(), 1);
    }

    #[test]
    fn lines_end_with_any_line_break_of_yaml() {
        let source = Source::new("f", "\u{feff}a\r\nb\rc\nd");
        assert_eq!([1, 2, 3, 4, 5, 0].map(|n| source.line(n)), ["a", "b", "c", "d", "", ""]);
    }
}
