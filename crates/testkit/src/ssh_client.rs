//! The real `ssh`, `scp` and `sftp`, run with a configuration of their own: nothing of
//! the user's files, agents or known hosts gets in.
//!
//! In: where to, as whom, with which keys, what prompts are answered with. Out: a
//! [`ClientOutput`], a [`RunningClient`], or the client under a terminal ([`PtyClient`]).
//!
//! Must never know: what it speaks to, a gate or a server.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::keys::CLIENT_PACKAGE;
use crate::process::find_program;
use crate::{ClientOutput, PtyClient, RunningClient, SshAgent, UserKey};

/// The name the destination has in the generated configuration and on command lines.
const DESTINATION: &str = "gate";
/// The name of the host a ProxyJump goes through.
const JUMP: &str = "jump";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How a client connects; every method refines it, the `run` family uses it.
#[derive(Debug, Clone)]
pub struct SshClient {
    destination: String,
    include: Option<PathBuf>,
    options: Vec<(String, String)>,
    known_hosts: Vec<String>,
    jump: Option<Box<SshClient>>,
    answers: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    timeout: Duration,
}

impl SshClient {
    /// A client of 127.0.0.1:`port` that offers no key and knows no host yet.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self::bare(DESTINATION.to_owned())
            .option("HostName", "127.0.0.1")
            .option("Port", &port.to_string())
    }

    /// A client that runs `ssh DESTINATION` with an `ssh_config` file somebody else wrote.
    #[must_use]
    pub fn with_config(config: &Path, destination: &str) -> Self {
        let mut client = Self::bare(destination.to_owned());
        client.include = Some(config.to_owned());
        client
    }

    fn bare(destination: String) -> Self {
        Self {
            destination,
            include: None,
            options: Vec::new(),
            known_hosts: Vec::new(),
            jump: None,
            answers: Vec::new(),
            environment: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// The user name to log in as, with whatever the server reads in it (`alice:prod-web`).
    #[must_use]
    pub fn user(self, name: &str) -> Self {
        self.option("User", name)
    }

    /// Connects to this host name instead of 127.0.0.1 (behind a [`SshClient::jump`]).
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.options.retain(|(keyword, _)| keyword != "HostName");
        self.option("HostName", name)
    }

    /// Offers this key, and its certificate when it has one.
    ///
    /// # Panics
    /// When the key's path is not UTF-8.
    #[must_use]
    pub fn identity(self, key: &UserKey) -> Self {
        let path = key.private_path();
        self.option("IdentityFile", path.to_str().unwrap())
    }

    /// Offers the private key in this file, and this certificate with it.
    ///
    /// # Panics
    /// When a path is not UTF-8.
    #[must_use]
    pub fn identity_files(self, private: &Path, certificate: Option<&Path>) -> Self {
        let client = self.option("IdentityFile", private.to_str().unwrap());
        match certificate {
            Some(certificate) => client.option("CertificateFile", certificate.to_str().unwrap()),
            None => client,
        }
    }

    /// Uses this agent's keys; add `ForwardAgent yes` to forward it.
    ///
    /// # Panics
    /// When the socket's path is not UTF-8.
    #[must_use]
    pub fn agent(self, agent: &SshAgent) -> Self {
        let socket = agent.socket();
        let socket = socket.to_str().unwrap();
        // `IdentitiesOnly` would hold back what is only in the agent.
        self.option("IdentityAgent", socket)
            .option("IdentitiesOnly", "no")
            .environment("SSH_AUTH_SOCK", socket)
    }

    /// Trusts the host key in this known hosts line; without any, every host is refused.
    #[must_use]
    pub fn known_host(mut self, line: &str) -> Self {
        self.known_hosts.push(line.trim_end().to_owned());
        self
    }

    /// Accepts whatever host key is shown.
    #[must_use]
    pub fn accept_any_host_key(self) -> Self {
        self.option("StrictHostKeyChecking", "no")
    }

    /// One `ssh_config` option; the first value given for a keyword counts, and all of
    /// them win over the defaults here.
    #[must_use]
    pub fn option(mut self, keyword: &str, value: &str) -> Self {
        self.options.push((keyword.to_owned(), value.to_owned()));
        self
    }

    /// Goes through `first`, as `ssh -J` does. Prompts of both are answered from this one.
    #[must_use]
    pub fn jump(mut self, first: &SshClient) -> Self {
        self.known_hosts.extend(first.known_hosts.iter().cloned());
        self.jump = Some(Box::new(first.clone()));
        self
    }

    /// Answers a prompt that holds `prompt`. Of several answers to one prompt each is given
    /// once per run, in order, and the last again. A prompt nobody answers fails the client.
    #[must_use]
    pub fn answer(mut self, prompt: &str, answer: &str) -> Self {
        self.answers.push((prompt.to_owned(), answer.to_owned()));
        self
    }

    /// Sets a variable in the client's own environment (`SendEnv` sends it on).
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Kills the client when it runs longer; 60 s unless told.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `ssh DESTINATION COMMAND...`, nothing on standard input.
    ///
    /// # Panics
    /// When `ssh` cannot be run.
    #[must_use]
    pub fn run(&self, command: &[&str]) -> ClientOutput {
        self.run_with_input(command, b"")
    }

    /// `ssh DESTINATION COMMAND...` with `input` on standard input.
    ///
    /// # Panics
    /// When `ssh` cannot be run.
    #[must_use]
    pub fn run_with_input(&self, command: &[&str], input: &[u8]) -> ClientOutput {
        feed(self.spawn(command), input)
    }

    /// `ssh DESTINATION COMMAND...`, left running.
    ///
    /// # Panics
    /// When `ssh` cannot be run.
    #[must_use]
    pub fn spawn(&self, command: &[&str]) -> RunningClient {
        self.spawn_with(&[], command)
    }

    /// `ssh ARGUMENTS... DESTINATION COMMAND...`, left running (`-N`, `-L`, `-tt`).
    ///
    /// # Panics
    /// When `ssh` cannot be run.
    #[must_use]
    pub fn spawn_with(&self, arguments: &[&str], command: &[&str]) -> RunningClient {
        let mut all = arguments.to_vec();
        all.push(&self.destination);
        all.extend(command);
        self.start("ssh", &all)
    }

    /// `scp FROM TO`; write the remote side as [`SshClient::remote`] does. `arguments` go
    /// first: `-O` speaks the old protocol over exec instead of SFTP.
    ///
    /// # Panics
    /// When `scp` cannot be run.
    #[must_use]
    pub fn scp(&self, arguments: &[&str], from: &str, to: &str) -> ClientOutput {
        let mut all = arguments.to_vec();
        all.extend([from, to]);
        self.start("scp", &all).wait()
    }

    /// How `scp` names a path on the other side.
    #[must_use]
    pub fn remote(&self, path: &str) -> String {
        format!("{}:{path}", self.destination)
    }

    /// `sftp` with a batch of commands, one per line; it stops at the first that fails.
    ///
    /// # Panics
    /// When `sftp` cannot be run.
    #[must_use]
    pub fn sftp(&self, batch: &str) -> ClientOutput {
        // `-b` says BatchMode=yes, which would leave keyboard-interactive out.
        let arguments = ["-oBatchMode=no", "-b", "-", &self.destination];
        feed(self.start("sftp", &arguments), batch.as_bytes())
    }

    /// `ssh -tt ARGUMENTS... DESTINATION COMMAND...` under a pseudo terminal; its prompts
    /// appear there, to be expected and answered.
    ///
    /// # Panics
    /// When `ssh` cannot be run.
    #[must_use]
    pub fn pty(&self, arguments: &[&str], command: &[&str]) -> PtyClient {
        let mut all = vec!["-tt"];
        all.extend(arguments);
        all.push(&self.destination);
        all.extend(command);
        let (mut prepared, directory) = self.prepare("ssh", &all);
        prepared.env("SSH_ASKPASS_REQUIRE", "never");
        PtyClient::start_in(&prepared, 24, 80, Some(directory))
    }

    /// The command a person would type, for tests that want to run it their own way; its
    /// files live as long as the directory handed back.
    ///
    /// # Panics
    /// When the program is missing.
    #[must_use]
    pub fn prepare(&self, program: &str, arguments: &[&str]) -> (Command, tempfile::TempDir) {
        let directory = tempfile::Builder::new().prefix("ssh").tempdir().unwrap();
        let config = directory.path().join("config");
        fs::write(&config, self.configuration(directory.path())).unwrap();
        fs::write(directory.path().join("known_hosts"), self.known_hosts.join("\n") + "\n")
            .unwrap();
        let askpass = directory.path().join("askpass");
        fs::write(&askpass, self.askpass(directory.path())).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();

        let mut command = Command::new(find_program(CLIENT_PACKAGE, program));
        command
            .arg("-F")
            .arg(&config)
            .args(arguments)
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("DISPLAY")
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        (command, directory)
    }

    fn start(&self, program: &str, arguments: &[&str]) -> RunningClient {
        let (command, directory) = self.prepare(program, arguments);
        RunningClient::start(command, self.timeout, Some(directory))
    }

    /// The `ssh_config`: the first value of a keyword counts, so defaults come last.
    fn configuration(&self, directory: &Path) -> String {
        let mut text = String::new();
        if let Some(include) = &self.include {
            writeln!(text, "Include {}", include.display()).unwrap();
        }
        self.host_block(&mut text, &self.destination);
        if let Some(jump) = &self.jump {
            writeln!(text, "  ProxyJump {JUMP}").unwrap();
            jump.host_block(&mut text, JUMP);
        }
        writeln!(text, "Host *").unwrap();
        let known_hosts = directory.join("known_hosts");
        for (keyword, value) in [
            ("UserKnownHostsFile", known_hosts.to_str().unwrap()),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("StrictHostKeyChecking", "yes"),
            ("UpdateHostKeys", "no"),
            ("IdentityFile", "none"),
            ("IdentitiesOnly", "yes"),
            ("IdentityAgent", "none"),
            ("ControlMaster", "no"),
            ("ConnectTimeout", "30"),
        ] {
            writeln!(text, "  {keyword} {value}").unwrap();
        }
        text
    }

    fn host_block(&self, text: &mut String, alias: &str) {
        writeln!(text, "Host {alias}").unwrap();
        for (keyword, value) in &self.options {
            writeln!(text, "  {keyword} {value}").unwrap();
        }
    }

    /// A script that logs each prompt on one line and answers it.
    fn askpass(&self, directory: &Path) -> String {
        let directory = directory.display();
        let mut script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$1\" | tr '\\n' ' ' >>'{directory}/prompts'\n\
             echo >>'{directory}/prompts'\nfound=no\n"
        );
        for (number, (prompt, answer)) in self.answers.iter().enumerate() {
            let (prompt, answer) = (quoted(prompt), quoted(answer));
            // mkdir is the atomic test-and-set of the shell.
            writeln!(
                script,
                "case \"$1\" in *{prompt}*)\n  found=yes last={answer}\n  \
                 if mkdir '{directory}/used.{number}' 2>/dev/null; then\n    \
                 printf '%s\\n' {answer}\n    exit 0\n  fi ;;\nesac"
            )
            .unwrap();
        }
        script.push_str("[ $found = yes ] || exit 1\nprintf '%s\\n' \"$last\"\n");
        script
    }
}

/// Writes `input` from a thread of its own, so that a client that does not read cannot
/// block its own timeout.
fn feed(mut client: RunningClient, input: &[u8]) -> ClientOutput {
    if input.is_empty() {
        return client.wait();
    }
    let (mut stdin, input) = (client.take_stdin(), input.to_vec());
    let writer = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let output = client.wait();
    let _ = writer.join();
    output
}

/// `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SshServer;

    fn server() -> (SshServer, SshClient) {
        let key = UserKey::generate();
        let server = SshServer::builder().authorize_key(key.public_line()).start();
        // The key must outlive the client: keep it in a directory the server removes.
        let private = server.log_path().with_file_name("client_key");
        fs::copy(key.private_path(), &private).unwrap();
        let client = SshClient::new(server.port())
            .user(&crate::current_user())
            .identity_files(&private, None)
            .known_host(&server.known_hosts_line());
        (server, client)
    }

    #[test]
    fn input_output_and_status_pass_through() {
        let (_server, client) = server();
        let output = client.run_with_input(&["cat;", "echo", "err", ">&2;", "exit", "7"], b"hello");
        assert_eq!((output.code(), output.stdout_text().as_str()), (Some(7), "hello"));
        assert!(output.stderr_text().contains("err"));
    }

    #[test]
    fn files_travel_by_scp_over_both_protocols_and_by_sftp() {
        let (_server, client) = server();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("a"), "content").unwrap();
        let _ = client.scp(&[], &path("a"), &client.remote(&path("b"))).assert_success();
        let _ = client.scp(&["-O"], &client.remote(&path("b")), &path("c")).assert_success();
        let batch = format!("put {} {}\nget {1} {}\n", path("c"), path("d"), path("e"));
        let _ = client.sftp(&batch).assert_success();
        assert_eq!(fs::read_to_string(path("e")).unwrap(), "content");
        let _ = client.sftp(&format!("get {} {}\n", path("none"), path("f"))).assert_refused();
    }

    #[test]
    fn an_unknown_host_is_refused_unless_any_is_accepted() {
        let (_server, client) = server();
        let stranger = SshClient { known_hosts: Vec::new(), ..client };
        let refused = stranger.run(&["true"]).assert_refused();
        assert!(refused.stderr_text().contains("Host key verification failed"));
        let _ = stranger.accept_any_host_key().run(&["true"]).assert_success();
    }

    #[test]
    fn prompts_are_answered_by_their_text_and_logged() {
        let client = SshClient::new(1).answer("assword", "it's one").answer("assword", "two");
        let (command, directory) = client.prepare("ssh", &[]);
        let askpass = directory.path().join("askpass");
        drop(command);
        let ask = |prompt: &str| {
            let output = Command::new(&askpass).arg(prompt).output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(ask("(a@gate) Password: "), (true, "it's one\n".to_owned()));
        assert_eq!(ask("Password: "), (true, "two\n".to_owned()));
        assert_eq!(ask("Password: "), (true, "two\n".to_owned()));
        assert_eq!(ask("Code:\nnow"), (false, String::new()));
        let log = fs::read_to_string(directory.path().join("prompts")).unwrap();
        assert_eq!(log.lines().count(), 4, "{log}");
        assert!(log.contains("Code: now"), "{log}");
    }

    #[test]
    fn a_jump_goes_through_the_first_host() {
        let (first_server, first) = server();
        let (_second_server, second) = server();
        let output = second.jump(&first).run(&["echo", "there"]).assert_success();
        assert_eq!(output.stdout_text(), "there\n");
        assert!(first_server.log().contains("Accepted publickey"));
    }

    #[test]
    fn a_config_somebody_else_wrote_is_used() {
        let (server, client) = server();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("ssh_config");
        let key = server.log_path().with_file_name("client_key");
        let text = format!(
            "Host web.portcullis\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n",
            server.port(),
            crate::current_user(),
            key.display()
        );
        fs::write(&config, text).unwrap();
        let mine =
            SshClient::with_config(&config, "web.portcullis").known_host(&client.known_hosts[0]);
        let _ = mine.run(&["true"]).assert_success();
    }

    #[test]
    fn an_agent_is_used_and_forwarded() {
        let (server, client) = server();
        let (agent, key) = (SshAgent::start(), UserKey::generate());
        agent.add(&key);
        server.authorize_key(&key.public_line());
        let bare = SshClient::new(server.port())
            .user(&crate::current_user())
            .known_host(&client.known_hosts[0])
            .agent(&agent)
            .option("ForwardAgent", "yes");
        let output = bare.run(&["ssh-add", "-l"]).assert_success();
        assert!(output.stdout_text().contains(&key.fingerprint()));
    }
}
