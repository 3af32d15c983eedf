//! SSH keys and certificates made by the real `ssh-keygen`.
//!
//! Must never know: who will trust them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::run_tool;

/// The Debian package that holds the client tools.
pub(crate) const CLIENT_PACKAGE: &str = "openssh-client";

/// The algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on the NIST curve P-256.
    Ecdsa,
    /// RSA of 3072 bits.
    Rsa,
}

/// A key pair in a directory of its own, removed with this value.
#[derive(Debug)]
pub struct UserKey {
    directory: tempfile::TempDir,
}

impl UserKey {
    /// A fresh Ed25519 key without passphrase.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    #[must_use]
    pub fn generate() -> Self {
        Self::generate_kind(KeyKind::Ed25519)
    }

    /// A fresh key of the given kind without passphrase.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    #[must_use]
    pub fn generate_kind(kind: KeyKind) -> Self {
        let directory = tempfile::Builder::new().prefix("key").tempdir().unwrap();
        generate_at(kind, &directory.path().join("id"));
        Self { directory }
    }

    /// The private key file, mode 0600.
    #[must_use]
    pub fn private_path(&self) -> PathBuf {
        self.directory.path().join("id")
    }

    /// The private key in OpenSSH's format.
    ///
    /// # Panics
    /// When the file is gone.
    #[must_use]
    pub fn private_text(&self) -> String {
        fs::read_to_string(self.private_path()).unwrap()
    }

    /// The public key file.
    #[must_use]
    pub fn public_path(&self) -> PathBuf {
        self.directory.path().join("id.pub")
    }

    /// The public key as one line, `ssh-ed25519 AAAA... comment`.
    ///
    /// # Panics
    /// When the file is gone.
    #[must_use]
    pub fn public_line(&self) -> String {
        read_line(&self.public_path())
    }

    /// The fingerprint `SHA256:...`.
    ///
    /// # Panics
    /// When `ssh-keygen` fails.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let path = self.public_path();
        let text = run_tool(CLIENT_PACKAGE, "ssh-keygen", &["-lf", path.to_str().unwrap()]);
        text.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }

    /// Where a certificate of this key lies once it has been signed; `ssh` finds it there.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.directory.path().join("id-cert.pub")
    }
}

/// A certificate authority for users or hosts.
#[derive(Debug)]
pub struct CertificateAuthority {
    key: UserKey,
}

impl CertificateAuthority {
    /// A fresh Ed25519 authority.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    #[must_use]
    pub fn generate() -> Self {
        Self { key: UserKey::generate() }
    }

    /// An authority from a private key in OpenSSH's format, such as one that was stolen.
    ///
    /// # Panics
    /// When it cannot be written, or `ssh-keygen` cannot read it.
    #[must_use]
    pub fn from_private_text(text: &str) -> Self {
        let key = UserKey::generate();
        fs::write(key.private_path(), text).unwrap();
        let path = key.private_path();
        let public = run_tool(CLIENT_PACKAGE, "ssh-keygen", &["-yf", path.to_str().unwrap()]);
        fs::write(key.public_path(), public).unwrap();
        Self { key }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self::from_private_text(&self.key.private_text())
    }

    /// The line a server's `TrustedUserCAKeys` takes.
    #[must_use]
    pub fn public_line(&self) -> String {
        self.key.public_line()
    }

    /// The authority's own key pair.
    #[must_use]
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// Signs a user certificate into [`UserKey::certificate_path`]. `validity` is what
    /// `ssh-keygen -V` takes (`+5m`, `-2h:-1h`), `options` what `-O` takes (`no-pty`).
    ///
    /// # Panics
    /// When `ssh-keygen` refuses.
    pub fn sign_user(&self, key: &UserKey, principals: &[&str], validity: &str, options: &[&str]) {
        self.sign(&key.public_path(), &[], principals, validity, options);
    }

    /// Signs whatever `arguments` of `ssh-keygen` say, into [`UserKey::certificate_path`].
    ///
    /// # Panics
    /// When `ssh-keygen` refuses.
    pub fn sign_with(&self, key: &UserKey, arguments: &[&str]) {
        let (authority, public) = (self.key.private_path(), key.public_path());
        let mut all = vec!["-q", "-s", authority.to_str().unwrap()];
        all.extend(arguments);
        all.push(public.to_str().unwrap());
        run_tool(CLIENT_PACKAGE, "ssh-keygen", &all);
    }

    /// Signs a host certificate for the public key file at `public`, into `*-cert.pub` beside it.
    ///
    /// # Panics
    /// When `ssh-keygen` refuses.
    pub fn sign_host(&self, public: &Path, host_names: &[&str], validity: &str) {
        self.sign(public, &["-h"], host_names, validity, &[]);
    }

    fn sign(
        &self,
        public: &Path,
        kind: &[&str],
        principals: &[&str],
        validity: &str,
        options: &[&str],
    ) {
        let authority = self.key.private_path();
        let names = principals.join(",");
        let mut arguments = vec!["-q", "-s", authority.to_str().unwrap(), "-I", "test"];
        arguments.extend(kind);
        arguments.extend(["-n", names.as_str(), "-V", validity]);
        for option in options {
            arguments.extend(["-O", option]);
        }
        arguments.push(public.to_str().unwrap());
        run_tool(CLIENT_PACKAGE, "ssh-keygen", &arguments);
    }
}

/// Writes a key pair to `path` and `path`.pub, replacing what is there.
pub(crate) fn generate_at(kind: KeyKind, path: &Path) {
    let algorithm: &[&str] = match kind {
        KeyKind::Ed25519 => &["-t", "ed25519"],
        KeyKind::Ecdsa => &["-t", "ecdsa", "-b", "256"],
        KeyKind::Rsa => &["-t", "rsa", "-b", "3072"],
    };
    let public = PathBuf::from(format!("{}.pub", path.display()));
    for old in [path, &public] {
        if old.exists() {
            fs::remove_file(old).unwrap();
        }
    }
    let mut arguments = vec!["-q", "-N", "", "-C", "test", "-f", path.to_str().unwrap()];
    arguments.extend(algorithm);
    run_tool(CLIENT_PACKAGE, "ssh-keygen", &arguments);
}

pub(crate) fn read_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind_are_generated_with_their_algorithm() {
        for (kind, algorithm) in [
            (KeyKind::Ed25519, "ssh-ed25519 "),
            (KeyKind::Ecdsa, "ecdsa-sha2-nistp256 "),
            (KeyKind::Rsa, "ssh-rsa "),
        ] {
            let key = UserKey::generate_kind(kind);
            assert!(key.public_line().starts_with(algorithm), "{}", key.public_line());
            assert!(key.private_text().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
            assert!(key.fingerprint().starts_with("SHA256:"));
        }
    }

    #[test]
    fn an_authority_signs_user_certificates() {
        let (authority, key) = (CertificateAuthority::generate(), UserKey::generate());
        authority.sign_user(&key, &["alice", "deploy"], "+5m", &["no-pty"]);
        let path = key.certificate_path();
        let text = run_tool(CLIENT_PACKAGE, "ssh-keygen", &["-Lf", path.to_str().unwrap()]);
        assert!(text.contains("user certificate") && text.contains("deploy"), "{text}");
        assert!(!text.contains("permit-pty"), "{text}");
    }
}
