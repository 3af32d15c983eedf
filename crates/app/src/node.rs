//! A node put together: the one place where store, log, keys, gate, rooms and API meet.
//!
//! In: a [`Config`]. Out: an open [`Node`], and once it runs, bytes between people and targets. What
//! any part does is not known here, only in which order they start and stop.

pub(crate) mod exports;
mod log;
mod offline;
mod rotation;
mod signing;
mod witnesses;

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_connectors::export::{Export, Exports, OpenError, Opener, Source};
use portcullis_control::{Control, Settings};
use portcullis_domain::audit::{Activity, Event};
use portcullis_domain::canonical::to_canonical_json;
use portcullis_evidence::log::Log;
use portcullis_gateway::{Clock, Gateway, Hasher, ListenerTls, Parts, SystemClock};
use portcullis_identity::keys::PrivateKey;
use portcullis_identity::password::{Parameters, Passwords};
use portcullis_protocol_postgres::PostgresRoom;
use portcullis_protocol_ssh::SshRoom;
use portcullis_store::Store;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::doors::PostgresConfig;
use crate::failure::Failure;
use crate::keys;

pub(crate) use offline::{Before, archive_log, rotate_log_key};
pub(crate) use rotation::rotate_master_key;
pub(crate) use signing::log_key_name;

/// Longest wait for sessions to be told and closed when the node stops.
const SESSIONS_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the rooms and the API after that.
const DOORS_PATIENCE: Duration = Duration::from_secs(5);

/// An open node: everything but its listeners.
pub(crate) struct Node {
    control: Control,
    log: Log,
    host_key: PrivateKey,
    ssh_options: portcullis_protocol_ssh::Options,
    postgres: PostgresConfig,
    tls: ListenerTls,
    exports: Vec<Export>,
    clock: Arc<dyn Clock>,
}

/// What people are told to connect to, `host:port` each.
pub(crate) struct Addresses {
    /// The SSH door.
    pub(crate) ssh: String,
    /// The PostgreSQL door, where it is open.
    pub(crate) postgres: Option<String>,
}

impl Addresses {
    /// Of a node that does not serve: where it would listen.
    pub(crate) fn of(config: &Config) -> Self {
        let ssh = crate::serve::reachable(config.ssh_listen);
        Self { ssh, postgres: config.postgres.listen.map(crate::serve::reachable) }
    }
}

/// Where a node listens.
pub(crate) struct Listeners {
    ssh: TcpListener,
    postgres: Option<TcpListener>,
    api: TcpListener,
}

impl Listeners {
    /// Takes all ports, so that it is known early whether they are free.
    pub(crate) async fn bind(config: &Config) -> Result<Self, Failure> {
        let postgres = match config.postgres.listen {
            Some(address) => Some(bind("postgres.listen", address).await?),
            None => None,
        };
        Ok(Self {
            postgres,
            ssh: bind("ssh.listen", config.ssh_listen).await?,
            api: bind("api.listen", config.api_listen).await?,
        })
    }

    /// Where the SSH door listens.
    pub(crate) fn ssh_address(&self) -> Result<SocketAddr, Failure> {
        local(&self.ssh)
    }

    /// Where the PostgreSQL door listens, if it is open.
    pub(crate) fn postgres_address(&self) -> Result<Option<SocketAddr>, Failure> {
        self.postgres.as_ref().map(local).transpose()
    }

    /// Where the API listens.
    pub(crate) fn api_address(&self) -> Result<SocketAddr, Failure> {
        local(&self.api)
    }
}

impl Node {
    /// Opens store, keys and log, and reads what is in force.
    pub(crate) async fn open(config: &Config, addresses: Addresses) -> Result<Self, Failure> {
        prepare_directory(&config.data_dir)?;
        prepare_directory(&config.recordings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let now = clock.now();
        let store = Store::open_with(&config.store_url, &config.master_key, now)
            .await
            .map_err(|error| Failure::because("the store cannot be opened", &error))?;
        let keys = signing::open(&store, now).await?;
        let log = log::open(config, &store, now).await?;
        let exports = exports::open(config, &store, &clock).await.map_err(Failure::Failed)?;
        let passwords = Passwords::new(Parameters::default())
            .map_err(|error| Failure::because("passwords cannot be hashed", &error))?;
        let hasher = Hasher::start(Arc::new(passwords))
            .map_err(|error| Failure::because("cannot start the hashing thread", &error))?;
        let parts = Parts {
            store,
            log: log.clone(),
            clock: clock.clone(),
            sign_in_authority: keys.sign_in,
            target_authority: keys.target,
            tls_authority: keys.tls,
            recordings: config.recordings.clone(),
            recording_keys: keys.recordings,
            hasher,
            node: config.name.clone(),
            connections_per_person: config.connections_per_person,
        };
        let gateway = Gateway::start(parts)
            .await
            .map_err(|error| Failure::because("what is in force cannot be read", &error))?;
        gateway.set_rules(config.sign_in.clone());
        let settings = Settings {
            ssh_address: addresses.ssh,
            postgres_address: addresses.postgres,
            gate_host_key: keys::public_line(keys.host.public_key())?,
            log_directory: config.log_dir(),
            sign_in_lifetime: config.sign_in_lifetime,
            sign_in_idle: config.sign_in_idle,
            solver: config.solver.clone(),
        };
        let control = Control::new(gateway, settings);
        if let Some(witnesses) = witnesses::from(&config.audit)? {
            control.set_witnesses(witnesses);
        }
        let ssh_options = config.ssh_options.clone();
        let postgres = config.postgres.clone();
        let tls = config.tls.shown(&postgres);
        Ok(Self { control, log, host_key: keys.host, ssh_options, postgres, tls, exports, clock })
    }

    /// The use cases of this node.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The gate.
    pub(crate) fn gateway(&self) -> &Gateway {
        self.control.gateway()
    }

    /// Serves until `stop`, or until a part of it gives up. Sessions are told and closed, then
    /// the doors, then the log.
    pub(crate) async fn run(
        mut self,
        listeners: Listeners,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let metrics = portcullis_api::install_recorder()
            .map_err(|error| Failure::because("metrics cannot be recorded", &error))?;
        let gateway = self.gateway().clone();
        let background = CancellationToken::new();
        let doors = CancellationToken::new();
        let supervising = tokio::spawn({
            let (gateway, stop) = (gateway.clone(), background.clone());
            async move { gateway.supervise(stop).await }
        });
        let reconciling = tokio::spawn({
            let (control, stop) = (self.control.clone(), background.clone());
            async move { control.reconcile(stop).await }
        });
        // Nothing depends on it: what the witnesses do not cosign is an alert.
        drop(tokio::spawn({
            let (control, stop) = (self.control.clone(), background.clone());
            async move { control.cosign(stop).await }
        }));
        self.note("started").await?;
        let exporting = self.start_exports(&background);
        let room = SshRoom::new(gateway.clone(), self.ssh_options.clone(), self.host_key.clone());
        let mut ssh = tokio::spawn(room.serve(listeners.ssh, doors.clone()));
        let mut postgres = self.serve_postgres(listeners.postgres, &doors)?;
        let mut api = tokio::spawn(portcullis_api::serve(
            self.control.clone(),
            listeners.api,
            metrics,
            doors.clone(),
        ));
        let (mut supervising, mut reconciling) = (supervising, reconciling);
        let ended_early = tokio::select! {
            () = stop.cancelled() => None,
            ended = &mut ssh => Some(format!("the SSH room ended: {ended:?}")),
            ended = &mut postgres => Some(format!("the PostgreSQL room ended: {ended:?}")),
            ended = &mut api => Some(format!("the API ended: {ended:?}")),
            ended = &mut supervising => Some(format!("the supervisor ended: {ended:?}")),
            ended = &mut reconciling => Some(format!("the reconcilers ended: {ended:?}")),
        };
        if let Some(why) = &ended_early {
            tracing::error!(why, "a part of the node gave up; the node stops");
        }
        gateway.stop(SESSIONS_PATIENCE).await;
        doors.cancel();
        let closing = async {
            if !ssh.is_finished() {
                let _ = ssh.await;
            }
            if !postgres.is_finished() {
                let _ = postgres.await;
            }
            if !api.is_finished() {
                let _ = api.await;
            }
        };
        if tokio::time::timeout(DOORS_PATIENCE, closing).await.is_err() {
            tracing::warn!("a door did not close in time");
        }
        background.cancel();
        if let Err(failure) = self.note("stopped").await {
            tracing::warn!(?failure, "the end of the node could not be audited");
        }
        drop(exporting);
        self.close().await;
        match ended_early {
            None => Ok(()),
            Some(why) => Err(Failure::Failed(format!("{why}; see the log for what led to it"))),
        }
    }

    /// Opens the PostgreSQL door, where one is configured; otherwise a task that only waits.
    fn serve_postgres(
        &self,
        listener: Option<TcpListener>,
        doors: &CancellationToken,
    ) -> Result<JoinHandle<()>, Failure> {
        let doors = doors.clone();
        let Some(listener) = listener else {
            return Ok(tokio::spawn(async move { doors.cancelled().await }));
        };
        let room =
            PostgresRoom::new(self.gateway().clone(), self.postgres.options.clone(), &self.tls)
                .map_err(|error| {
                    Failure::because("the PostgreSQL door cannot speak TLS", &error)
                })?;
        Ok(tokio::spawn(room.serve(listener, doors)))
    }

    /// Exports begin; they end with `stop`, or when the tasks are dropped.
    fn start_exports(&mut self, stop: &CancellationToken) -> JoinSet<()> {
        let source = Source {
            log: self.log.clone(),
            open: opener(self.gateway()),
            clock: exports::wall_clock(&self.clock),
        };
        let (exports, tasks) = Exports::start(std::mem::take(&mut self.exports), &source, stop);
        self.control.set_exports(exports);
        tasks
    }

    /// Closes a node: store, then log.
    pub(crate) async fn close(self) {
        let store = self.gateway().store();
        if let Err(error) = store.forget_node(self.gateway().node()).await {
            tracing::warn!(%error, "the node could not be signed off; its lease runs out by itself");
        }
        store.close().await;
        if let Err(error) = self.log.close().await {
            tracing::error!(%error, "the audit log did not close cleanly");
        }
    }

    async fn note(&self, what: &'static str) -> Result<(), Failure> {
        let event = Event::new(Activity::Node, self.gateway().now())
            .detail("node", self.gateway().node())
            .detail("state", what)
            .detail("version", env!("CARGO_PKG_VERSION"));
        let written = self.gateway().auditor().write(event).await;
        written.map(drop).map_err(|error| Failure::because("the node does not run", &error))
    }
}

/// Receivers read what is personal in clear, as readers of the log do; what was erased reads so.
fn opener(gateway: &Gateway) -> Opener {
    let subjects = gateway.auditor().subjects().clone();
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |index, entry| {
        let failed = |error: portcullis_gateway::SubjectsError| OpenError {
            index,
            why: crate::failure::chain(&error),
        };
        let opened = runtime.block_on(subjects.open_entry(&entry)).map_err(failed)?;
        Ok(if opened.is_object() { to_canonical_json(&opened) } else { entry })
    })
}

/// A directory of the node: made if it is not there, and its owner's alone.
pub(crate) fn prepare_directory(path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::because(format!("the directory `{}` cannot be used", path.display()), &error)
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = path.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::Failed(format!(
            "others can read `{}` (mode {:o}); run `chmod 700` on it",
            path.display(),
            mode & 0o777
        )));
    }
    Ok(())
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::because(
            format!(
                "cannot listen on {address} (`{key}`); stop what listens there or choose another"
            ),
            &error,
        )
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::because("the listener has no address", &error))
}
