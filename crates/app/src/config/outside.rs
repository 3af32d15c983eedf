//! What configuration says of the outside: buckets, whom to trust, where secrets are.
//!
//! Secrets are named here ([`SecretSource`]), never written.

use std::path::{Path, PathBuf};

use portcullis_connectors::http::Url;
use portcullis_connectors::tls::Trust;
use portcullis_domain::EnvironmentName;
use serde::Deserialize;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3 {
    pub(crate) endpoint: Url,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) path_style: bool,
    pub(crate) trust: Trust,
    pub(crate) access_key_id: SecretSource,
    pub(crate) secret_access_key: SecretSource,
    pub(crate) session_token: Option<SecretSource>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// In an environment variable of this name.
    Env(String),
    /// In a file, its owner's alone.
    File(PathBuf),
    /// Sealed in the store, under an environment.
    Store {
        /// The environment it belongs to.
        environment: EnvironmentName,
        /// Its name there.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawS3 {
    endpoint: String,
    region: String,
    bucket: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    path_style: bool,
    #[serde(default)]
    tls: RawTrust,
    access_key_id: RawSecret,
    secret_access_key: RawSecret,
    session_token: Option<RawSecret>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTrust {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSecret {
    env: Option<String>,
    file: Option<PathBuf>,
    environment: Option<EnvironmentName>,
    name: Option<String>,
}

/// A bucket; relative paths start from `base`.
pub(super) fn s3_config(raw: RawS3, base: &Path) -> Result<S3, String> {
    let plain = |text: &str, more: &[u8]| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if raw.bucket.is_empty() || raw.bucket.len() > 255 || !plain(&raw.bucket, b".-_") {
        return Err("`s3.bucket`: write the name of a bucket".into());
    }
    if raw.region.is_empty() || !plain(&raw.region, b"-") {
        return Err("`s3.region`: write a region such as `eu-central-1`".into());
    }
    let prefix = raw.prefix.trim_matches('/').to_owned();
    if prefix.len() > 512 || !plain(&prefix, b"._-/=") {
        return Err("`s3.prefix`: use letters, digits and `. _ - / =`".into());
    }
    let endpoint: Url = raw.endpoint.parse().map_err(|error| format!("`s3.endpoint`: {error}"))?;
    if endpoint.path() != "/" {
        return Err("`s3.endpoint`: write it without a path".into());
    }
    let secret = |key: &str, raw: RawSecret| {
        secret(raw, base).map_err(|message| format!("`s3.{key}`: {message}"))
    };
    Ok(S3 {
        endpoint,
        region: raw.region,
        bucket: raw.bucket,
        prefix,
        path_style: raw.path_style,
        trust: trust(raw.tls, base)?,
        access_key_id: secret("access_key_id", raw.access_key_id)?,
        secret_access_key: secret("secret_access_key", raw.secret_access_key)?,
        session_token: raw.session_token.map(|raw| secret("session_token", raw)).transpose()?,
    })
}

/// Whom to trust, and who to be; relative paths start from `base`.
pub(super) fn trust(raw: RawTrust, base: &Path) -> Result<Trust, String> {
    let client = match (raw.certificate, raw.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((base.join(certificate), base.join(key))),
        _ => return Err("`tls`: write `certificate` and `key` together".into()),
    };
    Ok(Trust { ca: raw.ca.map(|path| base.join(path)), client })
}

/// Where a secret is; relative paths start from `base`.
pub(super) fn secret(raw: RawSecret, base: &Path) -> Result<SecretSource, String> {
    match (raw.env, raw.file, raw.environment, raw.name) {
        (Some(name), None, None, None) if !name.is_empty() => Ok(SecretSource::Env(name)),
        (None, Some(file), None, None) => Ok(SecretSource::File(base.join(file))),
        (None, None, Some(environment), Some(name)) => {
            Ok(SecretSource::Store { environment, name })
        }
        _ => Err("write one of `{ env = \"NAME\" }`, `{ file = \"PATH\" }` and `{ environment = \"ENVIRONMENT\", name = \"NAME\" }` (`portcullis secret put`)".into()),
    }
}
