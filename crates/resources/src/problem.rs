//! What is wrong with a resource, where, and what to do about it.
//!
//! A [`Problem`] prints like a compiler error. [`Problems`] collects them up to a bound. Text that
//! came from a file is escaped before it is shown, so a resource cannot write to a terminal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::{Position, Source};

/// Most problems reported at once; the last one says how many more there were.
pub const MAX_PROBLEMS: usize = 100;
/// Most characters of a line shown in a snippet.
const SNIPPET_CHARS: usize = 120;
/// Most characters of a value quoted in a message.
const QUOTED_CHARS: usize = 80;
/// Most characters of a parser's own message.
const CITED_CHARS: usize = 300;

/// One thing wrong with the resources given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file's name as it was given; empty where no file is at fault.
    pub file: String,
    /// Line from 1; 0 where the problem is not in a line.
    pub line: u32,
    /// Column in characters from 1; 0 where the problem is not in a line.
    pub column: u32,
    /// The offending line and, below it, a line with carets; control characters replaced.
    pub snippet: String,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it, where that can be said.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem at a place in a file.
    pub(crate) fn at(
        source: &Source,
        at: Position,
        message: String,
        suggestion: Option<String>,
    ) -> Self {
        Self {
            file: source.name().to_owned(),
            line: at.line,
            column: at.column,
            snippet: snippet(source.line(at.line), at),
            message,
            suggestion,
        }
    }

    /// A problem of a whole file, or of no file when `file` is empty.
    pub(crate) fn of_file(file: &str, message: String, suggestion: Option<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            snippet: String::new(),
            message,
            suggestion,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let gutter = if self.line == 0 { 1 } else { self.line.to_string().len() };
        if !self.file.is_empty() {
            let file: String = self.file.chars().map(shown).collect();
            write!(f, "\n{:gutter$}--> {file}", "")?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
        }
        if let Some((text, carets)) = self.snippet.split_once('\n') {
            write!(f, "\n{:gutter$} |\n{} | {text}\n{:gutter$} | {carets}", "", self.line, "")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{:gutter$} = help: {suggestion}", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The problems found so far, at most [`MAX_PROBLEMS`].
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    /// How many there were, those beyond the bound included.
    pub(crate) fn count(&self) -> usize {
        self.list.len().saturating_add(self.dropped)
    }

    /// Whether another one would be kept; where not, the work of wording it can be saved.
    pub(crate) fn room(&self) -> bool {
        self.list.len() < MAX_PROBLEMS
    }

    /// Keeps a problem, which is worded only if there is room for it: a hostile file has as many
    /// problems as values, and each snippet costs the length of its line.
    pub(crate) fn push(&mut self, problem: impl FnOnce() -> Problem) {
        if self.room() {
            self.list.push(problem());
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// All of them; a last one counts those that were left out.
    pub(crate) fn into_vec(mut self) -> Vec<Problem> {
        if self.dropped > 0 {
            self.list.push(Problem::of_file(
                "",
                format!("{} more problems are not shown", self.dropped),
                Some("fix these first and try again".into()),
            ));
        }
        self.list
    }
}

/// A value from a file as it may stand between backticks: escaped and bounded.
pub(crate) fn quoted(text: &str) -> String {
    bounded(text, QUOTED_CHARS)
}

/// The message of another program as part of ours: escaped and bounded.
pub(crate) fn cited(text: &str) -> String {
    bounded(text, CITED_CHARS)
}

fn bounded(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(shown).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a character can change how the text around it is shown: control characters, and the
/// marks that reorder text or break lines unseen.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_deceptive(c) => '\u{fffd}',
        c => c,
    }
}

/// The line around the place, and a line of carets below it.
fn snippet(line: &str, at: Position) -> String {
    let column = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
    let skip = if column > SNIPPET_CHARS * 3 / 4 { column - SNIPPET_CHARS / 2 } else { 0 };
    let text: String = line.chars().skip(skip).take(SNIPPET_CHARS).map(shown).collect();
    let length = text.chars().count();
    let before = (column - skip).min(length);
    let width = usize::try_from(at.width).unwrap_or(1).min(length - before).max(1);
    format!("{}\n{}{}", text.trim_end(), " ".repeat(before), "^".repeat(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_like_a_compiler_error() {
        let source = Source::new("prod.yaml", "spec:\n  enviroment: production\n");
        let at = Position { line: 2, column: 3, width: 10 };
        let problem =
            Problem::at(&source, at, "unknown field `enviroment`".into(), Some("help me".into()));
        assert_eq!(
            problem.to_string(),
            "error: unknown field `enviroment`\n --> prod.yaml:2:3\n  |\n2 |   enviroment: production\n  |   ^^^^^^^^^^\n  = help: help me"
        );
    }

    #[test]
    fn a_snippet_of_a_hostile_line_shows_no_control_characters_and_stays_short() {
        let text = format!("{}\u{1b}[31m\u{202e}{}", "x".repeat(1000), "y".repeat(1000));
        let source = Source::new("a\u{1b}b", &text);
        let at = Position { line: 1, column: 1001, width: 9999 };
        let shown = Problem::at(&source, at, "wrong".into(), None).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.len() < 600, "{shown}");
    }

    #[test]
    fn problems_beyond_the_bound_are_counted_not_kept() {
        let mut problems = Problems::default();
        for _ in 0..MAX_PROBLEMS + 5 {
            problems.push(|| Problem::of_file("f", "wrong".into(), None));
        }
        assert_eq!(problems.count(), MAX_PROBLEMS + 5);
        let all = problems.into_vec();
        assert_eq!(all.len(), MAX_PROBLEMS + 1);
        assert!(all.last().unwrap().message.starts_with("5 more"));
    }
}
