//! Frames in, lines of text out, for all channels of a session.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use super::screen::Screen;
use super::typed::Typing;
use super::{TextKind, TextLine};
use crate::recording::asciicast::Utf8Pieces;
use crate::recording::frame::{Frame, FrameKind};

/// Channels kept apart; further ones share a place.
const MAX_CHANNELS: usize = 64;
/// Channels whose terminal is emulated at a time; further ones are read as they were printed.
const MAX_TERMINALS: usize = 8;
/// A row that stands there unchanged is not told again within this time.
const REPEATED_AFTER: Duration = Duration::from_secs(10);
/// Rows remembered for that.
const MAX_REMEMBERED: usize = 8192;
/// Bytes at the start of a piece in which a NUL says that it is no text.
const SAMPLE_BYTES: usize = 4096;

/// Makes text of frames.
#[derive(Default)]
pub struct TextRenderer {
    channels: HashMap<u32, Channel>,
    terminals: usize,
    told: HashMap<u64, Duration>,
}

struct Channel {
    screen: Screen,
    output: Utf8Pieces,
    typing: Typing,
    input: Utf8Pieces,
    has_terminal: bool,
}

impl TextRenderer {
    /// A renderer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a frame; `line` is called with each line that is complete.
    pub fn frame(&mut self, frame: &Frame, line: &mut impl FnMut(TextLine)) {
        let id = self.place(frame.channel, matches!(frame.kind, FrameKind::Resize { .. }));
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let (at, told) = (frame.at, &mut self.told);
        let mut screen = |from: Duration, text: String| {
            if is_new(told, at, id, &text) {
                line(TextLine { at: from, channel: id, kind: TextKind::Screen, text });
            }
        };
        match frame.kind {
            FrameKind::Resize { cols, rows } => {
                if let Some((from, text)) = channel.screen.resize(cols, rows) {
                    screen(from, text);
                }
            }
            FrameKind::Output if is_text(channel, &frame.data) => {
                let text = channel.output.push(&frame.data);
                // Without a terminal nothing turns the end of a line into a return.
                let text = if channel.has_terminal { text } else { text.replace('\n', "\r\n") };
                channel.screen.feed(at, &text, screen);
            }
            FrameKind::Input if is_text(channel, &frame.data) => {
                let text = channel.input.push(&frame.data);
                channel.typing.feed(at, &text, |at, text| {
                    line(TextLine { at, channel: id, kind: TextKind::Typed, text });
                });
            }
            FrameKind::Event => {
                let event: serde_json::Value =
                    serde_json::from_slice(&frame.data).unwrap_or_default();
                if let Some(command) = event.get("command").and_then(serde_json::Value::as_str) {
                    let text = command.replace(char::is_control, " ");
                    line(TextLine { at, channel: id, kind: TextKind::Command, text });
                }
            }
            FrameKind::Output | FrameKind::Input | FrameKind::Marker => {}
        }
    }

    /// The lines that nothing has ended.
    pub fn finish(mut self, line: &mut impl FnMut(TextLine)) {
        let mut channels: Vec<_> = self.channels.drain().collect();
        channels.sort_by_key(|(id, _)| *id);
        for (channel, mut seen) in channels {
            let screen = seen.screen.settle().map(|found| (TextKind::Screen, found));
            let typed = seen.typing.settle().map(|found| (TextKind::Typed, found));
            for (kind, (at, text)) in screen.into_iter().chain(typed) {
                line(TextLine { at, channel, kind, text });
            }
        }
    }

    /// The channel's place, made where there is none.
    fn place(&mut self, channel: u32, has_terminal: bool) -> u32 {
        let full = self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(&channel);
        let id = if full { u32::MAX } else { channel };
        let found = self.channels.entry(id).or_insert_with(|| Channel {
            screen: Screen::new(true),
            output: Utf8Pieces::default(),
            typing: Typing::default(),
            input: Utf8Pieces::default(),
            has_terminal: false,
        });
        if !found.has_terminal && has_terminal {
            found.has_terminal = true;
            if self.terminals < MAX_TERMINALS {
                self.terminals += 1;
                found.screen = Screen::new(false);
            }
        }
        id
    }
}

/// Files and archives go through channels without a terminal; they are no text.
fn is_text(channel: &Channel, data: &[u8]) -> bool {
    channel.has_terminal || !data.iter().take(SAMPLE_BYTES).any(|byte| *byte == 0)
}

fn is_new(told: &mut HashMap<u64, Duration>, at: Duration, channel: u32, text: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    (channel, text).hash(&mut hasher);
    if told.len() >= MAX_REMEMBERED {
        told.clear();
    }
    match told.insert(hasher.finish(), at) {
        Some(before) if at.saturating_sub(before) < REPEATED_AFTER => {
            // It counts from when it was told.
            told.insert(hasher.finish(), before);
            false
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(frames: &[(u64, FrameKind, &str)]) -> Vec<(u64, TextKind, String)> {
        let mut renderer = TextRenderer::new();
        let mut found = Vec::new();
        let mut line = |line: TextLine| {
            found.push((line.at.as_millis() as u64, line.kind, line.text));
        };
        for (ms, kind, data) in frames {
            let at = Duration::from_millis(*ms);
            let data = data.as_bytes().to_vec();
            renderer.frame(&Frame { at, kind: *kind, channel: 0, data }, &mut line);
        }
        renderer.finish(&mut line);
        found
    }

    fn on_screen(cols: u16, output: &[&str]) -> Vec<String> {
        let mut frames = vec![(0, FrameKind::Resize { cols, rows: 5 }, "")];
        frames.extend(output.iter().map(|text| (1, FrameKind::Output, *text)));
        lines(&frames).into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn escapes_redraws_and_wrapped_rows_do_not_hide_a_line() {
        let colours = "\u{1b}[1mse\u{1b}[31m\u{1b}[Kcr\u{1b}[m\u{1b}[Ket\u{1b}[0m word\r\n";
        assert_eq!(on_screen(80, &[colours]), ["secret word"]);
        assert_eq!(on_screen(10, &["a long ", "secret word\r\n$ "]), ["a long secret word", "$"]);
        // Each state of a row that is overwritten.
        assert_eq!(on_screen(80, &["10%\r", "20%\r\n"]), ["10%", "20%"]);
        // Gone from the screen within one write.
        assert_eq!(on_screen(80, &["password1\u{1b}[2J\u{1b}[Hok"]), ["password1", "ok"]);
        assert_eq!(on_screen(80, &["password2\u{1b}[1K"]), ["password2"]);
        // Written word by word to its place on the alternate screen.
        let moved = "\u{1b}[?1049h\u{1b}[3;1Hhello\u{1b}[3;7Hworld\u{1b}[1;1H\u{1b}[?1049lback";
        assert_eq!(on_screen(80, &[moved]), ["hello world", "back"]);
        // Written back to front.
        assert_eq!(on_screen(80, &["\u{1b}[6Gword\u{1b}[1Gsome\r\n"]), ["some word"]);
        assert_eq!(on_screen(80, &["caf\u{e9} \u{754c}\r\n"]), ["caf\u{e9} \u{754c}"]);
    }

    #[test]
    fn a_line_that_never_ends_is_told_in_pieces_that_overlap() {
        let text: String = (0..3000).map(|n| format!("{n} ")).collect();
        let told = on_screen(80, &[&text]);
        assert!(told.len() > 3 && told.iter().all(|line| line.chars().count() < 5000));
        for n in 0..2999 {
            let wanted = format!(" {} {n} ", n.max(1) - 1);
            assert!(n < 2 || told.iter().any(|line| line.contains(wanted.trim())), "{wanted}");
        }
    }

    #[test]
    fn without_a_terminal_lines_are_what_was_printed_and_binary_is_no_text() {
        let told = lines(&[
            (5, FrameKind::Output, "one\ntwo"),
            (7, FrameKind::Output, " and a half\n\u{1b}[31mthree"),
            (9, FrameKind::Output, "\0\0binary\n"),
            (9, FrameKind::Event, r#"{"command":"rm -rf /srv"}"#),
        ]);
        let expected = [
            (5, TextKind::Screen, "one"),
            (5, TextKind::Screen, "two and a half"),
            (9, TextKind::Command, "rm -rf /srv"),
            (7, TextKind::Screen, "three"),
        ];
        assert_eq!(told, expected.map(|(at, kind, text)| (at, kind, text.to_owned())));
    }

    #[test]
    fn what_was_typed_is_the_edited_line() {
        let told = lines(&[
            (1, FrameKind::Input, "sudoo\u{7f} rm"),
            (2, FrameKind::Input, "\u{1b}[D\u{1b}[C\u{1b}OA -r"),
            (3, FrameKind::Input, "\u{1b}[200~/srv\u{1b}[201~\r"),
            (4, FrameKind::Input, "never\u{3}********\r"),
        ]);
        let expected = [(1, "sudo rm -r/srv"), (4, "never"), (4, "********")];
        assert_eq!(told, expected.map(|(at, text)| (at, TextKind::Typed, text.to_owned())));
    }

    #[test]
    fn a_row_that_stands_there_is_told_once_in_ten_seconds() {
        let draw = "\u{1b}[Hstatus: fine\u{1b}[2;1H";
        let frames: Vec<_> = std::iter::once((0, FrameKind::Resize { cols: 80, rows: 5 }, ""))
            .chain((0..25).map(|second| (second * 1000, FrameKind::Output, draw)))
            .collect();
        assert_eq!(lines(&frames).len(), 3);
    }

    #[test]
    fn a_hostile_terminal_costs_no_more_than_its_output() {
        let bombs = ["\u{1b}[2J\u{1b}[9999L", "x\u{1b}[65535b", "\u{1b}[8;9999;9999t", "x\ry\r"];
        for bomb in bombs {
            let frames = [
                (0, FrameKind::Resize { cols: u16::MAX, rows: u16::MAX }, ""),
                (1, FrameKind::Output, &*"filled ".repeat(40_000)),
                (1, FrameKind::Output, &*bomb.repeat(50_000)),
                (2, FrameKind::Output, "\r\n\u{1b}[Hfound at the end\r\n"),
            ];
            let told = lines(&frames);
            let bytes: usize = told.iter().map(|(_, _, text)| text.len()).sum();
            assert!(bytes < 8_000_000, "{bomb:?}: {bytes} bytes of text");
            let last = &told.last().unwrap().2;
            assert!(last.contains("found at the end"), "{bomb:?}: {last}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_rendered_within_bounds(frames in proptest::collection::vec((0u8..3, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)), 0..20)) {
            let mut renderer = TextRenderer::new();
            let mut bytes = 0;
            let mut line = |line: TextLine| bytes += line.text.len();
            for (kind, data) in frames {
                let kind = match kind {
                    0 => FrameKind::Output,
                    1 => FrameKind::Input,
                    _ => FrameKind::Resize { cols: data.len() as u16, rows: u16::from(data.first().copied().unwrap_or(0)) },
                };
                renderer.frame(&Frame { at: Duration::ZERO, kind, channel: 0, data }, &mut line);
            }
            renderer.finish(&mut line);
            proptest::prop_assert!(bytes < 1 << 20);
        }
    }
}
