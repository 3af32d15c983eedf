//! What the command line keeps between commands: `~/.config/portcullis`, or `PORTCULLIS_HOME`.
//!
//! In: the answer to a sign-in. Out: the token for the next command, and the key, certificate,
//! `ssh_config` and `known_hosts` that `ssh` reads. The directory is its owner's alone.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use portcullis_domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Names the directory, instead of the one below the home directory.
pub(crate) const HOME_VARIABLE: &str = "PORTCULLIS_HOME";
/// Largest credentials file read, in bytes.
const MAX_CREDENTIALS_BYTES: u64 = 64 * 1024;

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    directory: PathBuf,
}

/// A sign-in that was kept. The token is as good as a password while it lasts.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The API it is for; it is sent nowhere else.
    pub(crate) address: String,
    /// Who signed in.
    pub(crate) user: String,
    /// Bearer token.
    pub(crate) token: String,
    /// Until when it is good.
    pub(crate) expires: Timestamp,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Home {
    /// The directory the environment names.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let directory = set(HOME_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| set("XDG_CONFIG_HOME").map(|path| PathBuf::from(path).join("portcullis")))
            .or_else(|| set("HOME").map(|path| PathBuf::from(path).join(".config/portcullis")));
        let directory = directory.ok_or_else(|| {
            Failure::Usage(format!("neither HOME nor {HOME_VARIABLE} is set; set one of them"))
        })?;
        let absolute = std::path::absolute(&directory).map_err(|error| {
            Failure::because(format!("`{}` is no path", directory.display()), &error)
        })?;
        Ok(Self { directory: absolute })
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The sign-in kept here, if there is one.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let path = self.path("credentials.json");
        let metadata = match path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| unusable(&path, &error))?,
        };
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::Failed(format!(
                "`{}` can be read by others (mode {:o}); run `chmod 600` on it, or sign in again with `portcullis login USER`",
                path.display(),
                mode & 0o777
            )));
        }
        if metadata.len() > MAX_CREDENTIALS_BYTES {
            return Err(Failure::Failed(format!(
                "`{}` is too large to be a sign-in; remove it and run `portcullis login USER`",
                path.display()
            )));
        }
        let text = std::fs::read(&path).map_err(|error| unusable(&path, &error))?;
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            Failure::Failed(format!(
                "`{}` is damaged; run `portcullis login USER` again",
                path.display()
            ))
        })
    }

    /// Keeps a sign-in.
    pub(crate) fn keep(&self, credentials: &Credentials) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(credentials)
            .map_err(|error| Failure::because("cannot write the sign-in", &error))?;
        self.write("credentials.json", &text)
    }

    /// Forgets the sign-in and the certificate that came with it.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        for name in ["credentials.json", "id_ed25519-cert.pub", "tls.crt"] {
            let path = self.path(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(unusable(&path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a file only its owner can read, whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.prepare()?;
        let path = self.path(name);
        write_private(&path, bytes).map_err(|error| unusable(&path, &error))
    }

    fn prepare(&self) -> Result<(), Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| unusable(&self.directory, &error))
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be used", path.display()), error)
}

/// Writes beside, then renames into place: a crash leaves the old file or the new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(directory: &tempfile::TempDir) -> Home {
        Home { directory: directory.path().join("deep/er") }
    }

    #[test]
    fn a_sign_in_is_kept_privately_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(&directory);
        assert!(home.credentials().unwrap().is_none());
        let credentials = Credentials {
            address: "http://127.0.0.1:1".into(),
            user: "alice".into(),
            token: "pct_x".into(),
            expires: Timestamp::from_millis(0),
        };
        home.keep(&credentials).unwrap();
        assert_eq!(home.credentials().unwrap().unwrap().token, "pct_x");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.path("credentials.json")), 0o600);
        assert_eq!(mode(&home.directory), 0o700);
        assert!(!format!("{credentials:?}").contains("pct_x"));
        home.forget().unwrap();
        assert!(home.credentials().unwrap().is_none());
    }

    #[test]
    fn a_sign_in_others_can_read_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(&directory);
        home.write("credentials.json", b"{}").unwrap();
        let readable = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(home.path("credentials.json"), readable).unwrap();
        let Err(Failure::Failed(text)) = home.credentials() else { panic!("it was used") };
        assert!(text.contains("chmod 600"), "{text}");
    }
}
