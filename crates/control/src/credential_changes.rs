//! Other people's credentials and factors: what an administrator does about them takes two.
//!
//! INVARIANT (nobody alone): a reset is proposed by one administrator and put in force by another, so
//! that nobody takes a colleague's place with a password and a factor of their own; and whoever
//! changed a factor is let into production early by somebody else only.

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::change::PasswordRecord;
use portcullis_domain::{
    ChangeId, ChangeState, ChangeSubject, ControlAction, GrantEnd, PendingChange, Secret,
    Timestamp, UserName,
};
use portcullis_evidence::log::merkle::sha256;
use portcullis_gateway::{Authenticated, EndReason};

use crate::right::{reason, user_name};
use crate::view::{ChangeView, FieldView, PlanView, ResetBody, ResetView};
use crate::{Control, ControlError, ErrorKind};

/// Why grants and sessions end with a reset.
const RESET: &str = "the credentials were reset";

impl Control {
    /// Proposes to give another person a temporary password and to take their factors away. Another
    /// administrator approves it.
    ///
    /// Never oneself: an administrator who lost a factor needs two others.
    pub async fn reset_credentials(
        &self,
        who: &Authenticated,
        user: &str,
        body: ResetBody,
    ) -> Result<ResetView, ControlError> {
        self.must_hold(who, ControlAction::ManageCredentials, Activity::CredentialChange).await?;
        let user = user_name(user)?;
        let why = reason(&body.reason)?;
        let event = self
            .event(who, Activity::CredentialChange)
            .detail("what", "reset")
            .person("of", &user)
            .detail("reason", why.clone());
        if user == *who.user() {
            return self.refuse(event, "nobody resets their own credentials").await;
        }
        if !self.gateway().snapshot().facts.users.contains_key(&user) {
            return Err(ControlError::not_found(format!("user `{user}`")));
        }
        self.must_have_settled_factor(who, event.clone()).await?;
        let hash = self.gateway().hasher().hash(Secret::new(body.password)).await?;
        let now = self.gateway().now();
        let digest = sha256(&[b"portcullis change v1\0", hash.as_str().as_bytes()]);
        let change = PendingChange {
            id: ChangeId::generate(now),
            author: who.user().clone(),
            digest: digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
            why: format!("resets the credentials of `{user}`: {why}"),
            files: Vec::new(),
            prune: false,
            subject: ChangeSubject::Reset {
                user,
                password: PasswordRecord(hash.as_str().to_owned()),
            },
            at: now,
            state: ChangeState::Pending,
        };
        self.audit(event.detail("change", change.id.to_string()).detail("needs", "second person"))
            .await?;
        let noted = self.gateway().store().note_change(&change).await?;
        Ok(ResetView { change: noted.id, expires: noted.expires() })
    }

    /// Agrees to a change of credentials that another person proposed. The caller's right to
    /// [`ControlAction::ManageCredentials`] has been checked.
    pub(crate) async fn approve_credentials(
        &self,
        who: &Authenticated,
        change: PendingChange,
        event: Event,
    ) -> Result<PlanView, ControlError> {
        match &change.subject {
            ChangeSubject::Factors { until } => {
                let (author, until) = (change.author.clone(), *until);
                self.let_in_early(who, change.id, &author, until, event).await
            }
            ChangeSubject::Reset { user, password } => {
                let (user, password) = (user.clone(), password.clone());
                if user == *who.user() {
                    return self.refuse(event, "nobody resets their own credentials").await;
                }
                let event = event.detail("what", "reset").person("of", &user);
                self.audit(event.person("first_person", &change.author)).await?;
                self.settle_change(who, change.id).await?;
                self.reset(who, &user, &password).await?;
                Ok(self.done(&user, "credentials", "reset"))
            }
            ChangeSubject::Resources => {
                Err(ControlError::invalid("this change is about resources"))
            }
        }
    }

    async fn let_in_early(
        &self,
        who: &Authenticated,
        id: ChangeId,
        author: &UserName,
        until: Timestamp,
        event: Event,
    ) -> Result<PlanView, ControlError> {
        let waiting = self.gateway().store().load_facts(self.gateway().now()).await?;
        if waiting.factor_waits.get(author) != Some(&until) {
            let why = format!(
                "`{author}` does not wait for this any more, or has changed another factor"
            );
            self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
            return Err(ControlError::new(ErrorKind::Conflict, "change_outdated", why));
        }
        self.audit(event.detail("what", "factors confirmed").person("of", author)).await?;
        self.settle_change(who, id).await?;
        self.gateway().store().end_factor_wait(author, until).await?;
        self.gateway().refresh().await?;
        Ok(self.done(author, "factors", "confirmed"))
    }

    async fn reset(
        &self,
        who: &Authenticated,
        user: &UserName,
        password: &PasswordRecord,
    ) -> Result<(), ControlError> {
        let now = self.gateway().now();
        let store = self.gateway().store();
        store.remove_totp(user).await?;
        store.remove_passkeys(user).await?;
        store.set_password_hash(user, &password.0, now).await?;
        store.revoke_sign_ins_of(user, now).await?;
        self.end_access_of(who, user).await
    }

    /// What an approval answers where no resource changes.
    fn done(&self, user: &UserName, what: &str, how: &str) -> PlanView {
        let field = FieldView { path: what.to_owned(), before: "".into(), after: how.into() };
        let change = ChangeView {
            resource: format!("User/{user}"),
            change: "change".to_owned(),
            fields: vec![field],
        };
        PlanView {
            revision: self.gateway().snapshot().facts.revision,
            changes: vec![change],
            reach: Vec::new(),
            gains_in_production: false,
            warnings: Vec::new(),
            not_separated: Vec::new(),
            proof: None,
        }
    }

    /// Ends a person's grants and live sessions: whoever signs in next as them begins with nothing.
    async fn end_access_of(
        &self,
        who: &Authenticated,
        user: &UserName,
    ) -> Result<(), ControlError> {
        // The store is asked, not the snapshot: a grant may have come in since.
        let now = self.gateway().now();
        let facts = self.gateway().store().load_facts(now).await?;
        for grant in facts.grants.get(user).into_iter().flatten() {
            let event = self
                .event(who, Activity::GrantRevoke)
                .target(&grant.target)
                .detail("grant", grant.id.to_string())
                .person("of", user)
                .detail("reason", RESET);
            self.audit(event).await?;
            let end = GrantEnd { at: now, by: who.user().clone(), reason: RESET.to_owned() };
            let _ended_or_over = self.gateway().store().revoke_grant(grant.id, end).await?;
        }
        self.gateway().refresh().await?;
        for session in self.gateway().live_sessions() {
            if session.user == *user
                && let Some(live) = self.gateway().live_session(session.id)
            {
                live.end(EndReason::Revoked(RESET.to_owned()));
            }
        }
        Ok(())
    }
}
