//! What people and programs read: tables and lines, or JSON with `--json`.
//!
//! In: values and texts, some of them from hostile places. Out: standard output. Everything that
//! came over the network is escaped here, except terminal output on its way through [`replay`],
//! which is filtered instead.

pub(crate) mod escape;
mod progress;
pub(crate) mod qr;
pub(crate) mod replay;
mod terminal;

use std::io::{IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use portcullis_domain::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

pub(crate) use progress::Progress;
pub(crate) use terminal::TerminalFilter;

/// Meaning carried by colour, and never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Fine, allowed, gained.
    Good,
    /// Refused, lost, broken.
    Bad,
    /// Worth a look.
    Notice,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

/// Where output goes and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    /// Print JSON instead of text.
    pub(crate) json: bool,
    colour: bool,
}

impl Out {
    /// Colour is used on a terminal only, and never when `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn new(json: bool) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { json, colour: std::io::stdout().is_terminal() && !forbidden }
    }

    /// Text in the colour of its meaning.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Notice => "33",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// One line of our own words.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        write_out(format!("{text}\n").as_bytes())
    }

    /// A value as pretty JSON.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        write_out(&to_json(value, true)?)
    }

    /// A value as one line of JSON.
    pub(crate) fn json_line<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        write_out(&to_json(value, false)?)
    }

    /// JSON if asked for, else whatever `text` prints.
    pub(crate) fn either<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { text(self) }
    }

    /// A table; cells are escaped. `nothing` is said when there are no rows.
    pub(crate) fn table(
        self,
        head: &[&str],
        rows: Vec<Vec<String>>,
        nothing: &str,
    ) -> Result<(), Failure> {
        if rows.is_empty() {
            return self.line(nothing);
        }
        let mut table = Table::new();
        table.load_style(NOTHING);
        if self.colour {
            table.set_content_arrangement(ContentArrangement::Dynamic).enforce_styling();
        } else {
            // Whoever reads this with a program wants one row on one line.
            table.force_no_tty();
        }
        table.set_header(
            head.iter().map(|name| Cell::new(name.to_uppercase()).add_attribute(Attribute::Dim)),
        );
        for row in rows {
            table.add_row(row.iter().map(|cell| escape::lines(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        write_out(text.as_bytes())
    }
}

fn to_json<T: Serialize>(value: &T, pretty: bool) -> Result<Vec<u8>, Failure> {
    let written = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut bytes = written.map_err(|error| Failure::because("cannot write JSON", &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Bytes to standard output, flushed. A closed pipe ends the command without a complaint.
pub(crate) fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Failure::OutputClosed
        } else {
            Failure::because("cannot write to standard output", &error)
        }
    })
}

/// A point in time for people: to the second, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    let text = Timestamp::from_millis(at.as_seconds().saturating_mul(1000)).to_string();
    text.replace(".000Z", "Z").replace('T', " ")
}

/// The last eight digits of an id: what people type.
pub(crate) fn short(id: impl ToString) -> String {
    let text = id.to_string();
    let start = text.len().saturating_sub(8);
    text.get(start..).unwrap_or(&text).to_owned()
}
