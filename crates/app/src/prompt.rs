//! Secrets and answers from a person, or from the environment for scripts.
//!
//! A secret in an environment variable can be read by every process of the same user; scripts that
//! must do it should set it for one command only. Secrets are never taken from arguments, which
//! everybody on the machine can read.

use std::io::{IsTerminal, Read, Write};

use portcullis_domain::Secret;

use crate::failure::Failure;

/// The password, for scripts.
pub(crate) const PASSWORD_VARIABLE: &str = "PORTCULLIS_PASSWORD";
/// A new password, for scripts.
pub(crate) const NEW_PASSWORD_VARIABLE: &str = "PORTCULLIS_NEW_PASSWORD";
/// The one-time or recovery code, for scripts.
pub(crate) const CODE_VARIABLE: &str = "PORTCULLIS_CODE";
/// Most that is read from standard input as a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The value of a variable, if it is set and not empty.
pub(crate) fn from_environment(name: &str) -> Option<Secret<String>> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new)
}

/// A secret from the variable, or typed without echo.
pub(crate) fn secret(question: &str, variable: &str) -> Result<Secret<String>, Failure> {
    if let Some(value) = from_environment(variable) {
        return Ok(value);
    }
    rpassword::prompt_password(question).map(Secret::new).map_err(|_| {
        Failure::Usage(format!("there is no terminal to ask on; set {variable} for this command"))
    })
}

/// A new password, typed twice where a person types it.
pub(crate) fn new_password() -> Result<Secret<String>, Failure> {
    if let Some(value) = from_environment(NEW_PASSWORD_VARIABLE) {
        return Ok(value);
    }
    let first = secret("new password: ", NEW_PASSWORD_VARIABLE)?;
    let again = secret("the same again: ", NEW_PASSWORD_VARIABLE)?;
    if first.expose() == again.expose() {
        Ok(first)
    } else {
        Err(Failure::Failed("the two passwords differ; nothing was changed".into()))
    }
}

/// A secret typed without echo, or all of standard input where that is no terminal.
pub(crate) fn secret_or_input(question: &str) -> Result<Secret<String>, Failure> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(question)
            .map(Secret::new)
            .map_err(|error| Failure::because("cannot read from the terminal", &error));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_SECRET_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::because("cannot read standard input", &error))?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(Failure::Failed(format!("a secret has at most {MAX_SECRET_BYTES} bytes")));
    }
    // `echo secret | ...` means the secret, not its line end; a key file keeps all of its lines.
    if text.matches('\n').count() == 1 && text.ends_with('\n') {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    Ok(Secret::new(text))
}

/// Whether the person agrees; without a terminal there is nobody to ask, and that is a no.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask on; add `--yes` to go ahead without asking".into(),
        ));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::because("cannot read from the terminal", &error))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
