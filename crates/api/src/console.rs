//! The console's files, and the headers that keep its pages to themselves.
//!
//! Paths flow in; embedded files flow out, and for every path a person may have open in a browser
//! the one page that shows it. Nothing of a target, and nothing anybody typed, is ever served from
//! here: what the API answers is data, and `edge` in `router` has browsers treat it as such.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// What pages of the console may load and do: what came with them from here, and nothing else.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; \
     base-uri 'none'; form-action 'self'",
);
/// A file whose name changes with its content.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Asked about again each time.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");
/// Where files lie whose names change with their content.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";

struct Asset {
    path: &'static str,
    body: &'static [u8],
    gzip: Option<&'static [u8]>,
    tag: &'static str,
}

/// By path, ascending.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// What is shown where the program was built without the console.
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
<title>Portcullis</title>\n<h1>The console is not in this program</h1>\n\
<p>It was built without it. With Node 18 or newer: run <code>npm ci</code> and \
<code>npm run build</code> in <code>web/</code>, then build the program again.</p>\n\
<p>Everything the console does, the command line does too: <code>portcullis --help</code>.</p>\n";

/// Answers what no endpoint does.
pub(crate) async fn answer(request: Request) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let of_api = path == "/v1" || path.starts_with("/v1/");
    if !reads || of_api {
        return Problem::no_such_endpoint().into_response();
    }
    let name = path.trim_start_matches('/');
    let headers = request.headers();
    if let Some(asset) = find(name) {
        return serve(asset, headers);
    }
    // A page's own paths have no extension; a file that is missing is missing.
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    if is_file || name.starts_with(HASHED) || !wants_page(headers) {
        return Problem::no_such_endpoint().into_response();
    }
    match find(INDEX) {
        Some(index) => serve(index, headers),
        None => page(StatusCode::SERVICE_UNAVAILABLE, Body::from(NOT_BUILT)),
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    let at = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    ASSETS.get(at)
}

fn serve(asset: &Asset, asked: &HeaderMap) -> Response {
    let known = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let unchanged = known.is_some_and(|tags| {
        tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.tag)
    });
    let packed = asset.gzip.filter(|_| takes_gzip(asked));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(packed.unwrap_or(asset.body)).into_response()
    };
    let headers = response.headers_mut();
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(asset.path)));
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    headers.insert(ETAG, HeaderValue::from_static(asset.tag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    let cache = if asset.path.starts_with(HASHED) { FOR_EVER } else { ASK };
    headers.insert(CACHE_CONTROL, cache);
    response
}

fn page(status: StatusCode, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type(INDEX))),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (status, headers, body).into_response()
}

/// Whether a browser asks on behalf of a person looking at its address bar.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/html"))
    })
}

/// Whether an answer may be compressed (RFC 9110, 12.5.3); a quality of zero is a no.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality
                .is_some_and(|quality| quality.parse::<f32>().is_ok_and(|quality| quality <= 0.0))
        });
        named && !refused
    })
}

/// By extension; what is not known is bytes.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    const SCRIPT: Asset =
        Asset { path: "assets/index-3f2a.js", body: b"plain", gzip: Some(b"packed"), tag: "\"1\"" };

    #[test]
    fn compressed_forms_go_to_those_who_take_them() {
        for (offered, packed) in [
            ("gzip, br", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let response = serve(&SCRIPT, &with(ACCEPT_ENCODING, offered));
            let encoding = response.headers().get(CONTENT_ENCODING);
            assert_eq!(encoding.is_some(), packed, "{offered}");
            assert_eq!(response.headers()[VARY], "accept-encoding");
        }
    }

    #[test]
    fn hashed_names_are_kept_for_ever_and_the_page_is_asked_about() {
        assert_eq!(serve(&SCRIPT, &HeaderMap::new()).headers()[CACHE_CONTROL], FOR_EVER);
        let index = Asset { path: INDEX, ..SCRIPT };
        assert_eq!(serve(&index, &HeaderMap::new()).headers()[CACHE_CONTROL], ASK);
        let again = serve(&index, &with(IF_NONE_MATCH, "W/\"1\""));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(serve(&index, &with(IF_NONE_MATCH, "\"2\"")).status(), StatusCode::OK);
    }

    #[test]
    fn what_is_embedded_is_found_by_its_path_alone() {
        assert!(ASSETS.is_sorted_by(|one, next| one.path < next.path));
        for asset in ASSETS {
            assert!(find(asset.path).is_some(), "{}", asset.path);
        }
        for odd in ["", "..", "../Cargo.toml", "assets", "index.html/", "%2e%2e/x"] {
            assert!(find(odd).is_none(), "{odd}");
        }
    }
}
