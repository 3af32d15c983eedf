//! Shows frames of a session: at their own pace for `play`, as they come for `watch`.
//!
//! In: [`FrameView`]s. Out: filtered terminal output, and notes between brackets for what is not
//! terminal output. Input is not shown: what was echoed is in the output.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_control::view::FrameView;
use serde_json::Value;

use super::{TerminalFilter, escape};

/// Shows one session.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    filters: BTreeMap<u32, TerminalFilter>,
}

/// Most channels whose filters are remembered; beyond that they begin anew.
const MAX_CHANNELS: usize = 256;

impl Screen {
    /// What to write for a frame.
    pub(crate) fn show(&mut self, frame: &FrameView) -> Vec<u8> {
        let data = STANDARD.decode(&frame.data).unwrap_or_default();
        let text = || escape::line(&String::from_utf8_lossy(&data));
        match frame.kind.as_str() {
            "output" | "error" => {
                if self.filters.len() >= MAX_CHANNELS {
                    self.filters.clear();
                }
                self.filters.entry(frame.channel).or_default().filter(&data)
            }
            "command" => note(&format!("command on channel {}: {}", frame.channel, text())),
            "exit" => note(&format!("channel {} ended {}", frame.channel, text())),
            "statement" => line(&statement(&data)),
            "result" => line(&result(&data)),
            "note" => note(&text()),
            "lost" => note(&format!("part of the recording is missing {}", text())),
            _ => Vec::new(),
        }
    }
}

/// A statement of a database session, on the time line.
fn statement(data: &[u8]) -> String {
    let event: Value = serde_json::from_slice(data).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(escape::lines);
    let id = event.get("id").and_then(Value::as_u64);
    let number = id.map_or_else(|| "-".to_owned(), |id| format!("#{id}"));
    let mut shown = format!("{number} {}", text("text").unwrap_or_default());
    if let Some(values) = event.get("parameters").filter(|values| !values.is_null()) {
        shown += &format!("\n   with {}", escape::line(&values.to_string()));
    }
    if let Some(act) = text("refused") {
        shown += &format!("\n   refused: {act}");
    }
    shown
}

/// What came of it.
fn result(data: &[u8]) -> String {
    let event: Value = serde_json::from_slice(data).unwrap_or_default();
    let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let outcome = match text("outcome") {
        "ok" => format!("{} rows, {} bytes", number("rows"), number("bytes")),
        _ => escape::line(&format!("{} {}", text("state"), text("message"))),
    };
    format!("   #{} {} ms: {outcome}", number("id"), number("ms"))
}

fn line(text: &str) -> Vec<u8> {
    format!("{}\r\n", text.trim_end().replace('\n', "\r\n")).into_bytes()
}

fn note(text: &str) -> Vec<u8> {
    format!("\r\n\u{1b}[2m[{}]\u{1b}[0m\r\n", text.trim_end()).into_bytes()
}

/// How long to wait between two frames: real time divided by `speed`, at most `longest`.
pub(crate) fn pause(from_us: u64, to_us: u64, speed: f64, longest: Option<Duration>) -> Duration {
    let real = Duration::from_micros(to_us.saturating_sub(from_us));
    let pause = if speed.is_finite() && speed > 0.0 { real.div_f64(speed.max(0.01)) } else { real };
    longest.map_or(pause, |longest| pause.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_session_is_a_time_line_of_statements_and_results() {
        let frame = |kind: &str, data: &str| FrameView {
            at_us: 0,
            kind: kind.into(),
            channel: 0,
            data: STANDARD.encode(data),
            cols: None,
            rows: None,
        };
        let mut screen = Screen::default();
        let mut shown = |kind, data| String::from_utf8(screen.show(&frame(kind, data))).unwrap();
        let begun =
            shown("statement", r#"{"id":1,"text":"select \u001b[2J 1","parameters":["7"]}"#);
        assert!(begun.starts_with("#1 select") && begun.contains("with [\"7\"]"), "{begun}");
        assert!(!begun.contains('\u{1b}'), "{begun}");
        let done = shown("result", r#"{"id":1,"ms":3,"outcome":"ok","rows":5,"bytes":40}"#);
        assert_eq!(done, "   #1 3 ms: 5 rows, 40 bytes\r\n");
        let refused = shown("statement", r#"{"text":"drop table t","refused":"db_ddl"}"#);
        assert!(refused.contains("refused: db_ddl"), "{refused}");
    }

    #[test]
    fn a_pause_is_scaled_and_then_bounded() {
        let longest = Some(Duration::from_secs(2));
        assert_eq!(pause(0, 1_000_000, 2.0, longest), Duration::from_millis(500));
        assert_eq!(pause(0, 60_000_000, 1.0, longest), Duration::from_secs(2));
        assert_eq!(pause(5, 1, 1.0, None), Duration::ZERO);
    }

    #[test]
    fn output_is_filtered_across_frames_and_notes_are_escaped() {
        let frame = |kind: &str, data: &str| FrameView {
            at_us: 0,
            kind: kind.into(),
            channel: 0,
            data: STANDARD.encode(data),
            cols: None,
            rows: None,
        };
        let mut screen = Screen::default();
        let mut out = screen.show(&frame("output", "a\u{1b}]52;c"));
        out.extend(screen.show(&frame("output", ";x\u{7}b")));
        assert_eq!(out, b"ab");
        let note = String::from_utf8(screen.show(&frame("note", "\u{1b}[2Jx"))).unwrap();
        assert!(note.contains("[\\u{1b}[2Jx]"), "{note}");
        assert!(screen.show(&frame("input", "secret")).is_empty());
    }
}
