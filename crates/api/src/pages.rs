//! Lists page by page: `limit` and `cursor` of a query, and the `Link` to the next page (RFC 8288).
//!
//! A cursor says after which entry to go on. What is in it is ours to change; it is good for the
//! list it came from.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_control::view::{PageAsked, Paged};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::body::Asked;
use crate::problem::Problem;

/// Most entries of a page.
const MAX_LIMIT: usize = 1000;
/// Entries of a page of what grows without end, when the caller does not say.
const DEFAULT_LIMIT: usize = 100;
/// Longest cursor, in bytes.
const MAX_CURSOR_BYTES: usize = 1024;

/// The query of a list, and the page of it that is wanted.
pub(crate) struct Listed<T>(pub(crate) T, pub(crate) Paging);

/// Which page, and how to ask for the next.
pub(crate) struct Paging {
    path: String,
    /// The query without what says which page.
    rest: Vec<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// A query that says nothing but which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Any {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listed<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let paging = Paging::read(&parts.uri)?;
        let plain = format!("{}?{}", paging.path, paging.rest.join("&"));
        parts.uri = plain.parse().map_err(|_| Problem::malformed("the query is malformed"))?;
        let Asked(query) = Asked::from_request_parts(parts, state).await?;
        Ok(Self(query, paging))
    }
}

impl Paging {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut paging =
            Self { path: uri.path().to_owned(), rest: Vec::new(), limit: None, after: None };
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("limit", text) if paging.limit.is_none() => {
                    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    paging.limit = Some(limit.ok_or_else(|| {
                        Problem::invalid(format!("`limit` is a number from 1 to {MAX_LIMIT}"))
                    })?);
                }
                ("cursor", text) if paging.after.is_none() => {
                    paging.after = Some(paging.open(text).ok_or_else(wrong_cursor)?);
                }
                ("limit" | "cursor", _) => {
                    return Err(Problem::invalid("`limit` and `cursor` are given once"));
                }
                _ => paging.rest.push(pair.to_owned()),
            }
        }
        Ok(paging)
    }

    /// The page wanted of a list that grows without end.
    pub(crate) fn asked(&self) -> PageAsked {
        PageAsked { limit: self.limit.unwrap_or(DEFAULT_LIMIT), after: self.after.clone() }
    }

    /// Answers with a page, and with where the next one is.
    pub(crate) fn answer<T: Serialize>(&self, page: Paged<T>) -> Result<Response, Problem> {
        let mut response = Json(page.items).into_response();
        if let Some(next) = page.next {
            let mut pairs = self.rest.clone();
            pairs.extend(self.limit.map(|limit| format!("limit={limit}")));
            pairs.push(format!("cursor={}", self.seal(&next)));
            let link = format!("<{}?{}>; rel=\"next\"", self.path, pairs.join("&"));
            let link = HeaderValue::try_from(link).map_err(|_| Problem::internal())?;
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    /// Answers with a page of a list that is at hand as a whole; `key` tells its entries apart. Such
    /// a list is bounded by what it lists, so a page is as large as any may be.
    pub(crate) fn of<T: Serialize>(
        &self,
        all: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<Response, Problem> {
        let begin = match &self.after {
            None => 0,
            Some(after) => {
                let at = all.iter().position(|entry| key(entry) == *after);
                at.ok_or_else(wrong_cursor)?.saturating_add(1)
            }
        };
        let limit = self.limit.unwrap_or(MAX_LIMIT);
        let more = all.len() > begin.saturating_add(limit);
        let items: Vec<T> = all.into_iter().skip(begin).take(limit).collect();
        let next = items.last().filter(|_| more).map(key);
        self.answer(Paged { items, next })
    }

    fn seal(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{key}", self.path))
    }

    fn open(&self, cursor: &str) -> Option<String> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (path, key) = text.split_once('\n')?;
        (path == self.path).then(|| key.to_owned())
    }
}

fn wrong_cursor() -> Problem {
    Problem::invalid("the cursor is not of this list as it is now; begin without one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::HttpBody;

    fn read(uri: &str) -> Result<Paging, u16> {
        let status = |problem: Problem| problem.into_response().status().as_u16();
        Paging::read(&uri.parse().unwrap()).map_err(status)
    }

    /// Items of this page and the address of the next.
    fn turn(uri: &str, count: usize) -> (usize, Option<String>) {
        let all: Vec<usize> = (0..count).collect();
        let response = read(uri).unwrap().of(all, ToString::to_string).unwrap();
        let link = response.headers().get(LINK).map(|link| link.to_str().unwrap().to_owned());
        let next = link.map(|link| link[1..link.find('>').unwrap()].to_owned());
        (usize::try_from(response.body().size_hint().exact().unwrap()).unwrap(), next)
    }

    #[test]
    fn following_the_links_shows_every_entry_once_and_ends() {
        let (mut next, mut pages) = (Some("/v1/locks?x=a%26b&limit=3".to_owned()), 0);
        while let Some(uri) = next {
            assert!(uri.contains("x=a%26b"), "{uri}");
            let (bytes, further) = turn(&uri, 10);
            assert_eq!(bytes, if pages < 3 { "[0,1,2]".len() } else { "[9]".len() });
            (next, pages) = (further, pages + 1);
        }
        assert_eq!(pages, 4);
        assert_eq!(turn("/v1/locks?limit=10", 10).1, None, "a full last page is the last");
    }

    #[test]
    fn limits_and_cursors_are_bounded_and_of_their_list() {
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1&limit=1"] {
            assert_eq!(read(&format!("/v1/locks?{wrong}")).err(), Some(422), "{wrong}");
        }
        let cursor = read("/v1/locks").unwrap().seal("lck-1");
        let mine = read(&format!("/v1/locks?cursor={cursor}")).unwrap();
        assert_eq!(mine.asked().after.as_deref(), Some("lck-1"));
        assert_eq!(read(&format!("/v1/holds?cursor={cursor}")).err(), Some(422));
        let long = "A".repeat(MAX_CURSOR_BYTES + 1);
        for wrong in ["", "%20", "AAAA", "lck-1", &long] {
            assert_eq!(read(&format!("/v1/locks?cursor={wrong}")).err(), Some(422), "{wrong}");
        }
        assert!(mine.of(vec![1], ToString::to_string).is_err(), "what it began after is gone");
    }
}
