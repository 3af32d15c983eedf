//! How far long work is, on standard error where a person looks at it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::Out;

/// How often it is told.
const INTERVAL: Duration = Duration::from_millis(200);

/// One line that is written over and cleared at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    shown: bool,
    told: Option<Instant>,
}

impl Progress {
    /// Of work on `what`, as in "entries verified". Silent without a terminal and with `--json`.
    pub(crate) fn new(out: Out, what: &'static str) -> Self {
        Self { what, shown: !out.json && std::io::stderr().is_terminal(), told: None }
    }

    /// This many are done, of how many where that is known.
    pub(crate) fn tell(&mut self, done: u64, of: Option<u64>) {
        if !self.shown || self.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return;
        }
        self.told = Some(Instant::now());
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        // Nobody needs to know that progress could not be shown.
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{done}{of} {}", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
