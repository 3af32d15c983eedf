//! A real OpenSSH server on loopback that stands for a host.
//!
//! In: a directory and the authority the host trusts. Out: a listening server with a host key of
//! its own, which ends when it is dropped and also when this process is killed.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::home::write_private;
use crate::keys;

/// Longest wait for a server to listen.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// A port may be taken between its choice and the server's bind.
const START_ATTEMPTS: usize = 5;
/// Debian's sshd insists on this directory when it runs as root.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";
/// Runs the server until standard input closes, which it does when we end in any way.
const WATCHED: &str = r#""$@" </dev/null & server=$!; read -r _; kill -TERM "$server"; wait"#;

/// Where to look for the server.
const SERVERS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];

/// A running host.
#[derive(Debug)]
pub(super) struct Host {
    /// As in the target's resource.
    pub(super) name: &'static str,
    /// On 127.0.0.1.
    pub(super) port: u16,
    /// Its host key, `ssh-ed25519 AAAA...`.
    pub(super) key: String,
    process: Child,
}

impl Host {
    /// Prepares the host's key and starts the server. `port` is any free one unless given.
    pub(super) async fn start(
        directory: &Path,
        name: &'static str,
        authority: &str,
        port: Option<u16>,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::because(format!("the host `{name}` cannot be set up"), error)
        };
        let server =
            SERVERS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
                Failure::Failed(
                    "there is no OpenSSH server; run `apt-get install openssh-server`".into(),
                )
            })?;
        std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        if is_root() {
            std::fs::create_dir_all(PRIVILEGE_SEPARATION).map_err(|error| failed(&error))?;
        }
        let key = keys::generate()?;
        let text = keys::to_openssh(&key)?;
        write_private(&directory.join("host_key"), text.expose().as_bytes())
            .map_err(|error| failed(&error))?;
        write_private(&directory.join("authority.pub"), format!("{authority}\n").as_bytes())
            .map_err(|error| failed(&error))?;
        let key = keys::public_line(key.public_key())?;
        for _ in 0..START_ATTEMPTS {
            let chosen = port.map_or_else(free_port, Ok).map_err(|error| failed(&error))?;
            let config = directory.join("sshd_config");
            write_private(&config, configuration(directory, name, chosen).as_bytes())
                .map_err(|error| failed(&error))?;
            let log = std::fs::File::create(directory.join("sshd.log"));
            let log = log.map_err(|error| failed(&error))?;
            let mut process = launch(&server, &config, log).map_err(|error| failed(&error))?;
            if listens(chosen).await {
                return Ok(Self { name, port: chosen, key, process });
            }
            end(&mut process);
        }
        let log = std::fs::read_to_string(directory.join("sshd.log")).unwrap_or_default();
        Err(Failure::Failed(format!("the host `{name}` does not start: {}", log.trim_end())))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn launch(server: &Path, config: &Path, log: std::fs::File) -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", WATCHED, "host"])
        .arg(server)
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C in the terminal is for us; we end the hosts when everything else has ended.
        .process_group(0)
        .spawn()
}

/// Closes the watcher's input, which ends the server, and waits for both.
fn end(process: &mut Child) {
    drop(process.stdin.take());
    let _ = process.wait();
}

async fn listens(port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    while started.elapsed() < START_PATIENCE {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn configuration(directory: &Path, name: &str, port: u16) -> String {
    let mut text = String::new();
    let path = |file: &str| directory.join(file).display().to_string();
    for (keyword, value) in [
        ("ListenAddress", format!("127.0.0.1:{port}")),
        ("HostKey", path("host_key")),
        ("TrustedUserCAKeys", path("authority.pub")),
        // A prompt that says where one is: all hosts of the demo are this machine.
        ("SetEnv", format!("\"PROMPT_COMMAND=PS1='\\u@{name}:\\w\\$ '\" PORTCULLIS_HOST={name}")),
    ] {
        let _ = writeln!(text, "{keyword} {value}");
    }
    text.push_str(
        "AuthorizedKeysFile none\n\
         AuthorizedPrincipalsFile none\n\
         PidFile none\n\
         LogLevel VERBOSE\n\
         StrictModes no\n\
         UsePAM no\n\
         UseDNS no\n\
         PermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PrintMotd no\n\
         PrintLastLog no\n\
         X11Forwarding no\n\
         AcceptEnv LANG LC_*\n\
         Subsystem sftp internal-sftp\n",
    );
    text
}

/// The account this runs as: the one account every host of the demo has.
pub(super) fn current_user() -> Result<String, Failure> {
    let output = Command::new("id").arg("-un").output();
    let output = output.map_err(|error| Failure::because("cannot run `id`", &error))?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if name.is_empty() {
        return Err(Failure::Failed(
            "this account has no name; run the demo as one that has".into(),
        ));
    }
    Ok(name)
}

/// Why logins on the hosts get no terminal on this machine, if that is so. A server that is not root
/// cannot give a terminal to the group `tty` (5); the mount has to do it.
pub(super) fn without_terminals() -> Option<&'static str> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    (!is_root() && !gives_terminals(&mounts)).then_some(
        "here only root's sshd can give terminals, because /dev/pts is mounted without `gid=5`; \
         run the demo as root, or let root run `mount -o remount,gid=5,mode=620 /dev/pts`",
    )
}

/// Whether `/dev/pts` is mounted as sshd needs it; the latest mount counts (proc(5)).
fn gives_terminals(mounts: &str) -> bool {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut options = fields.filter_map(|fields| match fields.as_slice() {
        [_, "/dev/pts", "devpts", options, ..] => Some((*options).to_owned()),
        _ => None,
    });
    options.next_back().is_none_or(|options| options.split(',').any(|option| option == "gid=5"))
}

fn is_root() -> bool {
    current_user().is_ok_and(|name| name == "root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_listens_and_ends_with_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::start(directory.path(), "web", "ssh-ed25519 AAAA", None).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], host.port));
        assert!(TcpStream::connect(address).is_ok());
        drop(host);
        // A child the server has just forked holds the port for some moments more.
        let started = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(started.elapsed() < Duration::from_secs(10), "it still listens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn the_latest_mount_says_whether_there_are_terminals() {
        let without = "devpts /dev/pts devpts rw,relatime,mode=600,ptmxmode=000 0 0\n";
        let with = "devpts /dev/pts devpts rw,nosuid,gid=5,mode=620,ptmxmode=000 0 0\n";
        assert!(!gives_terminals(without) && gives_terminals(with));
        assert!(gives_terminals(&format!("{without}{with}")));
        assert!(!gives_terminals(&format!("{with}{without}")));
        assert!(gives_terminals("proc /proc proc rw 0 0\n"), "what is not known is not refused");
    }
}
