//! Locks, and dropping and raising the gate of an environment.

use std::str::FromStr;

use portcullis_domain::audit::{Activity, Event};
use portcullis_domain::lock::{LockKind, PEOPLE_TO_RAISE};
use portcullis_domain::{
    ControlAction, EnvironmentName, Facts, Lock, LockId, LockSubject, parse_duration,
};
use portcullis_gateway::Authenticated;
use portcullis_policy::control::allowed;
use portcullis_store::{LiftError, Lifted, Page, Placed, RaiseError, Raised};

use crate::access::ends_with;
use crate::right::reason;
use crate::view::{LockBody, RaiseView, ReasonBody};
use crate::{Control, ControlError, ErrorKind};

impl Control {
    /// Places a lock and ends what it stops.
    pub async fn lock(&self, who: &Authenticated, body: LockBody) -> Result<Lock, ControlError> {
        self.must_hold(who, ControlAction::Lock, Activity::LockPlace).await?;
        let now = self.gateway().now();
        let expires = match &body.expires_in {
            Some(text) => Some(now.plus(parse_duration(text).map_err(ControlError::invalid)?)),
            None => None,
        };
        self.must_exist(&body.subject)?;
        let lock = Lock {
            id: LockId::generate(now),
            subject: body.subject,
            kind: LockKind::Lock,
            reason: reason(&body.reason)?,
            by: who.user().clone(),
            at: now,
            expires,
        };
        let mut after = Facts::clone(&self.gateway().snapshot().facts);
        after.locks.push(lock.clone());
        if let Some(why) = self.nobody_left(&after) {
            let event = about(self.event(who, Activity::LockPlace), &lock.subject)
                .detail("reason", lock.reason.clone());
            return self.refuse(event, &why).await;
        }
        self.place(who, Activity::LockPlace, lock).await
    }

    /// Why nobody could lift locks, or change resources, under these facts where somebody can
    /// now. A gate nobody can put right again is not put in force.
    pub(crate) fn nobody_left(&self, after: &Facts) -> Option<String> {
        let now = self.gateway().now();
        let snapshot = self.gateway().snapshot();
        let anyone = |facts: &Facts, action| {
            facts.users.keys().any(|user| allowed(facts, user, action, now).is_allowed())
        };
        let left = [ControlAction::Lock, ControlAction::ApplyResources]
            .into_iter()
            .find(|action| anyone(&snapshot.facts, *action) && !anyone(after, *action))?;
        Some(format!(
            "afterwards nobody enabled and not locked would have the right `{left}`; give it to \
             somebody else first"
        ))
    }

    /// Locks in force. Everyone signed in may know what is locked and why.
    pub async fn locks(&self, who: &Authenticated) -> Result<Vec<Lock>, ControlError> {
        self.must_be_active(who)?;
        let now = self.gateway().now();
        let page = Page { before: None, limit: portcullis_store::MAX_PAGE };
        Ok(self.gateway().store().locks(now, page).await?)
    }

    /// Lifts a lock. Nobody lifts a lock on themselves; a dropped gate is raised instead.
    pub async fn lift(&self, who: &Authenticated, id: &str) -> Result<Lock, ControlError> {
        self.must_hold(who, ControlAction::Lock, Activity::LockLift).await?;
        let lock = self.find_lock(who, id).await?;
        let event = about(self.event(who, Activity::LockLift), &lock.subject)
            .detail("lock", lock.id.to_string());
        if lock.subject == LockSubject::User(who.user().clone()) {
            return self.refuse(event, "nobody lifts a lock on themselves").await;
        }
        if matches!(lock.kind, LockKind::Drop { .. }) {
            let why = "this is a dropped gate; two people raise it with `portcullis raise`";
            return self.refuse(event, why).await;
        }
        self.must_have_settled_factor(who, event.clone()).await?;
        self.audit(event).await?;
        let lifted =
            self.gateway().store().lift_lock(lock.id, who.user(), self.gateway().now()).await;
        let lock = match lifted {
            Ok(Lifted::Lifted(lock) | Lifted::AlreadyOver(lock)) => lock,
            Err(LiftError::Store(error)) => return Err(error.into()),
            Err(error) => {
                return Err(ControlError::new(ErrorKind::Conflict, "dropped", error.to_string()));
            }
        };
        self.gateway().refresh().await?;
        Ok(lock)
    }

    /// Drops the gate of an environment: nobody in, everybody out. One person is enough.
    pub async fn drop_gate(
        &self,
        who: &Authenticated,
        environment: &str,
        body: ReasonBody,
    ) -> Result<Lock, ControlError> {
        self.must_hold(who, ControlAction::Drop, Activity::GateDrop).await?;
        let environment = EnvironmentName::new(environment).map_err(ControlError::invalid)?;
        self.must_exist(&LockSubject::Environment(environment.clone()))?;
        let now = self.gateway().now();
        let lock = Lock {
            id: LockId::generate(now),
            subject: LockSubject::Environment(environment),
            kind: LockKind::Drop { raised_by: Vec::new() },
            reason: reason(&body.reason)?,
            by: who.user().clone(),
            at: now,
            expires: None,
        };
        self.place(who, Activity::GateDrop, lock).await
    }

    /// Asks for the gate to be raised; it is once two different people have.
    pub async fn raise_gate(
        &self,
        who: &Authenticated,
        environment: &str,
        body: ReasonBody,
    ) -> Result<RaiseView, ControlError> {
        self.must_hold(who, ControlAction::Drop, Activity::GateRaise).await?;
        let environment = EnvironmentName::new(environment).map_err(ControlError::invalid)?;
        let event = self
            .event(who, Activity::GateRaise)
            .environment(&environment)
            .detail("reason", reason(&body.reason)?);
        self.must_have_settled_factor(who, event.clone()).await?;
        self.audit(event).await?;
        let raised =
            self.gateway().store().raise_gate(&environment, who.user(), self.gateway().now()).await;
        let (raised, lock) = match raised {
            Ok(Raised::Raised(lock)) => (true, lock),
            Ok(Raised::Waiting(lock)) => (false, lock),
            Err(RaiseError::NotDropped(name)) => {
                return Err(ControlError::new(
                    ErrorKind::Conflict,
                    "not_dropped",
                    format!("the gate of environment `{name}` is not dropped"),
                ));
            }
            Err(RaiseError::Store(error)) => return Err(error.into()),
        };
        self.gateway().refresh().await?;
        let agreed = match &lock.kind {
            LockKind::Drop { raised_by } => raised_by.len(),
            LockKind::Lock => PEOPLE_TO_RAISE,
        };
        let waiting_for = if raised { 0 } else { PEOPLE_TO_RAISE.saturating_sub(agreed) };
        Ok(RaiseView { raised, waiting_for, lock })
    }

    async fn place(
        &self,
        who: &Authenticated,
        activity: Activity,
        lock: Lock,
    ) -> Result<Lock, ControlError> {
        let mut event = about(self.event(who, activity), &lock.subject)
            .detail("lock", lock.id.to_string())
            .detail("reason", lock.reason.clone());
        if let Some(expires) = lock.expires {
            event = event.detail("expires", expires.to_string());
        }
        self.audit(event).await?;
        let lock = match self.gateway().store().place_lock(&lock).await? {
            Placed::Placed => lock,
            Placed::AlreadyDropped(lock) => lock,
        };
        self.gateway().refresh().await?;
        Ok(lock)
    }

    fn must_exist(&self, subject: &LockSubject) -> Result<(), ControlError> {
        let snapshot = self.gateway().snapshot();
        let facts = &snapshot.facts;
        let exists = match subject {
            LockSubject::User(name) => facts.users.contains_key(name),
            LockSubject::Role(name) => facts.roles.contains_key(name),
            LockSubject::Target(name) => facts.targets.contains_key(name),
            LockSubject::Environment(name) => facts.environments.contains_key(name),
        };
        if exists { Ok(()) } else { Err(ControlError::not_found(subject)) }
    }

    async fn find_lock(&self, who: &Authenticated, id: &str) -> Result<Lock, ControlError> {
        let exact = LockId::from_str(id).ok();
        let mut found: Vec<_> = self
            .locks(who)
            .await?
            .into_iter()
            .filter(|lock| match exact {
                Some(exact) => lock.id == exact,
                None => ends_with(&lock.id.to_string(), id),
            })
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(lock), true) => Ok(lock),
            (Some(_), false) => Err(ControlError::invalid("give more of the lock's id")),
            (None, _) => Err(ControlError::not_found(format!("lock `{}`", id.escape_debug()))),
        }
    }
}

/// The event with what is locked where readers look for it; a person's name goes under their key.
fn about(event: Event, subject: &LockSubject) -> Event {
    match subject {
        LockSubject::User(name) => event.detail("scope", "user").person("of", name),
        LockSubject::Role(name) => event.detail("scope", "role").detail("role", name.as_str()),
        LockSubject::Target(name) => event.detail("scope", "target").target(name),
        LockSubject::Environment(name) => event.detail("scope", "environment").environment(name),
    }
}
