//! Counting attempts before they are looked at, per person in the store and per source network in
//! memory, so that guesses made at the same moment all count.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use portcullis_domain::audit::Outcome;
use portcullis_domain::{Timestamp, UserName};
use portcullis_identity::limit::{Attempts, PER_SOURCE, PER_USER, RateTable, Source, Verdict};
use portcullis_identity::login::{Input, PasskeyCheck, SignatureCheck, TokenCheck};
use portcullis_identity::password::PasswordCheck;
use portcullis_identity::recovery::RecoveryCheck;
use portcullis_identity::totp::TotpCheck;
use portcullis_store::AttemptScope;

use crate::sign_in::{SignInError, SignInFlow};

/// Most source networks whose failed attempts are remembered at a time.
const MAX_SOURCES: usize = 65_536;

/// Failed attempts by source network, in memory: a flood must not become a flood of writes.
pub(crate) struct Sources(Mutex<RateTable<Source>>);

impl Default for Sources {
    fn default() -> Self {
        Self(Mutex::new(RateTable::new(PER_SOURCE, MAX_SOURCES)))
    }
}

impl Sources {
    fn attempt(&self, source: IpAddr, now: Timestamp) -> Verdict {
        self.lock().attempt(&Source::from(source), now)
    }

    fn taken_back(&self, source: IpAddr) {
        self.lock().taken_back(&Source::from(source));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RateTable<Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is guessed. Codes are counted apart: only somebody who has proved a first factor can try
/// one, so that strangers cannot lock a person out of their second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// A password.
    Password,
    /// A one-time or recovery code.
    Code,
    /// Nothing is guessed; codes for a confirmation elsewhere are given out, and nobody types them.
    Confirmation,
}

impl Guess {
    /// The name attempts are counted under. A user name has no `/`.
    fn counted_for(self, user: &UserName) -> String {
        match self {
            Self::Password => user.to_string(),
            Self::Code => format!("{user}/code"),
            Self::Confirmation => format!("{user}/confirmation"),
        }
    }
}

impl SignInFlow {
    /// Counts the attempt before anything is compared, so that guesses made at once all count.
    pub(crate) async fn count_attempt(
        &self,
        user: &UserName,
        guess: Guess,
    ) -> Result<(), SignInError> {
        let now = self.gateway().now();
        let wait = match self.gateway().sources().attempt(self.source(), now) {
            Verdict::Wait { until } => Some(until),
            Verdict::Proceed => self.counted_for(user, guess, now).await?,
        };
        self.must_not_wait(Some(user), wait, now).await
    }

    /// Counts a code that is given out as one that nobody confirms, until somebody does.
    pub(crate) async fn count_unconfirmed(&self, user: &UserName) -> Result<(), SignInError> {
        let now = self.gateway().now();
        let wait = self.counted_for(user, Guess::Confirmation, now).await?;
        self.must_not_wait(Some(user), wait, now).await
    }

    /// Counts something a stranger asks for, by where they are.
    pub(crate) async fn count_stranger(&self) -> Result<(), SignInError> {
        let now = self.gateway().now();
        let wait = match self.gateway().sources().attempt(self.source(), now) {
            Verdict::Wait { until } => Some(until),
            Verdict::Proceed => None,
        };
        self.must_not_wait(None, wait, now).await
    }

    /// The stranger turned out to be somebody.
    pub(crate) fn take_back_stranger(&self) {
        self.gateway().sources().taken_back(self.source());
    }

    async fn counted_for(
        &self,
        user: &UserName,
        guess: Guess,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SignInError> {
        let name = guess.counted_for(user);
        let count =
            |state: &mut Attempts| state.attempt(&PER_USER, now).map(|next| *state = next).err();
        let store = self.gateway().store();
        let counted = store.update_attempts(AttemptScope::User, &name, now, count).await;
        counted.map_err(|error| SignInError::Unavailable(error.to_string()))
    }

    async fn must_not_wait(
        &self,
        user: Option<&UserName>,
        wait: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), SignInError> {
        let Some(until) = wait else { return Ok(()) };
        self.audit(user, Outcome::Refused("too many failed attempts".into()), "").await?;
        Err(SignInError::TooMany { retry_after: until.since(now) })
    }

    pub(crate) async fn take_back_attempt(
        &self,
        user: &UserName,
        guess: Guess,
    ) -> Result<(), SignInError> {
        // Codes that are given out are not counted by where they are.
        if guess != Guess::Confirmation {
            self.gateway().sources().taken_back(self.source());
        }
        let now = self.gateway().now();
        let forgiven = self
            .gateway()
            .store()
            .update_attempts(
                AttemptScope::User,
                &guess.counted_for(user),
                now,
                |state: &mut Attempts| {
                    *state = state.taken_back();
                },
            )
            .await;
        forgiven.map_err(|error| SignInError::Unavailable(error.to_string()))
    }
}

/// Why a verdict proves nothing; `None` if it does.
pub(crate) fn refusal_of(input: &Input) -> Option<String> {
    match input {
        Input::Password(PasswordCheck::Wrong) => Some("the password is wrong".into()),
        Input::SshKey(SignatureCheck::Invalid) => Some("the key is not registered".into()),
        Input::Certificate(Err(error)) => Some(error.to_string()),
        Input::Certificate(Ok(factors)) if factors.is_empty() => {
            Some("the user is unknown or disabled".into())
        }
        Input::TlsCertificate(Err(error)) => Some(error.to_string()),
        Input::Token(TokenCheck::Refused) => Some("the token is not good".into()),
        Input::Totp(TotpCheck::Replayed) => Some("the code was used before".into()),
        Input::Totp(TotpCheck::Wrong) | Input::Recovery(RecoveryCheck::Wrong) => {
            Some("the code is wrong".into())
        }
        Input::Passkey(PasskeyCheck::Refused) => Some("the passkey is not good".into()),
        _ => None,
    }
}
