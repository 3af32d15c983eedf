//! Errors as callers see them: problem+json (RFC 9457).
//!
//! The only place that knows which kind of failure is which HTTP status.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use portcullis_control::{ControlError, ErrorKind};
use serde::Serialize;

/// Media type of a problem (RFC 9457, 3).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Challenge of a 401 (RFC 9110, 11.6.1; RFC 6750, 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"portcullis\"");
/// What a busy node asks callers to wait.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// A call that did not work.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// No token, or one that is not good. Deliberately the same for both.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "you are not signed in or your sign-in has expired; sign in with `portcullis login USER`",
        )
    }

    /// The request is not HTTP as we take it.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// It was meant for another server (RFC 9110, 15.5.20).
    pub(crate) fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "the host of this request is not this node; call it by its loopback address or `localhost`",
        )
    }

    /// A page of another origin.
    pub(crate) fn cross_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            "a page of another site asked for this; open the console itself and do it there",
        )
    }

    /// A cookie alone.
    pub(crate) fn csrf() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "the page did not say what only the console can know; reload it and try again",
        )
    }

    /// What was sent makes no sense.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// A body of another type than JSON.
    pub(crate) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "the body must be JSON; send it with `content-type: application/json`",
        )
    }

    /// A body beyond the bound.
    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is larger than this endpoint takes; send less at a time",
        )
    }

    /// A body that does not come.
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the body did not arrive in time; send it again",
        )
    }

    /// No such path.
    pub(crate) fn no_such_endpoint() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_endpoint",
            "the API has no such path; the command line may be of another version than the node",
        )
    }

    /// Not with this method.
    pub(crate) fn no_such_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "no_such_method",
            "this path is not called with this method; the `allow` header names those it takes",
        )
    }

    /// Too much going on.
    pub(crate) fn busy() -> Self {
        Self {
            retry_after: Some(BUSY_WAIT),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the node is answering as many calls as it can; try again in a moment",
            )
        }
    }

    /// It takes too long. What was begun goes on.
    pub(crate) fn unfinished() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unfinished",
            "this takes longer than expected and may still happen; look before you try again",
        )
    }

    /// The node must not let people in.
    pub(crate) fn not_ready(reasons: &[String]) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reasons.join("; "))
    }

    /// A fault of ours.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the node; its log says what",
        )
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let (status, retry_after) = match error.kind {
            ErrorKind::Unauthenticated | ErrorKind::SecondFactorRequired => {
                (StatusCode::UNAUTHORIZED, None)
            }
            ErrorKind::TooMany { retry_after } => {
                (StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
            }
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, None),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, None),
            ErrorKind::Conflict => (StatusCode::CONFLICT, None),
            ErrorKind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, None),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
        };
        Self { status, code: error.code, detail: error.message, retry_after }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
        }
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
        };
        // Strings and a number always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        response
    }
}

/// Whole seconds, rounded up: whoever waits exactly so long must not be too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_status() {
        let check = |kind: ErrorKind, status: u16| {
            let error = ControlError { kind, code: "some_code", message: "why".into() };
            assert_eq!(Problem::from(error).into_response().status().as_u16(), status, "{kind:?}");
        };
        check(ErrorKind::Unauthenticated, 401);
        check(ErrorKind::SecondFactorRequired, 401);
        check(ErrorKind::TooMany { retry_after: Duration::from_secs(3) }, 429);
        check(ErrorKind::Forbidden, 403);
        check(ErrorKind::NotFound, 404);
        check(ErrorKind::Conflict, 409);
        check(ErrorKind::Invalid, 422);
        check(ErrorKind::Unavailable, 503);
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(2001)), 3);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
    }

    #[test]
    fn a_401_names_its_scheme_and_a_429_its_wait() {
        let response = Problem::unauthenticated().into_response();
        assert_eq!(response.headers().get(WWW_AUTHENTICATE), Some(&CHALLENGE));
        assert_eq!(response.headers().get(CONTENT_TYPE), Some(&PROBLEM_JSON));
        let kind = ErrorKind::TooMany { retry_after: Duration::from_millis(1500) };
        let error = ControlError { kind, code: "too_many", message: "wait".into() };
        let response = Problem::from(error).into_response();
        assert_eq!(response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()), Some("2"));
    }
}
