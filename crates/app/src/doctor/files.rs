//! Directories, their permissions, and room on their disks.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::finding::Finding;
use crate::config::Config;

/// Below this a node soon has to close: a log that cannot be written lets nobody in.
const LEAST_FREE_BYTES: u64 = 512 * 1024 * 1024;
/// Below this somebody should look.
const LOW_FREE_BYTES: u64 = 5 * 1024 * 1024 * 1024;

pub(super) fn data_dir(config: &Config) -> Finding {
    directory("data directory", &config.data_dir)
}

pub(super) fn recordings(config: &Config) -> Finding {
    directory("recordings", &config.recordings)
}

fn directory(check: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return Finding::problem(check, format!("`{shown}` is no directory"), "move it away");
        }
        Err(error) => {
            return Finding::problem(
                check,
                format!("`{shown}`: {error}"),
                "`portcullis init` makes it; or correct the path in the configuration",
            );
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("others can look into `{shown}` (mode {mode:o})");
        return Finding::problem(check, what, format!("chmod 700 {shown}"));
    }
    let probe = path.join(format!(".doctor.{}", std::process::id()));
    let written = std::fs::File::create_new(&probe)
        .and_then(|mut file| file.write_all(b"x").and_then(|()| file.sync_all()));
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => Finding::good(check, format!("`{shown}` can be written, by its owner only")),
        Err(error) => Finding::problem(
            check,
            format!("`{shown}` cannot be written: {error}"),
            "run this as the user that runs the node, or give it the directory; free the disk if it is full",
        ),
    }
}

pub(super) fn free_space(check: &'static str, path: &Path) -> Finding {
    match free_bytes(path) {
        None => Finding::notice(
            check,
            format!("how much is free for `{}` is unknown", path.display()),
            "look with `df`",
        ),
        Some(free) if free < LEAST_FREE_BYTES => Finding::problem(
            check,
            format!("only {} MiB are free", free >> 20),
            "free some: without room for the log and recordings the gate closes",
        ),
        Some(free) if free < LOW_FREE_BYTES => {
            Finding::notice(check, format!("{} MiB are free", free >> 20), "plan for more room")
        }
        Some(free) => Finding::good(check, format!("{} GiB are free", free >> 30)),
    }
}

/// Asks `df`: the standard library does not know, and one number is not worth a system call crate.
fn free_bytes(path: &Path) -> Option<u64> {
    let output = Command::new("df").args(["-P", "-B1", "--"]).arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_directory_others_can_look_into_is_a_problem_with_its_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path(), mode(0o755)).unwrap();
        let finding = super::directory("x", directory.path());
        assert_eq!(finding.state, State::Problem);
        assert!(finding.remedy.unwrap().contains("chmod 700"));
        std::fs::set_permissions(directory.path(), mode(0o700)).unwrap();
        assert_eq!(super::directory("x", directory.path()).state, State::Good);
        assert_eq!(super::directory("x", &directory.path().join("no")).state, State::Problem);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no probe is left");
    }

    #[test]
    fn free_space_is_found_where_df_is() {
        assert!(free_bytes(Path::new("/")).is_some());
    }
}
