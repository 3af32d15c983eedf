//! Export as asciicast, the format asciinema plays: version 2 (absolute times) and version 3
//! (intervals).
//!
//! Flows in: a [`RecordingReader`]. Flows out: JSON lines. Events that are not of a terminal are
//! left out.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::format::RecordingMeta;
use super::frame::{Frame, FrameKind};
use super::reader::{ReadError, RecordingReader};

/// The size shown where the recording has none.
const DEFAULT_SIZE: (u16, u16) = (80, 24);
/// Channels whose half characters are kept apart; further ones share a place.
const MAX_CHANNELS: usize = 64;

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsciicastVersion {
    /// Times since the start.
    V2,
    /// Times since the event before.
    V3,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsciicastOptions {
    /// Version of the format.
    pub version: AsciicastVersion,
    /// Only this channel of the session; all of them, one over the other, where `None`.
    pub channel: Option<u32>,
    /// Whether what was typed is included.
    pub input: bool,
}

/// Why an export stops.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The recording cannot be read further. What was exported before is good.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The export cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

/// Exports a recording up to its end, which the reader then tells of.
///
/// # Errors
/// [`ExportError`].
pub fn export<R: Read>(
    recording: &mut RecordingReader<R>,
    options: AsciicastOptions,
    to: &mut impl Write,
) -> Result<(), ExportError> {
    let header = header(recording.meta(), options.version);
    serde_json::to_writer(&mut *to, &header).map_err(io::Error::from)?;
    to.write_all(b"\n")?;
    let mut lines = Lines { options, previous: Duration::ZERO, texts: BTreeMap::new() };
    while let Some(frame) = recording.next_frame()? {
        if options.channel.is_none_or(|channel| channel == frame.channel) {
            lines.frame(&frame, to)?;
        }
    }
    lines.finish(to)?;
    Ok(())
}

fn header(meta: &RecordingMeta, version: AsciicastVersion) -> Value {
    let cols = meta.cols.filter(|cols| *cols > 0).unwrap_or(DEFAULT_SIZE.0);
    let rows = meta.rows.filter(|rows| *rows > 0).unwrap_or(DEFAULT_SIZE.1);
    let mut header = Map::new();
    match version {
        AsciicastVersion::V2 => {
            header.insert("version".into(), json!(2));
            header.insert("width".into(), json!(cols));
            header.insert("height".into(), json!(rows));
            if let Some(term) = &meta.term {
                header.insert("env".into(), json!({ "TERM": term }));
            }
        }
        AsciicastVersion::V3 => {
            header.insert("version".into(), json!(3));
            let mut term = Map::from_iter([
                ("cols".to_owned(), json!(cols)),
                ("rows".to_owned(), json!(rows)),
            ]);
            if let Some(kind) = &meta.term {
                term.insert("type".into(), json!(kind));
            }
            header.insert("term".into(), Value::Object(term));
        }
    }
    header.insert("timestamp".into(), json!(meta.started_unix_ms / 1000));
    if !meta.title.is_empty() {
        header.insert("title".into(), json!(meta.title));
    }
    Value::Object(header)
}

struct Lines {
    options: AsciicastOptions,
    previous: Duration,
    texts: BTreeMap<(u32, &'static str), Utf8Pieces>,
}

impl Lines {
    fn frame(&mut self, frame: &Frame, to: &mut impl Write) -> io::Result<()> {
        let (code, text) = match frame.kind {
            FrameKind::Output => ("o", self.text(frame, "o")),
            FrameKind::Input if self.options.input => ("i", self.text(frame, "i")),
            FrameKind::Resize { cols, rows } => ("r", format!("{cols}x{rows}")),
            // A player shows a marker's label; what an event says must not get lost on the way.
            FrameKind::Marker | FrameKind::Event => {
                ("m", String::from_utf8_lossy(&frame.data).into_owned())
            }
            FrameKind::Input => return Ok(()),
        };
        if text.is_empty() && code != "m" {
            return Ok(());
        }
        self.line(frame.at, code, &text, to)
    }

    fn text(&mut self, frame: &Frame, code: &'static str) -> String {
        let mut place = (frame.channel, code);
        if self.texts.len() >= MAX_CHANNELS && !self.texts.contains_key(&place) {
            place.0 = u32::MAX;
        }
        self.texts.entry(place).or_default().push(&frame.data)
    }

    fn line(
        &mut self,
        at: Duration,
        code: &str,
        text: &str,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let time = match self.options.version {
            AsciicastVersion::V2 => at,
            AsciicastVersion::V3 => at.saturating_sub(self.previous),
        };
        self.previous = at;
        // Microseconds exactly: intervals add up to the times they came from.
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        writeln!(to, "[{seconds}.{micros:06}, \"{code}\", {}]", Value::from(text))
    }

    /// Half a character at the very end is shown as the mark of one that cannot be read.
    fn finish(mut self, to: &mut impl Write) -> io::Result<()> {
        let open: Vec<&'static str> = self
            .texts
            .iter()
            .filter(|(_, pieces)| !pieces.held.is_empty())
            .map(|((_, code), _)| *code)
            .collect();
        let at = self.previous;
        open.iter().try_for_each(|code| self.line(at, code, "\u{fffd}", to))
    }
}

/// UTF-8 that arrives in pieces: a character cut in two is held back until it is whole.
#[derive(Debug, Default)]
pub(super) struct Utf8Pieces {
    held: Vec<u8>,
}

impl Utf8Pieces {
    pub(super) fn push(&mut self, piece: &[u8]) -> String {
        self.held.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.held);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_start_of_character(invalid) {
                self.held = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push('\u{fffd}');
            }
        }
        text
    }
}

fn is_start_of_character(bytes: &[u8]) -> bool {
    // `error_len` is absent where more bytes could make it valid.
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_cut_anywhere_is_put_together_again(text in ".{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let mut pieces = Utf8Pieces::default();
            let joined: String = at.windows(2).map(|w| pieces.push(&bytes[w[0]..w[1]])).collect();
            prop_assert_eq!(joined, text);
            prop_assert!(pieces.held.is_empty());
        }

        #[test]
        fn any_bytes_are_bounded_and_valid(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let mut joined = Utf8Pieces::default();
            for piece in &pieces {
                joined.push(piece);
                prop_assert!(joined.held.len() < 4);
            }
        }
    }
}
