//! Processes that do not outlive their test: servers with a watcher beside them,
//! clients with a time limit.
//!
//! In: a command. Out: a handle whose drop ends the process and all its descendants.
//! A server also ends, and its directory is removed, when the test process is killed.
//!
//! Must never know: what the process does.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::ClientOutput;

const POLL: Duration = Duration::from_millis(5);
/// How long a server may take to end after a polite signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Where system daemons live when `PATH` does not say.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Starts the server and, beside it, a watcher that holds the read end of a pipe of ours.
/// When the pipe closes without a word, we died: the watcher ends the server and removes
/// its directory. The watcher is orphaned on purpose, the server must not have to reap it.
const WATCHED: &str = r#"
exec 3<&0
server=$$ signal=$1 directory=$2
shift 2
( (
    trap '' HUP INT TERM QUIT
    if ! read -r word <&3; then
        kill -s "$signal" "$server"
        for _ in 1 2 3 4 5; do kill -0 "$server" 2>/dev/null || break; sleep 1; done
        kill -s KILL "$server" 2>/dev/null
        rm -rf "$directory"
    fi
) </dev/null >/dev/null 2>&1 & )
exec "$@" </dev/null 3<&-
"#;

/// A server of ours, ended with everything below it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    watcher: Option<ChildStdin>,
    stop: Signal,
}

impl ServerProcess {
    /// Starts `command` (absolute program first) with both outputs appended to `log`;
    /// `stop` is the signal that ends it cleanly and `directory` goes with it.
    pub(crate) fn start(command: &[&OsStr], stop: Signal, directory: &Path, log: &Path) -> Self {
        let output = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHED, "watched", signal_name(stop)])
            .arg(directory)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("cannot start /bin/sh");
        let watcher = child.stdin.take();
        Self { child, watcher, stop }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its status if it has ended already.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_one(self.child.id(), signal);
    }

    /// Ends it and every descendant; does nothing the second time.
    pub(crate) fn stop(&mut self) {
        let Some(mut watcher) = self.watcher.take() else { return };
        let descendants = descendants(self.child.id());
        signal_one(self.child.id(), self.stop);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait().ok().flatten().is_none() {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(POLL);
        }
        for (process, started) in descendants {
            // A number may have been given to somebody else meanwhile: same start, same process.
            if stat(process).is_some_and(|now| now.1 == started) {
                signal_one(process, Signal::KILL);
            }
        }
        let _ = watcher.write_all(b"stopped\n");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A client that runs: its output is collected, and it is killed when dropped.
#[derive(Debug)]
pub struct RunningClient {
    child: Child,
    stdout: Collected,
    stderr: Collected,
    deadline: Instant,
    prompt_log: Option<PathBuf>,
    /// Files the client reads while it runs.
    _directory: Option<tempfile::TempDir>,
}

impl RunningClient {
    pub(crate) fn start(
        mut command: Command,
        timeout: Duration,
        directory: Option<tempfile::TempDir>,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = Collected::from(child.stderr.take().unwrap());
        let prompt_log = directory.as_ref().map(|directory| directory.path().join("prompts"));
        let deadline = Instant::now() + timeout;
        Self { child, stdout, stderr, deadline, prompt_log, _directory: directory }
    }

    /// The process id of the client itself.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input; what it does not read any more is dropped.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Some(stdin) = self.child.stdin.as_mut() {
            let _ = stdin.write_all(bytes.as_ref());
            let _ = stdin.flush();
        }
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Takes its standard input, for a thread of the test's own that writes much.
    ///
    /// # Panics
    /// When it was taken or closed before.
    #[must_use]
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input was taken or closed before")
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout.so_far()).into_owned()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Waits until standard output holds `text`.
    ///
    /// # Panics
    /// When it ends or `timeout` passes before that.
    #[track_caller]
    pub fn wait_for_stdout(&mut self, text: &str, timeout: Duration) {
        self.wait_until(timeout, text, |client| client.stdout_so_far().contains(text));
    }

    /// Waits until standard error holds `text`.
    ///
    /// # Panics
    /// When it ends or `timeout` passes before that.
    #[track_caller]
    pub fn wait_for_stderr(&mut self, text: &str, timeout: Duration) {
        self.wait_until(timeout, text, |client| client.stderr_so_far().contains(text));
    }

    #[track_caller]
    fn wait_until(&mut self, timeout: Duration, text: &str, seen: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + timeout;
        while !seen(self) {
            let ended = self.has_ended();
            // The last bytes may arrive just after the end.
            if ended && seen(self) {
                return;
            }
            assert!(
                Instant::now() < deadline && (!ended || self.output_open()),
                "`{text}` did not appear (ended: {ended})\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout_so_far(),
                self.stderr_so_far(),
            );
            std::thread::sleep(POLL);
        }
    }

    fn output_open(&self) -> bool {
        !self.stdout.reader_done() || !self.stderr.reader_done()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the kernel does not know the process.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it, with the processes it started.
    pub fn kill(&mut self) {
        if !self.has_ended() {
            kill_group(self.child.id());
        }
    }

    /// Closes its standard input and waits for its end; killed when its timeout passes.
    ///
    /// # Panics
    /// When the kernel does not know the process.
    #[must_use]
    pub fn wait(mut self) -> ClientOutput {
        self.close_stdin();
        let mut timed_out = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if !timed_out && Instant::now() >= self.deadline {
                timed_out = true;
                kill_group(self.child.id());
            }
            std::thread::sleep(POLL);
        };
        // Whoever kept the output open (a backgrounded connection) is not waited for beyond this.
        let output_deadline = Instant::now() + Duration::from_secs(2);
        while self.output_open() && Instant::now() < output_deadline {
            std::thread::sleep(POLL);
        }
        let prompts = self.prompt_log.as_ref().and_then(|log| fs::read_to_string(log).ok());
        ClientOutput {
            status,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
            timed_out,
            prompts: prompts.unwrap_or_default().lines().map(str::to_owned).collect(),
        }
    }
}

impl Drop for RunningClient {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            kill_group(self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// Output read by a thread as it comes.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn from(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = source.read(&mut chunk) {
                sink.lock().unwrap().extend(chunk.iter().take(count));
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn reader_done(&self) -> bool {
        self.reader.is_finished()
    }
}

/// Runs a tool to its end and hands back its output.
///
/// # Panics
/// When it is missing (the message names `package`) or fails.
#[track_caller]
pub(crate) fn run_tool(package: &str, program: &str, arguments: &[&str]) -> String {
    let path = find_program(package, program);
    let output = Command::new(&path).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run `{}`: {error}", path.display()));
    assert!(
        output.status.success(),
        "`{program} {}` failed: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The absolute path of a program.
///
/// # Panics
/// When it is missing; the message names the Debian package that holds it.
#[track_caller]
pub(crate) fn find_program(package: &str, program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| missing(package, program))
}

/// Says which package a test needs, and panics.
#[track_caller]
pub(crate) fn missing(package: &str, program: &str) -> ! {
    panic!("`{program}` is not installed: run `make test`, or `apt-get install {package}`")
}

fn signal_name(signal: Signal) -> &'static str {
    if signal == Signal::QUIT {
        "QUIT"
    } else if signal == Signal::INT {
        "INT"
    } else {
        "TERM"
    }
}

pub(crate) fn signal_one(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills the process group `leader` leads.
pub(crate) fn kill_group(leader: u32) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Every process below `root`, with the start time that tells it from a later namesake.
fn descendants(root: u32) -> Vec<(u32, u64)> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((parent, started)) = stat(process)
        {
            processes.push((process, parent, started));
        }
    }
    let mut found: Vec<(u32, u64)> = Vec::new();
    let mut frontier = vec![root];
    while let Some(parent) = frontier.pop() {
        for (process, its_parent, started) in &processes {
            if *its_parent == parent {
                found.push((*process, *started));
                frontier.push(*process);
            }
        }
    }
    found
}

/// Parent and start time of a process, from /proc/PID/stat (proc(5), fields 4 and 22).
fn stat(process: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The command name, field 2, may hold spaces and brackets: count from its last bracket.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some((parent, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(script: &str, timeout: Duration) -> RunningClient {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        RunningClient::start(command, timeout, None)
    }

    fn alive(process: u32) -> bool {
        fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|text| !text.contains(") Z "))
    }

    #[test]
    fn a_client_that_hangs_is_killed_with_its_children_at_its_timeout() {
        let mut hanging = client("sleep 600 & echo $!; wait", Duration::from_millis(300));
        hanging.wait_for_stdout("\n", Duration::from_secs(5));
        let sleeper: u32 = hanging.stdout_so_far().trim().parse().unwrap();
        let output = hanging.wait();
        assert!(output.timed_out && !output.success());
        assert!(!alive(sleeper));
    }

    #[test]
    fn a_client_talks_and_its_output_is_collected() {
        let mut echo = client("read word; echo got $word; echo oops >&2; exit 3", STOP_TIMEOUT);
        echo.send("hello\n");
        echo.wait_for_stdout("got hello", STOP_TIMEOUT);
        let output = echo.wait().assert_refused();
        assert_eq!((output.code(), output.stderr_text().as_str()), (Some(3), "oops\n"));
    }

    #[test]
    fn a_stopped_server_takes_its_descendants_with_it_even_from_another_session() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let script = "setsid sleep 600 & echo $!; wait";
        let command = ["/bin/sh", "-c", script].map(OsStr::new);
        let mut server = ServerProcess::start(&command, Signal::TERM, directory.path(), &log);
        let sleeper: u32 = loop {
            let text = fs::read_to_string(&log).unwrap();
            if text.ends_with('\n') {
                break text.trim().parse().unwrap();
            }
            std::thread::sleep(POLL);
        };
        assert!(server.ended().is_none() && alive(sleeper));
        server.stop();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while alive(sleeper) {
            assert!(Instant::now() < deadline, "the sleeper lives on");
            std::thread::sleep(POLL);
        }
        assert!(directory.path().exists());
    }

    #[test]
    fn a_server_ends_when_its_owner_dies_without_saying_so() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("server");
        fs::create_dir(&own).unwrap();
        let command = ["/bin/sleep", "600"].map(OsStr::new);
        let mut server =
            ServerProcess::start(&command, Signal::TERM, &own, &directory.path().join("log"));
        drop(server.watcher.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while server.ended().is_none() || own.exists() {
            assert!(Instant::now() < deadline, "the server lives on");
            std::thread::sleep(POLL);
        }
    }
}
