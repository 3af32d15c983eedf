//! Which page made a browser ask (RFC 6454, Fetch Metadata): a page of another origin never acts here,
//! whether or not its visitor is signed in.
//!
//! A program that is no browser says nothing about origins and has no cookie: it is not asked. Acting
//! with a cookie takes all three: the browser's word that the page is ours, and what only our pages
//! can read ([`HEADER`]); where one is missing the answer is no.

use axum::extract::FromRequestParts;
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use crate::problem::Problem;

/// What pages of the console send with everything that changes something.
pub(crate) const HEADER: &str = "x-portcullis-csrf";
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// How the connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear, on loopback.
    Http,
    /// Over TLS.
    #[allow(dead_code, reason = "the listener is plain on loopback until it has a certificate")]
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Scheme {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(Problem::internal)
    }
}

/// Whether a call with this method leaves everything as it is (RFC 9110, 9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// For every call, signed in or not: no page of another origin changes anything.
pub(crate) fn check(method: &Method, headers: &HeaderMap, scheme: Scheme) -> Result<(), Problem> {
    if is_safe(method) {
        return Ok(());
    }
    let same_site = matches!(word(headers, SEC_FETCH_SITE)?, None | Some("same-origin" | "none"));
    let same_origin = match word(headers, ORIGIN.as_str())? {
        None => true,
        Some(origin) => is_own(origin, headers, scheme),
    };
    if same_site && same_origin { Ok(()) } else { Err(Problem::cross_origin()) }
}

/// For a call with a cookie: its browser must say that the page is ours; `says_csrf` is whether
/// the page said what only ours can know.
pub(crate) fn check_cookie(
    method: &Method,
    headers: &HeaderMap,
    scheme: Scheme,
    says_csrf: impl FnOnce(&str) -> bool,
) -> Result<(), Problem> {
    let site = word(headers, SEC_FETCH_SITE)?;
    if is_safe(method) {
        // `none` is a person who typed the address.
        let ours = matches!(site, None | Some("same-origin" | "none"));
        return if ours { Ok(()) } else { Err(Problem::cross_origin()) };
    }
    let origin = word(headers, ORIGIN.as_str())?;
    let ours = matches!(site, None | Some("same-origin"))
        && origin.is_some_and(|origin| is_own(origin, headers, scheme));
    if !ours {
        return Err(Problem::cross_origin());
    }
    if word(headers, HEADER)?.is_some_and(says_csrf) { Ok(()) } else { Err(Problem::csrf()) }
}

/// Whether an origin is this node as the request names it. `host` has checked that name already.
fn is_own(origin: &str, headers: &HeaderMap, scheme: Scheme) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = origin.split_once("://");
    named.is_some_and(|(said, authority)| {
        said == scheme.as_str() && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    })
}

/// The one value of a header; two of them are refused, as it is not clear which a browser meant.
fn word<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Problem::cross_origin()),
        (Some(_), Some(_)) => Err(Problem::cross_origin()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:3022"));
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    const OWN: (&str, &str) = ("origin", "http://localhost:3022");
    const FOREIGN: [&str; 7] = [
        "null",
        "https://localhost:3022",
        "http://localhost:8080",
        "http://localhost",
        "http://evil.example",
        "http://localhost:3022.evil.example",
        "http://127.0.0.1:3022",
    ];

    #[test]
    fn programs_say_nothing_of_origins_and_are_not_asked() {
        assert!(check(&Method::POST, &headers(&[]), Scheme::Http).is_ok());
        assert!(check(&Method::POST, &headers(&[OWN]), Scheme::Http).is_ok());
        assert!(
            check(&Method::GET, &headers(&[("origin", "http://evil.example")]), Scheme::Http)
                .is_ok()
        );
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        for origin in FOREIGN {
            let sent = headers(&[("origin", origin)]);
            assert!(check(&Method::POST, &sent, Scheme::Http).is_err(), "{origin}");
        }
        for site in ["cross-site", "same-site", "", "Same-Origin", "?"] {
            let sent = headers(&[("sec-fetch-site", site)]);
            assert!(check(&Method::DELETE, &sent, Scheme::Http).is_err(), "{site}");
        }
        assert!(check(&Method::PUT, &headers(&[OWN, OWN]), Scheme::Http).is_err());
    }

    #[test]
    fn acting_with_a_cookie_takes_the_browsers_word_and_the_pages() {
        let acts = |pairs: &[(&'static str, &str)]| {
            check_cookie(&Method::POST, &headers(pairs), Scheme::Http, |said| said == "s").is_ok()
        };
        let (site, csrf) = (("sec-fetch-site", "same-origin"), (HEADER, "s"));
        assert!(acts(&[OWN, site, csrf]) && acts(&[OWN, csrf]));
        assert!(!acts(&[OWN, site]) && !acts(&[OWN, site, (HEADER, "x")]));
        assert!(!acts(&[site, csrf]) && !acts(&[csrf]) && !acts(&[OWN, site, csrf, csrf]));
        for origin in FOREIGN {
            assert!(!acts(&[("origin", origin), site, csrf]), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!acts(&[OWN, ("sec-fetch-site", site), csrf]), "{site}");
        }
    }

    #[test]
    fn reading_with_a_cookie_is_for_our_pages() {
        let reads = |pairs: &[(&'static str, &str)]| {
            check_cookie(&Method::GET, &headers(pairs), Scheme::Http, |_| false).is_ok()
        };
        assert!(reads(&[]) && reads(&[("sec-fetch-site", "same-origin")]));
        assert!(reads(&[("sec-fetch-site", "none")]));
        assert!(!reads(&[("sec-fetch-site", "same-site")]));
        assert!(!reads(&[("sec-fetch-site", "cross-site")]));
    }
}
