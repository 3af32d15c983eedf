//! The authorities against the real OpenSSH: what this crate signs, `sshd` accepts and logs; what
//! `ssh-keygen` signs, this crate reads.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_domain::{Factor, FactorKind, Login, Secret, SessionId, Timestamp, UserName};
use portcullis_identity::authority::{
    CertificateError, HostKey, HostTrust, HostVerdict, SignInAuthority, TargetAuthority,
    TargetPermissions, TargetSession, random_serial,
};
use portcullis_identity::random::OsRandom;
use portcullis_testkit::{
    CertificateAuthority, SshClient, SshServer, TempDir, UserKey, current_user,
};
use russh::keys::{Certificate, PublicKey};

const LIFETIME: Duration = Duration::from_secs(120);

#[test]
fn a_real_sshd_accepts_a_target_certificate_and_its_log_names_person_and_session() {
    let authority = TargetAuthority::generate(&mut OsRandom).unwrap();
    let server = target(&authority);
    let client = Client::new();
    let session = SessionId::generate(now());
    let out = client.run(&server, &target_certificate(&authority, &client, session, false));
    assert_eq!(out.assert_success().stdout_text().trim(), "in");
    let key_id = format!("portcullis:session:alice:{session}");
    server.wait_for_log(&key_id, Duration::from_secs(10));
}

#[test]
fn a_real_sshd_gives_a_terminal_only_where_the_certificate_permits_it() {
    let authority = TargetAuthority::generate(&mut OsRandom).unwrap();
    let server = target(&authority);
    let client = Client::new();
    for pty in [false, true] {
        let session = SessionId::generate(now());
        let certificate = target_certificate(&authority, &client, session, pty);
        let ssh = client.ssh(&server, &certificate).option("RequestTTY", "force");
        let out = ssh.run(&["test -t 0 && echo terminal"]);
        assert_eq!(out.stdout_text().contains("terminal"), pty, "{}", out.describe());
        assert_eq!(out.success(), pty, "{}", out.describe());
    }
}

#[test]
fn a_real_sshd_refuses_a_sign_in_certificate_and_a_certificate_for_another_login() {
    let authority = TargetAuthority::generate(&mut OsRandom).unwrap();
    let server = target(&authority);
    let client = Client::new();
    let sign_in = SignInAuthority::generate(&mut OsRandom).unwrap();
    let certificate = sign_in_certificate(&sign_in, &client, &current_user());
    let _ = client.run(&server, &certificate).assert_refused();

    let (alice, login) = (user("alice"), Login::new("somebody-else").unwrap());
    let session = TargetSession {
        user: &alice,
        login: &login,
        session: SessionId::generate(now()),
        permissions: TargetPermissions::default(),
    };
    let key = client.public_key();
    let serial = random_serial(&mut OsRandom).unwrap();
    let other = authority.issue(&key, &session, now(), LIFETIME, serial, &mut OsRandom).unwrap();
    let _ = client.run(&server, &other).assert_refused();
}

#[test]
fn a_certificate_that_ssh_keygen_made_with_the_gates_own_key_still_has_to_be_the_gates() {
    let gate = SignInAuthority::generate(&mut OsRandom).unwrap();
    let files = TempDir::new().unwrap();
    let authority = write_private(&files, "authority", &gate.to_openssh().unwrap());
    let subject = UserKey::generate();
    let signed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(&authority)
        .args(["-I", "portcullis:user:alice", "-n", "alice", "-z", "5", "-V", "-1m:+1h"])
        .arg(subject.public_path())
        .status()
        .unwrap();
    assert!(signed.success());
    let text = fs::read_to_string(subject.certificate_path()).unwrap();
    let certificate = Certificate::from_openssh(&text).unwrap();
    let verdict = gate.trust().check(&certificate, &user("alice"), now(), &|_| false);
    assert_eq!(verdict, Err(CertificateError::Factors));
}

#[test]
fn a_host_certificate_made_by_ssh_keygen_is_trusted_for_its_names_only() {
    let authority = CertificateAuthority::generate();
    let host = UserKey::generate();
    authority.sign_host(&host.public_path(), &["web.example"], "-1m:+1h");
    let text = fs::read_to_string(host.certificate_path()).unwrap();
    let certificate = Certificate::from_openssh(&text).unwrap();
    let trust = HostTrust::parse(&[], &[authority.public_line()]).unwrap();
    let verdict = |names: &[&str]| trust.check(HostKey::Certificate(&certificate), names, now());
    assert_eq!(verdict(&["web.example"]), HostVerdict::Trusted);
    assert!(matches!(verdict(&["db.example"]), HostVerdict::Refused { .. }));
}

struct Client {
    key: UserKey,
    files: TempDir,
}

impl Client {
    fn new() -> Self {
        Self { key: UserKey::generate(), files: TempDir::new().unwrap() }
    }

    fn public_key(&self) -> PublicKey {
        PublicKey::from_openssh(&self.key.public_line()).unwrap()
    }

    fn ssh(&self, server: &SshServer, certificate: &Certificate) -> SshClient {
        let path = self.files.path().join("certificate.pub");
        fs::write(&path, certificate.to_openssh().unwrap()).unwrap();
        SshClient::new(server.port())
            .user(&current_user())
            .known_host(&server.known_hosts_line())
            .identity_files(&self.key.private_path(), Some(&path))
    }

    fn run(
        &self,
        server: &SshServer,
        certificate: &Certificate,
    ) -> portcullis_testkit::ClientOutput {
        self.ssh(server, certificate).run(&["echo", "in"])
    }
}

fn target(authority: &TargetAuthority) -> SshServer {
    let login = current_user();
    SshServer::builder()
        .trust_user_authority(authority.public_key_line().unwrap())
        .principals(&login, &[&login])
        .start()
}

fn target_certificate(
    authority: &TargetAuthority,
    client: &Client,
    session: SessionId,
    pty: bool,
) -> Certificate {
    let (alice, login) = (user("alice"), Login::new(&current_user()).unwrap());
    let permissions = TargetPermissions { pty, ..TargetPermissions::default() };
    let session = TargetSession { user: &alice, login: &login, session, permissions };
    let serial = random_serial(&mut OsRandom).unwrap();
    let key = client.public_key();
    authority.issue(&key, &session, now(), LIFETIME, serial, &mut OsRandom).unwrap()
}

fn sign_in_certificate(authority: &SignInAuthority, client: &Client, name: &str) -> Certificate {
    let factors = [Factor { kind: FactorKind::Password, at: now() }];
    let serial = random_serial(&mut OsRandom).unwrap();
    let (key, random) = (client.public_key(), &mut OsRandom);
    authority.issue(&key, &user(name), &factors, now(), LIFETIME, serial, random).unwrap()
}

fn write_private(files: &TempDir, name: &str, text: &Secret<String>) -> PathBuf {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = files.path().join(name);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.expose().as_bytes()).unwrap();
    path
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}
