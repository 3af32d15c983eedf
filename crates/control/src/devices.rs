//! Signing in a machine without a browser: what the machine asks, and what its person answers where
//! they are signed in.

use std::net::IpAddr;

use portcullis_domain::UserCode;
use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::device::{DEVICE_INTERVAL, DeviceSignIn};
use portcullis_gateway::{Authenticated, Carrier, DeviceAnswer, SignInFor};
use portcullis_identity::keys::PublicKey;

use crate::view::{
    DeviceBegunView, DeviceBody, DeviceTokenBody, DeviceView, LoginView, ProofBody,
};
use crate::{Control, ControlError, ErrorKind};

fn not_waiting() -> ControlError {
    ControlError::not_found("machine that waits under this code; look at it again")
}

impl Control {
    /// A machine would like to be signed in by whoever sits at it.
    pub async fn begin_device(
        &self,
        body: DeviceBody,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<DeviceBegunView, ControlError> {
        if let Some(line) = &body.public_key {
            PublicKey::from_openssh(line).map_err(|_| {
                ControlError::invalid("the public key is not in OpenSSH format (`ssh-ed25519 AAAA...`)")
            })?;
        }
        let device = client.unwrap_or_default();
        let begun = self.gateway().begin_device(&device, body.public_key, source).await?;
        let origin = self.gateway().rules().relying_party.origin();
        Ok(DeviceBegunView {
            device_code: begun.device_code.expose().clone(),
            user_code: begun.waiting.code.clone(),
            verification_uri: format!("{origin}/device"),
            expires: begun.waiting.expires(),
            interval_seconds: DEVICE_INTERVAL.as_secs(),
        })
    }

    /// Whether somebody has signed the machine in.
    pub async fn device_token(
        &self,
        body: DeviceTokenBody,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<LoginView, ControlError> {
        let lifetime = self.settings().sign_in_lifetime;
        let wanted =
            SignInFor { carrier: Carrier::Bearer, lifetime, idle: None, client, key: None };
        match self.gateway().ask_device(&body.device_code, source, wanted).await? {
            DeviceAnswer::Issued(issued) => Ok(self.logged_in(&issued)),
            DeviceAnswer::Pending => Err(ControlError::new(
                ErrorKind::Conflict,
                "authorization_pending",
                "nobody has approved this machine yet",
            )),
            DeviceAnswer::Denied => {
                Err(ControlError::new(ErrorKind::Forbidden, "access_denied", "this machine was refused"))
            }
        }
    }

    /// The machine that waits under a code.
    pub async fn device(&self, who: &Authenticated, code: &str) -> Result<DeviceView, ControlError> {
        let found = self.waiting_device(who, code).await?;
        let expires = found.expires();
        let certifies_key = found.public_key.is_some();
        let DeviceSignIn { code, source, device, at, .. } = found;
        Ok(DeviceView { code, device, source, certifies_key, at, expires })
    }

    /// Signs in the machine that waits under a code, as the caller.
    pub async fn approve_device(
        &self,
        who: &Authenticated,
        token: &str,
        code: &str,
        proof: ProofBody,
    ) -> Result<(), ControlError> {
        let found = self.waiting_device(who, code).await?;
        let factor = self.prove_factor(who, token, proof).await?;
        let event = self
            .event(who, Activity::Authenticate)
            .detail("what", "device approved")
            .detail("factor", factor.kind.as_str())
            .detail("device", found.device.clone())
            .detail("client", found.source.to_string());
        self.audit(event).await?;
        Ok(self.gateway().approve_device(who, &found.code, factor).await?)
    }

    /// Refuses the machine that waits under a code.
    pub async fn deny_device(&self, who: &Authenticated, code: &str) -> Result<(), ControlError> {
        let found = self.waiting_device(who, code).await?;
        let event = self
            .event(who, Activity::Authenticate)
            .detail("what", "device refused")
            .detail("device", found.device.clone())
            .detail("client", found.source.to_string())
            .outcome(Outcome::Refused("a machine that asked to be signed in was refused".into()));
        self.audit(event).await?;
        Ok(self.gateway().deny_device(&found.code).await?)
    }

    async fn waiting_device(
        &self,
        who: &Authenticated,
        code: &str,
    ) -> Result<DeviceSignIn, ControlError> {
        self.must_be_active(who)?;
        let code: UserCode = code.parse().map_err(|_| not_waiting())?;
        let now = self.gateway().now();
        match self.gateway().store().waiting_device(&code, now).await? {
            Some(found) if found.open(now) => Ok(found),
            _ => {
                self.gateway().count_wrong_code(who).await?;
                Err(not_waiting())
            }
        }
    }
}
