//! Rotation of the master key, on a store no node is using.

use std::path::Path;

use portcullis_domain::audit::{Activity, Event};
use portcullis_evidence::log::Log;
use portcullis_gateway::LEASE;
use portcullis_store::{MasterKeySource, Store};

use crate::config::Config;
use crate::context::{Context, now};
use crate::failure::{Failure, Outcome};

/// The next master key where it is not a file of ours.
const NEW_KEY_VARIABLE: &str = "PORTCULLIS_NEW_MASTER_KEY";

/// Wraps every secret under a new master key. Audited before and after.
pub(crate) async fn rotate_master_key(context: &Context, path: &Path) -> Result<Outcome, Failure> {
    let config =
        Config::read(path).map_err(|error| Failure::Failed(crate::failure::chain(&error)))?;
    let source = &config.master_key;
    let store = Store::open_with(&config.store_url, source, now())
        .await
        .map_err(|error| Failure::because("the store cannot be opened", &error))?;
    let failed =
        |error: &dyn std::error::Error| Failure::because("the master key was not rotated", error);
    let nodes = store.nodes().await.map_err(|error| failed(&error))?;
    // Twice the lease: a node that has just lost its clock's synchronisation counts as alive.
    let alive = nodes.iter().find(|node| now().since(node.seen_at) < 2 * LEASE);
    if let Some(node) = alive {
        return Err(Failure::Failed(format!(
            "the node `{}` is using the store; stop every node, then try again in {} s",
            node.name,
            2 * LEASE.as_secs()
        )));
    }
    let next = match source {
        MasterKeySource::File(_) => source.stage_next().map_err(|error| failed(&error))?,
        _ => Some(
            MasterKeySource::Environment(NEW_KEY_VARIABLE.into())
                .load()
                .await
                .map_err(|error| failed(&error))?,
        ),
    };
    let next = next.ok_or_else(|| Failure::Failed("there is no next master key".into()))?;
    // Its lock also keeps a node on this machine from starting meanwhile.
    let log = super::log::open(&config, &store, now()).await?;
    let to = next.id().to_string();
    audit(&log, "begun", &to).await?;
    let rotated = store.rotate_master_key(next, now()).await.map_err(|error| failed(&error))?;
    source.promote_staged().map_err(|error| failed(&error))?;
    audit(&log, "done", &to).await?;
    store.close().await;
    log.close().await.map_err(|error| Failure::because("the audit log did not close", &error))?;
    let told = serde_json::json!({
        "from": rotated.from.to_string(), "to": rotated.to.to_string(), "values": rotated.values,
    });
    context.out.either(&told, |out| {
        out.line(&format!(
            "{} secrets are wrapped under master key {} now; {} is retired. Back up the new key before you start the node",
            rotated.values, rotated.to, rotated.from
        ))
    })?;
    Ok(Outcome::Done)
}

/// Written before the rotation and after it; nobody is signed in, so no person is named.
async fn audit(log: &Log, state: &'static str, to: &str) -> Result<(), Failure> {
    let event = Event::new(Activity::KeyChange, now())
        .detail("what", "master_key")
        .detail("offline", true)
        .detail("state", state)
        .detail("to", to);
    let written = log.append(event.to_ocsf()).await;
    written.map(drop).map_err(|error| Failure::because("the rotation cannot be audited", &error))
}
