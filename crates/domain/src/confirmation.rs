//! A second factor proved elsewhere: a client that can show no dialogue of ours shows a short code,
//! and the person proves a factor where they are signed in, for exactly this code.
//!
//! What a client is about to do flows in (who, from where, to what); a decision by the same person,
//! or by nobody, flows out. Nothing is ever sent to anybody: who did not start it has no code to type.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::factor::Factor;
use crate::id::ConfirmationId;
use crate::name::{TargetName, UserName};
use crate::time::Timestamp;
use crate::user_code::UserCode;

/// How long a confirmation waits.
pub const CONFIRMATION_LIFETIME: Duration = Duration::from_secs(120);
/// Longest description of a device, in bytes; longer ones are cut.
pub const MAX_DEVICE_BYTES: usize = 128;

/// A client that waits for its person to prove a second factor elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its id.
    pub id: ConfirmationId,
    /// What the client shows and the person types.
    pub code: UserCode,
    /// Whose factor is asked for. They have proved a first one.
    pub user: UserName,
    /// Where the client is.
    pub source: IpAddr,
    /// What the client says it is: untrusted, bounded, without control characters.
    pub device: String,
    /// What it wants to reach, where that is known already.
    pub target: Option<TargetName>,
    /// When it began to wait.
    pub at: Timestamp,
    /// Where it stands.
    pub state: ConfirmationState,
}

/// Where a confirmation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ConfirmationState {
    /// The client waits.
    Waiting,
    /// The person proved a factor for it.
    Confirmed {
        /// Which, and when.
        factor: Factor,
        /// Where they were.
        from: IpAddr,
    },
    /// The person said that it is not them.
    Refused {
        /// Where they were.
        from: IpAddr,
    },
}

impl ConfirmationState {
    /// The name of the state, for people and the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirmed { .. } => "confirmed",
            Self::Refused { .. } => "refused",
        }
    }
}

/// Why a confirmation cannot be decided as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfirmationError {
    /// It has been decided.
    #[error("this code has been {state} already; begin anew at the client")]
    NotWaiting {
        /// How.
        state: &'static str,
    },
    /// It waited too long.
    #[error("this code is over; begin anew at the client")]
    Expired,
    /// INVARIANT: nobody proves a factor in somebody else's name.
    #[error("this code is not yours")]
    OtherUser,
}

impl Confirmation {
    /// Begins to wait. `device` is made safe to show.
    pub fn begin(
        id: ConfirmationId,
        code: UserCode,
        user: UserName,
        source: IpAddr,
        device: &str,
        target: Option<TargetName>,
        at: Timestamp,
    ) -> Self {
        let device = plain(device);
        Self { id, code, user, source, device, target, at, state: ConfirmationState::Waiting }
    }

    /// When it is over.
    pub fn expires(&self) -> Timestamp {
        self.at.plus(CONFIRMATION_LIFETIME)
    }

    /// Whether it can still be decided. One dated in the future cannot: a clock has gone back.
    pub fn open(&self, now: Timestamp) -> bool {
        self.state == ConfirmationState::Waiting
            && self.at <= now.plus(Duration::from_secs(5))
            && now < self.expires()
    }

    /// The person has just proved `factor`, at `from`.
    pub fn confirm(
        self,
        by: &UserName,
        factor: Factor,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Self, ConfirmationError> {
        self.decide(by, ConfirmationState::Confirmed { factor, from }, now)
    }

    /// The person says that it is not them.
    pub fn refuse(
        self,
        by: &UserName,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Self, ConfirmationError> {
        self.decide(by, ConfirmationState::Refused { from }, now)
    }

    fn decide(
        self,
        by: &UserName,
        state: ConfirmationState,
        now: Timestamp,
    ) -> Result<Self, ConfirmationError> {
        if *by != self.user {
            return Err(ConfirmationError::OtherUser);
        }
        if self.state != ConfirmationState::Waiting {
            return Err(ConfirmationError::NotWaiting { state: self.state.as_str() });
        }
        if !self.open(now) {
            return Err(ConfirmationError::Expired);
        }
        Ok(Self { state, ..self })
    }
}

/// What a stranger calls their program, safe to show: bounded, without control characters.
fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    let mut plain = String::new();
    for character in shown {
        if plain.len() + character.len_utf8() > MAX_DEVICE_BYTES {
            break;
        }
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::FactorKind;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn only_the_same_person_in_time_confirms_and_only_once() {
        let (alice, bob) = (user("alice"), user("bob"));
        let factor = Factor { kind: FactorKind::Totp, at: NOW };
        let other = waiting().confirm(&bob, factor, FROM, NOW);
        assert_eq!(other, Err(ConfirmationError::OtherUser));
        let late = waiting().confirm(&alice, factor, FROM, NOW.plus(CONFIRMATION_LIFETIME));
        assert_eq!(late, Err(ConfirmationError::Expired));
        let done = waiting().confirm(&alice, factor, FROM, NOW).unwrap();
        let again = done.clone().refuse(&alice, FROM, NOW);
        assert_eq!(again, Err(ConfirmationError::NotWaiting { state: "confirmed" }));
        assert!(waiting().refuse(&bob, FROM, NOW).is_err());
        assert_eq!(waiting().refuse(&alice, FROM, NOW).unwrap().state.as_str(), "refused");
    }

    proptest! {
        #[test]
        fn whatever_a_device_calls_itself_is_bounded_and_plain(name in any::<String>()) {
            let shown = plain(&name);
            prop_assert!(shown.len() <= MAX_DEVICE_BYTES);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }

    fn waiting() -> Confirmation {
        let code = "BCDF-GHJK".parse().unwrap();
        let id = ConfirmationId::new(NOW, [1; 10]);
        Confirmation::begin(id, code, user("alice"), FROM, "psql\u{1b}[2J", None, NOW)
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }
}
