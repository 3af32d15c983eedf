//! Clients of another make than OpenSSH: Python with paramiko.
//!
//! Must never know: what the scripts are for.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Debian's own interpreter: it is the one that has `python3-paramiko`.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a script with `input` as JSON; what it prints, as JSON.
#[track_caller]
pub(crate) fn run(script: &str, input: &Value) -> Value {
    let text = start(script, input).wait_with_output().unwrap();
    let (said, error) =
        (String::from_utf8_lossy(&text.stdout), String::from_utf8_lossy(&text.stderr));
    assert!(
        text.status.success(),
        "python3 (is `python3-paramiko` installed? run `make test`): {said}{error}"
    );
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("not JSON: {said}{error}"))
}

/// Starts a script with `input` as JSON.
#[track_caller]
pub(crate) fn start(script: &str, input: &Value) -> std::process::Child {
    let mut child = Command::new(PYTHON)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`/usr/bin/python3`: run `make test`, or `apt-get install python3-paramiko`");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    child
}
