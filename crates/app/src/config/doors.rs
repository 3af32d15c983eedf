//! `[ssh]`, `[postgres]` and `[tls]`: the doors people come in by, and what those that speak TLS
//! show.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis_gateway::ListenerTls;
use serde::Deserialize;

use super::duration;

/// Longest banner, in bytes.
const MAX_BANNER_BYTES: usize = 4096;

/// The PostgreSQL door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PostgresConfig {
    /// Where it listens; closed where there is none.
    pub(crate) listen: Option<SocketAddr>,
    /// What people are told to connect to; where it is not set, the address listened on.
    pub(crate) advertise: Option<String>,
    /// Limits of the room.
    pub(crate) options: portcullis_protocol_postgres::Options,
}

/// What doors that speak TLS show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsConfig {
    /// Certificate chain and key, PEM files.
    files: Option<(PathBuf, PathBuf)>,
    /// Names the gate's own certificate is for.
    names: Vec<String>,
}

impl TlsConfig {
    /// The certificate of the files, or one of the gate's own authority: for the names given, what
    /// people are told to connect to, and this machine.
    pub(crate) fn shown(&self, postgres: &PostgresConfig) -> ListenerTls {
        if let Some((certificate, key)) = &self.files {
            return ListenerTls::Files { certificate: certificate.clone(), key: key.clone() };
        }
        let mut names = self.names.clone();
        let advertised = postgres.advertise.as_deref().and_then(|place| place.rsplit_once(':'));
        names.extend(advertised.map(|(host, _)| host.trim_matches(['[', ']']).to_owned()));
        names.extend(
            postgres
                .listen
                .map(|at| at.ip())
                .filter(|ip| !ip.is_unspecified())
                .map(|ip| ip.to_string()),
        );
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        names.sort();
        names.dedup();
        ListenerTls::Names(names)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSsh {
    pub(super) listen: SocketAddr,
    pub(super) advertise: Option<String>,
    max_half_open: Option<usize>,
    max_half_open_per_source: Option<usize>,
    login_grace: Option<String>,
    banner: Option<String>,
}

impl Default for RawSsh {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 2022)),
            advertise: None,
            max_half_open: None,
            max_half_open_per_source: None,
            login_grace: None,
            banner: None,
        }
    }
}

impl RawSsh {
    pub(super) fn options(
        &self,
    ) -> Result<portcullis_protocol_ssh::Options, (&'static str, String)> {
        let mut options = portcullis_protocol_ssh::Options::default();
        for (key, given, limit) in [
            ("ssh.max_half_open", self.max_half_open, &mut options.max_half_open),
            (
                "ssh.max_half_open_per_source",
                self.max_half_open_per_source,
                &mut options.max_half_open_per_source,
            ),
        ] {
            match given {
                Some(0) => return Err((key, "nobody could sign in; write at least 1".into())),
                Some(given) => *limit = given,
                None => {}
            }
        }
        if let Some(text) = &self.login_grace {
            let grace = duration(text).map_err(|message| ("ssh.login_grace", message))?;
            if grace.is_zero() {
                return Err((
                    "ssh.login_grace",
                    "nobody could sign in; write something like `60s`".into(),
                ));
            }
            options.login_grace = grace;
        }
        if let Some(banner) = &self.banner {
            let fits = banner.len() <= MAX_BANNER_BYTES
                && !banner.chars().any(|c| c.is_control() && c != '\n');
            if !fits {
                let message =
                    format!("at most {MAX_BANNER_BYTES} bytes without control characters");
                return Err(("ssh.banner", message));
            }
            options.banner.clone_from(banner);
        }
        Ok(options)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPostgres {
    listen: Option<SocketAddr>,
    advertise: Option<String>,
}

impl RawPostgres {
    pub(super) fn parse(self) -> Result<PostgresConfig, (&'static str, String)> {
        if let Some(place) = &self.advertise
            && place
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(("postgres.advertise", "write `host:port`".into()));
        }
        Ok(PostgresConfig { listen: self.listen, advertise: self.advertise, ..Default::default() })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    names: Vec<String>,
}

impl RawTls {
    pub(super) fn parse(self, base: &Path) -> Result<TlsConfig, (&'static str, String)> {
        let files = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((base.join(certificate), base.join(key))),
            (None, None) => None,
            _ => return Err(("tls", "write both `certificate` and `key`, or neither".into())),
        };
        if files.is_some() && !self.names.is_empty() {
            return Err(("tls.names", "a certificate of your own has its names already".into()));
        }
        let plain = |name: &String| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-:*_".contains(c))
        };
        if !self.names.iter().all(plain) {
            return Err(("tls.names", "write host names and addresses".into()));
        }
        Ok(TlsConfig { files, names: self.names })
    }
}
