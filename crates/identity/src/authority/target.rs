//! Certificates for the gate towards a target: one per session, for a key made for that session,
//! valid for minutes. The key id names the person and the session, so that the target's own log
//! says who came through the gate.

use std::time::Duration;

use portcullis_domain::{Login, Secret, SessionId, Timestamp, UserName};
use russh::keys::{Certificate, PublicKey};

use super::{AuthorityKey, AuthorityKeyError, Draft, IssueError, fingerprint};
use crate::random::{Random, RandomUnavailable};

/// Longest life of a target certificate: it is needed for the handshake only.
pub const MAX_TARGET_LIFETIME: Duration = Duration::from_secs(10 * 60);

const KEY_ID_PREFIX: &str = "portcullis:session:";

/// The authority that certifies the gate to targets. Its certificates are nothing to the gate.
#[derive(Debug)]
pub struct TargetAuthority(AuthorityKey);

/// What the target's server is told to permit; the gate authorises each use besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetPermissions {
    /// A terminal.
    pub pty: bool,
    /// TCP forwarding, in either direction.
    pub port_forwarding: bool,
    /// Agent forwarding.
    pub agent_forwarding: bool,
}

/// For whom and what a target certificate is.
#[derive(Debug, Clone, Copy)]
pub struct TargetSession<'a> {
    /// The person.
    pub user: &'a UserName,
    /// The account on the target, the certificate's only principal.
    pub login: &'a Login,
    /// The session.
    pub session: SessionId,
    /// What is permitted in it.
    pub permissions: TargetPermissions,
}

impl TargetAuthority {
    /// A new authority.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomUnavailable> {
        AuthorityKey::generate(random, "portcullis target authority").map(Self)
    }

    /// From the store.
    pub fn from_openssh(text: &Secret<String>) -> Result<Self, AuthorityKeyError> {
        AuthorityKey::from_openssh(text).map(Self)
    }

    /// For the store to encrypt.
    pub fn to_openssh(&self) -> Result<Secret<String>, AuthorityKeyError> {
        self.0.to_openssh()
    }

    /// The line for the targets' `TrustedUserCAKeys` file.
    pub fn public_key_line(&self) -> Result<String, AuthorityKeyError> {
        self.0.public_key().to_openssh().map_err(|e| AuthorityKeyError::Format(Some(e)))
    }

    /// SHA-256 fingerprint of the public key, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key().key_data())
    }

    /// Certifies the session's own ephemeral key. Two to five minutes are a good lifetime.
    pub fn issue(
        &self,
        ephemeral: &PublicKey,
        session: &TargetSession<'_>,
        now: Timestamp,
        lifetime: Duration,
        serial: u64,
        random: &mut dyn Random,
    ) -> Result<Certificate, IssueError> {
        let permissions = session.permissions;
        let extensions = [
            (permissions.agent_forwarding, "permit-agent-forwarding"),
            (permissions.port_forwarding, "permit-port-forwarding"),
            (permissions.pty, "permit-pty"),
        ];
        let draft = Draft {
            subject: ephemeral,
            principal: session.login.as_str(),
            key_id: format!("{KEY_ID_PREFIX}{}:{}", session.user, session.session),
            extensions: extensions
                .into_iter()
                .filter(|(permitted, _)| *permitted)
                .map(|(_, name)| (name, String::new()))
                .collect(),
            now,
            lifetime,
            max_lifetime: MAX_TARGET_LIFETIME,
            serial,
        };
        self.0.sign(draft, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{CertificateError, SignInAuthority};
    use crate::testing::{Counter, at, user};

    #[test]
    fn a_target_certificate_names_the_login_the_person_and_the_session() {
        let session = SessionId::generate(at(0));
        let all = TargetPermissions { pty: true, port_forwarding: true, agent_forwarding: true };
        let certificate = issue(session, all, 120).unwrap();
        assert_eq!(certificate.valid_principals(), ["deploy"]);
        assert_eq!(certificate.key_id(), format!("portcullis:session:alice:{session}"));
        assert!(certificate.cert_type().is_user());
        assert_eq!(certificate.valid_before() - certificate.valid_after(), 60 + 120);
        let names: Vec<&String> = certificate.extensions().keys().collect();
        assert_eq!(names, ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty"]);
        assert!(certificate.critical_options().is_empty());
        assert!(certificate.verify_signature().is_ok());
    }

    #[test]
    fn nothing_is_permitted_that_was_not_given() {
        let certificate =
            issue(SessionId::generate(at(0)), TargetPermissions::default(), 120).unwrap();
        assert!(certificate.extensions().is_empty());
    }

    #[test]
    fn a_target_certificate_lives_for_minutes() {
        let nothing = TargetPermissions::default();
        for seconds in [0, 601, 43_200] {
            let issued = issue(SessionId::generate(at(0)), nothing, seconds);
            assert!(matches!(issued, Err(IssueError::Lifetime { .. })), "{seconds}");
        }
    }

    #[test]
    fn a_target_certificate_does_not_open_the_gate() {
        let gate = SignInAuthority::generate(&mut Counter(1)).unwrap();
        let session = SessionId::generate(at(0));
        let certificate = issue(session, TargetPermissions::default(), 120).unwrap();
        let verdict = gate.trust().check(&certificate, &user("alice"), at(1), &|_| false);
        assert!(matches!(verdict, Err(CertificateError::UnknownAuthority { .. })));
    }

    fn issue(
        session: SessionId,
        permissions: TargetPermissions,
        seconds: u64,
    ) -> Result<Certificate, IssueError> {
        let authority = TargetAuthority::generate(&mut Counter(2)).unwrap();
        let key = AuthorityKey::generate(&mut Counter(3), "").unwrap();
        let (alice, login) = (user("alice"), Login::new("deploy").unwrap());
        let session = TargetSession { user: &alice, login: &login, session, permissions };
        let lifetime = Duration::from_secs(seconds);
        authority.issue(key.public_key(), &session, at(0), lifetime, 9, &mut Counter(4))
    }
}
