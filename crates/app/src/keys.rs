//! SSH key pairs: the one a person signs in with from this machine, and host keys.
//!
//! In: randomness, files. Out: OpenSSH key files and public key lines. Private keys leave this
//! module only into files of their owner or sealed into the store.

use std::path::{Path, PathBuf};

use portcullis_domain::Secret;
use portcullis_identity::keys::ssh_key::private::Ed25519Keypair;
use portcullis_identity::keys::{PrivateKey, PublicKey, ssh_key::LineEnding};
use portcullis_identity::random::{OsRandom, Random};

use crate::failure::Failure;
use crate::home::Home;

/// Largest public key file read, in bytes.
const MAX_PUBLIC_KEY_BYTES: u64 = 16 * 1024;
const KEPT_KEY: &str = "id_ed25519";
const SEED_BYTES: usize = 32;

/// A key pair on disk, whose public half is certified at sign-in.
#[derive(Debug, Clone)]
pub(crate) struct UserKey {
    private_path: PathBuf,
    public_line: String,
    kept: bool,
}

impl UserKey {
    /// The key pair kept for this command line; made when it is not there.
    pub(crate) fn kept(home: &Home) -> Result<Self, Failure> {
        let private_path = home.path(KEPT_KEY);
        let public_path = home.path("id_ed25519.pub");
        if !private_path.exists() || !public_path.exists() {
            let key = generate()?;
            home.write(KEPT_KEY, to_openssh(&key)?.expose().as_bytes())?;
            home.write(
                "id_ed25519.pub",
                format!("{}\n", public_line(key.public_key())?).as_bytes(),
            )?;
        }
        let public_line = read_public(&public_path)?;
        Ok(Self { private_path, public_line, kept: true })
    }

    /// A key pair that exists already; only its public half is read.
    pub(crate) fn existing(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)
            .map_err(|error| Failure::because("the path of the key is unusable", &error))?;
        let private_path = match path.extension() {
            Some(extension) if extension == "pub" => path.with_extension(""),
            _ => path,
        };
        let mut public_path = private_path.clone().into_os_string();
        public_path.push(".pub");
        let public_line = read_public(Path::new(&public_path))?;
        Ok(Self { private_path, public_line, kept: false })
    }

    /// The public key in OpenSSH format.
    pub(crate) fn public_line(&self) -> &str {
        &self.public_line
    }

    /// The private key file, for `IdentityFile`.
    pub(crate) fn private_path(&self) -> &Path {
        &self.private_path
    }

    /// Where the certificate is kept. One for a key of the person's own is kept in our directory:
    /// theirs is not ours to write to.
    pub(crate) fn certificate_path(&self, home: &Home) -> PathBuf {
        home.path(self.certificate_name())
    }

    /// Keeps the certificate where `ssh` is pointed to.
    pub(crate) fn keep_certificate(&self, home: &Home, certificate: &str) -> Result<(), Failure> {
        home.write(self.certificate_name(), format!("{}\n", certificate.trim_end()).as_bytes())
    }

    fn certificate_name(&self) -> &'static str {
        if self.kept { "id_ed25519-cert.pub" } else { "own-key-cert.pub" }
    }
}

/// A new Ed25519 key.
pub(crate) fn generate() -> Result<PrivateKey, Failure> {
    let mut seed = zeroize::Zeroizing::new([0_u8; SEED_BYTES]);
    OsRandom.fill(&mut *seed).map_err(|error| Failure::because("cannot make a key", &error))?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment("portcullis");
    Ok(key)
}

/// A private key as the text of an OpenSSH key file.
pub(crate) fn to_openssh(key: &PrivateKey) -> Result<Secret<String>, Failure> {
    key.to_openssh(LineEnding::LF)
        .map(|text| Secret::new(text.to_string()))
        .map_err(|error| Failure::because("cannot write a key", &error))
}

/// A private key from the text of an OpenSSH key file.
pub(crate) fn from_openssh(text: &[u8]) -> Result<PrivateKey, Failure> {
    PrivateKey::from_openssh(text).map_err(|error| Failure::because("cannot read a key", &error))
}

/// `ssh-ed25519 AAAA...`, without a comment.
pub(crate) fn public_line(key: &PublicKey) -> Result<String, Failure> {
    let line = key.to_openssh().map_err(|error| Failure::because("cannot write a key", &error))?;
    Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

fn read_public(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::because(format!("the public key `{}` cannot be read", path.display()), error)
    };
    let metadata = path.metadata().map_err(|error| failed(&error))?;
    if metadata.len() > MAX_PUBLIC_KEY_BYTES {
        return Err(Failure::Failed(format!("`{}` is too large for a public key", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let key = PublicKey::from_openssh(text.trim()).map_err(|error| failed(&error))?;
    public_line(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_round_trips_through_its_file() {
        let key = generate().unwrap();
        let text = to_openssh(&key).unwrap();
        let read = from_openssh(text.expose().as_bytes()).unwrap();
        assert_eq!(public_line(read.public_key()).unwrap(), public_line(key.public_key()).unwrap());
        assert!(public_line(key.public_key()).unwrap().starts_with("ssh-ed25519 AAAA"));
    }

    #[test]
    fn an_existing_key_is_named_by_either_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let line = public_line(generate().unwrap().public_key()).unwrap();
        std::fs::write(directory.path().join("mine.pub"), format!("{line} me@here\n")).unwrap();
        for name in ["mine", "mine.pub"] {
            let key = UserKey::existing(&directory.path().join(name)).unwrap();
            assert_eq!(key.public_line(), line);
            assert_eq!(key.private_path(), directory.path().join("mine"));
        }
        assert!(UserKey::existing(&directory.path().join("other")).is_err());
    }
}
