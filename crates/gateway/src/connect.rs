//! From a live session to the target: the connection, the credential the client never sees, and
//! whether the other end is who it should be.

use std::time::Duration;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{Secret, SshCredential, TargetName};
use portcullis_identity::authority::{
    HostKey, HostTrust, HostTrustError, HostVerdict, IssueError, TargetPermissions, TargetSession,
    random_serial,
};
use portcullis_identity::keys::ssh_key::private::Ed25519Keypair;
use portcullis_identity::keys::{Certificate, PrivateKey};
use portcullis_identity::random::{OsRandom, Random, RandomUnavailable};
use portcullis_store::StoreError;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::end::EndReason;
use crate::live::LiveSession;

/// Longest time to reach a target.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the certificate for a target is good; it is used at once.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3 * 60);

/// What the certificate permits the gate. It is the gate's own, for minutes; what the person may do
/// is decided channel by channel.
const EVERYTHING: TargetPermissions =
    TargetPermissions { pty: true, port_forwarding: true, agent_forwarding: true };

/// Why a target could not be connected to. `Display` is for the user; it carries no secret.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error("`{target}` cannot be reached: {reason}")]
    Unreachable {
        /// Which target.
        target: TargetName,
        /// What happened.
        reason: String,
    },
    /// It presented another host key than the ones it is known by.
    #[error(
        "the host key of `{target}` is not the one it is known by (it presented {presented}); \
         nothing was sent to it; tell your administrator"
    )]
    HostKeyChanged {
        /// Which target.
        target: TargetName,
        /// Fingerprint presented.
        presented: String,
        /// What was expected, for the log.
        expected: String,
    },
    /// A server did not prove itself.
    #[error(
        "the server of `{target}` did not prove itself ({reason}); nothing was sent to it; tell your \
         administrator"
    )]
    ServerNotTrusted {
        /// Which target.
        target: TargetName,
        /// What was wrong.
        reason: String,
    },
    /// It does not accept the gate.
    #[error("`{target}` does not let the gate in as `{login}`; tell your administrator")]
    NotAccepted {
        /// Which target.
        target: TargetName,
        /// Which account.
        login: String,
    },
    /// The SSH conversation with it failed.
    #[error("the connection to `{target}` failed: {reason}")]
    Protocol {
        /// Which target.
        target: TargetName,
        /// What happened.
        reason: String,
    },
    /// Its declared host keys cannot be read.
    #[error("the host keys declared for `{target}` cannot be used; tell your administrator")]
    Trust {
        /// Which target.
        target: TargetName,
        /// Why.
        #[source]
        source: HostTrustError,
    },
    /// The gate has no credential for it.
    #[error("the gate has no usable credential for `{target}`; tell your administrator")]
    Credential {
        /// Which target.
        target: TargetName,
        /// Why.
        #[source]
        source: CredentialError,
    },
}

/// Why there is no usable credential for a target.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The secret is not in the store.
    #[error("the secret cannot be read")]
    Store(#[from] StoreError),
    /// The secret is not what it should be.
    #[error("the secret `{0}` is not a private key in OpenSSH format, or not text")]
    Malformed(String),
    /// The target is not spoken to over SSH.
    #[error("the target has no credential for SSH")]
    NotForSsh,
    /// The target has no such login.
    #[error("the target has no credential for this login")]
    NoSuchLogin,
    /// The secret is not what it should be.
    #[error("the secret `{0}` is not a certificate and its private key in PEM")]
    NotPem(String),
    /// The authority could not sign.
    #[error("no certificate could be issued")]
    Issue(#[from] IssueError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

/// What the gate proves itself to a target with.
#[derive(Debug)]
pub enum TargetCredential {
    /// A key made for this connection and its certificate.
    Certificate {
        /// The key.
        key: Box<PrivateKey>,
        /// Signed by the gate's target authority.
        certificate: Box<Certificate>,
    },
    /// A stored key.
    Key(Box<PrivateKey>),
    /// A stored password.
    Password(Secret<String>),
}

impl LiveSession {
    /// Opens the TCP connection, in bounded time.
    pub async fn dial(&self) -> Result<TcpStream, ConnectError> {
        let target = self.target();
        let unreachable = |reason: String| ConnectError::Unreachable {
            target: self.target().name.clone(),
            reason,
        };
        let connecting = TcpStream::connect((target.host(), target.port()));
        match tokio::time::timeout(DIAL_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
                Ok(stream)
            }
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer in {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }

    /// Makes or fetches what the gate proves itself with. Never leaves the gate.
    pub async fn credential(&self) -> Result<TargetCredential, ConnectError> {
        self.find_credential().await.map_err(|source| ConnectError::Credential {
            target: self.target().name.clone(),
            source,
        })
    }

    async fn find_credential(&self) -> Result<TargetCredential, CredentialError> {
        match self.target().ssh().map(|ssh| &ssh.credential) {
            None => Err(CredentialError::NotForSsh),
            Some(SshCredential::Certificate) => self.certify(),
            Some(SshCredential::Key { secret }) => {
                let text = self.secret(secret).await?;
                let key = PrivateKey::from_openssh(text.expose())
                    .map_err(|_| CredentialError::Malformed(secret.clone()))?;
                Ok(TargetCredential::Key(Box::new(key)))
            }
            Some(SshCredential::Password { secret }) => {
                Ok(TargetCredential::Password(self.secret(secret).await?))
            }
        }
    }

    fn certify(&self) -> Result<TargetCredential, CredentialError> {
        let mut seed = [0; 32];
        OsRandom.fill(&mut seed)?;
        let seed = Secret::new(seed);
        let key = PrivateKey::from(Ed25519Keypair::from_seed(seed.expose()));
        let session = TargetSession {
            user: self.who().user(),
            login: self.login(),
            session: self.id(),
            permissions: EVERYTHING,
        };
        let certificate = self.gateway().target_authority().issue(
            key.public_key(),
            &session,
            self.gateway().now(),
            CERTIFICATE_LIFETIME,
            random_serial(&mut OsRandom)?,
            &mut OsRandom,
        )?;
        Ok(TargetCredential::Certificate { key: Box::new(key), certificate: Box::new(certificate) })
    }

    pub(crate) async fn secret(&self, name: &str) -> Result<Secret<String>, CredentialError> {
        let environment = &self.target().environment;
        let bytes = self.gateway().store().target_secret(environment, name).await?;
        let text = std::str::from_utf8(bytes.expose())
            .map_err(|_| CredentialError::Malformed(name.to_owned()))?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Whether the host is the one the target is declared with. Asked before anything is sent.
    pub fn check_host_key(&self, presented: HostKey<'_>) -> Result<(), ConnectError> {
        let target = self.target();
        let keys = target.ssh().map(|ssh| ssh.host_keys.as_slice()).unwrap_or_default();
        let authorities = target.ssh().map(|ssh| ssh.host_authorities.as_slice());
        let trust = HostTrust::parse(keys, authorities.unwrap_or_default())
            .map_err(|source| ConnectError::Trust { target: target.name.clone(), source })?;
        let mut names = vec![target.name.as_str()];
        names.extend(target.hosts());
        let changed = |presented: String, expected: String| ConnectError::HostKeyChanged {
            target: target.name.clone(),
            presented,
            expected,
        };
        match trust.check(presented, &names, self.gateway().now()) {
            HostVerdict::Trusted => Ok(()),
            HostVerdict::Unknown { presented } => Err(changed(presented, "none declared".into())),
            HostVerdict::Changed { expected, presented } => {
                Err(changed(presented, expected.join(" ")))
            }
            HostVerdict::Refused { presented, reason } => {
                Err(changed(presented, reason.to_string()))
            }
        }
    }

    /// Audits a failed connection, a changed host key as a finding, and ends the session.
    pub async fn connect_failed(&self, error: &ConnectError) {
        let mut details = vec![("error", Value::from(error.to_string()))];
        let activity = match error {
            ConnectError::HostKeyChanged { presented, expected, .. } => {
                details.push(("finding", "host_key_changed".into()));
                details.push(("presented", presented.as_str().into()));
                details.push(("expected", expected.as_str().into()));
                Activity::Finding
            }
            ConnectError::ServerNotTrusted { .. } => {
                details.push(("finding", "server_not_trusted".into()));
                Activity::Finding
            }
            _ => Activity::Connect,
        };
        // The session ends either way; an audit failure ends it with that reason.
        let _ = self.audit(activity, Outcome::Failed(error.to_string()), details).await;
        self.end(EndReason::ConnectFailed(error.to_string()));
    }

    /// Audits that the target was reached and proved itself.
    pub async fn connected(
        &self,
        details: Vec<(&'static str, Value)>,
    ) -> Result<(), crate::AuditError> {
        self.audit(Activity::Connect, Outcome::Success, details).await
    }
}
