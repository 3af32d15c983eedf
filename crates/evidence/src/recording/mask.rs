//! Which typed bytes may be recorded as they are, and which only as `*`: a password prompt does
//! not echo, so what is not echoed is not shown. Pure: bytes and times in, bytes out.
//!
//! The rule: a printable byte that was typed is recorded in clear only once the same byte has
//! come back in the output after it was typed; every other printable byte is recorded as `*`.
//! Control characters (Enter, Tab, Ctrl-C) hold no secret and pass as they are.
//!
//! What counts as an echo is kept narrow, so that text which happens to follow a password does
//! not reveal it: within one piece of output, the first printable bytes must be the awaited ones
//! in the order of typing; the first that is not, or a line break, ends the echo. Escape
//! sequences are skipped. A shell that redraws its whole line on each key therefore has its
//! input masked: what was typed is in the output all the same, which is never masked.

use std::collections::VecDeque;
use std::time::Duration;

/// Typed bytes held until they are echoed; beyond it the oldest are recorded as `*`.
pub const MAX_HELD_BYTES: usize = 4096;
/// Longest time between a byte and its echo.
pub const ECHO_WINDOW: Duration = Duration::from_secs(2);
/// What a byte that was not echoed is recorded as.
pub const MASK: u8 = b'*';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    Awaited,
    Seen,
    Never,
}

#[derive(Debug, Clone, Copy)]
struct Typed {
    byte: u8,
    at: Duration,
    echo: Echo,
}

/// Where in an escape sequence (ECMA-48) the output stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    Ground,
    Begun,
    Control,
    Single,
    Text,
    TextEnding,
}

/// Masks the typed input of one channel. Times are since any fixed moment, and do not go back.
#[derive(Debug, Default)]
pub struct InputMask {
    held: VecDeque<Typed>,
    typed_escape: Sequence,
    output_escape: Sequence,
}

impl InputMask {
    /// Nothing typed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up what was typed; returns what can be recorded as input now.
    #[must_use]
    pub fn typed(&mut self, now: Duration, bytes: &[u8]) -> Vec<u8> {
        for byte in bytes {
            let ground = self.typed_escape == Sequence::Ground;
            self.typed_escape = self.typed_escape.after(*byte);
            let echo = match is_printable(*byte) {
                false => Echo::Seen,
                true if ground => Echo::Awaited,
                // An arrow key's letters are not echoed, and must not be waited for.
                true => Echo::Never,
            };
            self.held.push_back(Typed { byte: *byte, at: now, echo });
        }
        let excess = self.held.len().saturating_sub(MAX_HELD_BYTES);
        self.give_up(excess);
        self.due(now)
    }

    /// Takes note of output, which is recorded by the caller as it is; returns what can be
    /// recorded as input now.
    #[must_use]
    pub fn output(&mut self, now: Duration, bytes: &[u8]) -> Vec<u8> {
        self.expire(now);
        let mut echoing = true;
        for byte in bytes {
            let ground = self.output_escape == Sequence::Ground;
            self.output_escape = self.output_escape.after(*byte);
            if !ground {
                continue;
            }
            if is_line_break(*byte) {
                self.end_line(echoing);
                echoing = false;
            } else if echoing && is_printable(*byte) {
                echoing = self.echo(*byte);
            }
        }
        self.release()
    }

    /// What can be recorded now because its echo did not come in time.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> Vec<u8> {
        self.expire(now);
        self.release()
    }

    /// When [`InputMask::due`] should be called.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.held.front().map(|typed| typed.at.saturating_add(ECHO_WINDOW))
    }

    /// What is left at the end of the session.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        self.give_up(self.held.len());
        self.release()
    }

    /// Whether `byte` is the echo awaited next.
    fn echo(&mut self, byte: u8) -> bool {
        match self.held.iter_mut().find(|typed| typed.echo == Echo::Awaited) {
            Some(typed) if typed.byte == byte => {
                typed.echo = Echo::Seen;
                true
            }
            _ => false,
        }
    }

    /// The output begins a new line. Where that answers Enter, the line typed before it will not
    /// be echoed any more.
    fn end_line(&mut self, echoing: bool) {
        let enter = self.held.iter().position(|typed| is_line_break(typed.byte));
        if let Some(enter) = enter.filter(|_| echoing) {
            self.give_up(enter + 1);
        }
    }

    fn expire(&mut self, now: Duration) {
        let late = |typed: &&Typed| typed.at.saturating_add(ECHO_WINDOW) <= now;
        let count = self.held.iter().take_while(late).count();
        self.give_up(count);
    }

    fn give_up(&mut self, count: usize) {
        for typed in self.held.iter_mut().take(count) {
            if typed.echo == Echo::Awaited {
                typed.echo = Echo::Never;
            }
        }
    }

    /// Takes out what is decided, as far as nothing undecided stands before it.
    fn release(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(typed) = self.held.front() {
            out.push(match typed.echo {
                Echo::Awaited => break,
                Echo::Seen => typed.byte,
                Echo::Never => MASK,
            });
            self.held.pop_front();
        }
        if self.held.is_empty() {
            // An idle session holds nothing.
            self.held = VecDeque::new();
        }
        out
    }
}

impl Sequence {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Text, 0x1b) => Self::TextEnding,
            // CAN and SUB cancel; ESC begins anew.
            (_, 0x18 | 0x1a) => Self::Ground,
            (Self::TextEnding, b'\\') | (Self::Text, 0x07) => Self::Ground,
            (Self::TextEnding | Self::Text, _) => Self::Text,
            (_, 0x1b) => Self::Begun,
            (Self::Ground, _) => Self::Ground,
            (Self::Begun, b'[') => Self::Control,
            (Self::Begun, b'O') => Self::Single,
            (Self::Begun, b']' | b'P' | b'X' | b'^' | b'_') => Self::Text,
            (Self::Begun, 0x20..=0x2f) => Self::Begun,
            (Self::Control, 0x40..=0x7e) | (Self::Begun | Self::Single, _) => Self::Ground,
            (Self::Control, _) => Self::Control,
        }
    }
}

fn is_printable(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_a_shell_echoes_is_recorded_as_typed() {
        let mut mask = InputMask::new();
        let mut recorded = Vec::new();
        for (n, byte) in b"ls -la".iter().enumerate() {
            recorded.extend(mask.typed(ms(n as u64 * 100), &[*byte]));
            recorded.extend(mask.output(ms(n as u64 * 100 + 20), &[*byte]));
        }
        recorded.extend(mask.typed(ms(700), b"\r"));
        recorded.extend(mask.output(ms(720), b"\r\ntotal 0\r\n$ "));
        assert_eq!(recorded, b"ls -la\r");
    }

    #[test]
    fn a_line_pasted_with_enter_is_recorded_as_typed() {
        let mut mask = InputMask::new();
        assert_eq!(mask.typed(ms(0), b"ls\r"), b"");
        assert_eq!(mask.output(ms(9), b"\x1b[?2004l\x1b[4mls\x1b[0m\r\n"), b"ls\r");
    }

    #[test]
    fn a_password_is_masked_whatever_follows() {
        let mut mask = InputMask::new();
        let _ = mask.output(ms(0), b"Password: ");
        let mut recorded = Vec::new();
        for byte in b"hunter2\r" {
            recorded.extend(mask.typed(ms(5), &[*byte]));
        }
        recorded.extend(mask.output(ms(30), b"\r\nhunter2 was typed here once\r\n"));
        assert_eq!(recorded, b"*******\r");
    }

    #[test]
    fn a_password_typed_before_its_prompt_is_masked() {
        let mut mask = InputMask::new();
        let mut recorded = mask.typed(ms(0), b"sudo ls\rhunter2\r");
        recorded.extend(mask.output(ms(1), b"sudo ls\r\n"));
        recorded.extend(mask.output(ms(2), b"[sudo] password for hunter2: "));
        recorded.extend(mask.output(ms(3), b"\r\n"));
        assert_eq!(recorded, b"sudo ls\r*******\r");
    }

    #[test]
    fn what_is_never_echoed_leaves_in_time_and_in_bounds() {
        let mut mask = InputMask::new();
        assert_eq!(mask.typed(ms(0), b"secret"), b"");
        assert_eq!(mask.next_due(), Some(ECHO_WINDOW));
        assert_eq!(mask.due(ECHO_WINDOW), b"******");
        assert_eq!(mask.next_due(), None);
        let out = mask.typed(ms(9000), &vec![b'x'; MAX_HELD_BYTES + 10]);
        assert_eq!(out, b"**********");
        assert_eq!(mask.finish().len(), MAX_HELD_BYTES);
    }

    #[test]
    fn an_arrow_key_does_not_hold_up_what_follows() {
        let mut mask = InputMask::new();
        assert_eq!(mask.typed(ms(0), b"\x1b[A"), b"\x1b**");
        assert_eq!(mask.typed(ms(1), b"x"), b"");
        assert_eq!(mask.output(ms(2), b"x"), b"x");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Typed(Vec<u8>),
        Output(Vec<u8>),
        Wait(u64),
    }

    fn steps(typed: &'static str, output: &'static str) -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            typed.prop_map(|text| Step::Typed(text.into_bytes())),
            output.prop_map(|text| Step::Output(text.into_bytes())),
            (0u64..3000).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..40)
    }

    fn run(steps: &[Step]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (mut mask, mut now) = (InputMask::new(), ms(0));
        let (mut typed, mut output, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Typed(bytes) => {
                    typed.extend(bytes);
                    recorded.extend(mask.typed(now, bytes));
                }
                Step::Output(bytes) => {
                    output.extend(bytes);
                    recorded.extend(mask.output(now, bytes));
                }
                Step::Wait(time) => {
                    now += ms(*time);
                    recorded.extend(mask.due(now));
                }
            }
            assert!(mask.held.len() <= MAX_HELD_BYTES);
        }
        recorded.extend(mask.finish());
        (typed, output, recorded)
    }

    proptest! {
        #[test]
        fn a_byte_never_echoed_is_never_recorded(steps in steps("[a-m\r\x1b\\[]{0,6}", "[n-z\r\n\x1b\\[]{0,6}")) {
            let (typed, _, recorded) = run(&steps);
            prop_assert_eq!(typed.len(), recorded.len());
            let leaked = recorded.iter().any(|byte| byte.is_ascii_lowercase());
            prop_assert!(!leaked);
        }

        #[test]
        fn each_byte_in_clear_has_an_echo_of_its_own(steps in steps("[a-e\r]{0,6}", "[a-e\r\n ]{0,6}")) {
            let (typed, output, recorded) = run(&steps);
            prop_assert_eq!(typed.len(), recorded.len());
            for (typed, recorded) in typed.iter().zip(&recorded) {
                prop_assert!(typed == recorded || *recorded == MASK);
            }
            for byte in b'a'..=b'e' {
                let count = |bytes: &[u8]| bytes.iter().filter(|b| **b == byte).count();
                prop_assert!(count(&recorded) <= count(&output));
            }
        }
    }
}
