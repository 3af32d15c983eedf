//! The first people and resources of a new installation.
//!
//! This is the one act without a signed-in caller. It is possible only while the store has no
//! user at all, so it cannot be a way around anything, and it is audited.

use portcullis_domain::audit::{Activity, Event};
use portcullis_domain::{Secret, UserName};
use portcullis_identity::totp::{TotpCheck, TotpSecret, check, current_code};
use portcullis_policy::Policies;
use portcullis_store::Changes;
use thiserror::Error;

use crate::resources::changes_of;
use crate::separation::not_separated;
use crate::view::{PlanBody, ResourceFile};
use crate::{Control, ControlError};

/// Credentials of a first person.
#[derive(Debug)]
pub struct BootstrapUser {
    /// Who; must be a user of the resources.
    pub name: UserName,
    /// Their first password.
    pub password: Secret<String>,
    /// Their one-time codes' secret, base32, where they get one.
    pub totp_secret: Option<Secret<String>>,
}

/// The first people could not be set up.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// There are users already.
    #[error("this installation has users already; sign in as one of them")]
    NotEmpty,
    /// The resources or credentials are wrong, or something is not available.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl Control {
    /// Applies the first resources and sets up the first people's credentials.
    pub async fn bootstrap(
        &self,
        author: &UserName,
        files: Vec<ResourceFile>,
        users: Vec<BootstrapUser>,
    ) -> Result<(), BootstrapError> {
        let snapshot = self.gateway().snapshot();
        if !snapshot.facts.users.is_empty() {
            return Err(BootstrapError::NotEmpty);
        }
        let body = PlanBody { files, prune: true, expected_revision: None };
        let (_, after) = changes_of(&snapshot, &body)?;
        let mut facts = portcullis_domain::Facts::default();
        after.values().cloned().for_each(|resource| facts.insert(resource));
        Policies::compile(&facts).map_err(ControlError::invalid)?;
        for user in &users {
            if !facts.users.contains_key(&user.name) {
                let why = format!("`{}` is not a user of the resources", user.name);
                return Err(ControlError::invalid(why).into());
            }
        }
        let now = self.gateway().now();
        for who in not_separated(&facts) {
            tracing::warn!(who, "duties are not separated; add people and roles, then plan again");
            let event = Event::new(Activity::Finding, now)
                .user(author)
                .detail("finding", "duties not separated")
                .detail("who", who);
            self.audit(event).await?;
        }
        let event = Event::new(Activity::ResourceApply, now)
            .user(author)
            .detail("bootstrap", true)
            .detail("resources", after.len());
        self.audit(event).await?;
        let changes = Changes { upserts: after.into_values().collect(), deletes: Vec::new() };
        let store = self.gateway().store();
        let revision = Some(snapshot.facts.revision);
        store.apply(&changes, revision, author, now).await.map_err(ControlError::invalid)?;
        for user in users {
            self.set_up(author, user).await?;
        }
        self.gateway().refresh().await.map_err(ControlError::from)?;
        Ok(())
    }

    async fn set_up(&self, author: &UserName, user: BootstrapUser) -> Result<(), ControlError> {
        let now = self.gateway().now();
        let event = Event::new(Activity::CredentialChange, now)
            .user(author)
            .detail("bootstrap", true)
            .person("of", &user.name);
        self.audit(event).await?;
        let store = self.gateway().store();
        let hash = self.gateway().hasher().hash(user.password).await?;
        store.set_password_hash(&user.name, hash.as_str(), now).await?;
        let Some(text) = user.totp_secret else { return Ok(()) };
        let secret = TotpSecret::from_base32(&text).map_err(ControlError::invalid)?;
        store.put_totp(&user.name, &secret.to_bytes(), now).await?;
        // The installer holds the secret, which is what confirming shows. It is confirmed for a
        // long past step and time: the present code is still good for signing in, and the first
        // people can decide for each other at once.
        let past = portcullis_domain::Timestamp::from_millis(0);
        if let TotpCheck::Accepted { step } =
            check(&secret, &current_code(&secret, past), past, None)
        {
            store.confirm_totp(&user.name, step, past).await?;
        }
        Ok(())
    }
}
