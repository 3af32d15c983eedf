//! One-time and recovery codes: looked at once, used up, and counted where they are wrong.

use portcullis_domain::audit::Outcome;
use portcullis_domain::{FactorKind, Secret, UserName};
use portcullis_identity::login::Input;
use portcullis_identity::recovery::{self, RecoveryCheck, RecoveryHash};
use portcullis_identity::totp::{self, TotpCheck, TotpSecret};

use crate::Gateway;
use crate::attempts::Guess;
use crate::permit::Authenticated;
use crate::sign_in::{MAX_SECRET_BYTES, SignInError, SignInFlow};

impl Gateway {
    /// Counts a code of a confirmation that nobody waits under, like a wrong one-time code: nobody
    /// finds one by trying.
    pub async fn count_wrong_code(&self, who: &Authenticated) -> Result<(), SignInError> {
        self.sign_in(who.source()).count_attempt(who.user(), Guess::Code).await
    }
}

impl SignInFlow {
    /// Checks a code and uses it up. Wrong codes count as attempts.
    pub(crate) async fn check_code(
        &mut self,
        user: &UserName,
        code: Secret<String>,
    ) -> Result<(Input, FactorKind), SignInError> {
        if code.expose().len() > MAX_SECRET_BYTES {
            return Err(SignInError::Refused);
        }
        self.count_attempt(user, Guess::Code).await?;
        let unavailable =
            |error: portcullis_store::StoreError| SignInError::Unavailable(error.to_string());
        let totp = self.gateway().store().totp(user).await.map_err(unavailable)?;
        let mut why = "the code is wrong";
        if let Some(totp) = totp.filter(|totp| totp.confirmed)
            && let Ok(secret) = TotpSecret::from_bytes(totp.secret)
        {
            match totp::check(&secret, &code, self.gateway().now(), totp.last_used_step) {
                TotpCheck::Accepted { step } => {
                    if self
                        .gateway()
                        .store()
                        .use_totp_step(user, step)
                        .await
                        .map_err(unavailable)?
                    {
                        self.take_back_attempt(user, Guess::Code).await?;
                        return Ok((Input::Totp(TotpCheck::Accepted { step }), FactorKind::Totp));
                    }
                    why = "the code was used before";
                }
                TotpCheck::Replayed => why = "the code was used before",
                TotpCheck::Wrong => {}
            }
        }
        if let Some(used) = self.use_recovery_code(user, &code).await? {
            self.take_back_attempt(user, Guess::Code).await?;
            return Ok((
                Input::Recovery(RecoveryCheck::Accepted { used }),
                FactorKind::RecoveryCode,
            ));
        }
        self.audit(Some(user), Outcome::Refused(why.into()), "code").await?;
        Err(SignInError::Refused)
    }

    async fn use_recovery_code(
        &self,
        user: &UserName,
        code: &Secret<String>,
    ) -> Result<Option<RecoveryHash>, SignInError> {
        let store = self.gateway().store();
        let unavailable =
            |error: portcullis_store::StoreError| SignInError::Unavailable(error.to_string());
        let stored = store.recovery_codes(user).await.map_err(unavailable)?;
        let hashes: Vec<RecoveryHash> =
            stored.iter().filter_map(|text| text.parse().ok()).collect();
        let RecoveryCheck::Accepted { used } = recovery::check(user, code, &hashes) else {
            return Ok(None);
        };
        let first = store.use_recovery_code(user, &used.to_string(), self.gateway().now()).await;
        Ok(first.map_err(unavailable)?.then_some(used))
    }
}
