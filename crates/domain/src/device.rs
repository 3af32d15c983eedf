//! Signing in a machine without a browser (the shape of RFC 8628): it shows a code, and its person
//! approves it where they are signed in.
//!
//! What a program asks for flows in; the decision of a person, with what they have proved, flows out.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::confirmation::plain;
use crate::factor::Factor;
use crate::name::UserName;
use crate::time::Timestamp;
use crate::user_code::UserCode;

/// How long a program waits for its person (RFC 8628, section 3.2: `expires_in`).
pub const DEVICE_LIFETIME: Duration = Duration::from_secs(600);
/// How long a program waits between two questions (RFC 8628, section 3.2: `interval`).
pub const DEVICE_INTERVAL: Duration = Duration::from_secs(2);

/// A program that waits for a person to sign it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSignIn {
    /// What it shows and the person types.
    pub code: UserCode,
    /// Where it is.
    pub source: IpAddr,
    /// What it says it is: untrusted, bounded, without control characters.
    pub device: String,
    /// The SSH public key it would like certified, OpenSSH format.
    pub public_key: Option<String>,
    /// When it began to wait.
    pub at: Timestamp,
    /// Where it stands.
    pub state: DeviceState,
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum DeviceState {
    /// Nobody has decided.
    Waiting,
    /// A person signs it in.
    Approved {
        /// Who.
        user: UserName,
        /// What they have proved.
        factors: Vec<Factor>,
    },
    /// A person refused.
    Denied,
}

/// Why it cannot be decided as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// It has been decided, or has waited too long.
    #[error("this code is over or was used already; begin anew at the machine")]
    NotWaiting,
}

impl DeviceSignIn {
    /// Begins to wait.
    pub fn begin(
        code: UserCode,
        source: IpAddr,
        device: &str,
        public_key: Option<String>,
        at: Timestamp,
    ) -> Self {
        Self { code, source, device: plain(device), public_key, at, state: DeviceState::Waiting }
    }

    /// When it is over.
    pub fn expires(&self) -> Timestamp {
        self.at.plus(DEVICE_LIFETIME)
    }

    /// Whether it can still be decided.
    pub fn open(&self, now: Timestamp) -> bool {
        self.state == DeviceState::Waiting && now < self.expires()
    }

    /// Somebody decides, once.
    pub fn decide(self, state: DeviceState, now: Timestamp) -> Result<Self, DeviceError> {
        if !self.open(now) {
            return Err(DeviceError::NotWaiting);
        }
        Ok(Self { state, ..self })
    }
}
