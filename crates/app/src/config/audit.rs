//! The `[audit]` section: who witnesses the log. Where it is delivered to is [`super::exports`].

use std::time::Duration;

use portcullis_evidence::log::WitnessKey;
use serde::Deserialize;

use super::duration;
use super::exports::RawExport;

/// Age of a cosigned checkpoint that is an alert, unless it is set.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(600);
/// Most witnesses of a log.
const MAX_WITNESSES: usize = 16;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditConfig {
    /// Who is asked to cosign checkpoints.
    pub(crate) witnesses: Vec<WitnessConfig>,
    /// How many of them must.
    pub(crate) quorum: usize,
    /// How old a cosigned checkpoint may become before it is an alert.
    pub(crate) max_cosignature_age: Duration,
}

/// One witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WitnessConfig {
    /// Where.
    pub(crate) url: WitnessUrl,
    /// Its verifier key.
    pub(crate) key: WitnessKey,
}

/// The submission prefix of a witness: `http://HOST:PORT/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WitnessUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With a slash before and none behind; empty for none.
    pub(crate) prefix: String,
}

impl WitnessUrl {
    /// Host and port as in a URL.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, prefix) = match rest.split_once('/') {
            Some((authority, prefix)) => (authority, prefix.trim_end_matches('/')),
            None => (rest, ""),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\' | '"');
        let fits = !host.is_empty() && host.chars().all(plain) && prefix.chars().all(plain);
        fits.then(|| Self {
            host: host.to_owned(),
            port,
            prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    /// For [`super::exports`].
    pub(super) export: Vec<RawExport>,
    witness: Vec<RawWitness>,
    quorum: Option<usize>,
    max_cosignature_age: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    url: String,
    key: String,
}

impl RawAudit {
    /// The section, or the key that is wrong and why.
    pub(super) fn parse(&self) -> Result<AuditConfig, (&'static str, String)> {
        if self.witness.len() > MAX_WITNESSES {
            return Err(("audit.witness", format!("name at most {MAX_WITNESSES}")));
        }
        let witnesses = self.witness.iter().map(|raw| {
            let url = WitnessUrl::parse(&raw.url).ok_or_else(|| {
                let message = format!(
                    "`{}` is no address of a witness; write something like `http://witness.example.com:3023`",
                    raw.url.chars().take(100).collect::<String>().escape_debug()
                );
                ("audit.witness.url", message)
            })?;
            let key = WitnessKey::from_vkey(&raw.key).map_err(|error| {
                ("audit.witness.key", format!("{error}; `portcullis witness show` prints it"))
            })?;
            Ok(WitnessConfig { url, key })
        });
        let witnesses = witnesses.collect::<Result<Vec<_>, (&'static str, String)>>()?;
        let quorum = self.quorum.unwrap_or(witnesses.len());
        if quorum > witnesses.len() || (quorum == 0 && !witnesses.is_empty()) {
            let message = format!("write 1 to {}, the number of witnesses", witnesses.len());
            return Err(("audit.quorum", message));
        }
        let max_cosignature_age = match &self.max_cosignature_age {
            None => DEFAULT_MAX_AGE,
            Some(text) => {
                duration(text).ok().filter(|age| *age >= Duration::from_secs(1)).ok_or_else(
                    || ("audit.max_cosignature_age", "write at least `1s`, such as `10m`".into()),
                )?
            }
        };
        Ok(AuditConfig { witnesses, quorum, max_cosignature_age })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_witnesses_are_read_strictly() {
        let url = |host: &str, port, prefix: &str| {
            Some(WitnessUrl { host: host.into(), port, prefix: prefix.into() })
        };
        assert_eq!(WitnessUrl::parse("http://w.example:3023"), url("w.example", 3023, ""));
        assert_eq!(WitnessUrl::parse("http://w.example/a/b/"), url("w.example", 80, "/a/b"));
        assert_eq!(WitnessUrl::parse("http://[::1]:7"), url("::1", 7, ""));
        assert_eq!(WitnessUrl::parse("http://[::1]:7").unwrap().authority(), "[::1]:7");
        for text in [
            "",
            "https://w.example",
            "http://",
            "http://:80",
            "http://w.example:port",
            "http://w.example/?x",
            "http://me@w.example",
            "http://w.example/a b",
        ] {
            assert_eq!(WitnessUrl::parse(text), None, "{text}");
        }
    }
}
