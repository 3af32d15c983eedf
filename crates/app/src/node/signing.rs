//! The keys a node signs and wraps with, made on first use and kept sealed in the store.
//!
//! In: the store. Out: the three certificate authorities, the gate's host key, the wrapping of
//! recordings' keys, and a log's signer by name. Nodes that share a store share them all.

use std::path::Path;
use std::time::Duration;

use portcullis_domain::{Secret, Timestamp, entry};
use portcullis_evidence::log::holding::read_handovers;
use portcullis_evidence::log::storage::Directory;
use portcullis_evidence::log::{NoteSigner, TlogProof};
use portcullis_identity::authority::{SignInAuthority, TargetAuthority, TlsAuthority};
use portcullis_identity::keys::PrivateKey;
use portcullis_identity::random::{OsRandom, Random};
use portcullis_store::{KeyWrap, Store};

use crate::failure::Failure;
use crate::keys;

const SEED_BYTES: usize = 32;
/// How long a key of the log that was replaced signs along with the new one.
const OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

/// A seed of a signing key, wiped on drop.
type Seed = zeroize::Zeroizing<[u8; SEED_BYTES]>;

/// See the module.
pub(super) struct SigningKeys {
    pub(super) sign_in: SignInAuthority,
    pub(super) target: TargetAuthority,
    pub(super) tls: TlsAuthority,
    pub(super) host: PrivateKey,
    pub(super) recordings: KeyWrap,
}

/// Opens the keys; the missing ones are made.
pub(super) async fn open(store: &Store, now: Timestamp) -> Result<SigningKeys, Failure> {
    let sign_in = text(store, "sign_in_authority", now, || {
        let made = SignInAuthority::generate(&mut OsRandom).map_err(unmade)?;
        made.to_openssh().map_err(unmade)
    })
    .await?;
    let target = text(store, "target_authority", now, || {
        let made = TargetAuthority::generate(&mut OsRandom).map_err(unmade)?;
        made.to_openssh().map_err(unmade)
    })
    .await?;
    let tls =
        text(store, "tls_authority", now, || TlsAuthority::generate(now).map_err(unmade)).await?;
    let host = text(store, "gate_host_key", now, || keys::to_openssh(&keys::generate()?)).await?;
    let unreadable = |error: &dyn std::error::Error| {
        Failure::because("a key in the store cannot be read", error)
    };
    Ok(SigningKeys {
        sign_in: SignInAuthority::from_openssh(&sign_in).map_err(|error| unreadable(&error))?,
        target: TargetAuthority::from_openssh(&target).map_err(|error| unreadable(&error))?,
        tls: TlsAuthority::from_pem(&tls).map_err(|error| unreadable(&error))?,
        host: keys::from_openssh(host.expose().as_bytes())?,
        recordings: store
            .key_wrap("recordings", now)
            .await
            .map_err(|error| Failure::because("the keys of recordings cannot be opened", &error))?,
    })
}

/// The name in the store of a log's key: of the first, and of those that replaced it, counted from 1.
pub(crate) fn log_key_name(log: &str, replaced: usize) -> String {
    match replaced {
        0 => format!("log/{log}"),
        times => format!("log/{log}/{times}"),
    }
}

/// The signer of a log: the key the last handover introduced, and for a while the one before.
pub(super) async fn log_signer(
    store: &Store,
    log: &str,
    directory: &Path,
    now: Timestamp,
) -> Result<NoteSigner, Failure> {
    let handovers = read_handovers(&Directory::new(directory)).map_err(unmade)?;
    let (signer, _) = next_log_key(store, log, handovers.len(), now).await?;
    let Some(last) = handovers.last() else { return Ok(signer) };
    let replaced_at = TlogProof::parse(last)
        .ok()
        .and_then(|proof| entry::identity(&proof.extra?))
        .map_or(now, |introduced| introduced.at);
    if now.since(replaced_at) > OVERLAP {
        return Ok(signer);
    }
    let (_, old) = next_log_key(store, log, handovers.len() - 1, now).await?;
    Ok(signer.along_with(&old))
}

/// A log's key after so many replacements, and its seed; made where there is none yet.
pub(super) async fn next_log_key(
    store: &Store,
    log: &str,
    replaced: usize,
    now: Timestamp,
) -> Result<(NoteSigner, Seed), Failure> {
    let mut fresh = Seed::new([0; SEED_BYTES]);
    OsRandom.fill(&mut *fresh).map_err(unmade)?;
    let name = log_key_name(log, replaced);
    let found = store.get_or_create_key(&name, || Secret::new(fresh.to_vec()), now).await;
    let found = found.map_err(unmade)?;
    let seed: &[u8; SEED_BYTES] = found.expose().as_slice().try_into().map_err(|_| {
        Failure::Failed("the log's signing key in the store has a wrong length".into())
    })?;
    let signer = NoteSigner::new(format!("portcullis/{log}"), seed).map_err(unmade)?;
    Ok((signer, Seed::new(*seed)))
}

async fn text(
    store: &Store,
    name: &str,
    now: Timestamp,
    generate: impl FnOnce() -> Result<Secret<String>, Failure>,
) -> Result<Secret<String>, Failure> {
    let found = match store.key(name).await.map_err(unmade)? {
        Some(found) => found,
        None => {
            let made = generate()?;
            let bytes = Secret::new(made.expose().clone().into_bytes());
            // Another node may have been quicker; then its key is the one.
            store.get_or_create_key(name, || bytes, now).await.map_err(unmade)?
        }
    };
    String::from_utf8(found.expose().clone())
        .map(Secret::new)
        .map_err(|_| Failure::Failed(format!("the key `{name}` in the store is damaged")))
}

fn unmade(error: impl std::error::Error) -> Failure {
    Failure::because("the node's keys cannot be opened", &error)
}
