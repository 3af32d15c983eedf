//! The gate. Every way into a target goes through [`Gateway::authorize`]; it is the only place
//! that mints a [`Permit`].

use std::sync::Arc;

use portcullis_domain::audit::{Activity, Event, MAX_DETAIL_BYTES, Outcome};
use portcullis_domain::{Action, Decision, Login, Query, TargetName};
use portcullis_evidence::log::merkle::sha256;
use portcullis_identity::authority::MAX_SIGN_IN_LIFETIME;
use portcullis_policy::decide;

use crate::Gateway;
use crate::permit::{Authenticated, Basis, Permit, Refused, registered};
use crate::snapshot::Snapshot;

impl Gateway {
    /// Decides whether `who` may do `action` to `target`, and audits the decision before it
    /// answers.
    ///
    /// INVARIANT: no permit without a durable audit event, and none from facts that were
    /// replaced while the event was being written.
    pub async fn authorize(
        &self,
        who: &Authenticated,
        target: &TargetName,
        login: Option<&Login>,
        action: Action,
    ) -> Result<Permit, Refused> {
        if let Err(why) = self.still_signed_in(who).await {
            let event = Event::new(Activity::Authorize, self.now())
                .user(who.user())
                .source(who.source())
                .target(target)
                .outcome(Outcome::Refused(why.clone()));
            // The answer is a refusal either way.
            let _ = self.auditor().write(event).await;
            return Err(Refused::bound(&why));
        }
        self.decide_and_audit(who, target, login, action).await
    }

    /// INVARIANT: a connection is good for as long as what its sign-in rests on, and at most as
    /// long as a certificate would be.
    async fn still_signed_in(&self, who: &Authenticated) -> Result<(), String> {
        let now = self.now();
        if now.since(who.since()) > MAX_SIGN_IN_LIFETIME {
            return Err("you signed in too long ago; connect again".into());
        }
        let unavailable = |_| "the store does not answer; try again".to_owned();
        let holds = match who.basis() {
            Basis::Token => true,
            Basis::Key(key) => registered(&self.snapshot().facts, who.user(), key),
            Basis::Certificate(serial) => {
                self.store().certificate(*serial, now).await.map_err(unavailable)?.is_some()
            }
            Basis::Passkey(credential) => {
                let found = self.store().passkey(credential).await.map_err(unavailable)?;
                found.is_some_and(|passkey| passkey.user == *who.user())
            }
            Basis::Password => {
                let status =
                    self.store().credential_status(who.user()).await.map_err(unavailable)?;
                status.password_set_at.is_some_and(|at| at <= who.since())
            }
        };
        if holds {
            Ok(())
        } else {
            Err("what you signed in with is not good any more; connect again".into())
        }
    }

    /// The decision itself, for a session that is running as well as for a new one.
    pub(crate) async fn decide_and_audit(
        &self,
        who: &Authenticated,
        target: &TargetName,
        login: Option<&Login>,
        action: Action,
    ) -> Result<Permit, Refused> {
        let query = Query {
            who: who.authentication().clone(),
            target: target.clone(),
            login: login.cloned(),
            action,
        };
        if let Some(why) = self.closed_because() {
            let refused = Refused::closed(&why);
            let event = decision_event(&query, self).outcome(Outcome::Refused(why));
            // The answer is a refusal either way, so a log that cannot be written changes nothing.
            let _ = self.auditor().write(event).await;
            return Err(refused);
        }
        loop {
            let snapshot = self.snapshot();
            let decision = decide(&snapshot.policies, &snapshot.facts, &query, self.now());
            let event = describe(decision_event(&query, self), &decision, &snapshot, &query);
            if let Err(error) = self.auditor().write(event).await {
                return Err(Refused::closed(&error.to_string()));
            }
            let Decision::Allow(terms) = decision else {
                metrics::counter!("portcullis_decisions_total", "outcome" => "refused")
                    .increment(1);
                return Err(Refused::by_decision(decision, target, query.action.kind()));
            };
            if self.snapshot().facts.revision != snapshot.facts.revision {
                continue;
            }
            let Some(found) = snapshot.facts.targets.get(target) else {
                return Err(Refused::closed("the target is gone"));
            };
            metrics::counter!("portcullis_decisions_total", "outcome" => "allowed").increment(1);
            return Ok(Permit {
                who: who.clone(),
                target: Arc::new(found.clone()),
                action: query.action,
                terms,
            });
        }
    }

    /// The decision alone: no permit comes of it.
    pub(crate) fn would_allow(
        &self,
        who: &Authenticated,
        target: &TargetName,
        login: &Login,
        action: Action,
    ) -> bool {
        let (who, login) = (who.authentication().clone(), Some(login.clone()));
        let query = Query { who, target: target.clone(), login, action };
        let snapshot = self.snapshot();
        let decision = decide(&snapshot.policies, &snapshot.facts, &query, self.now());
        matches!(decision, Decision::Allow(_))
    }

    /// Why nobody is let in at the moment, if so: no store, no log, no clock, no access.
    pub fn closed_because(&self) -> Option<String> {
        let now = self.now();
        if self.stopping() {
            return Some("the node is shutting down".into());
        }
        if !self.auditor().healthy() {
            return Some("the audit log cannot be written".into());
        }
        if !self.current().lease_holds(now) {
            return Some("the store has not answered for longer than the lease".into());
        }
        let set_back = self.clock().set_back_by();
        (set_back > crate::MAX_CLOCK_SET_BACK)
            .then(|| format!("the system clock was set back by {} s", set_back.as_secs()))
    }
}

fn decision_event(query: &Query, gateway: &Gateway) -> Event {
    let mut event = Event::new(Activity::Authorize, gateway.now())
        .user(&query.who.user)
        .source(query.who.source)
        .target(&query.target)
        .detail("action", query.action.kind().as_str());
    if let Some(detail) = query.action.detail() {
        if detail.len() > MAX_DETAIL_BYTES {
            // The entry holds the beginning; this stands for the whole.
            let hash = sha256(&[detail.as_bytes()]);
            let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            event = event.detail("object_sha256", hex).detail("object_bytes", detail.len());
        }
        event = event.detail("object", detail);
    }
    if let Some(login) = &query.login {
        event = event.detail("login", login.as_str());
    }
    event
}

fn describe(event: Event, decision: &Decision, snapshot: &Snapshot, query: &Query) -> Event {
    let event = match snapshot.facts.targets.get(&query.target) {
        Some(target) => event.environment(&target.environment),
        None => event,
    };
    match decision {
        Decision::Allow(terms) => {
            let event = event
                .detail("policies", terms.reasons.join(" "))
                .detail("login", terms.login.as_str());
            match terms.grant {
                Some(grant) => event.detail("grant", grant.to_string()),
                None => event,
            }
        }
        Decision::StepUp { .. } => {
            event.outcome(Outcome::Refused("a second factor is missing or too old".into()))
        }
        Decision::RequestAccess { .. } => {
            event.outcome(Outcome::Refused("no grant is in force".into()))
        }
        Decision::Deny(denial) => event.outcome(Outcome::Refused(denial.to_string())),
    }
}
