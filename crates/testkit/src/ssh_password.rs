//! Passwords for a test's sshd, without touching this machine's: the cwrap.org wrappers show the
//! server a password file, or a PAM service, of our own.
//!
//! In: a directory, a password and how it is asked for. Out: lines of `sshd_config` and the variables
//! the server runs with.
//!
//! Must never know: who signs in with it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::current_user;
use crate::process::{find_program, missing, run_tool};

/// Where Debian keeps libraries, one directory per architecture.
const LIBRARIES: &str = "/usr/lib";
const NSS_PACKAGE: &str = "libnss-wrapper";
const NSS_LIBRARY: &str = "libnss_wrapper.so";
const PAM_PACKAGE: &str = "libpam-wrapper";
const PAM_LIBRARY: &str = "libpam_wrapper.so";
/// Reads passwords from a file of lines `user:password:service`.
const PAM_MODULE: &str = "pam_wrapper/pam_matrix.so";
/// SHA-512 as in crypt(5); the salt is no secret.
const HASH_SCRIPT: &str = "local $/; print crypt(<STDIN>, q($6$portcullis$))";

/// How a server asks for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPrompt {
    /// The method `password` (RFC 4252 section 8).
    Method,
    /// Only the method `keyboard-interactive` (RFC 4256), as many network devices do.
    Interactive,
}

/// What a server with a password runs with.
pub(crate) struct Prepared {
    pub(crate) configuration: String,
    /// `NAME=value`, for env(1).
    pub(crate) environment: Vec<String>,
}

/// Writes the files into `directory`. The password is that of whoever runs the tests.
#[track_caller]
pub(crate) fn prepare(directory: &Path, password: &str, prompt: PasswordPrompt) -> Prepared {
    match prompt {
        PasswordPrompt::Method => by_method(directory, password),
        PasswordPrompt::Interactive => interactively(directory, password),
    }
}

fn by_method(directory: &Path, password: &str) -> Prepared {
    let library = library(NSS_PACKAGE, NSS_LIBRARY);
    let user = current_user();
    let path = |name: &str| directory.join(name).display().to_string();
    let entries = |database: &str| run_tool("libc-bin", "getent", &[database]);
    fs::write(path("passwd"), entries("passwd")).unwrap();
    fs::write(path("group"), entries("group")).unwrap();
    let shadow = format!("{user}:{}:19000:0:99999:7:::\n", hash(password));
    fs::write(path("shadow"), shadow).unwrap();
    Prepared {
        configuration: "PasswordAuthentication yes\n".to_owned(),
        environment: vec![
            format!("LD_PRELOAD={}", library.display()),
            format!("NSS_WRAPPER_PASSWD={}", path("passwd")),
            format!("NSS_WRAPPER_GROUP={}", path("group")),
            format!("NSS_WRAPPER_SHADOW={}", path("shadow")),
        ],
    }
}

fn interactively(directory: &Path, password: &str) -> Prepared {
    let library = library(PAM_PACKAGE, PAM_LIBRARY);
    let module = self::library(PAM_PACKAGE, PAM_MODULE);
    let (services, passwords) = (directory.join("pam"), directory.join("passwords"));
    fs::create_dir(&services).unwrap();
    let (module, database) = (module.display(), passwords.display());
    let service: String = ["auth", "account", "password", "session"]
        .map(|kind| format!("{kind} required {module} passdb={database}\n"))
        .concat();
    fs::write(services.join("sshd"), service).unwrap();
    fs::write(&passwords, format!("{}:{password}:sshd\n", current_user())).unwrap();
    Prepared {
        configuration: "UsePAM yes\nKbdInteractiveAuthentication yes\n".to_owned(),
        environment: vec![
            format!("LD_PRELOAD={}", library.display()),
            "PAM_WRAPPER=1".to_owned(),
            format!("PAM_WRAPPER_SERVICE_DIR={}", services.display()),
        ],
    }
}

#[track_caller]
fn library(package: &str, name: &str) -> PathBuf {
    let directories = fs::read_dir(LIBRARIES).into_iter().flatten().flatten();
    let mut found = directories.map(|entry| entry.path().join(name)).filter(|path| path.exists());
    found.next().unwrap_or_else(|| missing(package, name))
}

fn hash(password: &str) -> String {
    let mut perl = Command::new(find_program("perl-base", "perl"))
        .args(["-e", HASH_SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    perl.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    String::from_utf8(perl.wait_with_output().unwrap().stdout).unwrap()
}
