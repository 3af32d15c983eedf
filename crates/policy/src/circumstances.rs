//! What one query puts before the policies, in the form they compare: the canonical command, path
//! or destination, and whether its text can be trusted to mean what it says ("plain").
//!
//! Patterns are textual. `systemctl status *` must not let `systemctl status x; reboot` through,
//! nor `/srv/*` let `/srv/../etc/shadow`, nor a forbidden `10.0.0.5:22` come back as
//! `167772165:22`. So a permit with patterns also asks for the plain flag, and a forbid with
//! patterns also holds where the flag is missing.

use std::net::IpAddr;

use portcullis_domain::{Action, Login, Timestamp};

/// One evaluation's circumstances. Ages and limits in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances<'a> {
    pub(crate) login: &'a Login,
    pub(crate) granted: bool,
    pub(crate) second_factor_age: Option<i64>,
    /// `None`: the environment asks for none.
    pub(crate) second_factor_max_age: Option<i64>,
    pub(crate) source: IpAddr,
    /// What windows of hours are open at.
    pub(crate) now: Timestamp,
    pub(crate) ticket: Ticket<'a>,
    pub(crate) detail: &'a Detail,
}

/// The ticket of the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket<'a> {
    /// This one, or none.
    Is(Option<&'a str>),
    /// One that fits every pattern: as if the right one had been given.
    Fitting,
}

/// What the action is about, canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Detail {
    None,
    Command { command: String, plain: bool },
    Path { path: String, plain: bool },
    Destination { host: String, port: u16, destination: String, plain: bool },
    Database { database: String },
}

impl Detail {
    pub(crate) fn of(action: &Action) -> Self {
        match action {
            Action::Shell | Action::AgentForward => Self::None,
            Action::Exec { command } => {
                let command = command.trim_matches(' ').to_owned();
                let plain = command_is_plain(&command);
                Self::Command { command, plain }
            }
            Action::Upload { path } | Action::Download { path } => {
                Self::Path { plain: path_is_plain(path), path: clean_path(path) }
            }
            Action::Forward { host, port } | Action::RemoteForward { host, port } => {
                let (host, plain) = canonical_host(host);
                let destination = destination(&host, *port);
                Self::Destination { host, port: *port, destination, plain }
            }
            // Byte for byte what the server is asked for: there is no other spelling of it.
            Action::Database { database, .. } => Self::Database { database: database.clone() },
        }
    }
}

/// Whether a POSIX shell would run this as one simple command: no separator, pipe, substitution,
/// redirection, group, escape or control character. Quotes and globs only change arguments.
fn command_is_plain(command: &str) -> bool {
    !command.chars().any(|c| {
        c.is_control()
            || matches!(
                c,
                ';' | '&'
                    | '|'
                    | '`'
                    | '$'
                    | '('
                    | ')'
                    | '<'
                    | '>'
                    | '\\'
                    | '{'
                    | '}'
                    | '\u{2028}'
                    | '\u{2029}'
            )
    })
}

/// Absolute, without a step upward and without control characters.
fn path_is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|c| c == "..") && !path.contains(char::is_control)
}

/// The path without empty and `.` components and without `/` at the end; `/` and the empty text
/// stay. Means the same to the target (POSIX 4.16, pathname resolution).
pub(crate) fn clean_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
    match (path.starts_with('/'), parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) if !path.is_empty() => ".".to_owned(),
        (false, _) => parts.join("/"),
    }
}

/// Lower case, without the DNS root's dot and brackets, addresses in their usual form; and
/// whether that is an address or a DNS name a resolver takes for nothing else.
fn canonical_host(host: &str) -> (String, bool) {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let lower = bare.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if let Ok(address) = name.parse::<IpAddr>() {
        return (address.to_canonical().to_string(), true);
    }
    (name.to_owned(), host_name_is_plain(name))
}

/// RFC 1123 labels (and `_`), the last of them not a number: `127.1` and `0x7f000001` are other
/// spellings of addresses (inet_aton).
fn host_name_is_plain(name: &str) -> bool {
    let label_is_plain = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    !numeric && name.split('.').all(label_is_plain)
}

fn destination(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_could_run_a_second_one_is_not_plain() {
        for command in [
            "ls; reboot",
            "ls && reboot",
            "ls | sh",
            "ls $(reboot)",
            "ls `reboot`",
            "ls\nreboot",
            "ls > /etc/passwd",
            "ls \\",
            "{ls,-l}",
            "ls\0",
        ] {
            assert!(!command_is_plain(command), "{command:?}");
        }
        for command in ["", "ls -l *.txt", "git-upload-pack '/srv/a b.git'", "echo \"x\" ~"] {
            assert!(command_is_plain(command), "{command:?}");
        }
    }

    #[test]
    fn paths_are_cleaned_without_changing_what_they_name() {
        for (path, clean, plain) in [
            ("", "", false),
            ("/", "/", true),
            ("/srv//www/./a/", "/srv/www/a", true),
            ("/srv/../etc/shadow", "/srv/../etc/shadow", false),
            ("a/b", "a/b", false),
            (".", ".", false),
            ("./", ".", false),
            ("/a\nb", "/a\nb", false),
            ("/a..b/...", "/a..b/...", true),
        ] {
            assert_eq!(
                (clean_path(path).as_str(), path_is_plain(path)),
                (clean, plain),
                "{path:?}"
            );
        }
    }

    #[test]
    fn other_spellings_of_a_host_become_one_or_are_not_plain() {
        for (host, canonical, plain) in [
            ("DB.Internal.", "db.internal", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("::ffff:10.0.0.5", "10.0.0.5", true),
            ("[::1]", "::1", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("167772165", "167772165", false),
            ("10.5", "10.5", false),
            ("0x0a000005", "0x0a000005", false),
            ("010.0.0.5", "010.0.0.5", false),
            ("", "", false),
            ("a b", "a b", false),
            ("a..b", "a..b", false),
            ("*", "*", false),
        ] {
            assert_eq!(canonical_host(host), (canonical.to_owned(), plain), "{host:?}");
        }
        assert_eq!(destination("::1", 22), "[::1]:22");
    }
}
