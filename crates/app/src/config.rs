//! `portcullis.toml`: read strictly, with defaults for everything that can have one.
//!
//! In: the file's text and where it lies. Out: a [`Config`] with absolute paths, or a message with
//! line, column and what was probably meant. A key nobody knows is an error: a misspelt limit
//! must not silently become no limit.

mod audit;
pub(crate) mod doors;
pub(crate) mod exports;
pub(crate) mod notify;
pub(crate) mod outside;
mod people;
mod proofs;
mod suggest;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_control::SolverSettings;
use portcullis_domain::parse_duration;
use portcullis_gateway::SignInRules;
use portcullis_store::MasterKeySource;
use serde::Deserialize;
use thiserror::Error;

pub(crate) use audit::{AuditConfig, WitnessUrl};

/// Largest configuration read, in bytes.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;
/// Longest sign-in: what a certificate may last (the sign-in authority refuses more).
const MAX_SIGN_IN: Duration = Duration::from_secs(12 * 3600);
/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("`{}` cannot be read; name the configuration with `--config`, or make one with `portcullis init`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has a key or value it should not.
    #[error("{place}: {message}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A value is of the right type and still wrong.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// The file.
        place: String,
        /// Which key.
        key: &'static str,
        /// What is wrong, with what to write instead.
        message: String,
    },
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A node's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The file it came from.
    pub(crate) path: PathBuf,
    /// The node's name, also in the audit log's origin: it stays for the life of the log.
    pub(crate) name: String,
    /// Where the node keeps its files.
    pub(crate) data_dir: PathBuf,
    /// Where the SSH door listens.
    pub(crate) ssh_listen: SocketAddr,
    /// What people are told to connect to; where it is not set, the address listened on.
    pub(crate) ssh_advertise: Option<String>,
    /// Limits and banner of the SSH room.
    pub(crate) ssh_options: portcullis_protocol_ssh::Options,
    /// The PostgreSQL door.
    pub(crate) postgres: doors::PostgresConfig,
    /// What the doors that speak TLS show.
    pub(crate) tls: doors::TlsConfig,
    /// Where the API listens; loopback.
    pub(crate) api_listen: SocketAddr,
    /// How long a sign-in lasts.
    pub(crate) sign_in_lifetime: Duration,
    /// After how long without use a browser's sign-in ends.
    pub(crate) sign_in_idle: Duration,
    /// Signed-in connections of one person at a time.
    pub(crate) connections_per_person: NonZeroUsize,
    /// URL of the store.
    pub(crate) store_url: String,
    /// Where the master key is.
    pub(crate) master_key: MasterKeySource,
    /// Directives of the operator's log, as in `info,portcullis_gateway=debug`.
    pub(crate) log_level: String,
    /// Format of the operator's log.
    pub(crate) log_format: LogFormat,
    /// Where recordings are written.
    pub(crate) recordings: PathBuf,
    /// Where entries of the audit log are delivered to.
    pub(crate) exports: Vec<exports::ExportConfig>,
    /// Who witnesses the log.
    pub(crate) audit: AuditConfig,
    /// The solver that proofs ask.
    pub(crate) solver: SolverSettings,
    /// How people sign in. Where no origin is configured it names the port configured, which is not
    /// the one listened on where that is 0.
    pub(crate) sign_in: SignInRules,
}

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        if text.len() > MAX_CONFIG_BYTES {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        Self::parse(&text, &absolute)
    }

    /// Reads a text that lies at `path`; relative paths in it start from there.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| syntax(text, path, &error))?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let wrong = |key: &'static str, message: String| ConfigError::Value {
            place: path.display().to_string(),
            key,
            message,
        };
        let data_dir = base.join(raw.node.data_dir);
        let ssh_options = raw.ssh.options().map_err(|(key, message)| wrong(key, message))?;
        if !raw.api.listen.ip().is_loopback() {
            let message = "the API speaks plain HTTP and listens on loopback only; write `127.0.0.1:3022` and let people reach it through `ssh -L 3022:127.0.0.1:3022 HOST`";
            return Err(wrong("api.listen", message.into()));
        }
        let postgres = raw.postgres.parse().map_err(|(key, message)| wrong(key, message))?;
        let tls = raw.tls.parse(base).map_err(|(key, message)| wrong(key, message))?;
        let sign_in_lifetime = duration(&raw.sign_in.lifetime)
            .ok()
            .filter(|lifetime| !lifetime.is_zero() && *lifetime <= MAX_SIGN_IN)
            .ok_or_else(|| {
                wrong("sign_in.lifetime", "write at most `12h`, and more than `0s`".into())
            })?;
        let sign_in_idle = duration(&raw.sign_in.idle)
            .ok()
            .filter(|idle| !idle.is_zero() && *idle <= MAX_SIGN_IN)
            .ok_or_else(|| {
                wrong("sign_in.idle", "write at most `12h`, and more than `0s`".into())
            })?;
        check_name(&raw.node.name).map_err(|message| wrong("node.name", message))?;
        let master_key = master_key(raw.master_key, base, &data_dir)
            .map_err(|message| wrong("master_key", message))?;
        let store_url = raw
            .store
            .url
            .unwrap_or_else(|| format!("sqlite://{}", data_dir.join("portcullis.db").display()));
        let recordings =
            raw.recordings.dir.map_or_else(|| data_dir.join("recordings"), |dir| base.join(dir));
        let audit = raw.audit.parse().map_err(|(key, message)| wrong(key, message))?;
        let exports = exports::exports(raw.audit.export, base)
            .map_err(|message| wrong("audit.export", message))?;
        let mut exports = exports;
        let told = notify::notify(raw.notify, base).map_err(|message| wrong("notify", message))?;
        exports.extend(told);
        let solver = raw.proofs.settings(base).map_err(|(key, message)| wrong(key, message))?;
        let sign_in = people::rules(&raw.console, &raw.identity, raw.api.listen)
            .map_err(|(key, message)| wrong(key, message))?;
        Ok(Self {
            sign_in,
            audit,
            path: path.to_owned(),
            name: raw.node.name,
            data_dir,
            ssh_listen: raw.ssh.listen,
            ssh_advertise: raw.ssh.advertise,
            ssh_options,
            postgres,
            tls,
            api_listen: raw.api.listen,
            sign_in_lifetime,
            sign_in_idle,
            connections_per_person: raw.sign_in.max_connections_per_person,
            store_url,
            master_key,
            log_level: raw.log.level,
            log_format: raw.log.format,
            recordings,
            exports,
            solver,
        })
    }

    /// Where the audit log is.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// Where exports remember how far they are.
    pub(crate) fn exports_dir(&self) -> PathBuf {
        self.data_dir.join("exports")
    }

    /// Names of what differs from `new` and cannot change while the node runs.
    pub(crate) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("node.name", self.name != new.name),
            ("node.data_dir", self.data_dir != new.data_dir),
            ("ssh.listen", self.ssh_listen != new.ssh_listen),
            ("ssh.advertise", self.ssh_advertise != new.ssh_advertise),
            ("ssh", self.ssh_options != new.ssh_options),
            ("postgres", self.postgres != new.postgres),
            ("tls", self.tls != new.tls),
            ("api.listen", self.api_listen != new.api_listen),
            ("sign_in.lifetime", self.sign_in_lifetime != new.sign_in_lifetime),
            ("sign_in.idle", self.sign_in_idle != new.sign_in_idle),
            (
                "sign_in.max_connections_per_person",
                self.connections_per_person != new.connections_per_person,
            ),
            ("store.url", self.store_url != new.store_url),
            ("master_key", self.master_key != new.master_key),
            ("log.format", self.log_format != new.log_format),
            ("recordings.dir", self.recordings != new.recordings),
            ("audit.export", self.exports != new.exports),
            ("audit", self.audit != new.audit),
            ("proofs", self.solver != new.solver),
            ("console and identity", self.sign_in != new.sign_in),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    notify: Vec<notify::RawNotify>,
    node: RawNode,
    #[serde(default)]
    ssh: doors::RawSsh,
    #[serde(default)]
    postgres: doors::RawPostgres,
    #[serde(default)]
    tls: doors::RawTls,
    #[serde(default)]
    api: RawApi,
    #[serde(default)]
    sign_in: RawSignIn,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    master_key: RawMasterKey,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    recordings: RawRecordings,
    #[serde(default)]
    audit: audit::RawAudit,
    #[serde(default)]
    proofs: proofs::RawProofs,
    #[serde(default)]
    console: people::RawConsole,
    #[serde(default)]
    identity: people::RawIdentity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: String,
    data_dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApi {
    listen: SocketAddr,
}

impl Default for RawApi {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 3022)) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSignIn {
    lifetime: String,
    idle: String,
    max_connections_per_person: NonZeroUsize,
}

impl Default for RawSignIn {
    fn default() -> Self {
        Self {
            lifetime: "12h".into(),
            idle: "30m".into(),
            max_connections_per_person: portcullis_gateway::CONNECTIONS_PER_PERSON,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMasterKey {
    file: Option<PathBuf>,
    env: Option<String>,
    command: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    level: String,
    format: LogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecordings {
    dir: Option<PathBuf>,
}

fn master_key(raw: RawMasterKey, base: &Path, data_dir: &Path) -> Result<MasterKeySource, String> {
    match (raw.file, raw.env, raw.command) {
        (None, None, None) => Ok(MasterKeySource::File(data_dir.join("master.key"))),
        (Some(file), None, None) => Ok(MasterKeySource::File(base.join(file))),
        (None, Some(name), None) if !name.is_empty() => Ok(MasterKeySource::Environment(name)),
        (None, None, Some(words)) if !words.is_empty() => Ok(MasterKeySource::Command(words)),
        (None, Some(_), None) | (None, None, Some(_)) => Err("it is empty".into()),
        _ => Err("write one of `file`, `env` and `command`, not several".into()),
    }
}

/// The name goes into the log's origin, where white space and `+` are separators.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("use 1 to 64 letters, digits, `-`, `_` and `.`".into());
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn syntax(text: &str, path: &Path, error: &toml::de::Error) -> ConfigError {
    let place = match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
            format!("{}:{line}:{column}", path.display())
        }
        None => path.display().to_string(),
    };
    let message = suggest::improved(error.message());
    ConfigError::Syntax { place, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "[node]\nname = \"gate\"\ndata_dir = \"data\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/portcullis/portcullis.toml"))
    }

    fn refused(more: &str) -> String {
        parse(&format!("{SMALL}{more}")).unwrap_err().to_string()
    }

    #[test]
    fn a_small_configuration_has_defaults_for_the_rest() {
        let config = parse(SMALL).unwrap();
        assert_eq!(config.data_dir, Path::new("/etc/portcullis/data"));
        assert_eq!(config.ssh_listen.port(), 2022);
        assert!(config.api_listen.ip().is_loopback());
        assert_eq!(config.store_url, "sqlite:///etc/portcullis/data/portcullis.db");
        assert_eq!(
            config.master_key,
            MasterKeySource::File("/etc/portcullis/data/master.key".into())
        );
        assert_eq!(config.sign_in_lifetime, Duration::from_secs(12 * 3600));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_what_was_meant() {
        let error = refused("\n[ssh]\nlisen = \"0.0.0.0:22\"\n");
        assert!(error.starts_with("/etc/portcullis/portcullis.toml:6:1:"), "{error}");
        assert!(error.contains("`lisen`") && error.contains("did you mean `listen`"), "{error}");
        let error = refused("[recording]\ndir = \"x\"\n");
        assert!(error.contains("did you mean `recordings`"), "{error}");
    }

    #[test]
    fn values_that_would_open_or_break_the_node_are_refused() {
        for (more, told) in [
            ("[api]\nlisten = \"0.0.0.0:3022\"\n", "loopback only"),
            ("[sign_in]\nlifetime = \"13h\"\n", "at most `12h`"),
            ("[ssh]\nmax_half_open = 0\n", "at least 1"),
            ("[ssh]\nlogin_grace = \"0s\"\n", "nobody could sign in"),
            ("[ssh]\nbanner = \"\\u001b[2J\"\n", "without control characters"),
            ("[master_key]\nfile = \"a\"\nenv = \"B\"\n", "not several"),
            ("[master_key]\ncommand = []\n", "empty"),
            ("[log]\nformat = \"xml\"\n", "`xml`"),
        ] {
            let error = refused(more);
            assert!(error.contains(told), "{more}: {error}");
        }
        let error = parse("[node]\nname = \"a b\"\ndata_dir = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("node.name"), "{error}");
    }

    #[test]
    fn what_a_reload_cannot_change_is_named() {
        let old = parse(SMALL).unwrap();
        let new =
            parse(&format!("{SMALL}[ssh]\nlisten = \"0.0.0.0:22\"\n[log]\nlevel = \"debug\"\n"));
        assert_eq!(old.needs_restart(&new.unwrap()), ["ssh.listen"]);
    }
}
