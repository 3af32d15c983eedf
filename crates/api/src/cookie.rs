//! The cookie of a browser's sign-in (RFC 6265).
//!
//! No script reads it, no other site's page makes the browser send it. Over TLS its name begins with
//! `__Host-`, so that no other host can set it; on plain loopback HTTP, where browsers take no such
//! cookie, it has a name of its own and is never mistaken for the other.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use portcullis_domain::Secret;

use crate::origin::Scheme;
use crate::problem::Problem;

/// Longest token looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 512;

const fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => "__Host-portcullis",
        Scheme::Http => "portcullis",
    }
}

const fn attributes(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => "Path=/; HttpOnly; SameSite=Strict; Secure",
        Scheme::Http => "Path=/; HttpOnly; SameSite=Strict",
    }
}

/// The token of the one cookie of ours; two of them are none, as nobody can say which was set by us.
pub(crate) fn read(headers: &HeaderMap, scheme: Scheme) -> Option<Secret<String>> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim_matches(' ').split_once('='))
        .filter(|(cookie, _)| *cookie == name(scheme));
    let (Some((_, token)), None) = (ours.next(), ours.next()) else { return None };
    let fits = !token.is_empty()
        && token.len() <= MAX_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    fits.then(|| Secret::new(token.to_owned()))
}

/// Has the browser keep this token until it is closed; the node ends it earlier.
pub(crate) fn keep(
    headers: &mut HeaderMap,
    scheme: Scheme,
    token: &Secret<String>,
) -> Result<(), Problem> {
    set(headers, format!("{}={}; {}", name(scheme), token.expose(), attributes(scheme)))
}

/// Has the browser forget it.
pub(crate) fn forget(headers: &mut HeaderMap, scheme: Scheme) -> Result<(), Problem> {
    set(headers, format!("{}=; {}; Max-Age=0", name(scheme), attributes(scheme)))
}

fn set(headers: &mut HeaderMap, text: String) -> Result<(), Problem> {
    let mut value = HeaderValue::try_from(text).map_err(|_| Problem::internal())?;
    value.set_sensitive(true);
    headers.append(SET_COOKIE, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(scheme: Scheme, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
        }
        read(&headers, scheme).map(|token| token.expose().clone())
    }

    #[test]
    fn the_one_cookie_of_ours_is_found_among_others() {
        let found = read_of(Scheme::Http, &["a=b; portcullis=pct_x-Y_9; c=d"]);
        assert_eq!(found.as_deref(), Some("pct_x-Y_9"));
        let found = read_of(Scheme::Https, &["a=b", "__Host-portcullis=pct_x"]);
        assert_eq!(found.as_deref(), Some("pct_x"));
    }

    #[test]
    fn a_cookie_of_the_other_scheme_a_second_one_and_odd_ones_are_none() {
        let long = format!("portcullis={}", "x".repeat(MAX_TOKEN_BYTES + 1));
        for values in [
            &["__Host-portcullis=pct_x"][..],
            &["portcullis=a; portcullis=a"],
            &["portcullis=a", "portcullis=b"],
            &["portcullis="],
            &["portcullis"],
            &["portcullis=\"a\""],
            &["Portcullis=a"],
            &["portcullis=a b"],
            &[long.as_str()],
            &[],
        ] {
            assert_eq!(read_of(Scheme::Http, values), None, "{values:?}");
        }
        assert_eq!(read_of(Scheme::Https, &["portcullis=pct_x"]), None);
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_for_no_script() {
        let mut headers = HeaderMap::new();
        let token = Secret::new("pct_x".to_owned());
        keep(&mut headers, Scheme::Https, &token).unwrap();
        forget(&mut headers, Scheme::Http).unwrap();
        let set: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        let kept = "__Host-portcullis=pct_x; Path=/; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set, [kept, "portcullis=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"]);
    }
}
