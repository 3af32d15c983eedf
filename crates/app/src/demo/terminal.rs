//! A program left running with both its outputs read as they come: an `ssh` session, a `watch`.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::failure::Failure;

const POLL: Duration = Duration::from_millis(5);
/// Most output remembered, in bytes.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// See the module. The program is killed when this is dropped.
pub(super) struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a command whose three streams are pipes.
    pub(super) fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command
            .spawn()
            .map_err(|error| Failure::because("a command cannot be started", &error))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        if let Some(stream) = child.stdout.take() {
            tokio::spawn(collect(stream, Arc::clone(&output)));
        }
        if let Some(stream) = child.stderr.take() {
            tokio::spawn(collect(stream, Arc::clone(&output)));
        }
        let input = child.stdin.take();
        Ok(Self { child, input, output })
    }

    /// Types a line.
    pub(super) async fn type_line(&mut self, line: &str) -> Result<(), Failure> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let typed = async {
            input.write_all(line.as_bytes()).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        typed.await.map_err(|error| Failure::because("the session takes no input", &error))
    }

    /// Everything shown so far.
    pub(super) fn shown(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Waits until `text` has been shown; whether it was.
    pub(super) async fn shows(&self, text: &str, patience: Duration) -> bool {
        let started = Instant::now();
        while !self.shown().contains(text) {
            if started.elapsed() > patience {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Waits for the end; `None` if it does not come in time.
    pub(super) async fn ends(&mut self, patience: Duration) -> Option<ExitStatus> {
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        // What was written last may still be on its way to us.
        tokio::time::sleep(Duration::from_millis(20)).await;
        ended.ok()?.ok()
    }
}

async fn collect(mut stream: impl AsyncRead + Unpin, output: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.len() + bytes.len() <= MAX_OUTPUT_BYTES {
            output.extend_from_slice(bytes);
        }
    }
}
