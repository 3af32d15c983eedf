//! Proof types: an [`Authenticated`] only comes out of signing in, a [`Permit`] only out of
//! `authorize`. Both have private fields, so that no room can make one up.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_domain::{
    Action, ActionKind, Authentication, Decision, Factor, Target, TargetName, Terms, Timestamp,
    UserName, format_duration,
};
use portcullis_identity::keys::PublicKey;

use crate::places::Place;

/// What a sign-in rests on, so that it does not outlast it.
#[derive(Debug, Clone)]
pub(crate) enum Basis {
    /// A registered key; it must stay registered.
    Key(Box<PublicKey>),
    /// A certificate of the gate's; it must stay in force.
    Certificate(u64),
    /// A password; it must not have been changed since.
    Password,
    /// A bearer token, which is looked up on every call.
    Token,
    /// A passkey; it must stay registered.
    Passkey(Box<[u8]>),
}

/// A person who has signed in on one connection.
#[derive(Debug, Clone)]
pub struct Authenticated(Arc<SignedInPerson>);

#[derive(Debug, Clone)]
struct SignedInPerson {
    authentication: Authentication,
    basis: Basis,
    since: Timestamp,
    /// Held by whatever lives of this sign-in.
    place: Option<Arc<Place>>,
}

impl Authenticated {
    /// Only the sign-in flow and token check of this crate call this.
    pub(crate) fn new(authentication: Authentication, basis: Basis, since: Timestamp) -> Self {
        Self(Arc::new(SignedInPerson { authentication, basis, since, place: None }))
    }

    /// The same, holding a place among its person's connections until the last of it is dropped.
    pub(crate) fn holding(self, place: Option<Place>) -> Self {
        let mut person = SignedInPerson::clone(&self.0);
        person.place = place.map(Arc::new);
        Self(Arc::new(person))
    }

    /// The same sign-in with a second factor proved now.
    pub(crate) fn with_factor(&self, factor: Factor) -> Self {
        let mut person = SignedInPerson::clone(&self.0);
        person.authentication.factors.retain(|known| known.kind != factor.kind);
        person.authentication.factors.push(factor);
        Self(Arc::new(person))
    }

    /// The same person while a session runs: a second factor is as old as it was when the session
    /// began, so that one proved for the session lasts as long, and an older one grows no younger.
    pub(crate) fn as_of(&self, opened: Timestamp, now: Timestamp) -> Self {
        let mut person = SignedInPerson::clone(&self.0);
        for factor in &mut person.authentication.factors {
            if factor.kind.is_second() {
                factor.at = factor.at.plus(now.since(opened));
            }
        }
        Self(Arc::new(person))
    }

    pub(crate) fn basis(&self) -> &Basis {
        &self.0.basis
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.0.since
    }

    /// Who it is.
    pub fn user(&self) -> &UserName {
        &self.0.authentication.user
    }

    /// Where they came from.
    pub fn source(&self) -> IpAddr {
        self.0.authentication.source
    }

    /// What they proved, and when.
    pub fn authentication(&self) -> &Authentication {
        &self.0.authentication
    }
}

/// Whether `key` is one of an enabled person's.
pub(crate) fn registered(
    facts: &portcullis_domain::Facts,
    user: &UserName,
    key: &PublicKey,
) -> bool {
    let Some(found) = facts.users.get(user) else { return false };
    !found.disabled
        && found.ssh_keys.iter().any(|line| {
            PublicKey::from_openssh(line).is_ok_and(|known| known.key_data() == key.key_data())
        })
}

/// The right to do one thing to one target, on terms.
///
/// INVARIANT: minted only by `authorize` after the decision was audited; not `Clone`.
#[derive(Debug)]
#[must_use = "a permit that is dropped was asked for in vain"]
pub struct Permit {
    pub(crate) who: Authenticated,
    pub(crate) target: Arc<Target>,
    pub(crate) action: Action,
    pub(crate) terms: Terms,
}

impl Permit {
    /// On which terms.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// To what.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What may be done.
    pub fn action(&self) -> &Action {
        &self.action
    }
}

/// An action was not allowed. `Display` and [`Refused::told`] are what the user reads.
#[derive(Debug, Clone)]
pub struct Refused {
    decision: Option<Box<Decision>>,
    told: String,
}

impl Refused {
    /// Refused by a decision.
    pub(crate) fn by_decision(decision: Decision, target: &TargetName, action: ActionKind) -> Self {
        let told = match &decision {
            Decision::Allow(_) => "allowed".into(),
            Decision::StepUp { .. } => format!(
                "`{target}` needs a second factor; connect from a terminal so that you can be asked for \
                 a one-time code, or set one up with `portcullis factor enrol`"
            ),
            Decision::RequestAccess { rule: Some(_), max_grant, .. } => format!(
                "`{target}` needs an approved request; ask with\n  \
                 portcullis request {target} --action {action} --for 1h --reason \"...\"\n\
                 (at most {}; without `--action` for all that your roles allow)",
                format_duration(*max_grant)
            ),
            Decision::RequestAccess { rule: None, .. } => format!(
                "`{target}` is in an environment without an approval rule, so nobody can be let in"
            ),
            Decision::Deny(denial) => denial.told(),
        };
        Self { decision: Some(Box::new(decision)), told }
    }

    /// Refused because the gate itself cannot let anyone in.
    pub(crate) fn closed(why: &str) -> Self {
        Self { decision: None, told: format!("the gate is closed: {why}") }
    }

    /// Refused by a bound.
    pub(crate) fn bound(why: &str) -> Self {
        Self { decision: None, told: why.to_owned() }
    }

    /// The text for the user; may have several lines, has no control characters besides.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// The decision, unless the gate was closed.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_deref()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for Refused {}
