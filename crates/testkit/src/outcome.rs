//! What a client left behind when it ended: its status, its output, the prompts it met.
//!
//! Must never know: how the client was run.

use std::process::ExitStatus;

/// The result of a client that ran to its end or was killed at its timeout.
#[derive(Debug, Clone)]
pub struct ClientOutput {
    /// How it ended; killed by a signal when `timed_out`.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Whether it had to be killed because its time was up.
    pub timed_out: bool,
    /// The prompts it asked through askpass, in order, answered or not.
    pub prompts: Vec<String>,
}

impl ClientOutput {
    /// Whether it ended by itself with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success() && !self.timed_out
    }

    /// Its exit code; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Hands back the output of a success.
    ///
    /// # Panics
    /// When it did not succeed; the message holds everything it said.
    #[track_caller]
    #[must_use = "use `let _ =` when only the check matters"]
    pub fn assert_success(self) -> Self {
        assert!(self.success(), "the client failed: {}", self.describe());
        self
    }

    /// Hands back the output of a failure that came by itself, not by the timeout.
    ///
    /// # Panics
    /// When it succeeded or hung.
    #[track_caller]
    #[must_use = "use `let _ =` when only the check matters"]
    pub fn assert_refused(self) -> Self {
        assert!(!self.timed_out, "the client hung: {}", self.describe());
        assert!(!self.success(), "the client was let in: {}", self.describe());
        self
    }

    /// Everything, for the message of a failed assertion.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}{}\n--- stdout\n{}\n--- stderr\n{}\n--- prompts\n{}",
            self.status,
            if self.timed_out { " (timed out)" } else { "" },
            self.stdout_text(),
            self.stderr_text(),
            self.prompts.join("\n"),
        )
    }
}
