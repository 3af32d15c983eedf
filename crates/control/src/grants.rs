//! Grants: who holds one, and ending it early.

use std::str::FromStr;

use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, Grant, GrantEnd, GrantId};
use portcullis_gateway::Authenticated;
use portcullis_store::{GrantFilter, Page, Revocation};

use crate::access::ends_with;
use crate::pages::{of_store, paged};
use crate::right::reason;
use crate::view::{AccessQuery, PageAsked, Paged, ReasonBody, RevokeView};
use crate::{Control, ControlError};

impl Control {
    /// Grants: one's own, or all with the right to see requests.
    pub async fn grants(
        &self,
        who: &Authenticated,
        query: AccessQuery,
        page: &PageAsked,
    ) -> Result<Paged<Grant>, ControlError> {
        self.must_be_active(who)?;
        let page = of_store(page)?;
        let all = !query.mine && self.holds(who, ControlAction::ReadRequests);
        let filter = GrantFilter {
            user: (!all).then(|| who.user().clone()),
            active_at: query.open.then(|| self.gateway().now()),
            page,
            ..GrantFilter::default()
        };
        let found = self.gateway().store().grants(&filter).await?;
        Ok(paged(found, page.limit, |grant| grant.id, Some))
    }

    /// Ends a grant early. Anyone may give back their own; others' need the right.
    pub async fn revoke(
        &self,
        who: &Authenticated,
        id: &str,
        body: ReasonBody,
    ) -> Result<RevokeView, ControlError> {
        self.must_be_active(who)?;
        let why = reason(&body.reason)?;
        let grant = self.find_grant(who, id).await?;
        if grant.user != *who.user() {
            self.must_hold(who, ControlAction::RevokeGrants, Activity::GrantRevoke).await?;
        }
        let event = self
            .event(who, Activity::GrantRevoke)
            .target(&grant.target)
            .detail("grant", grant.id.to_string())
            .person("of", &grant.user)
            .detail("reason", why.clone());
        self.audit(event).await?;
        let end = GrantEnd { at: self.gateway().now(), by: who.user().clone(), reason: why };
        let outcome = self.gateway().store().revoke_grant(grant.id, end).await?;
        self.gateway().refresh().await?;
        Ok(RevokeView { grant: grant.id, was_active: matches!(outcome, Revocation::Ended(_)) })
    }

    pub(crate) async fn find_grant(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<Grant, ControlError> {
        if let Ok(id) = GrantId::from_str(id) {
            let grant = self.gateway().store().grant(id).await?;
            return self.grant_if_visible(who, grant);
        }
        let filter = GrantFilter {
            page: Page { before: None, limit: portcullis_store::MAX_PAGE },
            ..GrantFilter::default()
        };
        let all = self.gateway().store().grants(&filter).await?;
        let mut found: Vec<_> =
            all.into_iter().filter(|grant| ends_with(&grant.id.to_string(), id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(grant), true) => self.grant_if_visible(who, grant),
            (Some(_), false) => Err(ControlError::invalid("give more of the grant's id")),
            (None, _) => Err(ControlError::not_found(format!("grant `{}`", id.escape_debug()))),
        }
    }

    fn grant_if_visible(&self, who: &Authenticated, grant: Grant) -> Result<Grant, ControlError> {
        let visible = grant.user == *who.user()
            || self.holds(who, ControlAction::ReadRequests)
            || self.holds(who, ControlAction::RevokeGrants);
        if visible {
            Ok(grant)
        } else {
            Err(ControlError::not_found(format!("grant `{}`", grant.id)))
        }
    }
}
