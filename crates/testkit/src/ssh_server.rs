//! A real OpenSSH server on 127.0.0.1, configured from scratch in a directory of its own.
//!
//! Runs as whoever runs the tests: as root it lets any user of the machine in, otherwise
//! only the user it runs as ([`crate::current_user`]). Without root a session with a pty
//! needs `/dev/pts` mounted with `gid=5`, as every distribution does and some containers do not.
//!
//! Must never know: that there is a gate in front of it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::keys::{generate_at, read_line};
use crate::process::{ServerProcess, find_program};
use crate::{
    CertificateAuthority, KeyKind, PasswordPrompt, SshClient, UserKey, free_port, ssh_password,
};

const PACKAGE: &str = "openssh-server";
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A port may be taken between its choice and the server's bind.
const START_ATTEMPTS: u32 = 5;
/// The privilege separation directory Debian's sshd insists on when it runs as root.
const PRIVILEGE_SEPARATION_DIRECTORY: &str = "/run/sshd";

/// What a server shall trust and allow.
#[derive(Debug, Default)]
pub struct SshServerBuilder {
    user_authorities: Vec<String>,
    authorized_keys: Vec<String>,
    principals: Vec<(String, Vec<String>)>,
    host_authority: Option<(CertificateAuthority, Vec<String>, String)>,
    host_key: Option<KeyKind>,
    extra_lines: Vec<String>,
    password: Option<(String, PasswordPrompt)>,
}

impl SshServerBuilder {
    /// Trusts the certificates this authority signs for users (its public key line).
    #[must_use]
    pub fn trust_user_authority(mut self, public_line: impl Into<String>) -> Self {
        self.user_authorities.push(public_line.into());
        self
    }

    /// Lets this public key in, for every login.
    #[must_use]
    pub fn authorize_key(mut self, public_line: impl Into<String>) -> Self {
        self.authorized_keys.push(public_line.into());
        self
    }

    /// Lets certificates naming one of `principals` in as `login`. Without any such call
    /// a certificate must name the login itself; with one, only what is named here counts.
    #[must_use]
    pub fn principals(mut self, login: &str, principals: &[&str]) -> Self {
        self.principals
            .push((login.to_owned(), principals.iter().map(|&name| name.to_owned()).collect()));
        self
    }

    /// Presents a host certificate for `names`, signed by `authority`; `validity` is what
    /// `ssh-keygen -V` takes.
    #[must_use]
    pub fn host_certificate(
        mut self,
        authority: &CertificateAuthority,
        names: &[&str],
        validity: &str,
    ) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.host_authority = Some((authority.duplicate(), names, validity.to_owned()));
        self
    }

    /// The algorithm of the host key; Ed25519 unless told.
    #[must_use]
    pub fn host_key(mut self, kind: KeyKind) -> Self {
        self.host_key = Some(kind);
        self
    }

    /// Lets [`crate::current_user`] in with a password, asked for in this way.
    #[must_use]
    pub fn password(mut self, password: &str, prompt: PasswordPrompt) -> Self {
        self.password = Some((password.to_owned(), prompt));
        self
    }

    /// A line for `sshd_config`; it comes first, so it wins over the defaults here.
    #[must_use]
    pub fn extra_line(mut self, line: impl Into<String>) -> Self {
        self.extra_lines.push(line.into());
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When OpenSSH is missing or the server does not start; the message holds its log.
    #[must_use]
    pub fn start(mut self) -> SshServer {
        let directory = tempfile::Builder::new().prefix("sshd").tempdir().unwrap();
        let files = Files { root: directory.path().to_owned() };
        generate_at(self.host_key.unwrap_or(KeyKind::Ed25519), &files.host_key());
        if let Some((authority, names, validity)) = &self.host_authority {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            authority.sign_host(&files.host_public(), &names, validity);
        }
        fs::write(files.user_authorities(), lines(&self.user_authorities)).unwrap();
        fs::write(files.authorized_keys(), lines(&self.authorized_keys)).unwrap();
        fs::create_dir(files.principals()).unwrap();
        for (login, names) in &self.principals {
            fs::write(files.principals().join(login), lines(names)).unwrap();
        }
        let mut environment = Vec::new();
        if let Some((password, prompt)) = &self.password {
            let prepared = ssh_password::prepare(&files.root, password, *prompt);
            environment = prepared.environment;
            self.extra_lines.push(prepared.configuration);
        }
        let (port, process) = launch(&files, &self, &environment);
        SshServer { process, port, files, _directory: directory }
    }
}

/// A running OpenSSH server; dropped, it ends with all its sessions.
#[derive(Debug)]
pub struct SshServer {
    process: ServerProcess,
    port: u16,
    files: Files,
    _directory: tempfile::TempDir,
}

impl SshServer {
    /// A server that lets nobody in yet; see [`SshServer::authorize_key`].
    ///
    /// # Panics
    /// As [`SshServerBuilder::start`].
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Describe a server before it starts.
    #[must_use]
    pub fn builder() -> SshServerBuilder {
        SshServerBuilder::default()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the listening server, for counting its memory and time.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The public host key, `ssh-ed25519 AAAA...`.
    ///
    /// # Panics
    /// When the file is gone.
    #[must_use]
    pub fn host_key_line(&self) -> String {
        let line = read_line(&self.files.host_public());
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// The line for a client's known hosts, `[127.0.0.1]:PORT ssh-ed25519 AAAA...`.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.host_key_line())
    }

    /// Lets one more public key in, for every login, from the next connection on.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn authorize_key(&self, public_line: &str) {
        append(&self.files.authorized_keys(), public_line);
    }

    /// Trusts one more authority for user certificates from the next connection on.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn trust_user_authority(&self, public_line: &str) {
        append(&self.files.user_authorities(), public_line);
    }

    /// Replaces the host key, as a reinstalled host or an impostor would; running
    /// sessions go on.
    ///
    /// # Panics
    /// When the server does not come back.
    pub fn rotate_host_key(&mut self) {
        generate_at(KeyKind::Ed25519, &self.files.host_key());
        let seen = self.log().len();
        self.process.signal(Signal::HUP);
        assert!(
            await_listening(&mut self.process, &self.files, seen, self.port),
            "sshd did not come back with its new host key: {}",
            self.log()
        );
    }

    /// Everything the server has logged, at level VERBOSE.
    #[must_use]
    pub fn log(&self) -> String {
        self.files.log_text()
    }

    /// Where the log lies.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.files.log()
    }

    /// Waits until the log holds `text`.
    ///
    /// # Panics
    /// When `timeout` passes before that.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "sshd did not log `{text}`: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the server and all its sessions now, as a host that loses power would.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// A client that goes straight to this server as [`crate::current_user`] with `key`.
    #[must_use]
    pub fn client(&self, key: &UserKey) -> SshClient {
        SshClient::new(self.port)
            .user(&crate::current_user())
            .identity(key)
            .known_host(&self.known_hosts_line())
    }
}

/// The files of one server.
#[derive(Debug)]
struct Files {
    root: PathBuf,
}

impl Files {
    fn host_key(&self) -> PathBuf {
        self.root.join("host_key")
    }
    fn host_public(&self) -> PathBuf {
        self.root.join("host_key.pub")
    }
    fn host_certificate(&self) -> PathBuf {
        self.root.join("host_key-cert.pub")
    }
    fn user_authorities(&self) -> PathBuf {
        self.root.join("user_authorities")
    }
    fn authorized_keys(&self) -> PathBuf {
        self.root.join("authorized_keys")
    }
    fn principals(&self) -> PathBuf {
        self.root.join("principals")
    }
    fn config(&self) -> PathBuf {
        self.root.join("sshd_config")
    }
    fn log(&self) -> PathBuf {
        self.root.join("sshd.log")
    }
    fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }
}

fn launch(
    files: &Files,
    builder: &SshServerBuilder,
    environment: &[String],
) -> (u16, ServerProcess) {
    let (env, program) = (find_program("coreutils", "env"), find_program(PACKAGE, "sshd"));
    prepare_privilege_separation();
    for _ in 0..START_ATTEMPTS {
        let port = free_port();
        fs::write(files.config(), configuration(files, builder, port)).unwrap();
        let config = files.config();
        let mut command = vec![env.as_os_str()];
        command.extend(environment.iter().map(OsStr::new));
        command.push(program.as_os_str());
        command.extend(["-D", "-e", "-f"].map(OsStr::new));
        command.push(config.as_os_str());
        let seen = files.log_text().len();
        let mut process = ServerProcess::start(&command, Signal::TERM, &files.root, &files.log());
        if await_listening(&mut process, files, seen, port) {
            return (port, process);
        }
    }
    panic!("sshd does not start: {}", files.log_text())
}

/// Whether the server says, after the first `seen` bytes of its log, that it listens.
fn await_listening(process: &mut ServerProcess, files: &Files, seen: usize, port: u16) -> bool {
    let listening = format!("Server listening on 127.0.0.1 port {port}.");
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if files.log_text().get(seen..).is_some_and(|new| new.contains(&listening)) {
            return true;
        }
        if process.ended().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// `sshd_config`; the first value of a keyword counts, so the test's own lines lead.
fn configuration(files: &Files, builder: &SshServerBuilder, port: u16) -> String {
    let mut text = lines(&builder.extra_lines);
    let path = |path: PathBuf| path.display().to_string();
    let mut line = |keyword: &str, value: &str| writeln!(text, "{keyword} {value}").unwrap();
    line("ListenAddress", &format!("127.0.0.1:{port}"));
    line("HostKey", &path(files.host_key()));
    if builder.host_authority.is_some() {
        line("HostCertificate", &path(files.host_certificate()));
    }
    line("TrustedUserCAKeys", &path(files.user_authorities()));
    line("AuthorizedKeysFile", &path(files.authorized_keys()));
    if builder.principals.is_empty() {
        line("AuthorizedPrincipalsFile", "none");
    } else {
        line("AuthorizedPrincipalsFile", &format!("{}/%u", files.principals().display()));
    }
    for (keyword, value) in [
        ("PidFile", "none"),
        ("LogLevel", "VERBOSE"),
        ("StrictModes", "no"),
        ("UsePAM", "no"),
        ("UseDNS", "no"),
        ("PermitRootLogin", "yes"),
        ("PasswordAuthentication", "no"),
        ("KbdInteractiveAuthentication", "no"),
        ("PrintMotd", "no"),
        ("PrintLastLog", "no"),
        ("Subsystem", "sftp internal-sftp"),
        ("AllowTcpForwarding", "yes"),
        ("AllowStreamLocalForwarding", "yes"),
        ("GatewayPorts", "no"),
        ("AllowAgentForwarding", "yes"),
        ("X11Forwarding", "yes"),
        ("AcceptEnv", "*"),
        ("PermitUserEnvironment", "no"),
        ("MaxSessions", "1000"),
        ("MaxStartups", "1000"),
        ("MaxAuthTries", "20"),
    ] {
        line(keyword, value);
    }
    // Newer servers punish an address that fails to log in often; every test shares one.
    if version().is_some_and(|version| version >= (9, 8)) {
        line("PerSourcePenalties", "no");
    }
    text
}

/// The version of OpenSSH, `(9, 2)`; server and clients come from the same source package.
fn version() -> Option<(u32, u32)> {
    let program = find_program(crate::keys::CLIENT_PACKAGE, "ssh");
    let output = Command::new(program).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let numbers = text.strip_prefix("OpenSSH_")?;
    let (major, rest) = numbers.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn prepare_privilege_separation() {
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all(PRIVILEGE_SEPARATION_DIRECTORY).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(PRIVILEGE_SEPARATION_DIRECTORY, mode).unwrap();
    }
}

fn lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn append(path: &Path, line: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(file, "{}", line.trim_end()).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{current_user, wait_for_port};

    #[test]
    fn a_key_gets_in_only_once_it_is_authorized() {
        let (server, key) = (SshServer::start(), UserKey::generate());
        let refused = server.client(&key).run(&["true"]).assert_refused();
        assert!(refused.stderr_text().contains("Permission denied"), "{}", refused.describe());
        server.authorize_key(&key.public_line());
        let output = server.client(&key).run(&["echo", "in"]).assert_success();
        assert_eq!(output.stdout_text(), "in\n");
        server.wait_for_log("Accepted publickey", Duration::from_secs(5));
    }

    #[test]
    fn certificates_get_in_by_the_principals_of_their_login() {
        let (authority, key) = (CertificateAuthority::generate(), UserKey::generate());
        let server = SshServer::builder()
            .trust_user_authority(authority.public_line())
            .principals(&current_user(), &["deploy"])
            .start();
        authority.sign_user(&key, &["stranger"], "+5m", &[]);
        let _ = server.client(&key).run(&["true"]).assert_refused();
        authority.sign_user(&key, &["deploy"], "+5m", &[]);
        let _ = server.client(&key).run(&["true"]).assert_success();
        authority.sign_user(&key, &["deploy"], "-2h:-1h", &[]);
        let _ = server.client(&key).run(&["true"]).assert_refused();
    }

    #[test]
    fn a_rotated_host_key_is_refused_by_a_client_that_knew_the_old_one() {
        let key = UserKey::generate();
        let mut server = SshServer::builder().authorize_key(key.public_line()).start();
        let client = server.client(&key);
        let _ = client.run(&["true"]).assert_success();
        let old = server.host_key_line();
        server.rotate_host_key();
        assert_ne!(server.host_key_line(), old);
        let refused = client.run(&["true"]).assert_refused();
        assert!(refused.stderr_text().contains("IDENTIFICATION HAS CHANGED"));
        let _ = server.client(&key).run(&["true"]).assert_success();
    }

    #[test]
    fn a_host_certificate_vouches_for_the_host() {
        let (authority, key) = (CertificateAuthority::generate(), UserKey::generate());
        let server = SshServer::builder()
            .authorize_key(key.public_line())
            .host_certificate(&authority, &["127.0.0.1"], "+1h")
            .start();
        let line =
            format!("@cert-authority [127.0.0.1]:{} {}", server.port(), authority.public_line());
        let client = SshClient::new(server.port())
            .user(&current_user())
            .identity(&key)
            .known_host(&line)
            .option("HostKeyAlgorithms", "ssh-ed25519-cert-v01@openssh.com");
        let _ = client.run(&["true"]).assert_success();
    }

    #[test]
    fn a_stopped_server_ends_its_sessions_and_its_port() {
        let key = UserKey::generate();
        let mut server = SshServer::builder().authorize_key(key.public_line()).start();
        let mut session = server.client(&key).spawn(&["echo", "up;", "sleep", "600"]);
        session.wait_for_stdout("up", Duration::from_secs(10));
        server.stop();
        assert!(!session.wait().timed_out);
        assert!(!wait_for_port(server.port(), Duration::from_millis(50)));
    }
}
