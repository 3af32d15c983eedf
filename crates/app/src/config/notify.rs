//! `[[notify]]`: who is told of what.
//!
//! In: the tables as written. Out: [`ExportConfig`]s, because people are told by an export of the
//! audit log, or what to write instead.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use portcullis_connectors::export::{Begin, ExportOptions, Filter, Limits};
use portcullis_connectors::http::Url;
use portcullis_connectors::sinks::notify::message::Topic;
use portcullis_connectors::tls::Trust;
use portcullis_domain::EnvironmentName;
use serde::Deserialize;

use super::exports::{ExportConfig, Receiver};
use super::outside::{RawSecret, RawTrust, SecretSource, secret, trust};
use super::{check_name, duration};

/// Few at a time, and at once.
const LIMITS: Limits = Limits { entries: 20, bytes: 1 << 20, wait: Duration::from_millis(500) };
/// How long a command runs where nothing else is said, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// More than a way takes by itself.
const PATIENCE: Duration = Duration::from_secs(65);
/// How long people may not be told before that is an alert of its own.
const ALERT_AFTER: Duration = Duration::from_secs(300);
/// Most arguments of a command.
const MAX_ARGUMENTS: usize = 64;

/// What is told, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notify {
    /// Of what.
    pub(crate) topics: BTreeSet<Topic>,
    /// How.
    pub(crate) way: Way,
}

/// How people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By an HTTPS POST.
    Webhook { url: Box<Url>, trust: Trust, secret: Option<SecretSource> },
    /// By a command.
    Command { argv: Vec<String>, timeout: Duration },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    name: String,
    events: Vec<String>,
    #[serde(default)]
    environments: Vec<EnvironmentName>,
    webhook: Option<RawWebhook>,
    command: Option<RawCommand>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: String,
    #[serde(default)]
    tls: RawTrust,
    secret: Option<RawSecret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommand {
    argv: Vec<String>,
    timeout: Option<String>,
}

/// Reads them; relative paths start from `base`.
pub(super) fn notify(raw: Vec<RawNotify>, base: &Path) -> Result<Vec<ExportConfig>, String> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for one in raw {
        let name = one.name.clone();
        check_name(&name)
            .map_err(|message| format!("name `{}`: {message}", name.escape_debug()))?;
        if !names.insert(name.clone()) {
            return Err(format!("two are named `{name}`"));
        }
        all.push(export(one, base).map_err(|message| format!("`{name}`: {message}"))?);
    }
    Ok(all)
}

fn export(raw: RawNotify, base: &Path) -> Result<ExportConfig, String> {
    let topics: BTreeSet<Topic> =
        raw.events.iter().map(|name| topic(name)).collect::<Result<_, _>>()?;
    if topics.is_empty() {
        return Err("`events`: name what is told, such as `break_glass`".into());
    }
    let way = match (raw.webhook, raw.command) {
        (Some(webhook), None) => Way::Webhook {
            url: Box::new(webhook.url.parse().map_err(|error| format!("`webhook.url`: {error}"))?),
            trust: trust(webhook.tls, base)?,
            secret: webhook
                .secret
                .map(|raw| secret(raw, base).map_err(|why| format!("`webhook.secret`: {why}")))
                .transpose()?,
        },
        (None, Some(command)) => command_way(command)?,
        _ => return Err("write exactly one of `webhook` and `command`".into()),
    };
    let options = ExportOptions {
        // Its cursor lies beside those of exports and is no export's of the same name.
        name: format!("notify-{}", raw.name),
        filter: Filter {
            classes: Vec::new(),
            activities: topics.iter().map(|topic| topic.activity().to_owned()).collect(),
            environments: raw.environments.iter().map(ToString::to_string).collect(),
        },
        limits: LIMITS,
        timeout: PATIENCE,
        alert_after: ALERT_AFTER,
        begin: Begin::Now,
    };
    Ok(ExportConfig { options, receiver: Receiver::Notify(Notify { topics, way }) })
}

fn topic(name: &str) -> Result<Topic, String> {
    let found = Topic::ALL.into_iter().find(|topic| topic.as_str() == name);
    found.ok_or_else(|| {
        let all: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
        format!("`events`: `{}` is none of {}", name.escape_debug(), all.join(", "))
    })
}

fn command_way(raw: RawCommand) -> Result<Way, String> {
    let absolute = raw.argv.first().is_some_and(|program| Path::new(program).is_absolute());
    if !absolute || raw.argv.len() > MAX_ARGUMENTS {
        return Err(format!(
            "`command.argv`: write the absolute path of a program, and at most {MAX_ARGUMENTS} words"
        ));
    }
    let timeout = match raw.timeout {
        None => TIMEOUT,
        Some(text) => duration(&text).map_err(|message| format!("`command.timeout`: {message}"))?,
    };
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err("`command.timeout`: write more than `0s` and at most `1m`".into());
    }
    Ok(Way::Command { argv: raw.argv, timeout })
}
