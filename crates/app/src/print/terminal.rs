//! Takes the attacks out of recorded terminal output before somebody else's terminal sees it.
//!
//! In: bytes a program on a target wrote, in pieces. Out: bytes that draw the same picture and
//! nothing more. What passes is a list, not what is dropped: text, the moves and colours of
//! ECMA-48 and a few modes of xterm. Everything a terminal would answer to (status reports,
//! attributes), write elsewhere with (clipboard, title, printer), or keep for itself (device
//! control strings, images) is dropped: an answer would be typed into the viewer's shell.
//!
//! Sequences pass whole or not at all, so the terminal's parser never stands in the middle of
//! something this one has finished. Pure: no IO.

/// Longest control sequence kept, in bytes; longer ones are dropped whole.
const MAX_SEQUENCE_BYTES: usize = 64;
/// Longest string (OSC, DCS, APC, PM, SOS) swallowed while waiting for its end, in bytes. A
/// recording with an unfinished one is shown from there on, as text.
const MAX_STRING_BYTES: usize = 1024 * 1024;
/// Largest number passed in a control sequence: beyond any screen, and no repeat of millions.
const MAX_PARAMETER: u32 = 9999;

/// Private modes of xterm that only draw: cursor keys and shape, origin, wrap, blinking,
/// visibility, alternate screens. Mouse reports, focus events and bracketed paste make the
/// terminal send things, and are dropped.
const DRAWING_MODES: [u32; 11] = [1, 5, 6, 7, 12, 25, 45, 47, 1047, 1048, 1049];

/// Where in a sequence the last byte left us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Escape,
    /// `ESC` and an intermediate byte, such as `ESC (`.
    EscapeIntermediate,
    /// Control sequence (`ESC [`).
    Control,
    /// A string to its end; `bell_ends` for OSC.
    String {
        bell_ends: bool,
    },
    /// `ESC` inside a string: the end, if a backslash follows.
    StringEscape {
        bell_ends: bool,
    },
}

/// The filter, with what it remembers between pieces.
#[derive(Debug, Clone)]
pub(crate) struct TerminalFilter {
    state: State,
    /// The sequence so far, without `ESC`, or the first bytes of a character in UTF-8.
    held: Vec<u8>,
    swallowed: usize,
    character: Vec<u8>,
}

impl Default for TerminalFilter {
    fn default() -> Self {
        Self { state: State::Text, held: Vec::new(), swallowed: 0, character: Vec::new() }
    }
}

impl TerminalFilter {
    /// What may be written for these bytes; the rest waits or is dropped.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.step(byte, &mut out);
        }
        out
    }

    /// Puts the viewer's terminal back: attributes, character set, scroll region, cursor, main
    /// screen, cursor keys.
    pub(crate) fn reset() -> &'static [u8] {
        b"\x1b[0m\x1b(B\x0f\x1b[r\x1b[?1049l\x1b[?1l\x1b[?7h\x1b[4l\x1b>\x1b[?25h"
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.state {
            State::Text => self.text(byte, out),
            State::Escape => self.escape(byte, out),
            State::EscapeIntermediate => self.escape_intermediate(byte, out),
            State::Control => self.control(byte, out),
            State::String { bell_ends } => self.string(byte, bell_ends, out),
            State::StringEscape { bell_ends } => {
                if byte == b'\\' {
                    self.state = State::Text;
                } else {
                    // ESC begins anew and ends the string without its terminator.
                    let _ = bell_ends;
                    self.begin_escape();
                    self.step(byte, out);
                }
            }
        }
    }

    fn begin_escape(&mut self) {
        self.held.clear();
        self.state = State::Escape;
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte >= 0x80 {
            self.multibyte(byte, out);
            return;
        }
        self.finish_character(out);
        match byte {
            0x1b => self.begin_escape(),
            // BEL, BS, HT, LF, VT, FF, CR, and the two shifts between character sets.
            0x07..=0x0f => out.push(byte),
            0x20..=0x7e => out.push(byte),
            // NUL, ENQ (answered by some terminals), XON, XOFF, DEL and the rest.
            _ => {}
        }
    }

    /// Collects a character; the C1 controls (U+0080 to U+009F) are sequences in disguise.
    fn multibyte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte >= 0xc0 {
            self.finish_character(out);
        }
        self.character.push(byte);
        match std::str::from_utf8(&self.character) {
            Ok(text) => {
                if !text.chars().any(char::is_control) {
                    out.extend_from_slice(&self.character);
                }
                self.character.clear();
            }
            Err(error) if error.error_len().is_some() => self.finish_character(out),
            Err(_) => {}
        }
    }

    /// Bytes that never became a character show as U+FFFD.
    fn finish_character(&mut self, out: &mut Vec<u8>) {
        if !self.character.is_empty() {
            self.character.clear();
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.swallowed = 0;
        self.state = match byte {
            b'[' => State::Control,
            b']' => State::String { bell_ends: true },
            b'P' | b'X' | b'^' | b'_' => State::String { bell_ends: false },
            0x20..=0x2f => {
                self.held.push(byte);
                State::EscapeIntermediate
            }
            0x1b => State::Escape,
            // Save and restore the cursor, line feeds, tab stop, keypad modes.
            b'7' | b'8' | b'D' | b'E' | b'H' | b'M' | b'=' | b'>' => {
                out.extend_from_slice(&[0x1b, byte]);
                State::Text
            }
            0x00..=0x1f | 0x80..=0xff => return self.interrupted(byte, out),
            _ => State::Text,
        };
    }

    /// Designations of character sets pass (`ESC ( 0` draws lines); nothing else does.
    fn escape_intermediate(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x20..=0x2f => {
                self.hold(byte);
            }
            0x30..=0x7e => {
                if let [set @ b'('..=b'+'] = *self.held.as_slice()
                    && matches!(byte, b'0' | b'A' | b'B')
                {
                    out.extend_from_slice(&[0x1b, set, byte]);
                }
                self.state = State::Text;
            }
            _ => self.interrupted(byte, out),
        }
    }

    fn control(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x20..=0x3f => {
                self.hold(byte);
            }
            0x40..=0x7e => {
                if self.held.len() <= MAX_SEQUENCE_BYTES && draws(&self.held, byte) {
                    out.extend_from_slice(b"\x1b[");
                    out.extend_from_slice(&self.held);
                    out.push(byte);
                }
                self.state = State::Text;
            }
            _ => self.interrupted(byte, out),
        }
    }

    /// Keeps one byte more than allowed, which is how a sequence is known to be too long.
    fn hold(&mut self, byte: u8) {
        if self.held.len() <= MAX_SEQUENCE_BYTES {
            self.held.push(byte);
        }
    }

    /// A control character inside a sequence: ESC begins anew, CAN and SUB abandon it, a line end
    /// is carried out by terminals in the middle of it. Ours abandons it on all of them, and a
    /// character beyond ASCII too.
    fn interrupted(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = State::Text;
        self.text(byte, out);
    }

    fn string(&mut self, byte: u8, bell_ends: bool, out: &mut Vec<u8>) {
        self.swallowed += 1;
        match byte {
            0x07 if bell_ends => self.state = State::Text,
            0x18 | 0x1a => self.state = State::Text,
            0x1b => self.state = State::StringEscape { bell_ends },
            _ if self.swallowed > MAX_STRING_BYTES => self.interrupted(byte, out),
            _ => {}
        }
    }
}

/// Whether a control sequence with these parameter and intermediate bytes only draws.
fn draws(held: &[u8], last: u8) -> bool {
    let Ok(text) = std::str::from_utf8(held) else { return false };
    let (private, text) = match text.strip_prefix('?') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // DECSCUSR: the shape of the cursor.
    if !private && last == b'q' {
        return text.strip_suffix(' ').is_some_and(|shape| numbers(shape).is_some());
    }
    let Some(numbers) = numbers(text) else { return false };
    if private {
        return match last {
            b'h' | b'l' => {
                !numbers.is_empty() && numbers.iter().all(|mode| DRAWING_MODES.contains(mode))
            }
            // Selective erase.
            b'J' | b'K' => true,
            _ => false,
        };
    }
    match last {
        // Insert mode is the one mode of ANSI that only draws.
        b'h' | b'l' => numbers == [4],
        b'@'..=b'I' | b'J'..=b'M' | b'P' | b'S' | b'X' | b'Z' | b'`' | b'a' | b'b' => true,
        // One number scrolls; five begin highlight tracking of the mouse.
        b'T' => numbers.len() <= 1,
        b'd' | b'e' | b'f' | b'g' | b'm' | b'r' => true,
        // Save and restore the cursor; with parameters `s` sets margins.
        b's' | b'u' => numbers.is_empty(),
        _ => false,
    }
}

/// The numbers of a sequence; `None` where something else is in it or one is absurd.
fn numbers(text: &str) -> Option<Vec<u32>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split([';', ':'])
        .map(|number| {
            if number.is_empty() {
                return Some(0);
            }
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let value = if digits { number.parse().ok()? } else { return None };
            (value <= MAX_PARAMETER).then_some(value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(bytes: &[u8]) -> Vec<u8> {
        TerminalFilter::default().filter(bytes)
    }

    fn shown(text: &str) -> String {
        String::from_utf8(filtered(text.as_bytes())).unwrap()
    }

    #[test]
    fn drawing_passes_untouched() {
        for text in [
            "plain text\r\n\ttab \u{8}back",
            "\u{1b}[1;31mred\u{1b}[0m \u{1b}[38:2:1:2:3mrgb\u{1b}[m",
            "\u{1b}[2J\u{1b}[H\u{1b}[10;20H\u{1b}[K\u{1b}[?25l\u{1b}[?1049h\u{1b}[4h\u{1b}[3b",
            "\u{1b}(0lqk\u{1b}(B\u{1b}7\u{1b}8\u{1b}M\u{1b}=\u{1b}>\u{1b}[2 q",
            "grüße 日本語 🎉",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_attacks_a_viewer_is_taken_out() {
        for (attack, rest) in [
            ("a\u{1b}]52;c;cm0gLXJmIC8=\u{7}b", "ab"),
            ("a\u{1b}]0;title\u{1b}\\b", "ab"),
            ("a\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\b", "alinkb"),
            ("a\u{1b}P$q\"p\u{1b}\\b", "ab"),
            ("a\u{1b}_Gf=32;AAAA\u{1b}\\b\u{1b}^x\u{1b}\\c\u{1b}Xy\u{1b}\\d", "abcd"),
            ("a\u{1b}[21tb\u{1b}[8;9999;9999tc", "abc"),
            ("a\u{1b}[6nb\u{1b}[cc\u{1b}[>cd\u{1b}[?6ne\u{1b}[xf", "abcdef"),
            ("a\u{1b}[5ib\u{1b}[?1000hc\u{1b}[?2004hd\u{1b}[?25;1003he", "abcde"),
            ("a\u{1b}[>qb\u{1b}[?25$pc\u{1b}[1;1;1;1;1;1*yd", "abcd"),
            ("a\u{5}b\u{1b}cd\u{1b}Ze", "abde"),
            ("a\u{9b}6nb\u{9d}52;c;x\u{9c}c", "a6nb52;c;xc"),
            ("a\u{1b}[999999999bc", "ac"),
        ] {
            assert_eq!(shown(attack), rest, "{attack:?}");
        }
    }

    #[test]
    fn a_string_that_never_ends_does_not_swallow_the_rest_of_a_recording() {
        let mut bytes = b"\x1b]52;".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_STRING_BYTES + 100));
        bytes.extend(b"visible");
        assert!(filtered(&bytes).ends_with(b"visible"));
    }

    #[test]
    fn bytes_that_are_no_utf_8_show_as_replacements() {
        assert_eq!(filtered(b"a\xffb\xc3"), "a\u{fffd}b".as_bytes());
        assert_eq!(filtered(b"\xc2\x9b6n"), b"6n");
    }

    /// Bytes as hostile programs write them: text, and sequences begun and broken off.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            "\\PC{0,8}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "\u{1b}", "\u{1b}[", "\u{1b}]", "\u{1b}P", "\u{1b}\\", "\u{7}", "?", "6n", "21t",
                "52;c;", "\u{9b}", "m", "1;2", "\u{18}", "(", "0", " q", "$", "h"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn only_whole_listed_sequences_come_out(bytes in hostile()) {
            let out = filtered(&bytes);
            let text = std::str::from_utf8(&out).unwrap();
            let c1 = text.chars().any(|c| c.is_control() && !c.is_ascii());
            prop_assert!(!c1);
            let mut rest = out.as_slice();
            while let Some(at) = rest.iter().position(|&byte| byte == 0x1b) {
                rest = &rest[at + 1..];
                match rest[0] {
                    b'[' => {
                        let end = rest[1..].iter().position(|byte| (0x40..0x7f).contains(byte)).unwrap();
                        prop_assert!(draws(&rest[1..=end], rest[end + 1]));
                    }
                    b'('..=b'+' => prop_assert!(matches!(rest[1], b'0' | b'A' | b'B')),
                    other => prop_assert!(b"78DEHM=>".contains(&other)),
                }
            }
        }

        #[test]
        fn filtering_in_pieces_is_filtering_at_once(bytes in hostile(), cut in any::<prop::sample::Index>()) {
            let at = cut.index(bytes.len() + 1);
            let mut filter = TerminalFilter::default();
            let mut pieces = filter.filter(&bytes[..at]);
            pieces.extend(filter.filter(&bytes[at..]));
            prop_assert_eq!(pieces, filtered(&bytes));
        }

        #[test]
        fn what_has_been_filtered_is_not_changed_again(bytes in hostile()) {
            let once = filtered(&bytes);
            prop_assert_eq!(filtered(&once), once);
        }
    }
}
