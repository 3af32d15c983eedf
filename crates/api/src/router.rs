//! From the list of endpoints to something that answers.
//!
//! INVARIANT: an endpoint is mounted in one place, behind its guard; beside them there are the
//! console's files only, which are the same for everyone.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::console;
use crate::endpoints::ENDPOINTS;
use crate::guard::{self, Api, Guard};
use crate::host;
use crate::problem::Problem;

/// Every endpoint, and problems for everything else.
pub(crate) fn build(api: &Api) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let guard = Guard { api: api.clone(), endpoint };
        let route = (endpoint.route)(endpoint.method.into())
            .layer(DefaultBodyLimit::max(endpoint.weight.max_body_bytes()))
            .layer(from_fn_with_state(guard, guard::pass));
        router = router.route(endpoint.path, route);
    }
    router
        .fallback(console::answer)
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .layer(from_fn(edge))
        .with_state(api.clone())
}

/// What an answer of the API may load and do in a browser that was pointed at it: nothing. What
/// people typed and what targets sent is data here, never a page.
const DATA_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// For every request, known path or not: is it meant for this node; and what every answer says to
/// caches and browsers.
async fn edge(request: Request, next: Next) -> Response {
    let mut response = match host::check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(DATA_POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}
