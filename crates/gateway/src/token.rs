//! Signing in to Portcullis itself: tokens, in a header or a cookie, and certificates for `ssh`.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{
    Authentication, Factor, FactorKind, Secret, SignInId, Timestamp, UserName,
};
use portcullis_evidence::log::merkle::sha256;
use portcullis_identity::authority::{MAX_SIGN_IN_LIFETIME, random_serial};
use portcullis_identity::keys::{HashAlg, PublicKey};
use portcullis_identity::random::OsRandom;
use portcullis_identity::token::Token;
use portcullis_store::{
    Carrier, Certificate as CertificateRecord, SeenToken, Token as TokenRecord,
};

use crate::Gateway;
use crate::passkeys::{PasskeyError, Proof};
use crate::permit::{Authenticated, Basis};
use crate::sign_in::{Asked, SignInError};

/// How seldom a token's use is written down.
const SEE_AGAIN: Duration = Duration::from_secs(60);
/// Longest name of a client kept, in characters.
const MAX_CLIENT_CHARS: usize = 200;

/// What a sign-in is going to be used by.
#[derive(Debug, Clone)]
pub struct SignInFor {
    /// How its token travels.
    pub carrier: Carrier,
    /// It ends after so long, whatever happens; at most 12 h.
    pub lifetime: Duration,
    /// It ends when it was not used for so long.
    pub idle: Option<Duration>,
    /// What the program calls itself; a claim.
    pub client: Option<String>,
    /// A key to certify for `ssh`.
    pub key: Option<PublicKey>,
    /// A public key (PEM) to certify for TLS.
    pub tls_key: Option<String>,
}

/// What a look at a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its owner does something: the token is in use.
    Acts,
    /// An answer to its owner goes on: they may be long gone.
    Listens,
}

/// Who presented a token, and which.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Who.
    pub who: Authenticated,
    /// The sign-in it stands for.
    pub sign_in: SignInId,
    /// When that ends by itself.
    pub expires: Timestamp,
}

/// What signing in gives.
pub struct Issued {
    /// Who.
    pub who: Authenticated,
    /// The sign-in.
    pub sign_in: SignInId,
    /// Its token, shown once.
    pub token: Secret<String>,
    /// A certificate for the key given, OpenSSH format.
    pub certificate: Option<String>,
    /// A client certificate for the TLS key given, PEM.
    pub tls_certificate: Option<String>,
    /// Until when all are good.
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
        source: IpAddr,
        wanted: SignInFor,
    ) -> Result<SignedIn, SignInError> {
        let Some(who) = self.check_log_in(user, password, code, source).await? else {
            return Ok(SignedIn::SecondFactorRequired);
        };
        self.issue(who, wanted).await.map(|issued| SignedIn::Issued(Box::new(issued)))
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
        let mut flow = self.sign_in(source).without_place();
        flow.bind_for_control(user, FactorKind::Password, status.has_second_factor());
        if flow.password_of(user, password).await? == Asked::SecondFactor {
            let Some(code) = code else { return Ok(None) };
            flow.code_of(user, code).await?;
        }
        flow.finish().map(Some).ok_or(SignInError::Refused)
    }

    /// Makes the token, and the certificate where there is a key, of somebody who has proved who
    /// they are.
    pub(crate) async fn issue(
        &self,
        who: Authenticated,
        wanted: SignInFor,
    ) -> Result<Issued, SignInError> {
        let now = self.now();
        let lifetime = wanted.lifetime.min(MAX_SIGN_IN_LIFETIME);
        let factors = who.authentication().factors.clone();
        let certificate = match &wanted.key {
            Some(key) => Some(self.certify_sign_in(&who, key, &factors, now, lifetime).await?),
            None => None,
        };
        let tls_certificate = match &wanted.tls_key {
            Some(key) => Some(self.certify_for_tls(&who, key, &factors, now, lifetime).await?),
            None => None,
        };
        let (serial, certificate) = certificate.unzip();
        let (tls_serial, tls_certificate) = tls_certificate.unzip();
        let client = wanted.client.map(|name| name.chars().take(MAX_CLIENT_CHARS).collect());
        let record = TokenRecord {
            id: SignInId::generate(now),
            user: who.user().clone(),
            carrier: wanted.carrier,
            idle_seconds: wanted.idle.map(|idle| idle.as_secs().max(1)),
            source: who.source().to_string(),
            client,
            certificate: serial,
            tls_certificate: tls_serial,
            factors,
            issued_at: now,
            expires_at: now.plus(lifetime),
        };
        let (sign_in, expires) = (record.id, record.expires_at);
        let token = self.put_token(&who, record).await?;
        Ok(Issued { who, sign_in, token, certificate, tls_certificate, expires })
    }

    /// Writes down that a token is issued, then stores it.
    async fn put_token(
        &self,
        who: &Authenticated,
        record: TokenRecord,
    ) -> Result<Secret<String>, SignInError> {
        let token = Token::generate(&mut OsRandom).map_err(|error| unavailable(&error))?;
        let event = Event::new(Activity::CertificateIssue, self.now())
            .user(who.user())
            .source(who.source())
            .detail("sign_in", record.id.to_string())
            .detail("expires", record.expires_at.to_string())
            .detail("certificate", record.certificate.or(record.tls_certificate).is_some());
        self.auditor().write(event).await.map_err(|error| unavailable(&error))?;
        let stored = self.store().put_token(token.hash().as_bytes(), &record).await;
        stored.map_err(|error| unavailable(&error))?;
        Ok(token.to_text())
    }

    /// Proves a second factor for a sign-in that exists. Its token ends and another takes its
    /// place, which ends when the first would have: whoever knew the first gains nothing.
    pub async fn raise_sign_in(
        &self,
        who: &Authenticated,
        text: &str,
        sign_in: &str,
        proof: Proof,
    ) -> Result<Issued, PasskeyError> {
        let now = self.now();
        let Ok(old) = Token::parse(text) else { return Err(SignInError::Refused.into()) };
        let found = self.store().token(old.hash().as_bytes(), now).await?;
        let Some(record) = found.filter(|seen| seen.token.user == *who.user()) else {
            return Err(SignInError::Refused.into());
        };
        let who = who.with_factor(self.prove_factor(who, sign_in, proof).await?);
        let mut factors = who.authentication().factors.clone();
        factors.retain(|factor| factor.kind != FactorKind::Token);
        let record = TokenRecord { id: SignInId::generate(now), factors, ..record.token };
        let (sign_in, expires) = (record.id, record.expires_at);
        let token = self.put_token(&who, record).await?;
        self.store().revoke_token(old.hash().as_bytes(), now).await?;
        Ok(Issued { who, sign_in, token, certificate: None, tls_certificate: None, expires })
    }

    async fn certify_sign_in(
        &self,
        who: &Authenticated,
        key: &PublicKey,
        factors: &[Factor],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<(u64, String), SignInError> {
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
        let text = certificate.to_openssh().map_err(|error| unavailable(&error))?;
        Ok((serial, text))
    }

    /// A client certificate for TLS; what was proved is recorded under its serial.
    async fn certify_for_tls(
        &self,
        who: &Authenticated,
        key: &str,
        factors: &[Factor],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<(u64, String), SignInError> {
        let serial = random_serial(&mut OsRandom).map_err(|error| unavailable(&error))?;
        let certificate = self
            .tls_authority()
            .certify(key, who.user(), now, lifetime, serial)
            .map_err(|error| unavailable(&error))?;
        let hash = sha256(&[key.as_bytes()]);
        let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let record = CertificateRecord {
            serial,
            user: who.user().clone(),
            factors: factors.to_vec(),
            key_fingerprint: format!("TLS-SHA256:{hex}"),
            issued_at: now,
            expires_at: now.plus(lifetime),
        };
        self.store().record_certificate(&record).await.map_err(|error| unavailable(&error))?;
        Ok((serial, certificate))
    }

    /// The person a token stands for that came by this carrier, if it is good and they are still
    /// enabled.
    pub async fn presented(
        &self,
        text: &str,
        carrier: Carrier,
        source: IpAddr,
        presence: Presence,
    ) -> Result<Presented, SignInError> {
        let now = self.now();
        let Ok(token) = Token::parse(text) else { return Err(SignInError::Refused) };
        let hash = token.hash();
        let found = self.store().token(hash.as_bytes(), now).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let snapshot = self.snapshot();
        let Some(SeenToken { token: record, seen_at }) = found.filter(|found| {
            // INVARIANT: a cookie is no header and a header no cookie; the checks that keep other
            // pages from using a cookie cannot be gone around.
            found.token.carrier == carrier
                && snapshot.facts.users.get(&found.token.user).is_some_and(|user| !user.disabled)
        }) else {
            return Err(SignInError::Refused);
        };
        let idle = record.idle_seconds.map_or(SEE_AGAIN, |idle| Duration::from_secs(idle / 4));
        if presence == Presence::Acts && now.since(seen_at) >= SEE_AGAIN.min(idle) {
            let written = self.store().see_token(hash.as_bytes(), &record, now).await;
            written.map_err(|error| unavailable(&error))?;
        }
        let mut factors = record.factors;
        factors.push(Factor { kind: FactorKind::Token, at: record.issued_at });
        let source = source.to_canonical();
        let authentication = Authentication { user: record.user, factors, source };
        Ok(Presented {
            who: Authenticated::new(authentication, Basis::Token, record.issued_at),
            sign_in: record.id,
            expires: record.expires_at,
        })
    }

    /// Notes a factor that was proved anew in the sign-in of this token.
    pub async fn freshen(&self, text: &str, factor: Factor) -> Result<(), SignInError> {
        let Ok(token) = Token::parse(text) else { return Err(SignInError::Refused) };
        let noted = self.store().freshen_token(token.hash().as_bytes(), factor, self.now()).await;
        match noted.map_err(|error| SignInError::Unavailable(error.to_string()))? {
            true => Ok(()),
            false => Err(SignInError::Refused),
        }
    }

    /// Ends a token.
    pub async fn log_out(&self, who: &Authenticated, text: &str) -> Result<(), SignInError> {
        let Ok(token) = Token::parse(text) else { return Err(SignInError::Refused) };
        let event = Event::new(Activity::CertificateIssue, self.now())
            .user(who.user())
            .source(who.source())
            .outcome(Outcome::Success)
            .detail("revoked", true);
        self.auditor().write(event).await.map_err(|error| unavailable(&error))?;
        let revoked = self.store().revoke_token(token.hash().as_bytes(), self.now()).await;
        revoked.map(drop).map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> SignInError {
    SignInError::Unavailable(error.to_string())
}
