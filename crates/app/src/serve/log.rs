//! The operator's log: lines on standard error. It is never the audit trail.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::LogFormat;
use crate::failure::{Failure, chain};

/// The level of the running log; can be set anew.
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Sets directives such as `info,portcullis_gateway=debug`.
    pub(crate) fn set(&self, directives: &str) -> Result<(), Failure> {
        self.0
            .reload(filter(directives)?)
            .map_err(|error| Failure::because("the log level cannot be set", &error))
    }
}

/// Starts the log.
pub(crate) fn install(directives: &str, format: LogFormat) -> Result<Level, Failure> {
    let (filter, level) = reload::Layer::new(filter(directives)?);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            registry.with(fmt::layer().with_ansi(colour).with_writer(std::io::stderr)).try_init()
        }
    };
    started.map_err(|error| Failure::because("the log cannot be started", &error))?;
    Ok(Level(level))
}

/// Starts the log into a new file, for programs whose terminal is used for something else.
pub(crate) fn install_to_file(directives: &str, path: &std::path::Path) -> Result<(), Failure> {
    let file = std::fs::File::create_new(path).map_err(|error| {
        Failure::because(format!("`{}` cannot be written", path.display()), &error)
    })?;
    let lines = fmt::layer().with_ansi(false).with_writer(std::sync::Mutex::new(file));
    tracing_subscriber::registry()
        .with(filter(directives)?)
        .with(lines)
        .try_init()
        .map_err(|error| Failure::because("the log cannot be started", &error))
}

/// The database library says every statement at `debug`; it stays quiet unless it is named.
fn filter(directives: &str) -> Result<EnvFilter, Failure> {
    let quiet = match directives.contains("sqlx") {
        true => directives.to_owned(),
        false => format!("{directives},sqlx=warn"),
    };
    EnvFilter::try_new(quiet).map_err(|error| {
        Failure::Failed(format!(
            "`{}` is not a log level ({}); write `info`, or `info,portcullis_gateway=debug`",
            directives.escape_debug(),
            chain(&error)
        ))
    })
}
