//! A second factor for clients that can show no dialogue of ours.
//!
//! A room asks for a [`Confirming`], shows its [`Confirming::told`] to the person by whatever means
//! its protocol has (an instruction, a notice), and waits:
//!
//! ```text
//! let asked = gateway.ask_confirmation(&who, Some(&target), "psql").await?;
//! client.notice(asked.told()).await?;
//! let who = gateway.confirmed(&who, asked).await?;      // the same person, with the factor
//! ```
//!
//! The person types the code where they are signed in and proves a factor for it. INVARIANT: nothing
//! is sent to anybody. Whoever did not start the client has no code, so there is nothing to spam
//! people with until they agree; and only somebody who has proved a first factor gets a code.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::audit::Outcome;
use portcullis_domain::confirmation::CONFIRMATION_LIFETIME;
use portcullis_domain::user_code::CODE_RANDOM_BYTES;
use portcullis_domain::{
    Confirmation, ConfirmationId, ConfirmationState, Factor, LockSubject, TargetName, UserCode,
    UserName,
};
use portcullis_identity::login::Input;
use portcullis_identity::random::{OsRandom, Random};
use thiserror::Error;

use crate::Gateway;
use crate::attempts::Guess;
use crate::permit::Authenticated;
use crate::sign_in::{Asked, SignInError, SignInFlow};

/// How often a waiting client looks: a confirmation may come to another node.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Tries at a code out of fair random bytes; the first does, but for one time in 10^9.
const CODE_TRIES: usize = 4;

/// Why a factor was not proved elsewhere.
#[derive(Debug, Clone, Error)]
pub enum ConfirmError {
    /// Nobody did it in time.
    #[error("nobody confirmed it within {} s; connect again", CONFIRMATION_LIFETIME.as_secs())]
    TimedOut,
    /// The person said that it is not them.
    #[error("it was refused where you are signed in")]
    Refused,
    /// The same person began anew at the same place.
    #[error("this code is no good any more; use the newest one")]
    Superseded,
    /// The person may not go on: locked, disabled, or the gate is closing.
    #[error("the sign-in cannot go on")]
    Ended,
    /// Too many codes that nobody confirmed.
    #[error("too many codes were not confirmed; try again in {} s", .retry_after.as_secs().max(1))]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// We cannot ask now.
    #[error("confirming is not possible at the moment: {0}")]
    Unavailable(String),
}

impl From<SignInError> for ConfirmError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_after } => Self::TooMany { retry_after },
            SignInError::Unavailable(why) => Self::Unavailable(why),
            SignInError::Refused | SignInError::IdentityChanged | SignInError::Crowded => {
                Self::Ended
            }
        }
    }
}

/// A client that waits. Dropped, its code is no good any more.
#[must_use]
pub struct Confirming {
    gateway: Gateway,
    id: ConfirmationId,
    code: UserCode,
    user: UserName,
    source: IpAddr,
    settled: bool,
}

impl Confirming {
    /// What the person types where they are signed in.
    pub fn code(&self) -> &UserCode {
        &self.code
    }

    /// Where they can type it.
    pub fn link(&self) -> String {
        format!("{}/confirm", self.gateway.rules().relying_party.origin())
    }

    /// What a client shows: two lines.
    pub fn told(&self) -> String {
        format!(
            "To prove a second factor elsewhere, open {}\n\
             and enter the code {}, or run `portcullis confirm {}`. It is good for {} s.",
            self.link(),
            self.code,
            self.code,
            CONFIRMATION_LIFETIME.as_secs()
        )
    }

    /// Waits until the person has proved a factor for this code, or until they cannot any more.
    async fn factor(&mut self) -> Result<Factor, ConfirmError> {
        let unavailable =
            |error: portcullis_store::StoreError| ConfirmError::Unavailable(error.to_string());
        loop {
            self.may_go_on()?;
            let store = self.gateway.store();
            let found = store.confirmation(self.id).await.map_err(unavailable)?;
            let Some(found) = found else { return Err(ConfirmError::Superseded) };
            match found.state {
                ConfirmationState::Confirmed { factor, .. } => {
                    // INVARIANT: one proof, one sign-in.
                    let taken = store.take_confirmation(self.id).await.map_err(unavailable)?;
                    self.settled = true;
                    return taken.map(|_| factor).ok_or(ConfirmError::Superseded);
                }
                ConfirmationState::Refused { .. } => return Err(ConfirmError::Refused),
                ConfirmationState::Waiting if found.open(self.gateway.now()) => {}
                ConfirmationState::Waiting => return Err(ConfirmError::TimedOut),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A lock, or a user that is withdrawn, ends the waiting too.
    fn may_go_on(&self) -> Result<(), ConfirmError> {
        let snapshot = self.gateway.snapshot();
        let now = self.gateway.now();
        let enabled = snapshot.facts.users.get(&self.user).is_some_and(|user| !user.disabled);
        let locked =
            snapshot.facts.locks.iter().any(|lock| {
                lock.holds(now) && lock.subject == LockSubject::User(self.user.clone())
            });
        match enabled && !locked && !self.gateway.stopping() {
            true => Ok(()),
            false => Err(ConfirmError::Ended),
        }
    }

    /// Takes the code back: the person proved a factor in another way.
    pub async fn withdraw(mut self) -> Result<(), ConfirmError> {
        self.settled = true;
        let flow = self.gateway.sign_in(self.source);
        flow.take_back_attempt(&self.user, Guess::Confirmation).await?;
        let taken = self.gateway.store().take_confirmation(self.id).await;
        taken.map(drop).map_err(|error| ConfirmError::Unavailable(error.to_string()))
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (gateway, id) = (self.gateway.clone(), self.id);
        runtime.spawn(async move {
            // It is over by itself soon where this fails.
            let _ = gateway.store().take_confirmation(id).await;
        });
    }
}

impl Gateway {
    /// Asks somebody who has signed in to prove a factor elsewhere; see the module.
    pub async fn ask_confirmation(
        &self,
        who: &Authenticated,
        target: Option<&TargetName>,
        device: &str,
    ) -> Result<Confirming, ConfirmError> {
        let flow = self.sign_in(who.source());
        flow.begin_confirmation(who.user(), target, device).await
    }

    /// Waits until the person has proved a factor for this code: the same person, with it.
    pub async fn confirmed(
        &self,
        who: &Authenticated,
        mut asked: Confirming,
    ) -> Result<Authenticated, ConfirmError> {
        let flow = self.sign_in(who.source());
        let factor = flow.wait(who.user(), &mut asked).await?;
        flow.audit(Some(who.user()), Outcome::Success, factor.kind.as_str()).await?;
        Ok(who.with_factor(Factor { at: self.now(), ..factor }))
    }
}

impl SignInFlow {
    /// Asks the person to prove the second factor elsewhere, once the first is proved.
    pub async fn ask_confirmation(&self, device: &str) -> Result<Confirming, ConfirmError> {
        let Some(named) = self.named().filter(|_| self.asked() == Asked::SecondFactor) else {
            return Err(ConfirmError::Ended);
        };
        self.begin_confirmation(&named.user, named.target.as_ref(), device).await
    }

    /// Waits until they have.
    pub async fn confirmed(
        &mut self,
        raw_user: &str,
        mut asked: Confirming,
    ) -> Result<Asked, ConfirmError> {
        let user = self.bind(raw_user).await?.user;
        if self.asked() != Asked::SecondFactor {
            return Err(ConfirmError::Ended);
        }
        let factor = self.wait(&user, &mut asked).await?;
        Ok(self.feed(&user, Input::Confirmed(factor), factor.kind).await?)
    }

    async fn begin_confirmation(
        &self,
        user: &UserName,
        target: Option<&TargetName>,
        device: &str,
    ) -> Result<Confirming, ConfirmError> {
        self.count_unconfirmed(user).await?;
        let gateway = self.gateway().clone();
        let now = gateway.now();
        let id = ConfirmationId::generate(now);
        let code = new_code().ok_or_else(|| ConfirmError::Unavailable("no randomness".into()))?;
        let source = self.source();
        let new = Confirmation::begin(id, code, user.clone(), source, device, target.cloned(), now);
        let begun = gateway.store().begin_confirmation(&new).await;
        begun.map_err(|error| ConfirmError::Unavailable(error.to_string()))?;
        Ok(Confirming { gateway, id, code: new.code, user: new.user, source, settled: false })
    }

    /// INVARIANT: what is waited for is this person's, at this place.
    async fn wait(&self, user: &UserName, asked: &mut Confirming) -> Result<Factor, ConfirmError> {
        if asked.user != *user || asked.source != self.source() {
            return Err(ConfirmError::Ended);
        }
        match asked.factor().await {
            Ok(factor) => {
                self.take_back_attempt(user, Guess::Confirmation).await?;
                Ok(factor)
            }
            Err(error) => {
                let outcome = Outcome::Refused(format!("confirmation: {error}"));
                self.audit(Some(user), outcome, "confirmation").await?;
                Err(error)
            }
        }
    }
}

/// A code nobody can foresee.
fn new_code() -> Option<UserCode> {
    (0..CODE_TRIES).find_map(|_| {
        let mut random = [0; CODE_RANDOM_BYTES];
        OsRandom.fill(&mut random).ok()?;
        UserCode::from_random(&random)
    })
}
