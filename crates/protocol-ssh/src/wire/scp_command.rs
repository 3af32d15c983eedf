//! The command lines by which an scp client starts its other half on the target.
//!
//! In: the command of an `exec` request. Out: what it transfers, or nothing: then it is a command
//! like any other and needs the right to run it. The target's login shell reads the same text, so
//! only texts that every shell reads the way they look are taken for scp.

use super::sftp_packet::MAX_PATH_BYTES;

/// Which way the files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the target (`scp -t`).
    Upload,
    /// From the target (`scp -f`).
    Download,
}

/// A plain `scp -t` or `scp -f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScpInvocation {
    /// Which way the files go.
    pub direction: Direction,
    /// The path on the target, as the client sent it.
    pub path: String,
    /// Whether directories are transferred (`-r`).
    pub recursive: bool,
    /// Whether the path has to be a directory (`-d`).
    pub directory: bool,
}

impl ScpInvocation {
    /// Whether the path can only be a directory.
    pub(super) fn is_directory(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.directory || matches!(name, "" | "." | ".." | "~")
    }
}

/// Reads `scp (-t|-f) [-r] [-p] [-d] [-v] [-q] [--] PATH`. `None` for everything else: several paths,
/// unknown options, and every character with a meaning to some shell (quotes, patterns, variables,
/// `;`, `$(`, ...), because then the path that is written to would not be the one that is decided on.
pub fn parse_scp_command(command: &str) -> Option<ScpInvocation> {
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    if words.next()? != "scp" {
        return None;
    }
    let mut direction = None;
    let (mut recursive, mut directory) = (false, false);
    let mut path = words.next()?;
    while let Some(options) = path.strip_prefix('-') {
        if options == "-" {
            path = words.next()?;
            break;
        }
        if options.is_empty() {
            return None;
        }
        for option in options.chars() {
            match option {
                't' if direction.is_none() => direction = Some(Direction::Upload),
                'f' if direction.is_none() => direction = Some(Direction::Download),
                'r' => recursive = true,
                'd' => directory = true,
                'p' | 'v' | 'q' => {}
                _ => return None,
            }
        }
        path = words.next()?;
    }
    if words.next().is_some() || !is_literal(path) {
        return None;
    }
    Some(ScpInvocation { direction: direction?, path: path.to_owned(), recursive, directory })
}

/// Whether every shell hands this word on as it is. `~` and `~/...` are let through: the login
/// directory, which the path is relative to anyway.
fn is_literal(word: &str) -> bool {
    let rest = match word.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) => return false,
        // zsh replaces `=name` by the place of that command.
        None if word.is_empty() || word.starts_with('=') => return false,
        None => word,
    };
    word.len() <= MAX_PATH_BYTES
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,=@%:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: Option<(Direction, &str, bool)>) {
        let found = parse_scp_command(command);
        let found =
            found.as_ref().map(|found| (found.direction, found.path.as_str(), found.recursive));
        assert_eq!(found, expected, "{command:?}");
    }

    #[test]
    fn what_scp_clients_send_is_recognised() {
        check("scp -t /tmp/x", Some((Direction::Upload, "/tmp/x", false)));
        check("scp -v -r -p -d -t -- -odd", Some((Direction::Upload, "-odd", true)));
        check("scp -rpf a/b_c-1.2", Some((Direction::Download, "a/b_c-1.2", true)));
        check("scp -q -f  ~/notes", Some((Direction::Download, "~/notes", false)));
        check("scp -t .", Some((Direction::Upload, ".", false)));
    }

    #[test]
    fn anything_a_shell_could_read_otherwise_needs_the_exec_right() {
        for command in [
            "",
            "scp",
            "scp -t",
            "scp -t --",
            "scp /tmp/x",
            "scp a b",
            "scp -t -f x",
            "scp -t a b",
            "scp -t a -r",
            "scp -S/bin/sh -t x",
            "scp -t -oProxyCommand=sh x",
            "scp - -t x",
            "scpx -t x",
            "/usr/bin/scp -t x",
            " /bin/scp -t x",
            "scp -t x;id",
            "scp -t x|id",
            "scp -t x&id",
            "scp -t x>y",
            "scp -t x<y",
            "scp -t $(id)",
            "scp -t `id`",
            "scp -t $HOME/x",
            "scp -t ${IFS}x",
            "scp -t 'x'",
            "scp -t \"x\"",
            "scp -t x\\y",
            "scp -f /var/log/*",
            "scp -f a?c",
            "scp -f [ab]",
            "scp -f {a,b}",
            "scp -f ~root/x",
            "scp -f a=~/x",
            "scp -f =id",
            "scp -t x\nid",
            "scp -t x\ry",
            "scp\t-t x",
            "scp -t x #y",
            "scp -t x!y",
            "scp -t x^y",
            "scp -t (x)",
            "scp -t x\u{a0}y",
            "scp -t caf\u{e9}",
            "scp -t x\0y",
            "\u{feff}scp -t x",
        ] {
            check(command, None);
        }
        check(&format!("scp -t {}", "a".repeat(4097)), None);
    }
}
