//! The master key: where it comes from, and how it is recognised.
//!
//! It is kept outside the database: in a file, an environment variable or behind a command
//! (a key store's client). Its text form is 64 hexadecimal digits.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::hmac;
use portcullis_domain::Secret;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// Length of a master key.
pub(crate) const KEY_BYTES: usize = 32;
/// Most that is read from a key source; a key is 64 digits and perhaps a line end.
const MAX_SOURCE_BYTES: u64 = 256;
/// Longest run of a key command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const CHECK_LABEL: &[u8] = b"portcullis master key check v1";

/// The key all data keys are wrapped with.
#[derive(Clone)]
pub struct MasterKey(Secret<[u8; KEY_BYTES]>);

/// Names a master key without telling anything about it: the start of its check value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(pub(crate) String);

/// Where the master key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file only its owner can read; made on first use.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The output of a program with its arguments; no shell is involved.
    Command(Vec<String>),
}

/// Why there is no master key.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// The file is not there.
    #[error(
        "the master key `{}` is missing; restore it from your backup, without it no secret of this store opens",
        .0.display()
    )]
    Missing(PathBuf),
    /// Others can read the file.
    #[error("the master key `{}` can be read by others (mode {mode:o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read or written.
    #[error("the master key file `{}` cannot be used; check its directory and permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable `{0}` with the master key is not set")]
    Variable(String),
    /// The command failed.
    #[error("the command `{program}` for the master key failed: {why}")]
    Command {
        /// The program.
        program: String,
        /// What happened.
        why: String,
    },
    /// What was found is no key. It is not repeated.
    #[error("the {0} holds no master key; a key is 64 hexadecimal digits")]
    Malformed(String),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness for a new master key")]
    NoRandomness,
}

impl MasterKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| MasterKeyError::NoRandomness)?;
        Ok(Self(Secret::new(*bytes)))
    }

    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Secret::new(bytes))
    }

    /// What tells this key from others in the store's own records.
    pub fn id(&self) -> MasterKeyId {
        MasterKeyId(hex::encode(self.check_value().get(..8).unwrap_or_default()))
    }

    /// Recognises the key; a pseudo-random function of it, so safe to store.
    pub(crate) fn check_value(&self) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        hmac::sign(&key, CHECK_LABEL).as_ref().to_vec()
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }

    fn parse(text: &[u8], from: &str) -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim_ascii(), &mut *bytes)
            .map_err(|_| MasterKeyError::Malformed(from.to_owned()))?;
        Ok(Self(Secret::new(*bytes)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl MasterKeySource {
    /// The key that is there.
    pub async fn load(&self) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Environment(name) => {
                let text =
                    std::env::var_os(name).ok_or_else(|| MasterKeyError::Variable(name.clone()))?;
                let text = Zeroizing::new(text.into_encoded_bytes());
                MasterKey::parse(&text, &format!("environment variable `{name}`"))
            }
            Self::Command(words) => run_command(words).await,
        }
    }

    /// Makes a new key where that is possible: in a file that is not there yet.
    pub(crate) fn create(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        let Self::File(path) = self else { return Ok(None) };
        let key = MasterKey::generate()?;
        write_file(path, &key)?;
        Ok(Some(key))
    }

    /// First step of a rotation of a key file: a new key in `PATH.next`, or the one a broken
    /// off rotation left there. Other sources get their next key from their own keeper.
    pub fn stage_next(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        let Some(next) = self.next_path() else { return Ok(None) };
        match read_file(&next) {
            Err(MasterKeyError::Missing(_)) => Self::File(next).create(),
            found => found.map(Some),
        }
    }

    /// The key in `PATH.next`, if a rotation has been begun.
    pub fn staged(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        let Some(next) = self.next_path() else { return Ok(None) };
        match read_file(&next) {
            Err(MasterKeyError::Missing(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Last step of a rotation of a key file: `PATH.next` takes the place of `PATH`.
    pub fn promote_staged(&self) -> Result<(), MasterKeyError> {
        let (Self::File(path), Some(next)) = (self, self.next_path()) else { return Ok(()) };
        std::fs::rename(&next, path)
            .and_then(|()| sync_directory(path))
            .map_err(|source| MasterKeyError::File { path: path.clone(), source })
    }

    fn next_path(&self) -> Option<PathBuf> {
        let Self::File(path) = self else { return None };
        let mut name = path.clone().into_os_string();
        name.push(".next");
        Some(name.into())
    }
}

fn read_file(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(MasterKeyError::Missing(path.to_owned()));
        }
        opened => opened.map_err(failed)?,
    };
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
        }
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_SOURCE_BYTES).read_to_end(&mut text).map_err(failed)?;
    MasterKey::parse(&text, &format!("file `{}`", path.display()))
}

/// Writes beside and links into place: a crash leaves a whole key or none, and of two
/// processes that start at once the second fails instead of replacing the first one's key.
fn write_file(path: &Path, key: &MasterKey) -> Result<(), MasterKeyError> {
    let write = || -> std::io::Result<()> {
        let mut name = path.to_owned().into_os_string();
        name.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        let text = Zeroizing::new(hex::encode(key.bytes()) + "\n");
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::hard_link(&beside, path));
        std::fs::remove_file(&beside)?;
        written?;
        sync_directory(path)
    };
    write().map_err(|source| MasterKeyError::File { path: path.to_owned(), source })
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

async fn run_command(words: &[String]) -> Result<MasterKey, MasterKeyError> {
    let (program, arguments) = match words.split_first() {
        Some((program, arguments)) => (program.clone(), arguments),
        None => (String::new(), words),
    };
    let failed = |why: String| MasterKeyError::Command { program: program.clone(), why };
    let work = async {
        let mut child = tokio::process::Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut text = Zeroizing::new(Vec::new());
        if let Some(output) = child.stdout.take() {
            output
                .take(MAX_SOURCE_BYTES)
                .read_to_end(&mut text)
                .await
                .map_err(|error| failed(error.to_string()))?;
        }
        let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(status.to_string()));
        }
        MasterKey::parse(&text, &format!("output of `{program}`"))
    };
    match tokio::time::timeout(COMMAND_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!("it ran for more than {} s", COMMAND_TIMEOUT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(directory: &tempfile::TempDir) -> (PathBuf, MasterKeySource) {
        let path = directory.path().join("master.key");
        (path.clone(), MasterKeySource::File(path))
    }

    #[tokio::test]
    async fn a_key_file_is_private_and_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (path, source) = source(&directory);
        assert!(matches!(source.load().await, Err(MasterKeyError::Missing(_))));
        let key = source.create().unwrap().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(source.load().await.unwrap().id(), key.id());
        assert!(source.create().is_err(), "a second key would orphan the first one's secrets");
        assert_eq!(source.load().await.unwrap().id(), key.id());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_key_file_others_can_read_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let (path, source) = source(&directory);
        source.create().unwrap();
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(path, readable).unwrap();
        let error = source.load().await.unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains("640"), "{error}");
    }

    #[tokio::test]
    async fn a_staged_key_survives_a_broken_off_rotation_and_is_promoted_once() {
        let directory = tempfile::tempdir().unwrap();
        let (_, source) = source(&directory);
        let first = source.create().unwrap().unwrap();
        let next = source.stage_next().unwrap().unwrap();
        assert_eq!(source.stage_next().unwrap().unwrap().id(), next.id());
        assert_eq!(source.load().await.unwrap().id(), first.id());
        source.promote_staged().unwrap();
        assert_eq!(source.load().await.unwrap().id(), next.id());
        assert!(source.staged().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_command_gives_the_key_and_its_failures_are_told_without_its_output() {
        let run =
            |script: &str| MasterKeySource::Command(vec!["sh".into(), "-c".into(), script.into()]);
        let key = run(&format!("echo {}", "ab".repeat(32))).load().await.unwrap();
        assert_eq!(key.id(), MasterKey::from_bytes([0xab; 32]).id());
        for script in ["echo secretish", "exit 3", "yes", "true"] {
            let error = run(script).load().await.unwrap_err().to_string();
            assert!(!error.contains("secretish"), "{error}");
        }
        assert!(MasterKeySource::Command(vec![]).load().await.is_err());
    }

    #[test]
    fn a_master_key_shows_its_id_only() {
        let key = MasterKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), format!("MasterKey({})", key.id()));
        assert!(!format!("{key:?}").contains("0707"));
    }
}
