//! `portcullis witness`: cosigns the checkpoints of logs run by others, on another machine than
//! theirs.
//!
//! In: a directory with a key and a state, the keys of the logs, requests over HTTP. Out:
//! cosignatures. It holds no part of any log and knows nobody; what it remembers is one checkpoint
//! for each log.

mod door;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use portcullis_evidence::log::witness::StateFile;
use portcullis_evidence::log::{Cosigner, NoteVerifier, Witness};
use portcullis_identity::random::{OsRandom, Random as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::config::LogFormat;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::home::write_private;
use crate::node::prepare_directory;
use crate::print::escape;
use crate::serve::log;

/// Files in the directory of a witness.
const KEY_FILE: &str = "witness.key";
const STATE_FILE: &str = "state.json";
/// Largest key file, in bytes.
const MAX_KEY_BYTES: u64 = 4096;

/// What can be done with a witness.
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Make the key and the state of a new witness, and print its verifier key
    Init(Init),
    /// Answer logs, in the foreground
    Run(Run),
    /// Print the verifier key and what was cosigned last
    Show(Show),
}

/// Options of `witness init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory to make
    dir: PathBuf,
    /// Its name, such as `witness.example.com/portcullis`; it stays for the life of the key
    #[arg(long)]
    name: String,
}

/// Options of `witness show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The directory made by `witness init`
    dir: PathBuf,
}

/// Options of `witness run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The directory made by `witness init`
    dir: PathBuf,
    /// The verifier key of a log to witness, from `audit checkpoint`; may be repeated, also for
    /// several keys of one log
    #[arg(long, value_name = "KEY", required = true)]
    log: Vec<String>,
    /// Where to listen; put a TLS proxy in front where the way is not trusted
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3023")]
    listen: SocketAddr,
    /// Write process id and address to this file, as JSON, once it listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl WitnessCommand {
    /// Does what was asked.
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Init(init) => init.run(context),
            Self::Run(run) => run.run().await,
            Self::Show(show) => show.run(context),
        }
    }
}

impl Init {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        OsRandom
            .fill(&mut *seed)
            .map_err(|error| Failure::because("there is no randomness for a key", &error))?;
        let cosigner = Cosigner::new(self.name.clone(), &seed)
            .map_err(|error| Failure::because("the witness cannot be named so", &error))?;
        prepare_directory(&self.dir)?;
        let (key, state) = (self.dir.join(KEY_FILE), self.dir.join(STATE_FILE));
        for file in [&key, &state] {
            if file.exists() {
                let shown = file.display();
                return Err(Failure::Failed(format!(
                    "`{shown}` exists; a new witness gets a directory of its own"
                )));
            }
        }
        // The state first: a key without one would be of no use, a state without a key harms nobody.
        StateFile::create(&state)
            .map_err(|error| Failure::because("the state cannot be made", &error))?;
        let text = Zeroizing::new(format!("{}\n{}\n", self.name, STANDARD.encode(*seed)));
        write_private(&key, text.as_bytes()).map_err(|error| {
            Failure::because(format!("`{}` cannot be written", key.display()), &error)
        })?;
        let vkey = cosigner.key().to_vkey();
        context.out.either(&json!({ "key": vkey }), |out| {
            out.line(&escape::line(&vkey))?;
            out.line("give this key to the log's node (`audit.witness`) and to whoever verifies it")
        })?;
        Ok(Outcome::Done)
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        use portcullis_evidence::log::Checkpoint;
        use portcullis_evidence::log::witness::WitnessState as _;
        let vkey = cosigner(&self.dir)?.key().to_vkey();
        let path = self.dir.join(STATE_FILE);
        let latest = StateFile::peek(&path)
            .and_then(|state| state.latest())
            .map_err(|error| Failure::because("the state cannot be read", &error))?;
        let logs: Vec<_> = latest
            .iter()
            .map(|(origin, note)| {
                let size = Checkpoint::read_unverified(note).map_or(0, |read| read.size);
                json!({ "log": origin, "size": size })
            })
            .collect();
        context.out.either(&json!({ "key": vkey, "logs": logs }), |out| {
            out.line(&escape::line(&vkey))?;
            logs.iter().try_for_each(|log| {
                let origin = log.get("log").and_then(serde_json::Value::as_str).unwrap_or_default();
                let size = log.get("size").and_then(serde_json::Value::as_u64).unwrap_or(0);
                out.line(&format!("{} up to {size} entries", escape::line(origin)))
            })
        })?;
        Ok(Outcome::Done)
    }
}

impl Run {
    async fn run(self) -> Result<Outcome, Failure> {
        let _level = log::install("info", LogFormat::Text)?;
        let keys = self
            .log
            .iter()
            .map(|key| {
                let shown: String = key.chars().take(80).collect();
                NoteVerifier::from_vkey(key).map_err(|error| {
                    Failure::Usage(format!("the log key `{shown}` is unusable: {error}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let cannot =
            |error: &dyn std::error::Error| Failure::because("the witness does not begin", error);
        let state = StateFile::open(&self.dir.join(STATE_FILE)).map_err(|error| cannot(&error))?;
        let witness = Witness::new(cosigner(&self.dir)?, keys, Box::new(state))
            .map_err(|error| cannot(&error))?;
        let listener = TcpListener::bind(self.listen).await.map_err(|error| cannot(&error))?;
        let address = listener.local_addr().map_err(|error| cannot(&error))?;
        if let Some(path) = &self.ready_file {
            let ready =
                json!({ "pid": std::process::id(), "witness": format!("http://{address}") });
            write_private(path, ready.to_string().as_bytes()).map_err(|error| cannot(&error))?;
        }
        for (origin, size) in witness.logs() {
            tracing::info!(log = origin, cosigned = size, "witnessing");
        }
        tracing::info!(%address, key = witness.key().to_vkey(), "the witness listens");
        let stop = CancellationToken::new();
        let signals = tokio::spawn(until_told(stop.clone()));
        door::serve(Arc::new(Mutex::new(witness)), listener, stop).await;
        signals.abort();
        if let Some(path) = &self.ready_file {
            let _ = std::fs::remove_file(path);
        }
        Ok(Outcome::Done)
    }
}

fn cosigner(dir: &Path) -> Result<Cosigner, Failure> {
    use std::io::Read as _;
    let path = dir.join(KEY_FILE);
    let wrong = || Failure::Failed(format!("`{}` is no key of a witness", path.display()));
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(&path)
        .and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::because(
            format!("`{}` cannot be read; `portcullis witness init` makes it", path.display()),
            &error,
        )
    })?;
    let mut lines = text.lines();
    let (name, seed) = lines.next().zip(lines.next()).ok_or_else(wrong)?;
    let seed = Zeroizing::new(STANDARD.decode(seed).map_err(|_| wrong())?);
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| wrong())?;
    Cosigner::new(name, seed).map_err(|_| wrong())
}

async fn until_told(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return stop.cancel();
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}
