//! People's own factors: list, register, name, remove, and prove one again.
//!
//! Whatever changes them is proved anew, audited before it happens, and keeps its owner out of
//! production for a while unless a second person agrees: whoever stole a sign-in and adds a factor of
//! their own gains nothing by it that day.

use std::str::FromStr;

use portcullis_domain::audit::Activity;
use portcullis_domain::{
    ChangeId, ChangeState, ChangeSubject, ControlAction, Factor, FactorId, PendingChange, Secret,
    UserName,
};
use portcullis_evidence::log::merkle::sha256;
use portcullis_gateway::{Authenticated, PasskeyError, Proof};
use portcullis_store::{MAX_PASSKEYS_PER_USER, Passkey, StoreError};

use crate::access::ends_with;
use crate::right::user_name;
use crate::view::{
    ChallengeView, ConfirmPasskeyBody, FactorNameBody, FactorView, FactorsView, NewPasskeyBody,
    ProofBody,
};
use crate::{Control, ControlError, ErrorKind};

/// Longest name of a factor, in bytes.
const MAX_NAME_BYTES: usize = 64;

impl From<PasskeyError> for ControlError {
    fn from(error: PasskeyError) -> Self {
        match error {
            PasskeyError::SignIn(error) => error.into(),
            PasskeyError::Busy => Self::unavailable(error),
            PasskeyError::NotOpen => Self::new(ErrorKind::Conflict, "not_open", error.to_string()),
            PasskeyError::Answer(error) => {
                Self::new(ErrorKind::Invalid, "passkey_refused", error.to_string())
            }
        }
    }
}

/// What a sign-in is called where something is begun in it: nothing that could be used as a token.
pub(crate) fn sign_in_of(token: &str) -> String {
    let hash = sha256(&[b"portcullis sign-in v1\0", token.as_bytes()]);
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Control {
    /// The caller's factors.
    pub async fn own_factors(&self, who: &Authenticated) -> Result<FactorsView, ControlError> {
        self.must_be_active(who)?;
        self.factors_of(who.user().clone()).await
    }

    /// Another person's factors.
    pub async fn factors(
        &self,
        who: &Authenticated,
        user: &str,
    ) -> Result<FactorsView, ControlError> {
        let right = ControlAction::ManageCredentials;
        self.must_hold(who, right, Activity::CredentialChange).await?;
        let user = user_name(user)?;
        if !self.gateway().snapshot().facts.users.contains_key(&user) {
            return Err(ControlError::not_found(format!("user `{user}`")));
        }
        self.factors_of(user).await
    }

    async fn factors_of(&self, user: UserName) -> Result<FactorsView, ControlError> {
        let store = self.gateway().store();
        let status = store.credential_status(&user).await?;
        let mut factors: Vec<FactorView> =
            store.passkeys(&user).await?.iter().map(described).collect();
        let bare = |id: &str, name: String, created| FactorView {
            id: id.to_owned(),
            kind: id.to_owned(),
            name,
            created,
            used: None,
            on_several_devices: false,
        };
        if let Some(at) = status.totp_confirmed_at {
            factors.push(bare("totp", "authenticator application".into(), Some(at)));
        }
        if status.recovery_codes_left > 0 {
            let left = format!("{} left", status.recovery_codes_left);
            factors.push(bare("recovery_codes", left, None));
        }
        let snapshot = self.gateway().snapshot();
        let production_opens = snapshot.facts.factor_wait(&user, self.gateway().now());
        Ok(FactorsView { user, factors, production_opens })
    }

    /// Options for a browser to prove a factor with.
    pub async fn challenge(
        &self,
        who: &Authenticated,
        token: &str,
    ) -> Result<ChallengeView, ControlError> {
        self.must_be_active(who)?;
        let public_key = self.gateway().begin_proof(who, &sign_in_of(token)).await?;
        Ok(ChallengeView { public_key })
    }

    /// Proves a factor anew, for acts that need a fresh one.
    pub async fn step_up(
        &self,
        who: &Authenticated,
        token: &str,
        proof: ProofBody,
    ) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        let factor = self.prove_factor(who, token, proof).await?;
        Ok(self.gateway().freshen(token, factor).await?)
    }

    /// Begins to register a passkey or security key.
    pub async fn begin_passkey(
        &self,
        who: &Authenticated,
        token: &str,
        body: NewPasskeyBody,
    ) -> Result<ChallengeView, ControlError> {
        self.must_be_active(who)?;
        self.prove_who(who, token, body.proof).await?;
        let public_key = self.gateway().begin_passkey(who, &sign_in_of(token), body.kind).await?;
        Ok(ChallengeView { public_key })
    }

    /// Registers what the browser answered with.
    pub async fn confirm_passkey(
        &self,
        who: &Authenticated,
        token: &str,
        body: ConfirmPasskeyBody,
    ) -> Result<FactorView, ControlError> {
        self.must_be_active(who)?;
        let name = factor_name(&body.name)?;
        let sign_in = sign_in_of(token);
        let checked = self.gateway().checked_passkey(who, &sign_in, name, &body.answer);
        let passkey = checked.await?;
        let view = described(&passkey);
        let what = format!("{} `{}` registered", view.kind, view.name);
        let event = self
            .event(who, Activity::CredentialChange)
            .detail("what", what.clone())
            .detail("factor", view.id.clone());
        self.audit(event).await?;
        self.gateway().store().add_passkey(&passkey).await.map_err(|error| match error {
            StoreError::Conflict { .. } => ControlError::new(
                ErrorKind::Conflict,
                "already_registered",
                "this authenticator is registered already; use another one",
            ),
            StoreError::Invalid { .. } => ControlError::invalid(format!(
                "you have {MAX_PASSKEYS_PER_USER} passkeys and security keys; remove one first"
            )),
            other => other.into(),
        })?;
        self.factors_changed(who, &what).await?;
        Ok(view)
    }

    /// Gives a passkey or security key another name.
    pub async fn rename_factor(
        &self,
        who: &Authenticated,
        id: &str,
        body: FactorNameBody,
    ) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        let name = factor_name(&body.name)?;
        let id = self.own_passkey(who, id).await?;
        let event = self
            .event(who, Activity::CredentialChange)
            .detail("what", format!("factor renamed to `{name}`"))
            .detail("factor", id.to_string());
        self.audit(event).await?;
        match self.gateway().store().rename_passkey(who.user(), id, &name).await? {
            true => Ok(()),
            false => Err(no_factor(&id.to_string())),
        }
    }

    /// Removes a factor. The proof may be by the very factor that goes.
    pub async fn remove_factor(
        &self,
        who: &Authenticated,
        token: &str,
        id: &str,
        proof: ProofBody,
    ) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        let factors = self.factors_of(who.user().clone()).await?.factors;
        let named = |factor: &&FactorView| {
            factor.id == id
                || (factor.id.starts_with(FactorId::PREFIX) && ends_with(&factor.id, id))
        };
        let mut found = factors.iter().filter(named);
        let (Some(factor), None) = (found.next(), found.next()) else { return Err(no_factor(id)) };
        self.prove_who(who, token, proof).await?;
        let what = format!("{} `{}` removed", factor.kind, factor.name);
        let event = self
            .event(who, Activity::CredentialChange)
            .detail("what", what.clone())
            .detail("factor", factor.id.clone());
        self.audit(event).await?;
        let (store, user, now) = (self.gateway().store(), who.user(), self.gateway().now());
        match (factor.id.as_str(), FactorId::from_str(&factor.id)) {
            (_, Ok(id)) => drop(store.remove_passkey(user, id).await?),
            ("totp", _) => store.remove_totp_secret(user).await?,
            _ => store.put_recovery_codes(user, &[], now).await?,
        }
        self.factors_changed(who, &what).await
    }

    /// The full id of one of the caller's passkeys, of which the last digits are enough.
    async fn own_passkey(&self, who: &Authenticated, id: &str) -> Result<FactorId, ControlError> {
        let known = self.gateway().store().passkeys(who.user()).await?;
        let mut found = known.iter().filter(|passkey| {
            let known = passkey.id.to_string();
            known == id || ends_with(&known, id)
        });
        match (found.next(), found.next()) {
            (Some(passkey), None) => Ok(passkey.id),
            _ => Err(no_factor(id)),
        }
    }

    /// Keeps the caller out of production until the wait is over or another person agrees, which they
    /// can do where other changes wait for a second person, too.
    pub(crate) async fn factors_changed(
        &self,
        who: &Authenticated,
        what: &str,
    ) -> Result<(), ControlError> {
        let wait = self.gateway().rules().new_factor_wait;
        if wait.is_zero() {
            return Ok(());
        }
        let now = self.gateway().now();
        let (user, until) = (who.user(), now.plus(wait));
        let store = self.gateway().store();
        store.wait_for_factor(user, until).await?;
        let text = format!("factors {user} {}", until.as_millis());
        let hash = sha256(&[b"portcullis change v1\0", text.as_bytes()]);
        let change = PendingChange {
            id: ChangeId::generate(now),
            author: user.clone(),
            digest: hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
            why: format!(
                "lets `{user}` into production before {until}, who has changed a factor: {what}"
            ),
            files: Vec::new(),
            prune: false,
            subject: ChangeSubject::Factors { until },
            at: now,
            state: ChangeState::Pending,
        };
        store.note_change(&change).await?;
        Ok(self.gateway().refresh().await?)
    }

    /// A factor proved now by somebody who has signed in: a code or a passkey.
    pub(crate) async fn prove_factor(
        &self,
        who: &Authenticated,
        token: &str,
        body: ProofBody,
    ) -> Result<Factor, ControlError> {
        Ok(self.gateway().prove_factor(who, &sign_in_of(token), proof(body)?).await?)
    }

    /// Proves once more who it is, before credentials change: by a passkey, or by the password and,
    /// where one is set up, a second factor.
    pub(crate) async fn prove_who(
        &self,
        who: &Authenticated,
        token: &str,
        body: ProofBody,
    ) -> Result<(), ControlError> {
        match body {
            body @ ProofBody { passkey: Some(_), .. } => {
                self.prove_factor(who, token, body).await.map(drop)
            }
            ProofBody { password: Some(password), code, .. } => {
                self.prove_again(who, password, code).await
            }
            ProofBody { password: None, .. } => Err(ControlError::new(
                ErrorKind::SecondFactorRequired,
                "proof_required",
                "prove who you are with your password, or with a passkey",
            )),
        }
    }
}

/// A second factor out of what was sent.
pub(crate) fn proof(body: ProofBody) -> Result<Proof, ControlError> {
    match (body.passkey, body.code) {
        (Some(answer), _) => Ok(Proof::Passkey(Box::new(answer))),
        (None, Some(code)) => Ok(Proof::Code(Secret::new(code))),
        (None, None) => Err(ControlError::new(
            ErrorKind::SecondFactorRequired,
            "second_factor_required",
            "a one-time code or a passkey is needed",
        )),
    }
}

fn no_factor(id: &str) -> ControlError {
    ControlError::not_found(format!("factor `{}` of yours", id.escape_debug()))
}

fn described(passkey: &Passkey) -> FactorView {
    FactorView {
        id: passkey.id.to_string(),
        kind: if passkey.signs_in_alone { "passkey" } else { "security_key" }.to_owned(),
        name: passkey.name.clone(),
        created: Some(passkey.created_at),
        used: passkey.used_at,
        on_several_devices: passkey.backup_eligible,
    }
}

fn factor_name(text: &str) -> Result<String, ControlError> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= MAX_NAME_BYTES;
    if !fits || text.chars().any(char::is_control) {
        return Err(ControlError::invalid(format!(
            "a factor's name has 1 to {MAX_NAME_BYTES} bytes and no control characters"
        )));
    }
    Ok(text.to_owned())
}
