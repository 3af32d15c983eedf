//! The store, the master key, the audit log and the targets: what only an open store can tell.

use std::net::ToSocketAddrs;
use std::time::Duration;

use portcullis_domain::Target;
use portcullis_evidence::log::holding::read_handovers;
use portcullis_evidence::log::storage::Directory;
use portcullis_evidence::log::{NoteSigner, NoteVerifier, VerifyError, verify_dir};
use portcullis_store::{MasterKeyError, OpenError, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::finding::Finding;
use super::ports::read_greeting;
use crate::config::Config;
use crate::context::now;
use crate::failure::chain;
use crate::node::log_key_name;

/// Longest wait for one target.
const TARGET_PATIENCE: Duration = Duration::from_secs(5);
/// Targets tried at the same time.
const TARGETS_AT_ONCE: usize = 16;

pub(super) async fn check(config: &Config, targets: bool, found: &mut Vec<Finding>) {
    if new_installation(config) {
        found.push(Finding::problem(
            "store",
            "there is no store yet",
            format!("portcullis init --config {}", config.path.display()),
        ));
        return;
    }
    match config.master_key.load().await {
        Ok(key) => found.push(Finding::good("master key", format!("{} can be read", key.id()))),
        Err(error) => {
            found.push(master_key(&error));
            return;
        }
    }
    let store = match Store::open_with(&config.store_url, &config.master_key, now()).await {
        Ok(store) => store,
        Err(error) => {
            found.push(Finding::problem("store", chain(&error), store_remedy(&error)));
            return;
        }
    };
    found.push(Finding::good("store", "it opens, and its master key is the one given"));
    log(config, &store, found).await;
    super::exports::check(config, &store, found).await;
    facts(&store, targets, found).await;
    store.close().await;
}

/// Opening would make a store and a key; a check must not.
fn new_installation(config: &Config) -> bool {
    let path = config.store_url.strip_prefix("sqlite://");
    path.is_some_and(|path| !std::path::Path::new(path.split('?').next().unwrap_or(path)).exists())
}

fn master_key(error: &MasterKeyError) -> Finding {
    let remedy = match error {
        MasterKeyError::Missing(_) => "restore it from the backup; without it no secret opens",
        MasterKeyError::Exposed { .. } => {
            "chmod 600 it, and consider `portcullis keys rotate-master`"
        }
        _ => "correct [master_key] in the configuration",
    };
    Finding::problem("master key", chain(error), remedy)
}

fn store_remedy(error: &OpenError) -> &'static str {
    match error {
        OpenError::WrongMasterKey { .. } | OpenError::RetiredMasterKey { .. } => {
            "point [master_key] to the key this store was last rotated to"
        }
        OpenError::TooNew { .. } => "run the version of this program that wrote it, or a newer one",
        _ => "see that the database runs, that the URL is right, and that its user may use it",
    }
}

async fn log(config: &Config, store: &Store, found: &mut Vec<Finding>) {
    let check = "audit log";
    let verifier = match verifier(config, store).await {
        Ok(Some(verifier)) => verifier,
        Ok(None) => {
            let remedy = "portcullis init makes it, or the first `portcullis serve`";
            found.push(Finding::notice(check, "this node has no signing key yet", remedy));
            return;
        }
        Err(why) => {
            found.push(Finding::problem(check, why, "restore the store from a backup"));
            return;
        }
    };
    let directory = config.log_dir();
    let verified = tokio::task::spawn_blocking(move || verify_dir(&directory, &verifier)).await;
    found.push(match verified {
        Ok(Ok(verified)) => Finding::good(
            check,
            format!("all {} entries under the checkpoint are as they were logged", verified.size),
        ),
        Ok(Err(VerifyError::NoCheckpoint)) => {
            Finding::notice(check, "it is empty", "it begins with the first `portcullis serve`")
        }
        Ok(Err(error)) => Finding::problem(
            check,
            chain(&error),
            "keep the directory as evidence, find who wrote to it, and compare with a copy",
        ),
        Err(error) => Finding::problem(check, chain(&error), "try again"),
    });
}

async fn verifier(config: &Config, store: &Store) -> Result<Option<NoteVerifier>, String> {
    let handovers = read_handovers(&Directory::new(config.log_dir()));
    let replaced = handovers.map_err(|error| chain(&error))?.len();
    let name = log_key_name(&config.name, replaced);
    let Some(seed) = store.key(&name).await.map_err(|error| chain(&error))? else {
        return Ok(None);
    };
    let seed = seed.expose().as_slice().try_into().map_err(|_| "the signing key is damaged")?;
    let signer = NoteSigner::new(format!("portcullis/{}", config.name), seed);
    signer.map(|signer| Some(signer.verifier())).map_err(|error| chain(&error))
}

async fn facts(store: &Store, targets: bool, found: &mut Vec<Finding>) {
    let facts = match store.load_facts(now()).await {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = "restore the store from a backup";
            found.push(Finding::problem("resources", chain(&error), remedy));
            return;
        }
    };
    found.push(if facts.users.is_empty() {
        Finding::problem("users", "there are none", "portcullis init sets up the first")
    } else {
        Finding::good("users", format!("{} are declared", facts.users.len()))
    });
    if !targets {
        return;
    }
    let all: Vec<Target> = facts.targets.values().cloned().collect();
    for batch in all.chunks(TARGETS_AT_ONCE) {
        let asked: Vec<_> =
            batch.iter().cloned().map(|target| tokio::spawn(reach(target))).collect();
        for answer in asked {
            if let Ok(finding) = answer.await {
                found.push(finding);
            }
        }
    }
}

/// What a PostgreSQL server says to an SSLRequest (its manual, 55.2.11); nothing else answers so.
async fn ask_for_tls(stream: &mut TcpStream) -> Option<String> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut answer = [0];
    stream.write_all(&SSL_REQUEST).await.ok()?;
    stream.read_exact(&mut answer).await.ok()?;
    match answer {
        [b'S'] => Some("PostgreSQL with TLS".to_owned()),
        [b'N'] => Some("PostgreSQL without TLS".to_owned()),
        _ => None,
    }
}

/// Whether a server of the target's protocol answers. What it proves itself with is looked at when
/// somebody is let in, not here.
async fn reach(target: Target) -> Finding {
    let place = format!("{}:{}", target.host(), target.port());
    let (name, protocol) = (target.name, target.protocol.as_str());
    let is_ssh = protocol == "ssh";
    let address = place.clone();
    let resolved = tokio::task::spawn_blocking(move || address.to_socket_addrs()).await;
    let Some(address) = resolved.ok().and_then(|found| found.ok()?.next()) else {
        let what = format!("`{name}`: `{place}` has no address");
        return Finding::problem("target", what, "correct `host`, or the name service");
    };
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        Ok::<_, std::io::Error>(match is_ssh {
            true => read_greeting(&mut stream).await,
            false => ask_for_tls(&mut stream).await,
        })
    };
    match tokio::time::timeout(TARGET_PATIENCE, asked).await {
        Ok(Ok(Some(greeting))) => {
            Finding::good("target", format!("`{name}` at {place} answers as {greeting}"))
        }
        Ok(Ok(None)) => Finding::problem(
            "target",
            format!("`{name}` at {place} is no {protocol} server"),
            "correct `host` and `port`",
        ),
        Ok(Err(error)) => Finding::problem(
            "target",
            format!("`{name}` at {place}: {error}"),
            "start its server, or let this machine through its firewall",
        ),
        Err(_) => Finding::problem(
            "target",
            format!("`{name}` at {place} does not answer"),
            "let this machine through its firewall",
        ),
    }
}
