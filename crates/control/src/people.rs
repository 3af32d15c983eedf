//! Signing in to Portcullis itself, and people's own credentials.

use std::net::IpAddr;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{ControlAction, Secret, UserName};
use portcullis_gateway::{Authenticated, Carrier, HasherError, Issued, SignInError, SignInFor};
use portcullis_identity::keys::PublicKey;
use portcullis_identity::random::OsRandom;
use portcullis_identity::recovery;
use portcullis_identity::totp::{TotpCheck, TotpSecret, check};

use crate::view::{
    ChallengeView, ConfirmBody, FinishPasskeyLoginBody, LoginBody, LoginView, PasskeyLoginBody,
    PasswordBody, ProofBody, RecoveryCodesView, RoleView, TotpView, WhoamiView,
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
        let wanted = self.for_a_program(body.public_key.as_deref(), body.tls_public_key, client)?;
        let typed = (body.user, Secret::new(body.password), body.code.map(Secret::new));
        let issued = self.sign_in(typed, source, wanted).await?;
        Ok(self.logged_in(&issued))
    }

    /// Begins a sign-in with a passkey: as whoever has one, or as its person's second factor.
    pub async fn begin_passkey_login(
        &self,
        body: PasskeyLoginBody,
        source: IpAddr,
    ) -> Result<ChallengeView, ControlError> {
        let named = match (body.user, body.password) {
            (None, None) => None,
            (Some(user), Some(password)) => {
                let user = UserName::new(&user).map_err(|_| SignInError::Refused)?;
                Some((user, Secret::new(password)))
            }
            _ => {
                let why = "give both the name and the password, or neither";
                return Err(ControlError::invalid(why));
            }
        };
        let public_key = self.gateway().begin_passkey_sign_in(named, source).await?;
        Ok(ChallengeView { public_key })
    }

    /// Signs in a program with what a browser answered.
    pub async fn finish_passkey_login(
        &self,
        body: FinishPasskeyLoginBody,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<LoginView, ControlError> {
        let wanted = self.for_a_program(body.public_key.as_deref(), None, client)?;
        let issued = self.gateway().finish_passkey_sign_in(&body.answer, source, wanted).await?;
        Ok(self.logged_in(&issued))
    }

    /// A sign-in whose token a program keeps, with a certificate for the key on this line.
    fn for_a_program(
        &self,
        key: Option<&str>,
        tls_key: Option<String>,
        client: Option<String>,
    ) -> Result<SignInFor, ControlError> {
        let key = key.map(PublicKey::from_openssh).transpose().map_err(|_| {
            ControlError::invalid("the public key is not in OpenSSH format (`ssh-ed25519 AAAA...`)")
        })?;
        let lifetime = self.settings().sign_in_lifetime;
        let carrier = Carrier::Bearer;
        Ok(SignInFor { carrier, lifetime, idle: None, client, key, tls_key })
    }

    fn logged_in(&self, issued: &Issued) -> LoginView {
        LoginView {
            user: issued.who.user().clone(),
            token: issued.token.expose().clone(),
            expires: issued.expires,
            certificate: issued.certificate.clone(),
            tls_certificate: issued.tls_certificate.clone(),
            tls_authority: self.gateway().tls_authority().certificate_pem(),
            postgres_address: self.settings().postgres_address.clone(),
            gate_host_key: self.settings().gate_host_key.clone(),
            ssh_address: self.settings().ssh_address.clone(),
        }
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
        if status.passkeys > 0 {
            second_factors.push("passkeys".to_owned());
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
        token: &str,
        body: ProofBody,
    ) -> Result<TotpView, ControlError> {
        self.must_be_active(who)?;
        self.prove_who(who, token, body).await?;
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
        if !store.confirm_pending_totp(who.user(), step, now).await? {
            return Err(missing());
        }
        self.factors_changed(who, "one-time codes set up").await
    }

    /// New recovery codes in place of the old ones.
    pub async fn recovery_codes(
        &self,
        who: &Authenticated,
        token: &str,
        body: ProofBody,
    ) -> Result<RecoveryCodesView, ControlError> {
        self.must_be_active(who)?;
        self.prove_who(who, token, body).await?;
        let new =
            recovery::generate(who.user(), &mut OsRandom).map_err(ControlError::unavailable)?;
        let event = self.event(who, Activity::CredentialChange).detail("what", "recovery codes");
        self.audit(event).await?;
        let hashes: Vec<String> = new.hashes.iter().map(ToString::to_string).collect();
        let now = self.gateway().now();
        self.gateway().store().put_recovery_codes(who.user(), &hashes, now).await?;
        self.factors_changed(who, "new recovery codes").await?;
        Ok(RecoveryCodesView {
            codes: new.codes.iter().map(|code| code.expose().clone()).collect(),
        })
    }

    /// Proves password and, where one is set up, second factor once more, with the same limits as
    /// signing in.
    pub(crate) async fn prove_again(
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
