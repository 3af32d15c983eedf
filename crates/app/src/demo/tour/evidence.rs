//! What is left of it: the recording, the log, and what becomes of whoever changes it.

use std::path::Path;
use std::time::Duration;

use super::super::stage::shell;
use super::{Tour, field};
use crate::failure::Failure;

/// Longest wait for asciinema.
const ASCIINEMA_PATIENCE: Duration = Duration::from_secs(15);

/// What alice did, as the log has it after the request and the session of the tour.
const IN_THE_LOG: [&str; 4] = ["request.create", "session.open", "session.close", "authorize"];

/// Replay, export, search, verify, and a changed copy that does not.
pub(super) async fn played_searched_verified(
    tour: &mut Tour<'_>,
    session: &str,
) -> Result<(), Failure> {
    tour.step("The recording plays, also in asciinema")?;
    tour.typed("carol", &format!("portcullis sessions play {session} --max-idle 0s"))?;
    let ended = tour.carol.run(&["sessions", "play", session, "--max-idle", "0s"]).await?;
    let plays = ended.code == Some(0) && ended.out.contains("still-here-55");
    tour.holds("everything alice saw is in it", plays, &ended.text())?;
    let cast = tour.stage.directory().join("session.cast");
    let file = cast.display().to_string();
    tour.typed("carol", &format!("portcullis sessions export {session} -o {file}"))?;
    let ended = tour.carol.run(&["sessions", "export", session, "-o", &file]).await?;
    tour.ended("exported as asciicast", &ended, 0, "")?;
    match asciinema(&cast).await {
        Some(shown) => {
            tour.typed("carol", &format!("asciinema cat {file}"))?;
            tour.holds("asciinema reads it", shown.contains("still-here-55"), &shown)?;
        }
        None => tour.shown("(asciinema or script is not installed)")?,
    }

    tour.step("Every attempt, allowed or refused, is in the audit log")?;
    tour.typed("carol", "portcullis audit search --user alice")?;
    let ended = tour.carol.run(&["audit", "search", "--user", "alice", "--limit", "1000"]).await?;
    tour.shown(&ended.out)?;
    let missing: Vec<_> = IN_THE_LOG.iter().filter(|name| !ended.out.contains(**name)).collect();
    let all = missing.is_empty() && ended.out.contains("refused");
    tour.holds("refusal, request and session are all there", all, &ended.text())?;
    tour.typed("carol", "portcullis audit verify")?;
    let ended = tour.carol.run(&["audit", "verify"]).await?;
    tour.ended("it verifies", &ended, 0, "as they were logged")?;

    tour.step("Whoever changes an entry is found out")?;
    let ended = tour.carol.run(&["audit", "checkpoint", "--json"]).await?;
    let vkey = field(&ended, "/vkey")?;
    let copy = tour.stage.directory().join("changed-log");
    copy_directory(&tour.stage.directory().join("data/log"), &copy)?;
    let dir = copy.display().to_string();
    let arguments = ["audit", "verify", &dir, "--key", &vkey];
    tour.typed("carol", &format!("portcullis audit verify {dir} --key ..."))?;
    let ended = tour.carol.run(&arguments).await?;
    tour.ended("a copy verifies without the node", &ended, 0, "as they were logged")?;
    let changed = change_one_letter(&copy)?;
    tour.holds("in the copy, one `prod-web` becomes `prod-wed`", changed > 0, "no entry names it")?;
    let ended = tour.carol.run(&arguments).await?;
    tour.ended("the changed copy does not, and the entry is named", &ended, 5, "entry `")
}

/// What asciinema makes of a recording; `None` where it is not installed. It insists on a terminal,
/// which `script` gives it.
async fn asciinema(cast: &Path) -> Option<String> {
    let installed = |name: &str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|path| path.join(name).is_file())
    };
    if !installed("asciinema") || !installed("script") {
        return None;
    }
    let mut command = tokio::process::Command::new("script");
    command
        .args(["--quiet", "--return", "--command"])
        .arg(format!("LC_ALL=C.UTF-8 asciinema cat {}", shell(cast)))
        .arg("/dev/null")
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let run = tokio::time::timeout(ASCIINEMA_PATIENCE, command.output());
    let output = run.await.ok()?.ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Regular files only; the log has no others.
fn copy_directory(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::because(format!("`{}` cannot be copied", from.display()), error)
    };
    std::fs::create_dir_all(to).map_err(|error| failed(&error))?;
    for entry in std::fs::read_dir(from).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let kind = entry.file_type().map_err(|error| failed(&error))?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if kind.is_file() {
            match std::fs::copy(entry.path(), &target) {
                // A file of the running log may be replaced meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => {
                    copied.map_err(|error| failed(&error))?;
                }
            }
        }
    }
    Ok(())
}

/// Changes one letter of the first entry that names alice, in every copy of it there is: the log
/// keeps the beginnings of an unfinished bundle, too. Gives how many files were changed.
fn change_one_letter(log: &Path) -> Result<usize, Failure> {
    let failed = |error: std::io::Error| Failure::because("the copy cannot be changed", &error);
    let name = b"\"prod-web\"";
    let mut changed = 0;
    let mut directories = vec![log.join("tile/entries")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mut bytes = std::fs::read(&path).map_err(failed)?;
            let at = bytes.windows(name.len()).position(|window| window == name);
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at + 8)) {
                *byte = b'd';
                std::fs::write(&path, &bytes).map_err(failed)?;
                changed += 1;
            }
        }
    }
    Ok(changed)
}
