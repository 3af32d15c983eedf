//! Object storage that speaks S3: put, get, list, delete, and no more.
//!
//! In: keys and bytes. Out: the same, later. Requests are signed ([`signing`], SigV4) with their
//! payload's hash; answers are bounded. Never knows what objects mean.

pub mod listing;
pub mod signing;

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use hyper::{Method, StatusCode};
use portcullis_domain::{Secret, Timestamp};
use rustls::ClientConfig;
use thiserror::Error;

use crate::export::WallClock;
use crate::http::{Answer, HttpClient, HttpError, Outgoing, Url, UrlError};
use listing::Listing;
use signing::Signing;

/// Most of an answer that holds no object.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Pages of a listing at most, of up to 1,000 keys each.
const MAX_PAGES: usize = 100;
/// Longest key (S3).
const MAX_KEY_BYTES: usize = 1024;

/// Who we are to the storage.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<Vec<u8>>,
    /// Token of temporary credentials.
    pub session_token: Option<Secret<Vec<u8>>>,
}

/// Settings of a bucket.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// The service, such as `https://s3.eu-central-1.amazonaws.com`; its path is not used.
    pub endpoint: Url,
    /// TLS settings.
    pub tls: Arc<ClientConfig>,
    /// Region, as the signature has it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; empty, or without a slash at its ends.
    pub prefix: String,
    /// Whether the bucket is named in the path rather than in the host.
    pub path_style: bool,
    /// Who we are.
    pub credentials: Credentials,
}

/// Why the storage did not do it.
#[derive(Debug, Error)]
pub enum BucketError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The object is not what the condition says.
    #[error("the object `{key}` was changed by somebody else")]
    Conflict {
        /// Which.
        key: String,
    },
    /// It refuses.
    #[error("the storage answers {status} to `{key}`: {said}")]
    Refused {
        /// Of which object, or of the listing.
        key: String,
        /// HTTP status.
        status: u16,
        /// Its error code.
        said: String,
    },
    /// More than may be.
    #[error("the object `{key}` is larger than the {limit} bytes it may have")]
    TooLarge {
        /// Which.
        key: String,
        /// In bytes.
        limit: usize,
    },
    /// An answer that is none.
    #[error("the storage answers something that is no listing")]
    Listing,
    /// A key that cannot be one.
    #[error("`{key}` cannot be a key: use letters, digits and `. _ - / =`, at most 1024 of them")]
    Key {
        /// Which.
        key: String,
    },
}

/// On which condition an object is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// There is none.
    Absent,
    /// It is the one with this tag.
    Unchanged(String),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its tag, for [`Condition::Unchanged`].
    pub etag: Option<String>,
}

/// A bucket, or the part of one under a prefix.
pub struct Bucket {
    options: BucketOptions,
    client: HttpClient,
    host: String,
    clock: WallClock,
}

impl Bucket {
    /// A bucket, as configured. Nothing is sent yet.
    ///
    /// # Errors
    /// [`UrlError::Malformed`] where bucket and endpoint make no host name.
    pub fn new(options: BucketOptions, clock: WallClock) -> Result<Self, UrlError> {
        let url = match options.path_style {
            true => options.endpoint.clone(),
            false => options.endpoint.under(&options.bucket)?,
        };
        let client = HttpClient::new(&url, options.tls.clone());
        let host = url.authority().to_owned();
        Ok(Self { options, client, host, clock })
    }

    /// `BUCKET/PREFIX` at the service, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let Url { .. } = self.options.endpoint;
        format!(
            "{}/{}/{}",
            self.options.endpoint.to_string().trim_end_matches('/'),
            self.options.bucket,
            self.options.prefix
        )
    }

    /// Puts an object; durable when it returns. Returns its tag.
    ///
    /// # Errors
    /// [`BucketError`]; [`BucketError::Conflict`] where the condition does not hold.
    pub async fn put(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        condition: &Condition,
    ) -> Result<Option<String>, BucketError> {
        let body: Bytes = bytes.into();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind);
        // Buckets with object lock want a checksum beside the signed one.
        let checksum = STANDARD.encode(digest::digest(&digest::SHA256, &body));
        insert(&mut headers, HeaderName::from_static("x-amz-checksum-sha256"), &checksum);
        match condition {
            Condition::Always => {}
            Condition::Absent => insert(&mut headers, IF_NONE_MATCH, "*"),
            Condition::Unchanged(etag) => insert(&mut headers, IF_MATCH, etag),
        }
        let key = self.key(key)?;
        let answer = self.call(Method::PUT, &key, &[], headers, body, MAX_ANSWER_BYTES).await?;
        match answer.status {
            StatusCode::OK => Ok(etag(&answer)),
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT
                if *condition != Condition::Always =>
            {
                Err(BucketError::Conflict { key })
            }
            // The object is gone that should be unchanged.
            StatusCode::NOT_FOUND if matches!(condition, Condition::Unchanged(_)) => {
                Err(BucketError::Conflict { key })
            }
            _ => Err(refused(key, &answer)),
        }
    }

    /// The object of this key, if there is one.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, BucketError> {
        let key = self.key(key)?;
        let answer =
            self.call(Method::GET, &key, &[], HeaderMap::new(), Bytes::new(), limit).await?;
        match answer.status {
            StatusCode::OK if answer.whole => {
                let etag = etag(&answer);
                Ok(Some(Object { bytes: answer.body, etag }))
            }
            StatusCode::OK => Err(BucketError::TooLarge { key, limit }),
            StatusCode::NOT_FOUND if listing::error_code(&answer.body) != "NoSuchBucket" => {
                Ok(None)
            }
            _ => Err(refused(key, &answer)),
        }
    }

    /// Names directly under a directory (ending in nothing or `/`), as a file system has them.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn list(&self, directory: &str) -> Result<Vec<String>, BucketError> {
        let base = format!("{}/", self.key(directory)?);
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![
                ("list-type", "2"),
                ("prefix", &base),
                ("delimiter", "/"),
                ("encoding-type", "url"),
            ];
            if let Some(token) = &token {
                query.push(("continuation-token", token));
            }
            let answer = self
                .call(Method::GET, "", &query, HeaderMap::new(), Bytes::new(), MAX_ANSWER_BYTES)
                .await?;
            if answer.status != StatusCode::OK {
                return Err(refused(base, &answer));
            }
            let page = Listing::parse(&answer.body).ok_or(BucketError::Listing)?;
            let found = page.keys.iter().chain(&page.prefixes);
            names.extend(found.filter_map(|key| {
                let name = key.strip_prefix(&base)?.trim_end_matches('/');
                (!name.is_empty()).then(|| name.to_owned())
            }));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        Ok(names)
    }

    /// Deletes an object; it is no error that there is none.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let key = self.key(key)?;
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let answer = self.call(Method::DELETE, &key, &[], headers, body, MAX_ANSWER_BYTES).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(refused(key, &answer)),
        }
    }

    fn key(&self, key: &str) -> Result<String, BucketError> {
        let key = key.trim_end_matches('/');
        let whole = match self.options.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/=".contains(&b);
        if whole.is_empty() || whole.len() > MAX_KEY_BYTES || !whole.bytes().all(plain) {
            return Err(BucketError::Key { key: whole });
        }
        Ok(whole)
    }

    async fn call(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        mut headers: HeaderMap,
        body: Bytes,
        max_answer_bytes: usize,
    ) -> Result<Answer, BucketError> {
        let path = match self.options.path_style {
            true => format!("/{}/{key}", self.options.bucket),
            false => format!("/{key}"),
        };
        let path = signing::encode_path(&path);
        let now: Timestamp = (self.clock)();
        let signing = Signing {
            method: method.as_str(),
            host: &self.host,
            path: &path,
            query,
            region: &self.options.region,
            now,
        };
        signing.sign(&self.options.credentials, &mut headers, &body);
        let query = signing::canonical_query(query);
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        let outgoing = Outgoing { method, path, headers, body, max_answer_bytes };
        Ok(self.client.send(&outgoing).await?)
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn etag(answer: &Answer) -> Option<String> {
    answer.headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}

fn refused(key: String, answer: &Answer) -> BucketError {
    let said = listing::error_code(&answer.body);
    BucketError::Refused { key, status: answer.status.as_u16(), said }
}
