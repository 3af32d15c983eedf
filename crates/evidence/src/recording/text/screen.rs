//! What stood on one channel's screen: output goes through a terminal emulator, and a row's text
//! is taken when the cursor leaves it or something is about to overwrite or erase it.
//!
//! Untrusted both ways: the terminal's size, the work it does and the text it gives are bounded by
//! what was fed; beyond, the printed characters themselves are taken, so that nothing printed is
//! lost to a search.

use std::collections::VecDeque;
use std::time::Duration;

use avt::parser::{ElScope, Function};
use avt::{Parser, Terminal};

use super::MAX_LINE_CHARS;

/// Largest terminal that is emulated; a larger one's rows wrap, and are joined again.
const MAX_COLS: u16 = 512;
const MAX_ROWS: u16 = 256;
/// The size taken where none is known.
const DEFAULT_SIZE: (u16, u16) = (80, 24);
/// Printed characters after which a row is taken though nothing has ended it; half the screen where
/// that is less, so that no part of it has gone by then.
const MAX_RUN: usize = MAX_LINE_CHARS / 2;
/// Characters that two pieces of one line share where no terminal is emulated.
const OVERLAP: usize = 256;
/// Work of the emulator allowed for each character fed, in cells, and at the start.
const WORK_PER_CHAR: u64 = 256;
const WORK_AT_START: u64 = 1 << 24;
/// Bytes of text given for each character fed, and at the start.
const TEXT_PER_CHAR: u64 = 4;
const TEXT_AT_START: u64 = 64 * 1024;

/// The screen of a channel.
pub(super) struct Screen {
    parser: Parser,
    /// Absent where no terminal is emulated (any more): lines are then what was printed.
    terminal: Option<Terminal>,
    /// Printed since a row was last taken, and since when.
    run: String,
    run_chars: usize,
    run_at: Duration,
    fed: u64,
    work: u64,
    given: u64,
}

impl Screen {
    /// A screen of the default size; a plain one emulates no terminal.
    pub(super) fn new(plain: bool) -> Self {
        let mut screen = Self {
            parser: Parser::new(),
            terminal: None,
            run: String::new(),
            run_chars: 0,
            run_at: Duration::ZERO,
            fed: 0,
            work: 0,
            given: 0,
        };
        if !plain {
            screen.terminal = terminal(DEFAULT_SIZE.0, DEFAULT_SIZE.1);
        }
        screen
    }

    /// The terminal has another size from now on. Gives the row that was being printed.
    pub(super) fn resize(&mut self, cols: u16, rows: u16) -> Option<(Duration, String)> {
        let settled = self.settle();
        if let Some(terminal) = &mut self.terminal {
            let (cols, rows) = clamped(cols, rows);
            terminal.resize(cols, rows);
            self.work += cells(terminal);
        }
        settled
    }

    /// Carries out a piece of output; `line` is called with each row that is complete.
    pub(super) fn feed(
        &mut self,
        at: Duration,
        text: &str,
        mut line: impl FnMut(Duration, String),
    ) {
        for character in text.chars() {
            self.fed += 1;
            let Some(function) = self.parser.feed(character) else { continue };
            if self.ends_row(&function)
                && let Some((at, text)) = self.settle()
            {
                line(at, text);
            }
            self.carry_out(function, at);
            if self.run_chars >= self.longest_run() {
                let tail = self.tail();
                if let Some((at, text)) = self.settle() {
                    line(at, text);
                }
                self.run_chars = tail.chars().count();
                self.run = tail;
            }
        }
    }

    fn longest_run(&self) -> usize {
        match &self.terminal {
            Some(terminal) => {
                let (cols, rows) = terminal.size();
                (cols * rows / 2).clamp(1, MAX_RUN)
            }
            None => MAX_RUN,
        }
    }

    /// What the next piece of a line begins with; on a screen the rest of it still stands there.
    fn tail(&self) -> String {
        match self.terminal {
            Some(_) => String::new(),
            None => self.run.chars().skip(self.run_chars.saturating_sub(OVERLAP)).collect(),
        }
    }

    /// The row that is being printed, at the end or before something that changes it.
    pub(super) fn settle(&mut self) -> Option<(Duration, String)> {
        let run = std::mem::take(&mut self.run);
        self.run_chars = 0;
        if run.trim().is_empty() {
            return None;
        }
        let within = self.given <= self.fed * TEXT_PER_CHAR + TEXT_AT_START;
        let text = match &self.terminal {
            Some(terminal) if within => logical_line(terminal),
            _ => run,
        };
        let text = text.trim();
        self.given += text.len() as u64;
        (!text.is_empty()).then(|| (self.run_at, text.to_owned()))
    }

    fn carry_out(&mut self, function: Function, at: Duration) {
        match &function {
            Function::Print(character) => self.printed(*character, at),
            // What is repeated stands there once already.
            Function::Rep(count) => self.work += u64::from(*count),
            // Nobody but the client says how large the terminal is.
            Function::Xtwinops(_) => return,
            _ => {}
        }
        let Some(terminal) = &mut self.terminal else { return };
        self.work += if is_heavy(&function) { cells(terminal) } else { 1 };
        if self.work > self.fed * WORK_PER_CHAR + WORK_AT_START {
            self.terminal = None;
            return;
        }
        let function = match function {
            Function::Rep(count) => Function::Rep(count.min(MAX_COLS)),
            other => other,
        };
        terminal.execute(function);
    }

    fn printed(&mut self, character: char, at: Duration) {
        if self.run_chars == 0 {
            self.run_at = at;
        }
        self.run.push(character);
        self.run_chars += 1;
    }

    /// Whether this takes the cursor off its row, or changes what stands there.
    fn ends_row(&self, function: &Function) -> bool {
        match function {
            Function::Print(_)
            | Function::Rep(_)
            | Function::Sgr(_)
            | Function::Bs
            | Function::Ht
            | Function::Cha(_)
            | Function::Cht(_)
            | Function::Cbt(_)
            | Function::Cub(_)
            | Function::Cuf(_)
            | Function::Hts
            | Function::Tbc(_)
            | Function::Ctc(_)
            | Function::Gzd4(_)
            | Function::G1d4(_)
            | Function::So
            | Function::Si
            | Function::Osc(_)
            | Function::Decsc
            | Function::Scosc
            | Function::Sm(_)
            | Function::Rm(_)
            | Function::Xtwinops(_) => false,
            Function::Cup(row, _) => self
                .terminal
                .as_ref()
                .is_none_or(|terminal| usize::from((*row).max(1)) - 1 != terminal.cursor().row),
            // Programs that colour erase to the right where nothing stands.
            Function::El(ElScope::ToRight) => self.terminal.as_ref().is_some_and(|terminal| {
                let cursor = terminal.cursor();
                let rest = terminal.screen().line(cursor.row).map(|line| {
                    line.cells().iter().skip(cursor.col).any(|cell| cell.char() != ' ')
                });
                rest.unwrap_or(false)
            }),
            _ => true,
        }
    }
}

fn terminal(cols: u16, rows: u16) -> Option<Terminal> {
    let (cols, rows) = clamped(cols, rows);
    Terminal::new(cols, rows).ok()
}

fn clamped(cols: u16, rows: u16) -> (usize, usize) {
    (usize::from(cols.clamp(1, MAX_COLS)), usize::from(rows.clamp(1, MAX_ROWS)))
}

fn cells(terminal: &Terminal) -> u64 {
    let (cols, rows) = terminal.size();
    (cols * rows) as u64
}

/// Whether it may touch every cell.
fn is_heavy(function: &Function) -> bool {
    matches!(
        function,
        Function::Ed(_)
            | Function::Il(_)
            | Function::Dl(_)
            | Function::Su(_)
            | Function::Sd(_)
            | Function::Ris
            | Function::Decaln
            | Function::Decset(_)
            | Function::Decrst(_)
    )
}

/// The row the cursor is on, with the rows it wraps from and to.
fn logical_line(terminal: &Terminal) -> String {
    let screen = terminal.screen();
    let at = terminal.cursor().row;
    let mut rows: VecDeque<String> = VecDeque::new();
    let mut chars = 0;
    let mut first = at;
    while let Some(line) = screen.line(first) {
        chars += line.len();
        rows.push_front(line.text());
        let wraps = |row: usize| screen.line(row).is_some_and(avt::Line::is_wrapped);
        match first.checked_sub(1) {
            Some(above) if chars < MAX_LINE_CHARS && wraps(above) => first = above,
            _ => break,
        }
    }
    let mut row = at;
    while chars < MAX_LINE_CHARS
        && screen.line(row).is_some_and(avt::Line::is_wrapped)
        && let Some(line) = screen.line(row + 1)
    {
        chars += line.len();
        rows.push_back(line.text());
        row += 1;
    }
    rows.into_iter().collect()
}
