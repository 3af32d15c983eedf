//! Runs the real programs as one of the people: this one and `ssh`, each as a child process with
//! nothing of the caller's own configuration.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::people::{Codes, Person};
use super::stage::{Stage, write_script};
use super::terminal::Terminal;
use crate::failure::Failure;

/// Longest run of a command.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// Answers every question of ssh with the code we were given for it.
const ASKPASS: &str = "#!/bin/sh\nprintf '%s\\n' \"$PORTCULLIS_TOUR_CODE\"\n";

/// One of the people at their keyboard.
pub(super) struct Actor<'a> {
    person: &'a Person,
    home: PathBuf,
    api_url: &'a str,
    askpass: PathBuf,
    program: PathBuf,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// Exit code; `None` after a signal.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

impl Ended {
    /// Both outputs, for people.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl<'a> Actor<'a> {
    /// Puts somebody to work.
    pub(super) fn new(stage: &'a Stage, name: &str) -> Result<Self, Failure> {
        let askpass = stage.directory().join("askpass");
        if !askpass.exists() {
            write_script(&askpass, ASKPASS)?;
        }
        let program = std::env::current_exe()
            .map_err(|error| Failure::because("this program does not know where it is", &error))?;
        Ok(Self {
            person: stage.person(name)?,
            home: stage.home(name),
            api_url: stage.api_url(),
            askpass,
            program,
        })
    }

    /// Signs in with password and code.
    pub(super) async fn sign_in(&self, codes: &mut Codes) -> Result<Ended, Failure> {
        let mut command = self.portcullis(&["login", &self.person.name]);
        command
            .env("PORTCULLIS_PASSWORD", &self.person.password)
            .env("PORTCULLIS_CODE", codes.next(self.person).await?);
        finish(command).await
    }

    /// One command of this program.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Ended, Failure> {
        finish(self.portcullis(arguments)).await
    }

    /// One command of this program, left running.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Terminal, Failure> {
        Terminal::start(self.portcullis(arguments))
    }

    /// `ssh` with the certificate alone: no code is given.
    pub(super) async fn ssh(&self, arguments: &[&str]) -> Result<Ended, Failure> {
        let arguments: Vec<&str> =
            ["-o", "KbdInteractiveAuthentication=no"].iter().chain(arguments).copied().collect();
        finish(self.ssh_command(&arguments, "")).await
    }

    /// `ssh` with a terminal, left running; the code is given when it asks.
    pub(super) async fn terminal(
        &self,
        codes: &mut Codes,
        arguments: &[&str],
    ) -> Result<Terminal, Failure> {
        let code = codes.next(self.person).await?;
        let arguments: Vec<&str> = ["-tt"].iter().chain(arguments).copied().collect();
        Terminal::start(self.ssh_command(&arguments, &code))
    }

    fn portcullis(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("PORTCULLIS_HOME", &self.home)
            .env("PORTCULLIS_ADDRESS", self.api_url)
            .env("NO_COLOR", "1");
        prepared(command)
    }

    fn ssh_command(&self, arguments: &[&str], code: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(self.home.join("ssh_config"))
            .args(["-o", "ConnectTimeout=10", "-o", "LogLevel=INFO"])
            .args(arguments)
            .env("SSH_ASKPASS", &self.askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("PORTCULLIS_TOUR_CODE", code)
            .env("TERM", "xterm")
            .env_remove("SSH_AUTH_SOCK");
        prepared(command)
    }
}

fn prepared(mut command: Command) -> Command {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    command
}

async fn finish(mut command: Command) -> Result<Ended, Failure> {
    command.stdin(Stdio::null());
    let run = command.output();
    let output = match tokio::time::timeout(COMMAND_PATIENCE, run).await {
        Err(_) => return Err(Failure::Failed("a command of the tour did not end in time".into())),
        Ok(Err(error)) => return Err(Failure::because("a command cannot be started", &error)),
        Ok(Ok(output)) => output,
    };
    Ok(Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
