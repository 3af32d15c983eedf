//! Signing in to Portcullis itself, and people's own credentials.

use std::net::IpAddr;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{ControlAction, GrantEnd, Secret, UserName};
use portcullis_gateway::{Authenticated, Carrier, EndReason, HasherError, SignInError, SignInFor};
use portcullis_identity::keys::PublicKey;
use portcullis_identity::random::OsRandom;
use portcullis_identity::recovery;
use portcullis_identity::totp::{TotpCheck, TotpSecret, check};

use crate::right::{reason, user_name};
use crate::view::{
    ConfirmBody, FactorBody, LoginBody, LoginView, PasswordBody, RecoveryCodesView, ResetBody,
    RoleView, TotpView, WhoamiView,
};
use crate::{Control, ControlError, ErrorKind};

/// The name one-time codes carry in an authenticator.
const ISSUER: &str = "Portcullis";

impl From<SignInError> for ControlError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_after } => Self::new(
                ErrorKind::TooMany { retry_after },
                "too_many_attempts",
                error.to_string(),
            ),
            SignInError::Unavailable(_) | SignInError::Crowded => Self::unavailable(error),
            SignInError::Refused | SignInError::IdentityChanged => {
                Self::unauthenticated("the sign-in was refused; check the name, password and code")
            }
        }
    }
}

impl From<HasherError> for ControlError {
    fn from(error: HasherError) -> Self {
        match error {
            HasherError::Hash(error) => Self::invalid(error),
            other => Self::unavailable(other),
        }
    }
}

impl Control {
    /// Signs in a program that keeps its token itself. `client` is what it calls itself.
    pub async fn login(
        &self,
        body: LoginBody,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<LoginView, ControlError> {
        let key = body.public_key.as_deref().map(PublicKey::from_openssh).transpose();
        let key = key.map_err(|_| {
            ControlError::invalid("the public key is not in OpenSSH format (`ssh-ed25519 AAAA...`)")
        })?;
        let lifetime = self.settings().sign_in_lifetime;
        let tls_key = body.tls_public_key;
        let carrier = Carrier::Bearer;
        let wanted = SignInFor { carrier, lifetime, idle: None, client, key, tls_key };
        let typed = (body.user, Secret::new(body.password), body.code.map(Secret::new));
        let issued = self.sign_in(typed, source, wanted).await?;
        Ok(LoginView {
            user: issued.who.user().clone(),
            token: issued.token.expose().clone(),
            expires: issued.expires,
            certificate: issued.certificate,
            tls_certificate: issued.tls_certificate,
            tls_authority: self.gateway().tls_authority().certificate_pem(),
            postgres_address: self.settings().postgres_address.clone(),
            gate_host_key: self.settings().gate_host_key.clone(),
            ssh_address: self.settings().ssh_address.clone(),
        })
    }

    /// Who the caller is and what they hold.
    pub async fn whoami(&self, who: &Authenticated) -> Result<WhoamiView, ControlError> {
        let snapshot = self.gateway().snapshot();
        let status = self.gateway().store().credential_status(who.user()).await?;
        let mut second_factors = Vec::new();
        if status.totp_confirmed_at.is_some() {
            second_factors.push("totp".to_owned());
        }
        if status.recovery_codes_left > 0 {
            second_factors.push("recovery_codes".to_owned());
        }
        let roles = snapshot.facts.roles_of(who.user());
        Ok(WhoamiView {
            user: who.user().clone(),
            roles: roles
                .into_iter()
                .map(|(role, via)| RoleView { role: role.to_string(), via })
                .collect(),
            control: ControlAction::ALL
                .into_iter()
                .filter(|action| self.holds(who, *action))
                .collect(),
            second_factors,
        })
    }

    /// Changes the caller's password; every other sign-in of theirs ends.
    pub async fn change_password(
        &self,
        who: &Authenticated,
        body: PasswordBody,
    ) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        self.prove_again(who, body.old, body.code).await?;
        let hash = self.gateway().hasher().hash(Secret::new(body.new)).await?;
        self.audit(self.event(who, Activity::CredentialChange).detail("what", "password")).await?;
        let now = self.gateway().now();
        let store = self.gateway().store();
        store.set_password_hash(who.user(), hash.as_str(), now).await?;
        store.revoke_sign_ins_of(who.user(), now).await?;
        Ok(())
    }

    /// Begins setting up one-time codes; they count once [`Control::confirm_totp`] has seen one.
    ///
    /// Where a second factor exists already, a present code is needed: whoever has only the
    /// password cannot replace it.
    pub async fn enrol_totp(
        &self,
        who: &Authenticated,
        body: FactorBody,
    ) -> Result<TotpView, ControlError> {
        self.must_be_active(who)?;
        self.prove_again(who, body.password, body.code).await?;
        let secret = TotpSecret::generate(&mut OsRandom).map_err(ControlError::unavailable)?;
        self.audit(self.event(who, Activity::CredentialChange).detail("what", "totp begun"))
            .await?;
        let now = self.gateway().now();
        self.gateway().store().put_pending_totp(who.user(), &secret.to_bytes(), now).await?;
        Ok(TotpView {
            secret: secret.to_base32().expose().clone(),
            uri: secret.otpauth_uri(who.user(), ISSUER).expose().clone(),
        })
    }

    /// Confirms with a first code that the authenticator has the secret.
    pub async fn confirm_totp(
        &self,
        who: &Authenticated,
        body: ConfirmBody,
    ) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        let store = self.gateway().store();
        let missing = || ControlError::not_found("second factor waiting to be confirmed");
        let pending = store.pending_totp(who.user()).await?.ok_or_else(missing)?;
        let secret = TotpSecret::from_bytes(pending).map_err(ControlError::unavailable)?;
        let now = self.gateway().now();
        let event = self.event(who, Activity::CredentialChange).detail("what", "totp confirmed");
        let TotpCheck::Accepted { step } = check(&secret, &Secret::new(body.code), now, None)
        else {
            let why = "the code is wrong; check the authenticator's clock";
            self.audit(event.outcome(Outcome::Refused(why.into()))).await?;
            return Err(ControlError::invalid(why));
        };
        self.audit(event).await?;
        if store.confirm_pending_totp(who.user(), step, now).await? {
            Ok(())
        } else {
            Err(missing())
        }
    }

    /// New recovery codes in place of the old ones.
    pub async fn recovery_codes(
        &self,
        who: &Authenticated,
        body: FactorBody,
    ) -> Result<RecoveryCodesView, ControlError> {
        self.must_be_active(who)?;
        self.prove_again(who, body.password, body.code).await?;
        let new =
            recovery::generate(who.user(), &mut OsRandom).map_err(ControlError::unavailable)?;
        let event = self.event(who, Activity::CredentialChange).detail("what", "recovery codes");
        self.audit(event).await?;
        let hashes: Vec<String> = new.hashes.iter().map(ToString::to_string).collect();
        let now = self.gateway().now();
        self.gateway().store().put_recovery_codes(who.user(), &hashes, now).await?;
        Ok(RecoveryCodesView {
            codes: new.codes.iter().map(|code| code.expose().clone()).collect(),
        })
    }

    /// Gives another person a temporary password and takes their second factor away.
    ///
    /// Never oneself: an administrator who lost a factor needs another one.
    pub async fn reset_credentials(
        &self,
        who: &Authenticated,
        user: &str,
        body: ResetBody,
    ) -> Result<(), ControlError> {
        self.must_hold(who, ControlAction::ManageCredentials, Activity::CredentialChange).await?;
        let user = user_name(user)?;
        let why = reason(&body.reason)?;
        let event = self
            .event(who, Activity::CredentialChange)
            .detail("what", "reset")
            .person("of", &user)
            .detail("reason", why);
        if user == *who.user() {
            return self.refuse(event, "nobody resets their own credentials").await;
        }
        if !self.gateway().snapshot().facts.users.contains_key(&user) {
            return Err(ControlError::not_found(format!("user `{user}`")));
        }
        self.must_have_settled_factor(who, event.clone()).await?;
        let hash = self.gateway().hasher().hash(Secret::new(body.password)).await?;
        self.audit(event).await?;
        let now = self.gateway().now();
        let store = self.gateway().store();
        store.remove_totp(&user).await?;
        store.set_password_hash(&user, hash.as_str(), now).await?;
        store.revoke_sign_ins_of(&user, now).await?;
        self.end_access_of(who, &user).await
    }

    /// Ends a person's grants and live sessions: whoever signs in next as them begins with nothing.
    async fn end_access_of(
        &self,
        who: &Authenticated,
        user: &UserName,
    ) -> Result<(), ControlError> {
        const WHY: &str = "the credentials were reset";
        // The store is asked, not the snapshot: a grant may have come in since.
        let now = self.gateway().now();
        let facts = self.gateway().store().load_facts(now).await?;
        for grant in facts.grants.get(user).into_iter().flatten() {
            let event = self
                .event(who, Activity::GrantRevoke)
                .target(&grant.target)
                .detail("grant", grant.id.to_string())
                .person("of", user)
                .detail("reason", WHY);
            self.audit(event).await?;
            let end = GrantEnd { at: now, by: who.user().clone(), reason: WHY.to_owned() };
            let _ended_or_over = self.gateway().store().revoke_grant(grant.id, end).await?;
        }
        self.gateway().refresh().await?;
        for session in self.gateway().live_sessions() {
            if session.user == *user
                && let Some(live) = self.gateway().live_session(session.id)
            {
                live.end(EndReason::Revoked(WHY.to_owned()));
            }
        }
        Ok(())
    }

    /// Proves password and, where one is set up, second factor once more, with the same limits as
    /// signing in.
    async fn prove_again(
        &self,
        who: &Authenticated,
        password: String,
        code: Option<String>,
    ) -> Result<(), ControlError> {
        let proved =
            self.gateway().prove_again(who, Secret::new(password), code.map(Secret::new)).await?;
        match proved {
            true => Ok(()),
            false => Err(ControlError::new(
                ErrorKind::SecondFactorRequired,
                "second_factor_required",
                "a present one-time or recovery code is needed as well",
            )),
        }
    }
}
