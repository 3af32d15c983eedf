//! Sign-ins to Portcullis itself: a browser's, by cookie; seeing and ending one's own.

use std::net::IpAddr;

use portcullis_domain::audit::Activity;
use portcullis_domain::{Secret, SignInId, UserName};
use portcullis_gateway::{
    Authenticated, Carrier, Issued, Presence, Presented, SignInError, SignInFor, SignedIn,
};
use portcullis_identity::token::Token;

use crate::access::ends_with;
use crate::factors::{proof, sign_in_of};
use crate::view::{PasskeySessionBody, ProofBody, SessionBody, SignInRow, WebSessionView};
use crate::{Control, ControlError, ErrorKind};

/// A browser's sign-in: what it may read, and the token that goes into a cookie and nowhere else.
pub struct WebSession {
    /// What the page reads.
    pub view: WebSessionView,
    /// The cookie's.
    pub token: Secret<String>,
}

impl Control {
    /// The person a token stands for that a program sent in a header.
    pub async fn caller(&self, token: &str, source: IpAddr) -> Result<Authenticated, ControlError> {
        let presented = self.presented(token, Carrier::Bearer, source, Presence::Acts).await?;
        Ok(presented.who)
    }

    /// The person a token stands for that came by this carrier.
    pub async fn presented(
        &self,
        token: &str,
        carrier: Carrier,
        source: IpAddr,
        presence: Presence,
    ) -> Result<Presented, ControlError> {
        let presented = self.gateway().presented(token, carrier, source, presence).await;
        presented.map_err(|error| match error {
            SignInError::Refused => {
                ControlError::unauthenticated("sign in first with `portcullis login`")
            }
            other => other.into(),
        })
    }

    /// Password and code for a token.
    pub(crate) async fn sign_in(
        &self,
        (user, password, code): (String, Secret<String>, Option<Secret<String>>),
        source: IpAddr,
        wanted: SignInFor,
    ) -> Result<Issued, ControlError> {
        let Ok(user) = UserName::new(&user) else { return Err(SignInError::Refused.into()) };
        match self.gateway().log_in(&user, password, code, source, wanted).await? {
            SignedIn::Issued(issued) => Ok(*issued),
            SignedIn::SecondFactorRequired => Err(ControlError::new(
                ErrorKind::SecondFactorRequired,
                "second_factor_required",
                "a one-time code or a passkey is needed as well",
            )),
        }
    }

    /// Signs in a browser. `held` is the cookie it had before, which ends: what somebody put there
    /// in advance is never signed in with.
    pub async fn begin_web_session(
        &self,
        body: SessionBody,
        held: Option<&str>,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<WebSession, ControlError> {
        let typed = (body.user, Secret::new(body.password), body.code.map(Secret::new));
        let issued = self.sign_in(typed, source, self.for_a_browser(client)).await?;
        self.end_held(held, source).await?;
        Ok(web_session(issued))
    }

    /// Signs in a browser with what a passkey answered; `held` as in [`Control::begin_web_session`].
    pub async fn begin_passkey_session(
        &self,
        body: PasskeySessionBody,
        held: Option<&str>,
        source: IpAddr,
        client: Option<String>,
    ) -> Result<WebSession, ControlError> {
        let wanted = self.for_a_browser(client);
        let issued = self.gateway().finish_passkey_sign_in(&body.answer, source, wanted).await?;
        self.end_held(held, source).await?;
        Ok(web_session(issued))
    }

    fn for_a_browser(&self, client: Option<String>) -> SignInFor {
        SignInFor {
            carrier: Carrier::Cookie,
            lifetime: self.settings().sign_in_lifetime,
            idle: Some(self.settings().sign_in_idle),
            client,
            key: None,
            tls_key: None,
        }
    }

    async fn end_held(&self, held: Option<&str>, source: IpAddr) -> Result<(), ControlError> {
        if let Some(held) = held
            && let Ok(before) =
                self.presented(held, Carrier::Cookie, source, Presence::Listens).await
        {
            self.logout(&before.who, held).await?;
        }
        Ok(())
    }

    /// Proves a second factor for the browser's sign-in; another cookie takes the place of this one.
    pub async fn raise_web_session(
        &self,
        who: &Authenticated,
        token: &str,
        body: ProofBody,
    ) -> Result<WebSession, ControlError> {
        self.must_be_active(who)?;
        let proof = proof(body)?;
        let sign_in = sign_in_of(token);
        Ok(web_session(self.gateway().raise_sign_in(who, token, &sign_in, proof).await?))
    }

    /// Ends the caller's token.
    pub async fn logout(&self, who: &Authenticated, token: &str) -> Result<(), ControlError> {
        Ok(self.gateway().log_out(who, token).await?)
    }

    /// What the caller is signed in with; `current` is the sign-in that asks.
    pub async fn sign_ins(
        &self,
        who: &Authenticated,
        current: SignInId,
    ) -> Result<Vec<SignInRow>, ControlError> {
        self.must_be_active(who)?;
        let now = self.gateway().now();
        let found = self.gateway().store().sign_ins_of(who.user(), now).await?;
        Ok(found
            .into_iter()
            .map(|found| SignInRow {
                id: found.token.id,
                carrier: found.token.carrier,
                current: found.token.id == current,
                client: found.token.client,
                source: found.token.source,
                factors: found.token.factors.iter().map(|factor| factor.kind).collect(),
                certificate: found.token.certificate.is_some(),
                issued: found.token.issued_at,
                seen: found.seen_at,
                expires: found.token.expires_at,
            })
            .collect())
    }

    /// Ends one of the caller's sign-ins, by its id or a unique ending of it, with the certificate it came with.
    pub async fn end_sign_in(&self, who: &Authenticated, id: &str) -> Result<(), ControlError> {
        self.must_be_active(who)?;
        let missing = || ControlError::not_found(format!("sign-in `{}`", id.escape_debug()));
        let (store, now) = (self.gateway().store(), self.gateway().now());
        let mut found = store.sign_ins_of(who.user(), now).await?;
        found.retain(|found| {
            let whole = found.token.id.to_string();
            whole == id || ends_with(&whole, id)
        });
        let id = match (found.pop(), found.is_empty()) {
            (Some(found), true) => found.token.id,
            (Some(_), false) => {
                return Err(ControlError::invalid("give more of the sign-in's id"));
            }
            (None, _) => return Err(missing()),
        };
        let event = self.event(who, Activity::CertificateIssue).detail("revoked", true);
        self.audit(event.detail("sign_in", id.to_string())).await?;
        let ended = store.end_sign_in(who.user(), id, now).await?;
        self.gateway().refresh().await?;
        if ended { Ok(()) } else { Err(missing()) }
    }
}

fn web_session(issued: Issued) -> WebSession {
    let view = WebSessionView {
        user: issued.who.user().clone(),
        sign_in: issued.sign_in,
        expires: issued.expires,
        csrf: csrf_of(issued.token.expose()),
    };
    WebSession { view, token: issued.token }
}

/// What a page says beside this token in a cookie; `None` where it is no token.
pub fn csrf_of(token: &str) -> Option<String> {
    Some(Token::parse(token).ok()?.csrf().to_text().expose().clone())
}

/// Whether a page says what it must beside this token in a cookie.
pub fn says_csrf(token: &str, said: &str) -> bool {
    Token::parse(token).is_ok_and(|token| token.csrf().is(said))
}
