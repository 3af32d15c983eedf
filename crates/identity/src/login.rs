//! Signing in, as a state machine that belongs to one user from beginning to end.
//!
//! In flow the verdicts of this crate's checks ([`Input`]), each with the user it was claimed for;
//! out flows what to ask next ([`Ask`]) and at last [`Proved`]. It verifies nothing itself, so it
//! must be fed only with verdicts about the user it was begun for. A public key merely offered has
//! no input: there is nothing to feed it with.
//!
//! ```text
//! Begun --first factor--> FirstProved --second factor--> Complete
//!   |                        |                             (straight from Begun where none is due)
//!   +-- another user, too many failures, too late, out of order --> Failed (stays so)
//! ```
//!
//! INVARIANT: `settle` is the one place where a sign-in becomes complete.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::confirmation::CONFIRMATION_LIFETIME;
use portcullis_domain::{Authentication, Factor, FactorKind, Timestamp, UserName};
use thiserror::Error;

use crate::authority::{CertificateError, TlsCertificateError};
use crate::password::PasswordCheck;
use crate::recovery::RecoveryCheck;
use crate::totp::TotpCheck;

/// Failed inputs after which a sign-in is over, as OpenSSH's `MaxAuthTries`.
pub const MAX_FAILURES: u32 = 6;
/// Time from begin to completion: enough to fetch the telephone from another room.
pub const MAX_SIGN_IN_TIME: Duration = Duration::from_secs(5 * 60);
/// How far in the future a factor's time may be: nodes' clocks differ a little.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What a sign-in must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// First factors that are accepted here, in the order to offer them. What is only a second
    /// factor means nothing in this list.
    pub first: Vec<FactorKind>,
    /// How old the second factor may be at completion; `None` where none is needed.
    pub second_factor_max_age: Option<Duration>,
}

/// Whether a signature by a key that is registered for the user was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The signature over this connection's own exchange is valid and the key is the user's.
    Valid,
    /// It is not, or the key is not the user's.
    Invalid,
}

/// What a bearer token turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCheck {
    /// It is in force; the factors of the sign-in it came from, [`FactorKind::Token`] among them.
    Accepted {
        /// Those factors.
        factors: Vec<Factor>,
    },
    /// It is unknown, revoked or over.
    Refused,
}

/// What came of a WebAuthn assertion by a credential that is registered for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyCheck {
    /// The signature is valid and the authenticator verified who was there.
    Verified,
    /// The signature is valid; of whoever was there nothing is known.
    Present,
    /// It is not valid, or not the user's.
    Refused,
}

impl PasskeyCheck {
    /// The factor it proves.
    pub const fn proves(self) -> Option<FactorKind> {
        match self {
            Self::Verified => Some(FactorKind::Passkey),
            Self::Present => Some(FactorKind::SecurityKey),
            Self::Refused => None,
        }
    }
}

/// The verdict on one thing that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A password was compared.
    Password(PasswordCheck),
    /// A signature by a registered key was checked.
    SshKey(SignatureCheck),
    /// A certificate was checked, after the transport verified a signature by its key.
    Certificate(Result<Vec<Factor>, CertificateError>),
    /// A TLS client certificate was checked, after the handshake verified a signature by its key;
    /// the factors of the sign-in it came from, [`FactorKind::TlsCertificate`] among them.
    TlsCertificate(Result<Vec<Factor>, TlsCertificateError>),
    /// A token was looked up.
    Token(TokenCheck),
    /// A one-time code was checked and, if accepted, its step is durably used up.
    Totp(TotpCheck),
    /// A recovery code was checked and, if accepted, is durably deleted.
    Recovery(RecoveryCheck),
    /// A WebAuthn assertion was checked and, if accepted, its challenge is used up.
    Passkey(PasskeyCheck),
    /// The same person proved this factor elsewhere, for this very sign-in, and it is used up.
    Confirmed(Factor),
}

/// What to ask the person for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ask<'a> {
    /// A first factor, one of these.
    First {
        /// Accepted kinds, in the order to offer them.
        methods: &'a [FactorKind],
    },
    /// A one-time code or a recovery code.
    SecondFactor,
    /// Nothing: it is over, well or badly.
    Nothing,
}

/// Why a sign-in is over without success.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Another user was claimed in mid-way.
    #[error("this sign-in was begun for `{begun_for}` and cannot go on for `{claimed}`; reconnect")]
    IdentityChanged {
        /// The user it belongs to.
        begun_for: UserName,
        /// The user claimed then.
        claimed: UserName,
    },
    /// Too many wrong answers.
    #[error("too many failed attempts; reconnect to try again")]
    TooManyFailures,
    /// It took too long.
    #[error("signing in took longer than 5 minutes; reconnect to try again")]
    TimedOut,
    /// A second factor came before a first, or anything after the end.
    #[error("the sign-in got an answer it had not asked for; reconnect to try again")]
    OutOfOrder,
}

/// A sign-in.
#[derive(Debug)]
#[must_use]
pub enum SignIn {
    /// Nothing is proved yet.
    Begun(Begun),
    /// A first factor is proved, a second is due.
    FirstProved(FirstProved),
    /// Everything required is proved.
    Complete(Proved),
    /// It is over; nothing brings it back.
    Failed(Failed),
}

/// A sign-in in which nothing is proved yet.
#[derive(Debug)]
pub struct Begun(Attempt);

/// A sign-in that lacks its second factor.
#[derive(Debug)]
pub struct FirstProved(Attempt);

/// The result of a complete sign-in. There is no other way to make one.
#[derive(Debug)]
pub struct Proved(Authentication);

/// A sign-in that is over.
#[derive(Debug)]
pub struct Failed {
    user: UserName,
    reason: Failure,
}

/// What all stages carry. The user and the source never change.
#[derive(Debug)]
struct Attempt {
    user: UserName,
    source: IpAddr,
    requirement: Requirement,
    begun_at: Timestamp,
    failures: u32,
    factors: Vec<Factor>,
}

impl SignIn {
    /// Begins for one user from one source. Whether the user exists does not matter here, so
    /// that an unknown one is treated no differently.
    pub fn begin(user: UserName, source: IpAddr, requirement: Requirement, now: Timestamp) -> Self {
        Self::Begun(Begun(Attempt {
            user,
            source,
            requirement,
            begun_at: now,
            failures: 0,
            factors: Vec::new(),
        }))
    }

    /// Goes on from a complete sign-in towards a stricter requirement, for a decision that asks
    /// for a fresh second factor. Complete at once if it is met already.
    pub fn step_up(proved: Proved, second_factor_max_age: Duration, now: Timestamp) -> Self {
        let Proved(Authentication { user, source, factors }) = proved;
        let requirement =
            Requirement { first: Vec::new(), second_factor_max_age: Some(second_factor_max_age) };
        let attempt = Attempt { user, source, requirement, begun_at: now, failures: 0, factors };
        attempt.settle(now)
    }

    /// The user it was begun for.
    pub fn user(&self) -> &UserName {
        match self {
            Self::Begun(Begun(attempt)) | Self::FirstProved(FirstProved(attempt)) => &attempt.user,
            Self::Complete(proved) => &proved.0.user,
            Self::Failed(failed) => &failed.user,
        }
    }

    /// What to ask next.
    pub fn next(&self) -> Ask<'_> {
        match self {
            Self::Begun(Begun(attempt)) => Ask::First { methods: &attempt.requirement.first },
            Self::FirstProved(_) => Ask::SecondFactor,
            Self::Complete(_) | Self::Failed(_) => Ask::Nothing,
        }
    }

    /// Takes one verdict, with the user it was claimed for. A wrong answer leaves the stage as it
    /// is, up to [`MAX_FAILURES`]; another user, an answer not asked for, or one too late ends it.
    pub fn input(self, claimed: &UserName, input: Input, now: Timestamp) -> Self {
        if let Self::Failed(_) = self {
            return self;
        }
        if self.user() != claimed {
            let begun_for = self.user().clone();
            let reason =
                Failure::IdentityChanged { begun_for: begun_for.clone(), claimed: claimed.clone() };
            return Self::Failed(Failed { user: begun_for, reason });
        }
        match self {
            Self::Begun(Begun(attempt)) | Self::FirstProved(FirstProved(attempt)) => {
                attempt.input(input, now)
            }
            Self::Complete(Proved(authentication)) => {
                Self::Failed(Failed { user: authentication.user, reason: Failure::OutOfOrder })
            }
            Self::Failed(_) => self,
        }
    }
}

impl Proved {
    /// Who signed in, by what, from where.
    pub fn authentication(&self) -> &Authentication {
        &self.0
    }

    /// The same, taken out. What is outside a [`Proved`] is plain data and proves nothing.
    pub fn into_authentication(self) -> Authentication {
        self.0
    }
}

impl Failed {
    /// Whom the sign-in was for.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// Why it is over.
    pub fn reason(&self) -> &Failure {
        &self.reason
    }
}

impl Attempt {
    fn input(mut self, input: Input, now: Timestamp) -> SignIn {
        // A clock that went back does not give more time.
        if now < self.begun_at.minus(MAX_CLOCK_SKEW) || now.since(self.begun_at) > MAX_SIGN_IN_TIME
        {
            return self.fail(Failure::TimedOut);
        }
        let second = match &input {
            Input::Totp(_) | Input::Recovery(_) | Input::Confirmed(_) => true,
            Input::Passkey(_) => !self.requirement.first.contains(&FactorKind::Passkey),
            _ => false,
        };
        if second && !self.has_first_factor() {
            return self.fail(Failure::OutOfOrder);
        }
        match self.proved_by(input, now) {
            Some(factors) => {
                self.remember(factors);
                self.settle(now)
            }
            None => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= MAX_FAILURES {
                    return self.fail(Failure::TooManyFailures);
                }
                self.settle(now)
            }
        }
    }

    /// The factors an input proves; `None` if it proves nothing.
    fn proved_by(&self, input: Input, now: Timestamp) -> Option<Vec<Factor>> {
        let one = |kind| vec![Factor { kind, at: now }];
        let (kind, factors) = match input {
            Input::Password(PasswordCheck::Correct) => {
                (FactorKind::Password, one(FactorKind::Password))
            }
            Input::SshKey(SignatureCheck::Valid) => (FactorKind::SshKey, one(FactorKind::SshKey)),
            Input::Certificate(Ok(factors)) => (FactorKind::SshCertificate, factors),
            Input::TlsCertificate(Ok(factors)) => (FactorKind::TlsCertificate, factors),
            Input::Token(TokenCheck::Accepted { factors }) => (FactorKind::Token, factors),
            Input::Totp(TotpCheck::Accepted { .. }) => (FactorKind::Totp, one(FactorKind::Totp)),
            Input::Recovery(RecoveryCheck::Accepted { .. }) => {
                (FactorKind::RecoveryCode, one(FactorKind::RecoveryCode))
            }
            Input::Passkey(check) => {
                let kind = check.proves()?;
                (kind, one(kind))
            }
            // It was proved for this sign-in alone, so it is as old as the sign-in's last answer.
            Input::Confirmed(Factor { kind, at })
                if kind.is_second() && now.since(at) <= CONFIRMATION_LIFETIME =>
            {
                (kind, one(kind))
            }
            Input::Confirmed(_)
            | Input::Password(PasswordCheck::Wrong)
            | Input::SshKey(SignatureCheck::Invalid)
            | Input::Certificate(Err(_))
            | Input::TlsCertificate(Err(_))
            | Input::Token(TokenCheck::Refused)
            | Input::Totp(TotpCheck::Replayed | TotpCheck::Wrong)
            | Input::Recovery(RecoveryCheck::Wrong) => return None,
        };
        // A second factor alone is no sign-in, whatever else may come.
        let accepted = match kind.is_second() && self.has_first_factor() {
            true => true,
            false => kind.is_first() && self.requirement.first.contains(&kind),
        };
        let says_so = factors.iter().any(|factor| factor.kind == kind);
        let in_time = factors.iter().all(|factor| factor.at <= now.plus(MAX_CLOCK_SKEW));
        (accepted && says_so && in_time).then_some(factors)
    }

    /// Keeps the latest of each kind, so that the list is bounded by the number of kinds.
    fn remember(&mut self, factors: Vec<Factor>) {
        for factor in factors {
            match self.factors.iter_mut().find(|known| known.kind == factor.kind) {
                Some(known) => known.at = known.at.max(factor.at),
                None => self.factors.push(factor),
            }
        }
    }

    fn settle(self, now: Timestamp) -> SignIn {
        if !self.has_first_factor() {
            SignIn::Begun(Begun(self))
        } else if self.has_second_factor(now) {
            let Self { user, source, factors, .. } = self;
            SignIn::Complete(Proved(Authentication { user, source, factors }))
        } else {
            SignIn::FirstProved(FirstProved(self))
        }
    }

    fn has_first_factor(&self) -> bool {
        self.factors.iter().any(|factor| factor.kind.is_first())
    }

    fn has_second_factor(&self, now: Timestamp) -> bool {
        let Some(max_age) = self.requirement.second_factor_max_age else { return true };
        self.factors.iter().any(|factor| {
            factor.kind.is_second()
                && factor.at <= now.plus(MAX_CLOCK_SKEW)
                && now.since(factor.at) <= max_age
        })
    }

    fn fail(self, reason: Failure) -> SignIn {
        SignIn::Failed(Failed { user: self.user, reason })
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
