//! Files for an unmodified OpenSSH client: `ssh_config` and `known_hosts`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use portcullis_control::view::SshConfigView;

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::keys::UserKey;
use crate::print::escape;

const CONFIG: &str = "ssh_config";
const KNOWN_HOSTS: &str = "known_hosts";
/// What this machine's sign-in looks like to ssh; kept so that a refresh finds it again.
const LOCAL: &str = "ssh_local";

#[derive(Debug, Subcommand)]
pub(super) enum Ssh {
    /// Print the configuration for `ssh LOGIN@TARGET.portcullis`; refreshes the kept files, too
    SshConfig(SshConfig),
}

#[derive(Debug, Args)]
pub(super) struct SshConfig {
    /// Print the line for ~/.ssh/config that includes the kept file, not the file
    #[arg(long)]
    include: bool,
}

impl Ssh {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::SshConfig(SshConfig { include }) = self;
        let view = refresh(context, &context.client()?, None).await?;
        let path = context.home.path(CONFIG);
        context.out.either(&view, |out| {
            if include {
                return out.line(&format!("Include {}", quoted(&path)));
            }
            out.line(view.config.trim_end())
        })?;
        Ok(Outcome::Done)
    }
}

/// Fetches both files and keeps them beside the sign-in. `key` is the one just certified; without
/// one, what the last sign-in wrote about its key stays.
pub(super) async fn refresh(
    context: &Context,
    client: &Client,
    key: Option<&UserKey>,
) -> Result<SshConfigView, Failure> {
    let mut view: SshConfigView = client.get("/v1/ssh-config").await?;
    let home = &context.home;
    if let Some(key) = key {
        home.write(LOCAL, local_lines(context, key).as_bytes())?;
    }
    let local = std::fs::read_to_string(home.path(LOCAL)).unwrap_or_default();
    view.config = format!("{}{}\n", local.trim_start(), vetted(&view.config)?.trim_end());
    view.known_hosts = escape::lines(&view.known_hosts);
    home.write(CONFIG, view.config.as_bytes())?;
    home.write(KNOWN_HOSTS, view.known_hosts.as_bytes())?;
    Ok(view)
}

/// The keywords a node's configuration may have. Others run programs on this machine
/// (`ProxyCommand`, `LocalCommand`, `Match exec`) or open it (`ForwardAgent`).
const KEYWORDS: [&str; 10] = [
    "host",
    "hostname",
    "port",
    "user",
    "proxyjump",
    "hostkeyalias",
    "userknownhostsfile",
    "stricthostkeychecking",
    "serveraliveinterval",
    "serveralivecountmax",
];

/// The node's configuration, if nothing in it can do more than name hosts.
fn vetted(config: &str) -> Result<&str, Failure> {
    for line in config.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, value) = line.split_once([' ', '=', '\t']).unwrap_or((line, ""));
        let known = KEYWORDS.contains(&keyword.to_ascii_lowercase().as_str());
        let plain = |c: char| c.is_ascii_alphanumeric() || " .-_:@*?!,~/%+[]\"".contains(c);
        if !known || !value.chars().all(plain) {
            return Err(Failure::Failed(format!(
                "the node's ssh configuration has a line this program does not pass on to ssh: `{}`",
                escape::line(line)
            )));
        }
    }
    Ok(config)
}

/// Comes before the node's lines, so that for each keyword it wins.
fn local_lines(context: &Context, key: &UserKey) -> String {
    let home = &context.home;
    let mut text = String::from("# written by `portcullis login`; do not edit\n");
    let _ = writeln!(text, "Host portcullis-gate *.portcullis");
    for (keyword, path) in [
        ("IdentityFile", key.private_path().to_owned()),
        ("CertificateFile", key.certificate_path(home)),
        ("UserKnownHostsFile", home.path(KNOWN_HOSTS)),
    ] {
        let _ = writeln!(text, "    {keyword} {}", quoted(&path));
    }
    let _ = writeln!(text, "    IdentitiesOnly yes\n    StrictHostKeyChecking yes\n");
    text
}

/// A path as ssh_config reads it: quoted, with `%` not taken for a token.
fn quoted(path: &std::path::Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_make_ssh_run_programs_or_forward_an_agent() {
        let good = "# hosts\nHost *.portcullis\n    ProxyJump portcullis-gate\n    Port 22\n";
        assert_eq!(vetted(good).unwrap(), good);
        for bad in [
            "ProxyCommand sh -c id",
            "Match exec \"id\"",
            "ForwardAgent yes",
            "Include /tmp/x",
            "HostName x;id",
            "ProxyJump $(id)",
            "  LocalCommand=id",
        ] {
            assert!(vetted(bad).is_err(), "{bad}");
        }
    }
}
