//! `portcullis serve`: a node in the foreground, until it is told to stop.
//!
//! In: the configuration and signals. Out: the node's run, and the operator's log on standard
//! error. SIGTERM and SIGINT stop it; SIGHUP reads the configuration again.

pub(crate) mod log;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Config as ConfigPath;
use crate::config::Config;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::home::write_private;
use crate::node::{Addresses, Listeners, Node};

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigPath,
    /// Write process id and addresses to this file, as JSON, once people can sign in
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Serve {
    /// Runs until a signal.
    pub(crate) async fn run(self, _context: &Context) -> Result<Outcome, Failure> {
        let mut config = read(&self.config.config)?;
        let level = log::install(&config.log_level, config.log_format)?;
        let listeners = Listeners::bind(&config).await?;
        let (ssh, api) = (listeners.ssh_address()?, listeners.api_address()?);
        config.listens_at(api);
        let advertised = config.ssh_advertise.clone().unwrap_or_else(|| reachable(ssh));
        let postgres = listeners.postgres_address()?;
        let addresses = Addresses {
            ssh: advertised,
            postgres: postgres
                .map(|at| config.postgres.advertise.clone().unwrap_or_else(|| reachable(at))),
        };
        let node = Node::open(&config, addresses).await?;
        tracing::info!(%ssh, %api, node = config.name, "the gate is open");
        let ready = json!({
            "pid": std::process::id(), "ssh": ssh.to_string(), "api": format!("http://{api}"),
            "postgres": postgres.map(|at| at.to_string()),
        });
        if let Some(path) = &self.ready_file {
            write_private(path, ready.to_string().as_bytes()).map_err(|error| {
                Failure::because(format!("`{}` cannot be written", path.display()), &error)
            })?;
        }
        let stop = CancellationToken::new();
        let signals = tokio::spawn(follow_signals(config, level, stop.clone()));
        let served = node.run(listeners, stop).await;
        signals.abort();
        if let Some(path) = &self.ready_file {
            let _ = std::fs::remove_file(path);
        }
        tracing::info!("the gate is closed");
        served.map(|()| Outcome::Done)
    }
}

/// What people connect to: never a wildcard address.
pub(crate) fn reachable(listening: std::net::SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        return format!("localhost:{}", listening.port());
    }
    listening.to_string()
}

pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
    Config::read(path).map_err(|error| Failure::Failed(chain(&error)))
}

async fn follow_signals(mut config: Config, level: log::Level, stop: CancellationToken) {
    let listen = |kind| {
        signal(kind).inspect_err(|error| tracing::error!(%error, "signals cannot be followed"))
    };
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::hangup()),
    ) else {
        // A node nobody can stop is worse than none.
        return stop.cancel();
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => break tracing::info!("stopping: SIGINT"),
            _ = hangup.recv() => reload(&mut config, &level),
        }
    }
    stop.cancel();
}

/// Takes over what can change in a running node and names the rest. A configuration with a mistake
/// changes nothing.
fn reload(config: &mut Config, level: &log::Level) {
    let new = match Config::read(&config.path) {
        Ok(new) => new,
        Err(error) => {
            tracing::error!(error = chain(&error), "the configuration was not reloaded");
            return;
        }
    };
    if let Err(failure) = level.set(&new.log_level) {
        tracing::error!(?failure, "the configuration was not reloaded");
        return;
    }
    let restart = config.needs_restart(&new);
    if restart.is_empty() {
        tracing::info!(level = new.log_level, "the configuration is reloaded");
    } else {
        let keys = restart.join(", ");
        tracing::warn!(keys, "the configuration is reloaded, but for these a restart is needed");
    }
    config.log_level = new.log_level;
}
