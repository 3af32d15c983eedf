//! Who calls: the address of the connection, and the person a token stands for that came in a
//! header (RFC 6750) or, from a browser, in a cookie.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use portcullis_control::{Authenticated, Carrier, Control, Presence, Presented, says_csrf};
use portcullis_domain::Secret;

use crate::cookie;
use crate::origin::{self, Scheme};
use crate::problem::Problem;

/// Longest bearer token looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 512;
/// Longest name of a client kept, in characters.
const MAX_CLIENT_CHARS: usize = 200;

/// The other end of the connection. Headers that claim another one are not believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A signed-in caller. Only the guard makes one; a handler that asks for it on an endpoint that is
/// [`crate::Right::Anonymous`] refuses everyone.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    presented: Presented,
    token: Secret<String>,
    carrier: Carrier,
    framing: Framing,
}

/// How a caller reads what goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One line of JSON each.
    Lines,
    /// Server-sent events (HTML, 9.2), one line of JSON as the data of each.
    Events,
}

impl Framing {
    fn read(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let events = accepted.flat_map(|value| value.split(',')).any(|range| {
            let media = range.split(';').next().unwrap_or_default().trim();
            media.eq_ignore_ascii_case("text/event-stream")
        });
        if events { Self::Events } else { Self::Lines }
    }
}

impl Caller {
    /// Finds out who calls. A token in a header goes before a cookie: a page cannot send one in
    /// somebody else's name.
    pub(crate) async fn identify(
        control: &Control,
        method: &Method,
        headers: &HeaderMap,
        (peer, scheme): (Peer, Scheme),
    ) -> Result<Self, Problem> {
        let (token, carrier) = if headers.contains_key(AUTHORIZATION) {
            (bearer(headers).ok_or_else(Problem::unauthenticated)?, Carrier::Bearer)
        } else {
            let token = cookie::read(headers, scheme).ok_or_else(Problem::unauthenticated)?;
            (token, Carrier::Cookie)
        };
        if carrier == Carrier::Cookie {
            origin::check_cookie(method, headers, scheme, |said| says_csrf(token.expose(), said))?;
        }
        let presented = control.presented(token.expose(), carrier, peer.0, Presence::Acts).await?;
        Ok(Self { presented, token, carrier, framing: Framing::read(headers) })
    }

    /// The person.
    pub(crate) fn who(&self) -> &Authenticated {
        &self.presented.who
    }

    /// Their sign-in.
    pub(crate) fn presented(&self) -> &Presented {
        &self.presented
    }

    /// How what they showed came.
    pub(crate) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// How they read what goes on.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether what they showed is still good, without counting as use of it.
    pub(crate) async fn again(&self, control: &Control) -> Option<Authenticated> {
        let source = self.who().source();
        let token = self.token.expose();
        let presented = control.presented(token, self.carrier, source, Presence::Listens).await;
        presented.ok().map(|presented| presented.who)
    }

    /// What they showed.
    pub(crate) fn token(&self) -> &str {
        self.token.expose()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthenticated)
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(Problem::internal)
    }
}

/// What the caller's program calls itself, printable and bounded; a claim.
#[derive(Debug, Clone)]
pub(crate) struct Client(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let said = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let said = said.map(|text| text.chars().take(MAX_CLIENT_CHARS).collect::<String>());
        Ok(Self(said.filter(|text| !text.is_empty() && !text.chars().any(char::is_control))))
    }
}

/// The one token of the one `Authorization` header; two of them are none.
fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let fits = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.len() <= MAX_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(|token| token.expose().clone())
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_the_token_is_taken_whole() {
        assert_eq!(read(&["Bearer pct_abc"]).as_deref(), Some("pct_abc"));
        assert_eq!(read(&["bearer  pct_abc "]).as_deref(), Some("pct_abc"));
    }

    #[test]
    fn anything_but_one_plain_token_is_none() {
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1));
        for values in [
            &[][..],
            &["Basic YTpi"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a", "Bearer a"],
            &[long.as_str()],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
