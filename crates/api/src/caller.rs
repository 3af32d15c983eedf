//! Who calls: the address of the connection, and the person a bearer token stands for (RFC 6750).

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use portcullis_control::{Authenticated, Control};
use portcullis_domain::Secret;

use crate::problem::Problem;

/// Longest bearer token looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 512;

/// The other end of the connection. Headers that claim another one are not believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A signed-in caller. Only the guard makes one; a handler that asks for it on an endpoint that is
/// [`crate::Right::Anonymous`] refuses everyone.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    who: Authenticated,
    token: Secret<String>,
}

impl Caller {
    /// Finds out who calls.
    pub(crate) async fn identify(
        control: &Control,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<Self, Problem> {
        let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
        let who = control.caller(token.expose(), peer.0).await?;
        Ok(Self { who, token })
    }

    /// The person.
    pub(crate) fn who(&self) -> &Authenticated {
        &self.who
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
