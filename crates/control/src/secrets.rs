//! Secrets of targets: put in, never read out through here.

use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, EnvironmentName, Secret};
use portcullis_gateway::Authenticated;

use crate::view::SecretBody;
use crate::{Control, ControlError};

/// Longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Longest name of a secret, in bytes.
const MAX_NAME_BYTES: usize = 128;

impl Control {
    /// Stores a secret of an environment, replacing one of that name.
    pub async fn put_secret(
        &self,
        who: &Authenticated,
        environment: &str,
        name: &str,
        body: SecretBody,
    ) -> Result<(), ControlError> {
        self.must_hold(who, ControlAction::ManageCredentials, Activity::SecretChange).await?;
        let environment = self.known_environment(environment)?;
        let plain =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !plain {
            return Err(ControlError::invalid(
                "name a secret with letters, digits, `-`, `_` and `.`, at most 128 of them",
            ));
        }
        if body.value.is_empty() || body.value.len() > MAX_SECRET_BYTES {
            return Err(ControlError::invalid("a secret has 1 to 65536 bytes"));
        }
        let event = self
            .event(who, Activity::SecretChange)
            .environment(&environment)
            .detail("secret", name);
        self.must_have_settled_factor(who, event.clone()).await?;
        self.audit(event).await?;
        let value = Secret::new(body.value.into_bytes());
        let now = self.gateway().now();
        self.gateway().store().put_target_secret(&environment, name, &value, now).await?;
        Ok(())
    }

    /// Names of the secrets of an environment.
    pub async fn secret_names(
        &self,
        who: &Authenticated,
        environment: &str,
    ) -> Result<Vec<String>, ControlError> {
        self.must_hold(who, ControlAction::ManageCredentials, Activity::SecretChange).await?;
        let environment = self.known_environment(environment)?;
        let found = self.gateway().store().target_secrets(Some(&environment)).await?;
        Ok(found.into_iter().map(|secret| secret.name).collect())
    }

    fn known_environment(&self, name: &str) -> Result<EnvironmentName, ControlError> {
        let name = EnvironmentName::new(name).map_err(ControlError::invalid)?;
        if self.gateway().snapshot().facts.environments.contains_key(&name) {
            return Ok(name);
        }
        Err(ControlError::not_found(format!("environment `{name}`")))
    }
}
