//! The text of a recording: what stood on the screen and what was typed, line by line, so that it
//! can be searched without playing it.
//!
//! Flows in: frames, hostile ones among them. Flows out: [`TextLine`]s, gathered in a file beside
//! the recording that is encrypted under a key made from the recording's own: it can be thrown
//! away and built again, and is of no use to anybody once the recording is gone.

mod render;
mod screen;
mod sidecar;
mod typed;

use std::time::Duration;

pub use render::TextRenderer;
pub use sidecar::{BuildError, TextReader, TextState, build, render};

/// Longest line, in characters; longer ones are several that overlap.
pub const MAX_LINE_CHARS: usize = 4096;

/// Where a line was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// On the screen, after escapes, redraws and wrapped rows were carried out.
    Screen,
    /// Typed, after the line was edited; masked where it was not echoed.
    Typed,
    /// The command a program was started with.
    Command,
}

/// A line of text of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextLine {
    /// When it was begun, since the session's start.
    pub at: Duration,
    /// Channel of the session.
    pub channel: u32,
    /// Where it was seen.
    pub kind: TextKind,
    /// The line, without control characters.
    pub text: String,
}
