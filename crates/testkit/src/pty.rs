//! A client under a pseudo terminal, as a person sits before it: text appears, text is
//! typed, the window changes its size.
//!
//! The controlling terminal is set by `setsid --ctty` of util-linux, so that no code of
//! ours has to run between fork and exec.
//!
//! Must never know: which client it is.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::process::{find_program, kill_group};

const POLL: Duration = Duration::from_millis(5);

/// Nothing of what was expected appeared in time.
#[derive(Debug, Clone)]
pub struct PtyTimeout {
    /// What was expected.
    pub expected: Vec<String>,
    /// What appeared since the last match.
    pub unread: String,
}

/// A program under a pseudo terminal of its own; killed when dropped.
#[derive(Debug)]
pub struct PtyClient {
    child: Child,
    terminal: File,
    screen: Arc<Screen>,
    /// Bytes of the screen already matched.
    read: usize,
    _directory: Option<tempfile::TempDir>,
}

#[derive(Debug, Default)]
struct Screen {
    shown: Mutex<Shown>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Shown {
    bytes: Vec<u8>,
    closed: bool,
}

impl PtyClient {
    /// Runs `command` under a terminal of 24 rows and 80 columns; its environment and
    /// directory are kept, its standard streams replaced.
    ///
    /// # Panics
    /// When there is no pseudo terminal to be had or the program cannot be run.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        Self::start_in(command, 24, 80, None)
    }

    pub(crate) fn start_in(
        command: &Command,
        rows: u16,
        columns: u16,
        directory: Option<tempfile::TempDir>,
    ) -> Self {
        let (master, slave) = open_terminal();
        set_size(&master, rows, columns);
        let mut wrapped = Command::new(find_program("util-linux", "setsid"));
        wrapped.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if let Some(current) = command.get_current_dir() {
            wrapped.current_dir(current);
        }
        if command.get_envs().all(|(name, _)| name != "TERM") {
            wrapped.env("TERM", "xterm");
        }
        let child = wrapped
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .spawn()
            .unwrap();
        // The command keeps copies of the slave: without them the terminal closes at the end.
        drop(wrapped);
        let terminal = File::from(master);
        let screen = Arc::new(Screen::default());
        watch(terminal.try_clone().unwrap(), Arc::clone(&screen));
        Self { child, terminal, screen, read: 0, _directory: directory }
    }

    /// The process id of the program.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `text` appears after the last match; hands back everything up to its end.
    ///
    /// # Panics
    /// When it does not appear within `timeout`, with the whole transcript.
    #[track_caller]
    pub fn expect(&mut self, text: &str, timeout: Duration) -> String {
        self.expect_any(&[text], timeout).1
    }

    /// Waits until one of `texts` appears after the last match; hands back which, and
    /// everything up to its end. The one that appears first wins.
    ///
    /// # Panics
    /// When none appears within `timeout`, with the whole transcript.
    #[track_caller]
    pub fn expect_any(&mut self, texts: &[&str], timeout: Duration) -> (usize, String) {
        match self.try_expect_any(texts, timeout) {
            Ok(found) => found,
            Err(missed) => panic!(
                "{:?} did not appear; the whole transcript:\n{}\n--- since the last match: {:?}",
                missed.expected,
                self.transcript(),
                missed.unread
            ),
        }
    }

    /// As [`PtyClient::expect_any`], but the timeout is an answer.
    ///
    /// # Errors
    /// When none appears within `timeout` or before the program ends.
    ///
    /// # Panics
    /// When the thread that reads the terminal has panicked.
    pub fn try_expect_any(
        &mut self,
        texts: &[&str],
        timeout: Duration,
    ) -> Result<(usize, String), PtyTimeout> {
        let deadline = Instant::now() + timeout;
        let mut shown = self.screen.shown.lock().unwrap();
        loop {
            let unread = shown.bytes.get(self.read..).unwrap_or_default();
            let found = texts
                .iter()
                .enumerate()
                .filter_map(|(index, text)| {
                    Some((position(unread, text.as_bytes())?, index, text.len()))
                })
                .min();
            if let Some((start, index, length)) = found {
                let end = start + length;
                let seen = String::from_utf8_lossy(unread.get(..end).unwrap_or_default());
                let seen = seen.into_owned();
                self.read += end;
                return Ok((index, seen));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || shown.closed {
                return Err(PtyTimeout {
                    expected: texts.iter().map(|&text| text.to_owned()).collect(),
                    unread: String::from_utf8_lossy(unread).into_owned(),
                });
            }
            shown = self.screen.changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Types `text` as it is.
    pub fn send(&mut self, text: &str) {
        // A program that has ended cannot be typed to; what follows notices.
        let _ = self.terminal.write_all(text.as_bytes());
    }

    /// Types `text` and Enter.
    pub fn send_line(&mut self, text: &str) {
        self.send(text);
        self.send("\r");
    }

    /// Types Control with a letter: `send_control('c')`.
    pub fn send_control(&mut self, letter: char) {
        let code = u8::try_from(letter.to_ascii_uppercase()).unwrap_or(0) & 0x1f;
        let _ = self.terminal.write_all(&[code]);
    }

    /// Changes the size of the window.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        set_size(&self.terminal, rows, columns);
    }

    /// Everything that has appeared so far.
    ///
    /// # Panics
    /// When the thread that reads the terminal has panicked.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.screen.shown.lock().unwrap().bytes).into_owned()
    }

    /// Whether the program has ended.
    ///
    /// # Panics
    /// When the kernel does not know the process.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the program to end and its last words to be read.
    ///
    /// # Panics
    /// When it has not ended within `timeout`, with the whole transcript.
    #[track_caller]
    pub fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.transcript());
            std::thread::sleep(POLL);
        };
        let shown = self.screen.shown.lock().unwrap();
        let last_words = Duration::from_secs(2);
        let _ = self.screen.changed.wait_timeout_while(shown, last_words, |shown| !shown.closed);
        status
    }

    /// Kills the program and what it started.
    pub fn kill(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            // It leads the session `setsid` made, and with it the process group.
            kill_group(self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for PtyClient {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).expect("no pseudo terminal: is /dev/pts mounted?");
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
    (master, slave)
}

fn set_size(terminal: impl AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}

/// Copies what appears on the terminal to the screen until every writer is gone.
fn watch(mut terminal: File, screen: Arc<Screen>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        loop {
            // Linux says EIO, not the end of the file, when the last writer is gone.
            let count = terminal.read(&mut chunk).unwrap_or(0);
            let mut shown = screen.shown.lock().unwrap();
            shown.bytes.extend(chunk.iter().take(count));
            shown.closed = count == 0;
            screen.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    });
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SshServer, UserKey};

    const LONG: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> PtyClient {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        PtyClient::start(&command)
    }

    #[test]
    fn a_program_prompts_on_its_terminal_and_is_answered() {
        let mut client = shell("printf 'name? ' >/dev/tty; read name </dev/tty; echo hello $name");
        client.expect("name? ", LONG);
        client.send_line("alice");
        client.expect("hello alice", LONG);
        assert!(client.wait_exit(LONG).success());
    }

    #[test]
    fn the_window_has_a_size_that_can_change() {
        let mut client = shell(
            "stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done",
        );
        client.expect("24 80", LONG);
        client.expect("ready", LONG);
        client.resize(50, 132);
        client.expect("50 132", LONG);
        assert_eq!(client.wait_exit(LONG).code(), Some(3));
    }

    #[test]
    fn control_c_interrupts() {
        // A shell may miss a signal while it starts a program: what comes back a second time, after
        // the terminal's own echo, is said by the program.
        let mut client = shell("exec cat");
        client.send_line("there");
        client.expect("there", LONG);
        client.expect("there", LONG);
        client.send_control('c');
        assert!(!client.wait_exit(LONG).success());
    }

    #[test]
    fn what_does_not_appear_is_a_timeout_and_what_does_is_found_in_order() {
        let mut client = shell("echo two one; sleep 600");
        assert_eq!(client.expect_any(&["one", "two"], LONG).0, 1);
        assert_eq!(client.expect_any(&["two", "one"], LONG).0, 1);
        let missed = client.try_expect_any(&["three"], Duration::from_millis(50)).unwrap_err();
        assert_eq!((missed.expected, missed.unread.as_str()), (vec!["three".to_owned()], "\r\n"));
    }

    #[test]
    fn ssh_runs_an_interactive_shell_on_it() {
        let key = UserKey::generate();
        let server = SshServer::builder().authorize_key(key.public_line()).start();
        let mut client = server.client(&key).pty(&[], &["/bin/sh"]);
        client.send_line("stty size; echo o''k");
        client.expect("24 80", LONG);
        client.expect("ok", LONG);
        client.send_line("exit 5");
        assert_eq!(client.wait_exit(LONG).code(), Some(5));
    }
}
