//! What was typed on one channel, as lines: what was erased while typing is gone, keys that are no
//! characters are left out. What the recording masks is masked here.

use std::time::Duration;

use super::MAX_LINE_CHARS;

/// Where within a key's sequence the typing is (ECMA-48 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Key {
    #[default]
    None,
    /// After ESC.
    Escape,
    /// After ESC `[`: up to a byte from `@` to `~`.
    Sequence,
    /// After ESC `O`: one more.
    Single,
}

/// The line that is being typed.
#[derive(Debug, Default)]
pub(super) struct Typing {
    line: String,
    chars: usize,
    at: Duration,
    key: Key,
}

impl Typing {
    pub(super) fn feed(
        &mut self,
        at: Duration,
        text: &str,
        mut line: impl FnMut(Duration, String),
    ) {
        for character in text.chars() {
            if self.is_key(character) {
                continue;
            }
            match character {
                '\u{8}' | '\u{7f}' => {
                    self.line.pop();
                    self.chars = self.chars.saturating_sub(1);
                }
                // Enter; and what is given up (^C, ^U) was typed all the same.
                '\r' | '\n' | '\u{3}' | '\u{4}' | '\u{15}' => {
                    if let Some((at, text)) = self.settle() {
                        line(at, text);
                    }
                }
                character if character.is_control() => {}
                character => {
                    if self.chars == 0 {
                        self.at = at;
                    }
                    self.line.push(character);
                    self.chars += 1;
                    if self.chars >= MAX_LINE_CHARS
                        && let Some((at, text)) = self.settle()
                    {
                        line(at, text);
                    }
                }
            }
        }
    }

    /// What has been typed so far.
    pub(super) fn settle(&mut self) -> Option<(Duration, String)> {
        self.chars = 0;
        let line = std::mem::take(&mut self.line);
        let text = line.trim();
        (!text.is_empty()).then(|| (self.at, text.to_owned()))
    }

    /// Whether a character belongs to a key that is none.
    fn is_key(&mut self, character: char) -> bool {
        let (was, next) = match (self.key, character) {
            (_, '\u{1b}') => (true, Key::Escape),
            (Key::Escape, '[') => (true, Key::Sequence),
            (Key::Escape, 'O') => (true, Key::Single),
            (Key::Sequence, '@'..='~') | (Key::Escape | Key::Single, _) => (true, Key::None),
            // Not part of any sequence: the line goes on.
            (Key::Sequence, '\r' | '\n') => (false, Key::None),
            (Key::Sequence, _) => (true, Key::Sequence),
            (Key::None, _) => (false, Key::None),
        };
        self.key = next;
        was
    }
}
