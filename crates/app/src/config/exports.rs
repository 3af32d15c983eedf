//! `[[audit.export]]`: where entries of the audit log are delivered to.
//!
//! In: the tables as written. Out: [`ExportConfig`]s with absolute paths, or what to write instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_connectors::export::{Begin, ExportOptions, Filter, Limits, MAX_EXPORTS};
use portcullis_connectors::http::Url;
use portcullis_connectors::sinks::file::FileOptions;
use portcullis_connectors::sinks::syslog::message::{LOG_AUDIT, MAX_FACILITY};
use portcullis_connectors::sinks::webhook::Format;
use portcullis_connectors::tls::{Endpoint, Trust};
use portcullis_domain::EnvironmentName;
use serde::Deserialize;

use super::outside::{RawS3, RawSecret, RawTrust, S3, SecretSource, s3_config, secret, trust};
use super::{check_name, duration};

/// Batches where nothing else is said.
const LIMITS: Limits = Limits { entries: 500, bytes: 1 << 20, wait: Duration::from_secs(1) };
/// Batches that become objects: few and large.
const OBJECT_LIMITS: Limits =
    Limits { entries: 10_000, bytes: 16 << 20, wait: Duration::from_secs(60) };
/// Longest wait for an acknowledgement where nothing else is said, and at most.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);
/// How long an export may be behind where nothing else is said.
const ALERT_AFTER: Duration = Duration::from_secs(15 * 60);
/// Size at which a file is rotated where nothing else is said, and at least.
const ROTATE_BYTES: u64 = 100 << 20;
const MIN_ROTATE_BYTES: u64 = 64 << 10;

/// One export, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportConfig {
    /// How it runs.
    pub(crate) options: ExportOptions,
    /// Where to.
    pub(crate) receiver: Receiver,
}

/// Where an export delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// A file.
    File(FileOptions),
    /// A syslog server.
    Syslog(Syslog),
    /// A web server.
    Webhook(Webhook),
    /// People.
    Notify(super::notify::Notify),
    /// A bucket.
    S3(S3),
    /// A bucket that holds the log itself.
    Tiles(S3),
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syslog {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Option<Trust>,
    pub(crate) close_notify: bool,
    pub(crate) facility: u8,
    pub(crate) app_name: String,
}

/// A web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub(crate) url: Url,
    pub(crate) trust: Trust,
    pub(crate) format: Format,
    pub(crate) secret: Option<SecretSource>,
    pub(crate) authorization: Option<SecretSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExport {
    name: String,
    #[serde(default)]
    from: RawBegin,
    #[serde(default)]
    filter: RawFilter,
    #[serde(default)]
    batch: RawBatch,
    timeout: Option<String>,
    alert_after: Option<String>,
    file: Option<RawFile>,
    syslog: Option<RawSyslog>,
    webhook: Option<RawWebhook>,
    s3: Option<RawS3>,
    tiles: Option<RawS3>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawBegin {
    #[default]
    Start,
    Now,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFilter {
    classes: Vec<u32>,
    activities: Vec<String>,
    environments: Vec<EnvironmentName>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBatch {
    entries: Option<usize>,
    bytes: Option<usize>,
    wait: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: PathBuf,
    rotate_bytes: Option<u64>,
    keep: Option<usize>,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum RawTransport {
    #[default]
    Tls,
    Tcp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSyslog {
    address: String,
    #[serde(default)]
    transport: RawTransport,
    #[serde(default)]
    tls: RawTrust,
    close_notify: Option<bool>,
    facility: Option<u8>,
    app_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawFormat {
    #[default]
    Json,
    NdJson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: String,
    #[serde(default)]
    format: RawFormat,
    #[serde(default)]
    tls: RawTrust,
    secret: Option<RawSecret>,
    authorization: Option<RawSecret>,
}

/// Reads the exports; relative paths start from `base`.
pub(super) fn exports(raw: Vec<RawExport>, base: &Path) -> Result<Vec<ExportConfig>, String> {
    if raw.len() > MAX_EXPORTS {
        return Err(format!("there are more than {MAX_EXPORTS}"));
    }
    let mut names = BTreeSet::new();
    let mut exports = Vec::new();
    for export in raw {
        let name = export.name.clone();
        check_name(&name)
            .map_err(|message| format!("name `{}`: {message}", name.escape_debug()))?;
        if !names.insert(name.clone()) {
            return Err(format!("two are named `{name}`, and each needs a cursor of its own"));
        }
        exports.push(one(export, base).map_err(|message| format!("`{name}`: {message}"))?);
    }
    Ok(exports)
}

fn one(raw: RawExport, base: &Path) -> Result<ExportConfig, String> {
    let (defaults, receiver) = match (raw.file, raw.syslog, raw.webhook, raw.s3, raw.tiles) {
        (Some(file), None, None, None, None) => (LIMITS, Receiver::File(file_options(file, base)?)),
        (None, Some(syslog), None, None, None) => {
            (LIMITS, Receiver::Syslog(syslog_config(syslog, base)?))
        }
        (None, None, Some(webhook), None, None) => {
            (LIMITS, Receiver::Webhook(webhook_config(webhook, base)?))
        }
        (None, None, None, Some(s3), None) => (OBJECT_LIMITS, Receiver::S3(s3_config(s3, base)?)),
        (None, None, None, None, Some(s3)) => {
            (OBJECT_LIMITS, Receiver::Tiles(s3_config(s3, base)?))
        }
        _ => {
            let kinds = "`file`, `syslog`, `webhook`, `s3` and `tiles`";
            return Err(format!("write exactly one of {kinds}"));
        }
    };
    let all = raw.filter.classes.is_empty()
        && raw.filter.activities.is_empty()
        && raw.filter.environments.is_empty();
    if matches!(receiver, Receiver::Tiles(_)) && !all {
        return Err("`filter`: `tiles` holds the whole log; leave it out".into());
    }
    let environments = raw.filter.environments.iter().map(ToString::to_string).collect();
    let options = ExportOptions {
        name: raw.name,
        filter: Filter {
            classes: raw.filter.classes,
            activities: raw.filter.activities,
            environments,
        },
        limits: limits(&raw.batch, defaults)?,
        timeout: bounded("timeout", raw.timeout.as_deref(), TIMEOUT, MAX_TIMEOUT)?,
        alert_after: bounded(
            "alert_after",
            raw.alert_after.as_deref(),
            ALERT_AFTER,
            Duration::MAX,
        )?,
        begin: match raw.from {
            RawBegin::Start => Begin::Start,
            RawBegin::Now => Begin::Now,
        },
    };
    Ok(ExportConfig { options, receiver })
}

fn limits(raw: &RawBatch, defaults: Limits) -> Result<Limits, String> {
    let within = |key: &str, given: Option<usize>, default, most| match given {
        None => Ok(default),
        Some(given) if (1..=most).contains(&given) => Ok(given),
        Some(_) => Err(format!("`batch.{key}`: write 1 to {most}")),
    };
    let wait = match &raw.wait {
        None => defaults.wait,
        Some(text) => duration(text).map_err(|message| format!("`batch.wait`: {message}"))?,
    };
    if wait > Limits::MAX_WAIT {
        return Err("`batch.wait`: write at most `1h`".into());
    }
    Ok(Limits {
        entries: within("entries", raw.entries, defaults.entries, Limits::MAX_ENTRIES)?,
        bytes: within("bytes", raw.bytes, defaults.bytes, Limits::MAX_BYTES)?,
        wait,
    })
}

fn bounded(
    key: &str,
    text: Option<&str>,
    default: Duration,
    most: Duration,
) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    let given = duration(text).map_err(|message| format!("`{key}`: {message}"))?;
    if given.is_zero() || given > most {
        return Err(format!("`{key}`: write more than `0s` and at most {} s", most.as_secs()));
    }
    Ok(given)
}

fn file_options(raw: RawFile, base: &Path) -> Result<FileOptions, String> {
    let rotate_bytes = raw.rotate_bytes.unwrap_or(ROTATE_BYTES);
    if rotate_bytes < MIN_ROTATE_BYTES {
        return Err(format!("`file.rotate_bytes`: write at least {MIN_ROTATE_BYTES}"));
    }
    let path = base.join(raw.path);
    if path.file_name().is_none() {
        return Err("`file.path`: write the path of a file".into());
    }
    Ok(FileOptions { path, rotate_bytes, keep: raw.keep })
}

fn syslog_config(raw: RawSyslog, base: &Path) -> Result<Syslog, String> {
    let endpoint: Endpoint =
        raw.address.parse().map_err(|error| format!("`syslog.address`: {error}"))?;
    let facility = raw.facility.unwrap_or(LOG_AUDIT);
    if facility > MAX_FACILITY {
        return Err(format!("`syslog.facility`: write 0 to {MAX_FACILITY}"));
    }
    let tls = match raw.transport {
        RawTransport::Tls => Some(trust(raw.tls, base)?),
        RawTransport::Tcp if endpoint.is_loopback() => None,
        RawTransport::Tcp => {
            return Err("`syslog.transport`: `tcp` is for this machine only (`127.0.0.1:514`); to others use `tls`".into());
        }
    };
    Ok(Syslog {
        endpoint,
        tls,
        close_notify: raw.close_notify.unwrap_or(true),
        facility,
        app_name: raw.app_name.unwrap_or_else(|| "portcullis".into()),
    })
}

fn webhook_config(raw: RawWebhook, base: &Path) -> Result<Webhook, String> {
    let secret = |key: &str, raw: Option<RawSecret>| {
        raw.map(|raw| secret(raw, base).map_err(|message| format!("`webhook.{key}`: {message}")))
            .transpose()
    };
    Ok(Webhook {
        url: raw.url.parse().map_err(|error| format!("`webhook.url`: {error}"))?,
        trust: trust(raw.tls, base)?,
        format: match raw.format {
            RawFormat::Json => Format::Json,
            RawFormat::NdJson => Format::NdJson,
        },
        secret: secret("secret", raw.secret)?,
        authorization: secret("authorization", raw.authorization)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;
    use std::time::Duration;

    use super::Receiver;

    fn parse(exports: &str) -> Result<Config, String> {
        let text = format!("[node]\nname = \"gate\"\ndata_dir = \"data\"\n{exports}");
        Config::parse(&text, Path::new("/etc/portcullis.toml")).map_err(|error| error.to_string())
    }

    fn refused(export: &str, expected: &str) {
        let text = format!("[[audit.export]]\nname = \"siem\"\n{export}\n");
        let error = parse(&text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn every_kind_is_read_with_defaults_for_the_rest() {
        let config = parse(
            r#"
[[audit.export]]
name = "disk"
file = { path = "audit.jsonl" }
[[audit.export]]
name = "siem"
filter = { classes = [3002], activities = ["session.*"], environments = ["production"] }
syslog = { address = "logs.example:6514", tls = { ca = "ca.pem" } }
[[audit.export]]
name = "hook"
from = "now"
timeout = "5s"
batch = { entries = 10, wait = "0s" }
[audit.export.webhook]
url = "https://siem.example/in"
format = "ndjson"
secret = { env = "HOOK" }
authorization = { environment = "tools", name = "splunk" }
[[audit.export]]
name = "archive"
[audit.export.s3]
endpoint = "https://s3.example"
region = "eu-central-1"
bucket = "audit"
prefix = "/portcullis/"
access_key_id = { file = "s3.id" }
secret_access_key = { file = "s3.key" }
"#,
        )
        .unwrap();
        let [disk, siem, hook, archive] = config.exports.as_slice() else { panic!() };
        let Receiver::File(file) = &disk.receiver else { panic!() };
        assert_eq!(file.path, Path::new("/etc/audit.jsonl"));
        assert_eq!(siem.options.filter.classes, [3002]);
        let Receiver::Syslog(syslog) = &siem.receiver else { panic!() };
        assert!(syslog.close_notify && syslog.tls.is_some());
        assert_eq!(hook.options.timeout, Duration::from_secs(5));
        assert_eq!(hook.options.limits.entries, 10);
        let Receiver::S3(s3) = &archive.receiver else { panic!() };
        assert_eq!(s3.prefix, "portcullis");
        assert_eq!(archive.options.limits.wait, Duration::from_secs(60));
        let other = parse("").unwrap();
        assert_eq!(config.needs_restart(&other), ["audit.export"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_write() {
        refused("", "exactly one of `file`, `syslog`");
        refused("file = { path = \"a\" }\nsyslog = { address = \"a:1\" }", "exactly one of");
        refused("file = { pat = \"a\" }", "did you mean `path`");
        refused("sysolg = { address = \"a:1\" }", "did you mean `syslog`");
        refused("syslog = { address = \"logs\" }", "`siem`: `syslog.address`");
        refused("syslog = { address = \"a.example:1\", transport = \"tcp\" }", "use `tls`");
        refused("webhook = { url = \"http://192.0.2.7/\" }", "https://");
        refused("webhook = { url = \"https://a/\", secret = {} }", "write one of");
        refused("webhook = { url = \"https://a/\", secret = \"x\" }", "");
        refused("file = { path = \"a\" }\nbatch = { entries = 0 }", "`batch.entries`: write 1 to");
        let tiles = "tiles = { endpoint = \"https://a\", region = \"b\", bucket = \"c\", access_key_id = { env = \"D\" }, secret_access_key = { env = \"E\" } }";
        refused(&format!("{tiles}\nfilter = {{ classes = [1] }}"), "holds the whole log");
        refused("file = { path = \"a\" }\ntimeout = \"0s\"", "`timeout`");
        let twice = "[[audit.export]]\nname = \"a\"\nfile = { path = \"a\" }\n".repeat(2);
        assert!(parse(&twice).unwrap_err().contains("two are named `a`"));
        assert!(parse("[[audit.export]]\nname = \"../a\"\n").unwrap_err().contains("letters"));
    }
}
