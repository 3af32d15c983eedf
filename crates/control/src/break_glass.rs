//! Taking a break-glass role out, and the review that somebody else closes afterwards.
//!
//! Nobody approves a use; what stands in for approval is that it is said everywhere at once, that it
//! is short and recorded, and that the role is of no use to anyone until the review is closed.

use std::collections::BTreeSet;
use std::str::FromStr;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::break_glass::{Broken, Use};
use portcullis_domain::request::MAX_REQUEST_TARGETS;
use portcullis_domain::{
    BreakGlassError, ControlAction, EnvironmentName, Facts, Grant, GrantId, Review, ReviewError,
    ReviewId, ReviewState, Role, RoleName, TargetName, UserName, parse_duration,
};
use portcullis_gateway::Authenticated;
use portcullis_store::{ReviewFilter, TransitionFailure};
use thiserror::Error;

use crate::access::ends_with;
use crate::right::reason;
use crate::separation::not_both;
use crate::view::{BreakGlassBody, BrokenView, FindingsBody, ReviewView, ReviewsQuery};
use crate::{Control, ControlError, ErrorKind};

/// Why nothing came of it, inside the store's transaction.
#[derive(Debug, Error)]
enum UseError {
    #[error(transparent)]
    BreakGlass(#[from] BreakGlassError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl From<UseError> for ControlError {
    fn from(error: UseError) -> Self {
        let (kind, code) = match &error {
            UseError::BreakGlass(BreakGlassError::Unreviewed { .. }) => {
                (ErrorKind::Conflict, "unreviewed_use")
            }
            UseError::BreakGlass(BreakGlassError::FactorTooOld) => {
                (ErrorKind::Forbidden, "second_factor_too_old")
            }
            UseError::BreakGlass(_) => (ErrorKind::Invalid, "invalid_use"),
            UseError::Review(ReviewError::OwnUse { .. }) => (ErrorKind::Forbidden, "own_use"),
            UseError::Review(_) => (ErrorKind::Conflict, "not_reviewable"),
            UseError::Control(_) => (ErrorKind::Unavailable, "unavailable"),
        };
        match error {
            UseError::Control(error) => error,
            other => Self::new(kind, code, other.to_string()),
        }
    }
}

impl Control {
    /// Takes a break-glass role of the caller's out, for these targets.
    ///
    /// INVARIANT: with a fresh second factor that has settled, a reason, and only while the last use
    /// of the role has been reviewed; one use leads to one grant, however many come at once.
    pub async fn break_glass(
        &self,
        who: &Authenticated,
        body: BreakGlassBody,
    ) -> Result<BrokenView, ControlError> {
        self.must_be_active(who)?;
        let event = self.event(who, Activity::BreakGlass);
        self.must_have_settled_factor(who, event.clone()).await?;
        let why = reason(&body.reason)?;
        let duration = body.duration.as_deref().map(parse_duration).transpose();
        let duration = duration.map_err(ControlError::invalid)?;
        let (role, targets, environment) = self.asked_for(who.user(), &body)?;
        let event = event.detail("role", role.name.as_str()).detail("reason", why.clone());
        let mut targets = targets.into_iter();
        let target = targets.next().ok_or_else(|| not_eligible(""))?;
        let event = event.target(&target).environment(&environment);
        let used = Use {
            user: who.user().clone(),
            target,
            also: targets.collect(),
            environment,
            reason: why,
            duration,
            second_factor_at: who.authentication().second_factor_at(),
        };
        self.must_open(&role, &used).await?;
        let now = self.gateway().now();
        let facts = self.gateway().snapshot();
        let decide = |open: Option<Review>, held: &[Grant]| {
            not_both(&facts.facts, (&used.user, held), Some(&role.name), now)?;
            let ids = (ReviewId::generate(now), GrantId::generate(now));
            Ok(used.of(&role, open.as_ref(), ids, now)?)
        };
        let said = |broken: Broken| self.say_broken(event.clone(), broken);
        let store = self.gateway().store();
        let done: Result<Broken, TransitionFailure<UseError>> =
            store.break_glass(&role.name, who.user(), decide, said).await;
        match done {
            Ok(Broken { review, grant }) => {
                self.gateway().refresh().await?;
                Ok(BrokenView { review: review.id, grant })
            }
            Err(failure) => {
                let error = ControlError::from(failure);
                self.audit(event.outcome(Outcome::Refused(error.to_string()))).await?;
                Err(error)
            }
        }
    }

    async fn say_broken(&self, event: Event, broken: Broken) -> Result<(), UseError> {
        let Broken { review, grant } = broken;
        let names: Vec<&str> = grant.targets().map(TargetName::as_str).collect();
        let event = event
            .detail("review", review.id.to_string())
            .detail("grant", grant.id.to_string())
            .detail("targets", names.join(" "))
            .detail("ends", grant.ends.to_string());
        Ok(self.audit(event).await?)
    }

    /// The role that is meant, the targets, and the one environment they are in.
    fn asked_for(
        &self,
        user: &UserName,
        body: &BreakGlassBody,
    ) -> Result<(Role, BTreeSet<TargetName>, EnvironmentName), ControlError> {
        let snapshot = self.gateway().snapshot();
        let facts = &snapshot.facts;
        let names = body.targets.iter().map(|name| TargetName::new(name));
        let names: BTreeSet<TargetName> =
            names.collect::<Result<_, _>>().map_err(ControlError::invalid)?;
        if names.is_empty() || names.len() > MAX_REQUEST_TARGETS {
            let why = format!("name 1 to {MAX_REQUEST_TARGETS} targets");
            return Err(ControlError::invalid(why));
        }
        let role = one_role(facts, user, &names, body.role.as_deref())?;
        let rooms = names.iter().filter_map(|name| facts.targets.get(name));
        let rooms: BTreeSet<_> = rooms.map(|target| target.environment.clone()).collect();
        let mut rooms = rooms.into_iter();
        match (rooms.next(), rooms.next()) {
            (Some(room), None) => Ok((role.clone(), names, room)),
            _ => Err(ControlError::invalid("one use is for targets of one environment")),
        }
    }

    /// Refuses a use that would open nothing, so that no review is opened for it.
    async fn must_open(&self, role: &Role, used: &Use) -> Result<(), ControlError> {
        let snapshot = self.gateway().snapshot();
        let opens = self.would_break(&snapshot, role, used).await?;
        if opens {
            return Ok(());
        }
        let why =
            format!("role `{}` opens nothing there now; `portcullis why` explains", role.name);
        Err(ControlError::new(ErrorKind::Conflict, "opens_nothing", why))
    }

    /// Reviews: open ones, or all; others' need the right to review.
    pub async fn reviews(
        &self,
        who: &Authenticated,
        query: ReviewsQuery,
    ) -> Result<Vec<ReviewView>, ControlError> {
        self.must_be_active(who)?;
        let filter = ReviewFilter { open: (!query.all).then_some(true), ..Default::default() };
        let found = self.gateway().store().reviews(&filter).await?;
        let all = self.holds(who, ControlAction::ReviewUses);
        let seen = found.into_iter().filter(|review| all || review.user == *who.user());
        Ok(seen.map(|review| self.review_view(who, review)).collect())
    }

    /// One review, with what the user did.
    pub async fn review(&self, who: &Authenticated, id: &str) -> Result<ReviewView, ControlError> {
        self.must_be_active(who)?;
        let review = self.find_review(who, id).await?;
        let history = self.history_of(&review.user).await?;
        let used = history.into_iter().find(|row| row.grant == review.grant);
        let grant = self.gateway().store().grant(review.grant).await?;
        Ok(ReviewView { used, grant: Some(grant), ..self.review_view(who, review) })
    }

    /// Closes a review with what was found.
    ///
    /// INVARIANT (nobody alone): never by who took the role out, and by a factor that has settled.
    pub async fn close_review(
        &self,
        who: &Authenticated,
        id: &str,
        body: FindingsBody,
    ) -> Result<ReviewView, ControlError> {
        self.must_hold(who, ControlAction::ReviewUses, Activity::ReviewClose).await?;
        let review = self.find_review(who, id).await?;
        let event = self
            .event(who, Activity::ReviewClose)
            .target(&review.target)
            .environment(&review.environment)
            .detail("review", review.id.to_string())
            .detail("role", review.role.as_str())
            .person("of", &review.user);
        self.must_have_settled_factor(who, event.clone()).await?;
        let findings = reason(&body.findings)?;
        let event = event.detail("findings", findings.clone());
        let (by, now) = (who.user().clone(), self.gateway().now());
        let decide = |review: Review, grant: &Grant| Ok(review.close(by, findings, grant, now)?);
        let said = |_| async { Ok(self.audit(event.clone()).await?) };
        let done: Result<Review, TransitionFailure<UseError>> =
            self.gateway().store().close_review(review.id, decide, said).await;
        match done {
            Ok(review) => Ok(self.review_view(who, review)),
            Err(failure) => {
                let error = ControlError::from(failure);
                self.audit(event.outcome(Outcome::Refused(error.to_string()))).await?;
                Err(error)
            }
        }
    }

    fn review_view(&self, who: &Authenticated, review: Review) -> ReviewView {
        let can_close = review.state == ReviewState::Open
            && review.user != *who.user()
            && self.holds(who, ControlAction::ReviewUses);
        ReviewView { review, can_close, used: None, grant: None }
    }

    async fn find_review(&self, who: &Authenticated, id: &str) -> Result<Review, ControlError> {
        let all = self.holds(who, ControlAction::ReviewUses);
        let seen = |review: &Review| all || review.user == *who.user();
        let missing = || ControlError::not_found(format!("review `{}`", id.escape_debug()));
        if let Ok(id) = ReviewId::from_str(id) {
            let found = self.gateway().store().review(id).await;
            return found.ok().filter(seen).ok_or_else(missing);
        }
        let filter = ReviewFilter {
            page: portcullis_store::Page { before: None, limit: portcullis_store::MAX_PAGE },
            ..Default::default()
        };
        let found = self.gateway().store().reviews(&filter).await?;
        let typed = |review: &Review| ends_with(&review.id.to_string(), id) && seen(review);
        let mut found: Vec<_> = found.into_iter().filter(typed).collect();
        match (found.pop(), found.is_empty()) {
            (Some(review), true) => Ok(review),
            (Some(_), false) => Err(ControlError::invalid("give more of the review's id")),
            (None, _) => Err(missing()),
        }
    }
}

/// The one break-glass role of the person's that selects all of these targets, or the one named.
fn one_role<'f>(
    facts: &'f Facts,
    user: &UserName,
    targets: &BTreeSet<TargetName>,
    named: Option<&str>,
) -> Result<&'f Role, ControlError> {
    let named = named.map(RoleName::new).transpose().map_err(ControlError::invalid)?;
    let selects = |role: &&Role| {
        targets.iter().all(|name| {
            let target = facts.targets.get(name);
            target.is_some_and(|target| role.allow.iter().any(|rule| rule.selects(target)))
        })
    };
    let held = facts.roles_of(user);
    let mut found: Vec<&Role> = held
        .keys()
        .filter_map(|name| facts.roles.get(name))
        .filter(|role| role.break_glass.is_some())
        .filter(|role| named.as_ref().is_none_or(|named| role.name == *named))
        .filter(selects)
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(role), true) => Ok(role),
        (Some(role), false) => {
            let why = format!(
                "several break-glass roles of yours reach that, `{}` for one; name the one you mean with `--role`",
                role.name
            );
            Err(ControlError::invalid(why))
        }
        (None, _) => {
            let names: Vec<&str> = targets.iter().map(TargetName::as_str).collect();
            Err(not_eligible(&names.join(" ")))
        }
    }
}

/// A target that does not exist and one out of reach look the same.
fn not_eligible(what: &str) -> ControlError {
    let why = format!("no break-glass role of yours reaches `{what}`");
    ControlError::new(ErrorKind::NotFound, "not_eligible", why)
}
