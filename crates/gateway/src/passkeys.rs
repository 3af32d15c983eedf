//! Passkeys and security keys at the gate: registering, proving one again, signing in.
//!
//! A browser asks for options and answers them. In between only the challenge's hash and what it was
//! for are kept, in the store, so that the answer may come to another node.
//!
//! INVARIANT: a challenge counts once, within [`CHALLENGE_LIFETIME`], for what it was opened for: one
//! person in one sign-in, or one place where nobody is signed in yet.

use std::net::IpAddr;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{Factor, FactorId, FactorKind, Secret, Timestamp, UserName};
use portcullis_identity::login::{Input, PasskeyCheck};
use portcullis_identity::password::PasswordCheck;
use portcullis_identity::random::OsRandom;
use portcullis_identity::webauthn::{
    AuthenticationResponse, CHALLENGE_LIFETIME, Challenge, RegistrationResponse, Wanted,
    WebauthnError, new_user_handle,
};
use portcullis_store::{Counted, Passkey, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::Gateway;
use crate::permit::{Authenticated, Basis};
use crate::sign_in::{Asked, SignInError, SignInFlow};
use crate::token::{Issued, SignInFor};

/// Why a passkey was not registered or did not prove anything.
#[derive(Debug, Error)]
pub enum PasskeyError {
    /// The browser's answer is no good.
    #[error(transparent)]
    Answer(#[from] WebauthnError),
    /// The challenge is not open: over, used, or opened for something else.
    #[error("this took too long, or was answered before; begin again")]
    NotOpen,
    /// Too much is going on.
    #[error("too many sign-ins are under way; try again in two minutes")]
    Busy,
    /// The sign-in was refused.
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl From<StoreError> for PasskeyError {
    fn from(error: StoreError) -> Self {
        Self::SignIn(SignInError::Unavailable(error.to_string()))
    }
}

/// What somebody who is signed in proves a second factor with.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A one-time or recovery code.
    Code(Secret<String>),
    /// A browser's answer.
    Passkey(Box<AuthenticationResponse>),
}

/// What a challenge is open for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
enum Ceremony {
    /// A person who is signed in registers a credential.
    Register { user: UserName, sign_in: String, wanted: Wanted, user_handle: Vec<u8> },
    /// A person who is signed in proves a factor again.
    Prove { user: UserName, sign_in: String },
    /// A person who has just typed their password here.
    SecondFactor { user: UserName, source: IpAddr },
    /// Whoever is here and has a passkey.
    SignIn { source: IpAddr },
}

impl Gateway {
    /// Options for a browser to register a credential with. `sign_in` stands for the sign-in it is
    /// registered in.
    pub async fn begin_passkey(
        &self,
        who: &Authenticated,
        sign_in: &str,
        wanted: Wanted,
    ) -> Result<Value, PasskeyError> {
        let known = self.store().passkeys(who.user()).await?;
        // One handle for all of a person's credentials; none tells who it is.
        let user_handle = match known.first() {
            Some(passkey) => passkey.user_handle.clone(),
            None => new_user_handle(&mut OsRandom).map_err(no_randomness)?,
        };
        let ids: Vec<Vec<u8>> = known.into_iter().map(|passkey| passkey.credential).collect();
        let about = Ceremony::Register {
            user: who.user().clone(),
            sign_in: sign_in.to_owned(),
            wanted,
            user_handle: user_handle.clone(),
        };
        let challenge = self.open_challenge(&about).await?;
        let site = &self.rules().relying_party;
        Ok(site.creation_options(who.user(), &user_handle, wanted, &ids, &challenge))
    }

    /// Checks what the browser answered; the credential to keep, which nobody has kept yet.
    pub async fn checked_passkey(
        &self,
        who: &Authenticated,
        sign_in: &str,
        name: String,
        answer: &RegistrationResponse,
    ) -> Result<Passkey, PasskeyError> {
        let challenge = answer.challenge()?;
        let Ceremony::Register { user, sign_in: begun_in, wanted, user_handle } =
            self.take(&challenge).await?
        else {
            return Err(PasskeyError::NotOpen);
        };
        if user != *who.user() || begun_in != sign_in {
            return Err(PasskeyError::NotOpen);
        }
        let new = self.rules().relying_party.register(answer, wanted, &challenge)?;
        let now = self.now();
        Ok(Passkey {
            id: FactorId::generate(now),
            user,
            name,
            credential: new.id,
            public_key: new.public_key,
            user_handle,
            signs_in_alone: wanted == Wanted::Passkey && new.user_verified,
            backup_eligible: new.backup_eligible,
            created_at: now,
            sign_count: new.sign_count,
            used_at: None,
        })
    }

    /// Options for a browser to prove a factor with, in a sign-in there is.
    pub async fn begin_proof(
        &self,
        who: &Authenticated,
        sign_in: &str,
    ) -> Result<Value, PasskeyError> {
        let about = Ceremony::Prove { user: who.user().clone(), sign_in: sign_in.to_owned() };
        self.request(&about, Some(who.user())).await
    }

    /// Proves a second factor for someone who has signed in already.
    pub async fn prove_factor(
        &self,
        who: &Authenticated,
        sign_in: &str,
        proof: Proof,
    ) -> Result<Factor, PasskeyError> {
        let mut flow = self.sign_in(who.source()).begun_elsewhere();
        let kind = match proof {
            Proof::Code(code) => flow.check_code(who.user(), code).await?.1,
            Proof::Passkey(answer) => {
                let challenge = answer.challenge()?;
                let about =
                    Ceremony::Prove { user: who.user().clone(), sign_in: sign_in.to_owned() };
                if self.take(&challenge).await? != about {
                    return Err(PasskeyError::NotOpen);
                }
                let (check, _) = flow.assertion(who.user(), &answer, &challenge, false).await?;
                check.proves().ok_or(WebauthnError::Signature)?
            }
        };
        flow.audit(Some(who.user()), Outcome::Success, kind.as_str()).await?;
        Ok(Factor { kind, at: self.now() })
    }

    /// Proves a code for someone who has signed in already: the same person, with it.
    pub async fn step_up(
        &self,
        who: &Authenticated,
        code: Secret<String>,
    ) -> Result<Authenticated, SignInError> {
        match self.prove_factor(who, "", Proof::Code(code)).await {
            Ok(factor) => Ok(who.with_factor(factor)),
            Err(PasskeyError::SignIn(error)) => Err(error),
            Err(_) => Err(SignInError::Refused),
        }
    }

    /// Options for a browser to sign in with: as whoever has a passkey, or as this person, whose
    /// password is looked at first.
    pub async fn begin_passkey_sign_in(
        &self,
        named: Option<(UserName, Secret<String>)>,
        source: IpAddr,
    ) -> Result<Value, PasskeyError> {
        let source = source.to_canonical();
        let Some((user, password)) = named else {
            self.sign_in(source).count_stranger().await?;
            return self.request(&Ceremony::SignIn { source }, None).await;
        };
        let mut flow = self.sign_in(source).begun_elsewhere();
        flow.bind_for_control(&user, FactorKind::Password, true);
        if flow.password_of(&user, password).await? != Asked::SecondFactor {
            return Err(SignInError::Refused.into());
        }
        let about = Ceremony::SecondFactor { user: user.clone(), source };
        self.request(&about, Some(&user)).await
    }

    /// Signs in by what the browser answered.
    pub async fn finish_passkey_sign_in(
        &self,
        answer: &AuthenticationResponse,
        source: IpAddr,
        wanted: SignInFor,
    ) -> Result<Issued, PasskeyError> {
        let source = source.to_canonical();
        let challenge = answer.challenge()?;
        let mut flow = self.sign_in(source).without_place();
        let who = match self.take(&challenge).await? {
            Ceremony::SignIn { source: begun_at } if begun_at == source => {
                let found = self.store().passkey(&answer.credential_id()?).await?;
                // Whoever has none is told no more than whoever has a wrong one.
                let found = found.filter(|passkey| passkey.signs_in_alone);
                let user = found.ok_or(WebauthnError::Unknown)?.user;
                flow.bind_for_control(&user, FactorKind::Passkey, true);
                flow.take_back_stranger();
                flow.prove_with(&user, answer, &challenge, true).await?
            }
            Ceremony::SecondFactor { user, source: begun_at } if begun_at == source => {
                flow.bind_for_control(&user, FactorKind::Password, true);
                let typed = Input::Password(PasswordCheck::Correct);
                flow.feed(&user, typed, FactorKind::Password).await?;
                flow.prove_with(&user, answer, &challenge, false).await?
            }
            _ => return Err(PasskeyError::NotOpen),
        };
        Ok(self.issue(who, wanted).await?)
    }

    async fn request(
        &self,
        about: &Ceremony,
        user: Option<&UserName>,
    ) -> Result<Value, PasskeyError> {
        let known = match user {
            Some(user) => self.store().passkeys(user).await?,
            None => Vec::new(),
        };
        if user.is_some() && known.is_empty() {
            return Err(WebauthnError::Unknown.into());
        }
        let ids: Vec<Vec<u8>> = known.into_iter().map(|passkey| passkey.credential).collect();
        let challenge = self.open_challenge(about).await?;
        Ok(self.rules().relying_party.request_options(&ids, &challenge))
    }

    async fn open_challenge(&self, about: &Ceremony) -> Result<Challenge, PasskeyError> {
        let challenge = Challenge::generate(&mut OsRandom).map_err(no_randomness)?;
        let (now, key) = (self.now(), challenge.key());
        let opened = self.store().open_ceremony(&key, about, now, now.plus(CHALLENGE_LIFETIME));
        if opened.await? { Ok(challenge) } else { Err(PasskeyError::Busy) }
    }

    async fn take(&self, challenge: &Challenge) -> Result<Ceremony, PasskeyError> {
        let taken = self.store().take_ceremony(&challenge.key(), self.now()).await?;
        taken.ok_or(PasskeyError::NotOpen)
    }
}

impl SignInFlow {
    /// Completes the sign-in of this user with an answer.
    async fn prove_with(
        &mut self,
        user: &UserName,
        answer: &AuthenticationResponse,
        challenge: &Challenge,
        alone: bool,
    ) -> Result<Authenticated, PasskeyError> {
        if !self.enabled(user) {
            self.feed(user, Input::Passkey(PasskeyCheck::Refused), FactorKind::Passkey).await?;
        }
        let (check, credential) = self.assertion(user, answer, challenge, alone).await?;
        self.rests_on(match alone {
            true => Basis::Passkey(credential.into()),
            false => Basis::Password,
        });
        let kind = check.proves().unwrap_or(FactorKind::SecurityKey);
        self.feed(user, Input::Passkey(check), kind).await?;
        Ok(self.finish().ok_or(SignInError::Refused)?)
    }

    /// What an answer to an open challenge proves of this person, and with which credential.
    async fn assertion(
        &self,
        user: &UserName,
        answer: &AuthenticationResponse,
        challenge: &Challenge,
        verified: bool,
    ) -> Result<(PasskeyCheck, Vec<u8>), PasskeyError> {
        let checked = self.checked(user, answer, challenge, verified).await;
        if let Err(PasskeyError::Answer(error)) = &checked {
            self.audit(Some(user), Outcome::Refused(error.to_string()), "passkey").await?;
        }
        checked
    }

    async fn checked(
        &self,
        user: &UserName,
        answer: &AuthenticationResponse,
        challenge: &Challenge,
        verified: bool,
    ) -> Result<(PasskeyCheck, Vec<u8>), PasskeyError> {
        let gateway = self.gateway();
        let found = gateway.store().passkey(&answer.credential_id()?).await?;
        let passkey =
            found.filter(|passkey| passkey.user == *user).ok_or(WebauthnError::Unknown)?;
        let site = &gateway.rules().relying_party;
        let (key, handle) = (&passkey.public_key, &passkey.user_handle);
        let assertion = site.verify(answer, key, handle, verified, challenge)?;
        let now = gateway.now();
        let used = gateway.store().use_passkey(&passkey.credential, assertion.sign_count, now);
        match used.await? {
            Counted::Forward => Ok((assertion.check, passkey.credential)),
            Counted::Stuck => {
                gateway.say_cloned(&passkey, self.source(), now).await?;
                Err(WebauthnError::Signature.into())
            }
        }
    }
}

impl Gateway {
    /// A counter that does not go on (WebAuthn Level 3, section 6.1.1): there may be a copy.
    async fn say_cloned(
        &self,
        passkey: &Passkey,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<(), PasskeyError> {
        let why = "the signature counter did not go on; there may be a copy of this credential";
        let event = Event::new(Activity::Finding, now)
            .user(&passkey.user)
            .source(source)
            .outcome(Outcome::Refused(why.into()))
            .detail("finding", "passkey_counter")
            .detail("factor", passkey.id.to_string());
        let written = self.auditor().write(event).await;
        written.map(drop).map_err(|error| SignInError::Unavailable(error.to_string()).into())
    }
}

fn no_randomness(error: portcullis_identity::random::RandomUnavailable) -> PasskeyError {
    SignInError::Unavailable(error.to_string()).into()
}
