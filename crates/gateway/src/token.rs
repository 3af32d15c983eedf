//! Signing in to Portcullis itself: bearer tokens and certificates for `ssh`.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{Authentication, Factor, FactorKind, Secret, Timestamp, UserName};
use portcullis_identity::authority::{MAX_SIGN_IN_LIFETIME, random_serial};
use portcullis_identity::keys::{HashAlg, PublicKey};
use portcullis_identity::random::OsRandom;
use portcullis_identity::token::Token;
use portcullis_store::{Certificate as CertificateRecord, Token as TokenRecord};

use crate::Gateway;
use crate::permit::{Authenticated, Basis};
use crate::sign_in::{Asked, SignInError};

/// What signing in gives.
pub struct Issued {
    /// Who.
    pub who: Authenticated,
    /// The bearer token, shown once.
    pub token: Secret<String>,
    /// A certificate for the key given, OpenSSH format.
    pub certificate: Option<String>,
    /// Until when both are good.
    pub expires: Timestamp,
}

/// What signing in came to.
pub enum SignedIn {
    /// Done.
    Issued(Box<Issued>),
    /// The password is right, and a code is needed as well.
    SecondFactorRequired,
}

impl Gateway {
    /// Signs in with a password and, where one is set up, a second factor.
    pub async fn log_in(
        &self,
        user: &UserName,
        password: Secret<String>,
        code: Option<Secret<String>>,
        key: Option<PublicKey>,
        source: IpAddr,
        lifetime: Duration,
    ) -> Result<SignedIn, SignInError> {
        let Some(who) = self.check_log_in(user, password, code, source).await? else {
            return Ok(SignedIn::SecondFactorRequired);
        };
        self.issue(who, key, lifetime.min(MAX_SIGN_IN_LIFETIME)).await
    }

    /// Proves password and second factor once more for a sensitive act; `false` where the code is
    /// missing.
    pub async fn prove_again(
        &self,
        who: &Authenticated,
        password: Secret<String>,
        code: Option<Secret<String>>,
    ) -> Result<bool, SignInError> {
        match self.check_log_in(who.user(), password, code, who.source()).await? {
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// Password and, where one is set up, second factor; `None` where the code is missing.
    async fn check_log_in(
        &self,
        user: &UserName,
        password: Secret<String>,
        code: Option<Secret<String>>,
        source: IpAddr,
    ) -> Result<Option<Authenticated>, SignInError> {
        let status = self.store().credential_status(user).await;
        let status = status.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let second = status.totp_confirmed_at.is_some() || status.recovery_codes_left > 0;
        let mut flow = self.sign_in(source);
        flow.bind_for_control(user, second);
        if flow.password_of(user, password).await? == Asked::SecondFactor {
            let Some(code) = code else { return Ok(None) };
            flow.code_of(user, code).await?;
        }
        flow.finish().map(Some).ok_or(SignInError::Refused)
    }

    async fn issue(
        &self,
        who: Authenticated,
        key: Option<PublicKey>,
        lifetime: Duration,
    ) -> Result<SignedIn, SignInError> {
        let unavailable =
            |error: &dyn std::fmt::Display| SignInError::Unavailable(error.to_string());
        let now = self.now();
        let expires = now.plus(lifetime);
        let factors = who.authentication().factors.clone();
        let certificate = match &key {
            Some(key) => Some(self.certify_sign_in(&who, key, &factors, now, lifetime).await?),
            None => None,
        };
        let token = Token::generate(&mut OsRandom).map_err(|error| unavailable(&error))?;
        let event = Event::new(Activity::CertificateIssue, now)
            .user(who.user())
            .source(who.source())
            .detail("expires", expires.to_string())
            .detail("certificate", certificate.is_some());
        self.auditor().write(event).await.map_err(|error| unavailable(&error))?;
        let record =
            TokenRecord { user: who.user().clone(), factors, issued_at: now, expires_at: expires };
        let stored = self.store().put_token(token.hash().as_bytes(), &record).await;
        stored.map_err(|error| unavailable(&error))?;
        Ok(SignedIn::Issued(Box::new(Issued { who, token: token.to_text(), certificate, expires })))
    }

    async fn certify_sign_in(
        &self,
        who: &Authenticated,
        key: &PublicKey,
        factors: &[Factor],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, SignInError> {
        let unavailable =
            |error: &dyn std::fmt::Display| SignInError::Unavailable(error.to_string());
        let serial = random_serial(&mut OsRandom).map_err(|error| unavailable(&error))?;
        let certificate = self
            .sign_in_authority()
            .issue(key, who.user(), factors, now, lifetime, serial, &mut OsRandom)
            .map_err(|error| unavailable(&error))?;
        let record = CertificateRecord {
            serial,
            user: who.user().clone(),
            factors: factors.to_vec(),
            key_fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            issued_at: now,
            expires_at: now.plus(lifetime),
        };
        self.store().record_certificate(&record).await.map_err(|error| unavailable(&error))?;
        certificate.to_openssh().map_err(|error| unavailable(&error))
    }

    /// The person a bearer token stands for, if it is good and they are still enabled.
    pub async fn bearer(&self, text: &str, source: IpAddr) -> Result<Authenticated, SignInError> {
        let now = self.now();
        let Ok(token) = Token::parse(text) else { return Err(SignInError::Refused) };
        let found = self.store().token(token.hash().as_bytes(), now).await;
        let found = found.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let snapshot = self.snapshot();
        let Some(record) = found.filter(|record| {
            snapshot.facts.users.get(&record.user).is_some_and(|user| !user.disabled)
        }) else {
            return Err(SignInError::Refused);
        };
        let mut factors = record.factors;
        factors.push(Factor { kind: FactorKind::Token, at: record.issued_at });
        let source = source.to_canonical();
        let authentication = Authentication { user: record.user, factors, source };
        Ok(Authenticated::new(authentication, Basis::Token, record.issued_at))
    }

    /// Ends a token.
    pub async fn log_out(&self, who: &Authenticated, text: &str) -> Result<(), SignInError> {
        let Ok(token) = Token::parse(text) else { return Err(SignInError::Refused) };
        let event = Event::new(Activity::CertificateIssue, self.now())
            .user(who.user())
            .source(who.source())
            .outcome(Outcome::Success)
            .detail("revoked", true);
        let unavailable =
            |error: &dyn std::fmt::Display| SignInError::Unavailable(error.to_string());
        self.auditor().write(event).await.map_err(|error| unavailable(&error))?;
        let revoked = self.store().revoke_token(token.hash().as_bytes(), self.now()).await;
        revoked.map(drop).map_err(|error| unavailable(&error))
    }
}
