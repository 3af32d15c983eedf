//! The `Host` of a request must be this node, or a web page could reach the API through a name of
//! its own that resolves to loopback (DNS rebinding).

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use crate::problem::Problem;

/// Whether the request names this node: a loopback address or `localhost`, any port (a tunnel may
/// listen on another one). Exactly one `Host` header (RFC 9112, 3.2), and the same rule for a target
/// in absolute form.
pub(crate) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::malformed("a request has exactly one `host` header"));
    };
    let host = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let Some(host) = host else {
        return Err(Problem::malformed("the `host` header is not a host"));
    };
    let named = std::iter::once(host.host()).chain(uri.host());
    if named.into_iter().all(is_loopback) && !host.as_str().contains('@') {
        Ok(())
    } else {
        Err(Problem::misdirected())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn passes(target: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        check(&target.parse().unwrap(), &headers).is_ok()
    }

    #[test]
    fn loopback_by_any_name_is_this_node() {
        for host in
            ["localhost", "LOCALHOST:3022", "127.0.0.1:3022", "127.8.9.1", "[::1]:9", "[::1]"]
        {
            assert!(passes("/v1/whoami", &[host]), "{host}");
        }
        assert!(passes("http://127.0.0.1:3022/v1/whoami", &["127.0.0.1:3022"]));
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "rebind.example",
            "127.0.0.1.rebind.example",
            "localhost.rebind.example",
            "10.0.0.1",
            "0.0.0.0",
            "localhost@rebind.example",
            "rebind.example@localhost",
            "",
            "[::1",
        ] {
            assert!(!passes("/v1/whoami", &[host]), "{host}");
        }
        assert!(!passes("/v1/whoami", &[]));
        assert!(!passes("/v1/whoami", &["localhost", "localhost"]));
        assert!(!passes("http://rebind.example/v1/whoami", &["localhost"]));
    }
}
