//! An SMT solver as a child process: script in, a bounded answer out.
//!
//! The solver is a large program of somebody else's, fed with text that people chose. So it is
//! bounded on every side: the time of a query and of all of them, memory, the size of an answer.
//! It has no environment, and it is killed when its owner is dropped. Whatever is not `sat` with a
//! model or `unsat` in time is an error; nothing here takes silence for an answer.
//!
//! Knows nothing of policies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use thiserror::Error;

/// The package the solver comes in.
pub const INSTALL: &str = "apt install cvc5";
/// Longest line the solver may write, in bytes.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Longest script of one query, in bytes.
const MAX_SCRIPT_BYTES: usize = 16 * 1024 * 1024;
/// Lines the reader may be ahead.
const LINES_AHEAD: usize = 64;
/// How long asking for the version may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);
/// What the solver's own limit on a query is given to stop by itself.
const GRACE: Duration = Duration::from_millis(500);

/// Where the solver is and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolverSettings {
    /// The program: a path, or a name looked up in `PATH`.
    pub program: PathBuf,
    /// Longest time for one query.
    pub per_query: Duration,
    /// Longest time for all queries of one call.
    pub in_total: Duration,
    /// Most memory of one process, in bytes of address space.
    pub memory_bytes: u64,
    /// Most processes at a time; at least one.
    pub processes: usize,
}

impl Default for SolverSettings {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            program: PathBuf::from("cvc5"),
            per_query: Duration::from_secs(5),
            in_total: Duration::from_secs(60),
            memory_bytes: 2 * 1024 * 1024 * 1024,
            processes: processors.min(4),
        }
    }
}

/// Why there is no answer. Never a proof.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SolverError {
    /// It cannot be started.
    #[error(
        "the solver `{program}` cannot be started ({why}); `{INSTALL}`, or set `proofs.solver` to its path"
    )]
    Missing {
        /// What was tried.
        program: String,
        /// What the system said.
        why: String,
    },
    /// It does not say what it is.
    #[error("`{program}` does not say its version; is it cvc5? `{INSTALL}` installs it")]
    NotASolver {
        /// What was tried.
        program: String,
    },
    /// It ended.
    #[error("the solver ended without an answer")]
    Ended,
    /// It took too long.
    #[error("the solver had no answer within its time")]
    TimedOut,
    /// It could not tell.
    #[error("the solver answered `unknown`")]
    Unknown,
    /// It said something else.
    #[error("the solver answered what is not an answer: `{0}`")]
    Garbage(String),
    /// It said more than it may.
    #[error("the solver's answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// The question is larger than a solver is asked.
    #[error("the question is longer than {MAX_SCRIPT_BYTES} bytes; split the policy")]
    TooLarge,
}

/// What the solver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is such a request; its model where that was asked for.
    Satisfiable(String),
    /// There is none.
    Unsatisfiable,
}

/// The solver's name and version as it says itself, on one line.
pub fn version(program: &Path) -> Result<String, SolverError> {
    let named = || program.display().to_string();
    let mut child = command(program)
        .arg("--version")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| SolverError::Missing { program: named(), why: error.to_string() })?;
    let Some(stdout) = child.stdout.take() else { return Err(SolverError::Ended) };
    let lines = read_lines(stdout);
    let first = lines.recv_timeout(VERSION_TIMEOUT);
    drop(child.kill());
    drop(child.wait());
    match first {
        Ok(Some(line)) if line.contains("cvc5") => {
            // cvc5 introduces itself in a sentence: "This is cvc5 version 1.0.3".
            let line = line.trim();
            Ok(line.strip_prefix("This is ").unwrap_or(line).chars().take(120).collect())
        }
        _ => Err(SolverError::NotASolver { program: named() }),
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    // PATH alone, for finding the program; the rest of the environment is none of its business.
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.current_dir("/").stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// One running solver.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    scripts: SyncSender<Vec<u8>>,
    lines: Receiver<Option<String>>,
    per_query: Duration,
    /// When all queries must be done.
    until: Instant,
}

impl Process {
    pub(crate) fn start(settings: &SolverSettings, until: Instant) -> Result<Self, SolverError> {
        let missing = |why: String| SolverError::Missing {
            program: settings.program.display().to_string(),
            why,
        };
        let mut child = command(&settings.program)
            .args(["--lang", "smt"])
            .arg(format!("--tlimit-per={}", settings.per_query.as_millis()))
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| missing(error.to_string()))?;
        let limit = Some(settings.memory_bytes);
        let limited = prlimit(
            Some(Pid::from_child(&child)),
            Resource::As,
            Rlimit { current: limit, maximum: limit },
        );
        let (stdin, stdout) = match (limited, child.stdin.take(), child.stdout.take()) {
            (Ok(_), Some(stdin), Some(stdout)) => (stdin, stdout),
            _ => {
                drop(child.kill());
                drop(child.wait());
                return Err(missing("its memory cannot be limited".to_owned()));
            }
        };
        Ok(Self {
            scripts: feed(stdin),
            lines: read_lines(stdout),
            child,
            per_query: settings.per_query,
            until,
        })
    }

    /// Asks one question; the process is good for another only if this is an answer.
    pub(crate) fn ask(&mut self, script: &[u8], model: bool) -> Result<Answer, SolverError> {
        if script.len() > MAX_SCRIPT_BYTES {
            return Err(SolverError::TooLarge);
        }
        let now = Instant::now();
        let left = self.until.checked_duration_since(now).ok_or(SolverError::TimedOut)?;
        let deadline = now + (self.per_query + GRACE).min(left);
        let mut question = script.to_vec();
        question.extend_from_slice(b"(check-sat)\n");
        self.scripts.send(question).map_err(|_| SolverError::Ended)?;
        match self.line(deadline)?.trim() {
            "unsat" => Ok(Answer::Unsatisfiable),
            "sat" if model => self.model(deadline).map(Answer::Satisfiable),
            "sat" => Ok(Answer::Satisfiable(String::new())),
            "unknown" => Err(SolverError::Unknown),
            // What cvc5 says when its own limit on the query strikes.
            text if text.contains("interrupted by timeout") => Err(SolverError::TimedOut),
            text => Err(SolverError::Garbage(text.chars().take(200).collect())),
        }
    }

    fn model(&mut self, deadline: Instant) -> Result<String, SolverError> {
        self.scripts.send(b"(get-model)\n".to_vec()).map_err(|_| SolverError::Ended)?;
        let mut model = self.line(deadline)?;
        if model.trim() != "(" {
            return Err(SolverError::Garbage(model.trim().chars().take(200).collect()));
        }
        loop {
            let line = self.line(deadline)?;
            if model.len() + line.len() > MAX_ANSWER_BYTES {
                return Err(SolverError::TooLong);
            }
            model.push_str(&line);
            if line.trim() == ")" {
                return Ok(model);
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, SolverError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(SolverError::TooLong),
            Err(RecvTimeoutError::Timeout) => Err(SolverError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(SolverError::Ended),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to do about a child that is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A thread of its own writes, so that a solver that does not read cannot block its owner.
fn feed(mut stdin: ChildStdin) -> SyncSender<Vec<u8>> {
    let (to, from) = sync_channel::<Vec<u8>>(2);
    thread::spawn(move || {
        for script in from {
            if stdin.write_all(&script).and_then(|()| stdin.flush()).is_err() {
                return;
            }
        }
    });
    to
}

/// A thread of its own reads. `None`: a line is longer than allowed or not text; it is the last.
fn read_lines(stdout: ChildStdout) -> Receiver<Option<String>> {
    let (to, from) = sync_channel(LINES_AHEAD);
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            let read = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            if !matches!(read, Ok(count) if count > 0) {
                return;
            }
            let whole = line.ends_with(b"\n");
            let text = String::from_utf8(line).ok().filter(|_| whole);
            let last = text.is_none();
            if to.send(text).is_err() || last {
                return;
            }
        }
    });
    from
}
