//! What callers send, taken strictly: JSON bodies, queries and path parameters, each refused with a
//! problem that says what is wrong.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Longest wait for a body to have arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body; the guard bounds its size.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::not_json());
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Problem::too_large());
            }
            Ok(Err(_)) => return Err(Problem::malformed("the body broke off; send it again")),
            Err(_) => return Err(Problem::too_slow()),
        };
        parse(&bytes).map(Self)
    }
}

/// A query; unknown and repeated names are refused.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::invalid(format!(
                "the query of this call makes no sense: {}",
                cause(&rejection)
            ))),
        }
    }
}

/// Parameters of a path.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => {
                Err(Problem::malformed("the path of this call is not UTF-8; encode it as such"))
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let media = value.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Problem::invalid(format!("the body of this call makes no sense: {error}"))
        } else {
            Problem::malformed(format!("the body of this call is not JSON: {error}"))
        }
    })
}

/// The innermost error; the ones around it name types of ours.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use portcullis_control::view::{PlanBody, ReasonBody, SessionQuery};

    fn status<T: DeserializeOwned>(text: &str) -> u16 {
        match parse::<T>(text.as_bytes()) {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn bodies_are_taken_strictly() {
        assert_eq!(status::<ReasonBody>(r#"{"reason":"because"}"#), 200);
        assert_eq!(status::<ReasonBody>(r#"{"reason":"because","x":1}"#), 422);
        assert_eq!(status::<ReasonBody>(r#"{"reason":1}"#), 422);
        assert_eq!(status::<ReasonBody>("{}"), 422);
        assert_eq!(status::<ReasonBody>(r#"{"reason":"a","reason":"b"}"#), 422);
        assert_eq!(status::<ReasonBody>(r#"{"reason":"a"} x"#), 400);
        assert_eq!(status::<ReasonBody>("{"), 400);
        assert_eq!(status::<ReasonBody>(""), 400);
        assert_eq!(status::<PlanBody>(&"[".repeat(1_000_000)), 422);
    }

    #[tokio::test]
    async fn queries_are_taken_strictly() {
        async fn ask(query: &str) -> bool {
            let uri = format!("http://localhost/v1/sessions?{query}");
            let request = axum::http::Request::builder().uri(uri).body(()).unwrap();
            let mut parts = request.into_parts().0;
            Asked::<SessionQuery>::from_request_parts(&mut parts, &()).await.is_ok()
        }
        assert!(ask("").await);
        assert!(ask("live=true&user=alice&target=web-1").await);
        assert!(!ask("live=yes").await);
        assert!(!ask("limit=1").await, "that is for `Listed`");
        assert!(!ask("alive=true").await);
        assert!(!ask("user=a&user=b").await);
    }
}
