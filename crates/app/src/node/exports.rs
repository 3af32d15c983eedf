//! From the configuration to exports that can run: secrets read, trust loaded, sinks chosen.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use portcullis_connectors::export::{CursorStore, Export, WallClock};
use portcullis_connectors::s3::{Bucket, BucketOptions, Credentials};
use portcullis_connectors::sinks::notify::Way;
use portcullis_connectors::sinks::syslog::SyslogOptions;
use portcullis_connectors::sinks::syslog::message::Header;
use portcullis_connectors::sinks::webhook::WebhookOptions;
use portcullis_connectors::sinks::{
    BucketSink, FileSink, NotifySink, Sink, SyslogSink, TilesSink, WebhookSink,
};
use portcullis_connectors::tls::{ClientConfig, Trust};
use portcullis_domain::Secret;
use portcullis_gateway::Clock;
use portcullis_store::Store;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::exports::{ExportConfig, Receiver};
use crate::config::notify;
use crate::config::outside::{S3, SecretSource};

/// Longest secret read from a file, in bytes.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Makes the exports of a node. A secret or certificate that cannot be read is an error now, not
/// a delivery that fails later.
pub(crate) async fn open(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Export>, String> {
    let mut exports = Vec::new();
    for export in &config.exports {
        let name = &export.options.name;
        let sink = sink(config, export, store, clock)
            .await
            .map_err(|why| format!("the export `{name}` cannot run: {why}"))?;
        let cursor = CursorStore::new(&config.exports_dir(), name);
        exports.push(Export { options: export.options.clone(), sink, cursor });
    }
    Ok(exports)
}

async fn sink(
    config: &Config,
    export: &ExportConfig,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Sink>, String> {
    Ok(match &export.receiver {
        Receiver::File(options) => Box::new(FileSink::new(options.clone())),
        Receiver::Syslog(syslog) => Box::new(SyslogSink::new(SyslogOptions {
            endpoint: syslog.endpoint.clone(),
            tls: syslog.tls.as_ref().map(tls).transpose()?,
            close_notify: syslog.close_notify,
            header: Header {
                facility: syslog.facility,
                hostname: config.name.clone(),
                app_name: syslog.app_name.clone(),
            },
        })),
        Receiver::Webhook(webhook) => Box::new(WebhookSink::new(WebhookOptions {
            url: webhook.url.clone(),
            tls: tls(&webhook.trust)?,
            format: webhook.format,
            secret: optional(webhook.secret.as_ref(), store).await?,
            authorization: optional(webhook.authorization.as_ref(), store).await?,
            node: config.name.clone(),
        })),
        Receiver::Notify(notify) => {
            let way = match &notify.way {
                notify::Way::Webhook { url, trust, secret } => Way::Webhook {
                    url: url.clone(),
                    tls: tls(trust)?,
                    secret: optional(secret.as_ref(), store).await?,
                },
                notify::Way::Command { argv, timeout } => {
                    Way::Command { argv: argv.clone(), timeout: *timeout }
                }
            };
            let name = format!("{}-{}", config.name, export.options.name);
            Box::new(NotifySink::new(name, notify.topics.clone(), way))
        }
        Receiver::Tiles(s3) => {
            Box::new(TilesSink::new(bucket(s3, store, clock).await?, config.log_dir()))
        }
        Receiver::S3(s3) => Box::new(BucketSink::new(bucket(s3, store, clock).await?)),
    })
}

/// A bucket, with its secrets.
pub(crate) async fn bucket(
    s3: &S3,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<Bucket, String> {
    let id = secret(&s3.access_key_id, store).await?;
    let options = BucketOptions {
        endpoint: s3.endpoint.clone(),
        tls: tls(&s3.trust)?,
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        path_style: s3.path_style,
        credentials: Credentials {
            access_key_id: String::from_utf8_lossy(id.expose()).into_owned(),
            secret_access_key: secret(&s3.secret_access_key, store).await?,
            session_token: optional(s3.session_token.as_ref(), store).await?,
        },
    };
    Bucket::new(options, wall_clock(clock)).map_err(|error| error.to_string())
}

/// The node's clock, for connectors.
pub(crate) fn wall_clock(clock: &Arc<dyn Clock>) -> WallClock {
    let clock = clock.clone();
    Arc::new(move || clock.now())
}

fn tls(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    trust.client_config().map_err(|error| crate::failure::chain(&error))
}

async fn optional(
    source: Option<&SecretSource>,
    store: &Store,
) -> Result<Option<Secret<Vec<u8>>>, String> {
    match source {
        Some(source) => secret(source, store).await.map(Some),
        None => Ok(None),
    }
}

async fn secret(source: &SecretSource, store: &Store) -> Result<Secret<Vec<u8>>, String> {
    match source {
        SecretSource::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Secret::new(value.into_bytes())),
            _ => Err(format!("the environment variable `{name}` is not set")),
        },
        SecretSource::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || file_secret(&path)).await;
            read.unwrap_or_else(|_| Err("reading a secret was interrupted".into()))
        }
        SecretSource::Store { environment, name } => store
            .target_secret(environment, name)
            .await
            .map_err(|error| format!("{error}; `portcullis secret put {environment} {name}`")),
    }
}

/// A secret in a file: its owner's alone, without the line feed at its end.
fn file_secret(path: &Path) -> Result<Secret<Vec<u8>>, String> {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| format!("the secret `{shown}` cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others can read the secret `{shown}`; `chmod 600 {shown}`"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let end = bytes.iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |at| at + 1);
    if end == 0 || bytes.len() > MAX_SECRET_BYTES {
        return Err(format!("the secret `{shown}` has to have 1 to {MAX_SECRET_BYTES} bytes"));
    }
    Ok(Secret::new(bytes.get(..end).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
        mode(0o644).unwrap();
        assert!(file_secret(&path).unwrap_err().contains("chmod 600"));
        mode(0o600).unwrap();
        assert_eq!(file_secret(&path).unwrap().expose(), b"hunter2");
        std::fs::write(&path, "\n").unwrap();
        assert!(file_secret(&path).is_err());
    }
}
