//! Signing in a program on a machine without a browser: it shows a code, and its person, who is
//! signed in elsewhere, approves it with a second factor proved for it.
//!
//! INVARIANT: what comes out is never more than the person had proved where they approved it, and the
//! program's secret, which is not the code, is what fetches it, once.

use std::net::IpAddr;

use portcullis_domain::audit::Outcome;
use portcullis_domain::device::{DeviceError, DeviceSignIn, DeviceState};
use portcullis_domain::{Authentication, Factor, FactorKind, Secret, UserCode};
use portcullis_identity::keys::PublicKey;
use portcullis_identity::random::OsRandom;
use portcullis_identity::token::Token;

use crate::Gateway;
use crate::confirm::new_code;
use crate::passkeys::PasskeyError;
use crate::permit::{Authenticated, Basis};
use crate::sign_in::SignInError;
use crate::token::{Issued, SignInFor};

/// A program that waits.
pub struct DeviceBegun {
    /// What the program keeps to itself and asks with.
    pub device_code: Secret<String>,
    /// What it shows.
    pub waiting: DeviceSignIn,
}

/// How it stands.
pub enum DeviceAnswer {
    /// Nobody has decided.
    Pending,
    /// A person refused.
    Denied,
    /// It is signed in.
    Issued(Box<Issued>),
}

impl Gateway {
    /// Begins to wait for a person. Anybody may; it is counted by where they are.
    pub async fn begin_device(
        &self,
        device: &str,
        public_key: Option<String>,
        source: IpAddr,
    ) -> Result<DeviceBegun, PasskeyError> {
        let flow = self.sign_in(source);
        flow.count_stranger().await?;
        let unavailable = |why: &str| SignInError::Unavailable(why.to_owned());
        let code = new_code().ok_or_else(|| unavailable("no randomness"))?;
        let secret = Token::generate(&mut OsRandom).map_err(|error| unavailable(&error.to_string()))?;
        let waiting = DeviceSignIn::begin(code, flow.source(), device, public_key, self.now());
        match self.store().begin_device(secret.hash().as_bytes(), &waiting).await? {
            true => Ok(DeviceBegun { device_code: secret.to_text(), waiting }),
            false => Err(PasskeyError::Busy),
        }
    }

    /// Approves the program under this code, with a second factor proved for it just now.
    pub async fn approve_device(
        &self,
        who: &Authenticated,
        code: &UserCode,
        factor: Factor,
    ) -> Result<(), PasskeyError> {
        let proved = who.with_factor(factor);
        let mut factors = proved.authentication().factors.clone();
        factors.retain(|factor| {
            !matches!(factor.kind, FactorKind::Token | FactorKind::SshCertificate)
        });
        let approved = DeviceState::Approved { user: who.user().clone(), factors };
        self.decide_device(code, approved).await
    }

    /// Refuses the program under this code.
    pub async fn deny_device(&self, code: &UserCode) -> Result<(), PasskeyError> {
        self.decide_device(code, DeviceState::Denied).await
    }

    async fn decide_device(&self, code: &UserCode, state: DeviceState) -> Result<(), PasskeyError> {
        let now = self.now();
        let decide = |waiting: DeviceSignIn| waiting.decide(state, now);
        match self.store().decide_device(code, decide).await {
            Ok(_) => Ok(()),
            Err(portcullis_store::TransitionFailure::Refused(DeviceError::NotWaiting)) => {
                Err(PasskeyError::NotOpen)
            }
            Err(portcullis_store::TransitionFailure::Store(error)) => Err(error.into()),
        }
    }

    /// What became of a program, by its secret; signed in where a person approved it.
    pub async fn ask_device(
        &self,
        device_code: &str,
        source: IpAddr,
        wanted: SignInFor,
    ) -> Result<DeviceAnswer, PasskeyError> {
        let secret = Token::parse(device_code).map_err(|_| PasskeyError::NotOpen)?;
        let found = self.store().ask_device(secret.hash().as_bytes(), self.now()).await?;
        let found = found.ok_or(PasskeyError::NotOpen)?;
        let (user, factors) = match found.state {
            DeviceState::Waiting => return Ok(DeviceAnswer::Pending),
            DeviceState::Denied => return Ok(DeviceAnswer::Denied),
            DeviceState::Approved { user, factors } => (user, factors),
        };
        let flow = self.sign_in(source).begun_elsewhere();
        if flow.source() != found.source || !flow.enabled(&user) {
            let why = "the machine is not where it asked, or the user is unknown or disabled";
            flow.audit(Some(&user), Outcome::Refused(why.into()), "device").await?;
            return Err(SignInError::Refused.into());
        }
        flow.take_back_stranger();
        flow.audit(Some(&user), Outcome::Success, "device").await?;
        // The key the person was told of, not one that is named now.
        let key = found.public_key.as_deref().and_then(|line| PublicKey::from_openssh(line).ok());
        let wanted = SignInFor { key, ..wanted };
        let authentication = Authentication { user, factors, source: flow.source() };
        let who = Authenticated::new(authentication, Basis::Token, self.now());
        Ok(DeviceAnswer::Issued(Box::new(self.issue(who, wanted).await?)))
    }
}
