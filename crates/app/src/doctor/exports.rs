//! Exports of the audit log: whether they can run, and how far they are.

use std::sync::Arc;

use portcullis_connectors::export::{CursorStore, first_waiting};
use portcullis_domain::{Timestamp, format_duration};
use portcullis_evidence::log::{LogReadError, LogReader};
use portcullis_gateway::{Clock, SystemClock};
use portcullis_store::Store;

use super::finding::Finding;
use crate::config::Config;
use crate::config::exports::ExportConfig;
use crate::context::now;
use crate::failure::chain;
use crate::node;

const CHECK: &str = "audit export";

pub(super) async fn check(config: &Config, store: &Store, found: &mut Vec<Finding>) {
    if config.exports.is_empty() {
        return;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if let Err(why) = node::exports::open(config, store, &clock).await {
        let remedy = "correct `[[audit.export]]`; the node does not start like this";
        found.push(Finding::problem(CHECK, why, remedy));
    }
    for export in &config.exports {
        let (config, export) = (config.clone(), export.clone());
        let looked = tokio::task::spawn_blocking(move || progress(&config, &export, now())).await;
        match looked {
            Ok(finding) => found.push(finding),
            Err(error) => found.push(Finding::problem(CHECK, chain(&error), "try again")),
        }
    }
}

fn progress(config: &Config, export: &ExportConfig, now: Timestamp) -> Finding {
    let name = &export.options.name;
    let reader = match LogReader::open(&config.log_dir()) {
        Ok(reader) => reader,
        Err(LogReadError::NoCheckpoint) => {
            return Finding::notice(
                CHECK,
                format!("`{name}`: there is no log yet"),
                "start the node",
            );
        }
        Err(error) => return unreadable(name, &error),
    };
    let checkpoint = match reader.checkpoint() {
        Ok(checkpoint) => checkpoint,
        Err(error) => return unreadable(name, &error),
    };
    let cursor = CursorStore::new(&config.exports_dir(), name);
    let next = match cursor.load(&checkpoint.origin, checkpoint.size) {
        Ok(Some(next)) => next,
        Ok(None) => {
            let remedy = "it begins when the node starts with this configuration";
            return Finding::notice(CHECK, format!("`{name}` has not begun"), remedy);
        }
        Err(error) => {
            let what = format!("`{name}`: {}", chain(&error));
            return Finding::problem(
                CHECK,
                what,
                "see the section on exports in the operations guide",
            );
        }
    };
    let waiting = match first_waiting(&reader, &export.options.filter, next) {
        Ok(waiting) => waiting,
        Err(error) => return unreadable(name, &error),
    };
    let Some(waiting) = waiting else {
        return Finding::good(CHECK, format!("`{name}` has caught up"));
    };
    let at = waiting.event.map(|event| Timestamp::from_millis(event.time_millis));
    let age = at.map(|at| now.since(at)).unwrap_or_default();
    let what = format!(
        "`{name}` is {} entries behind; the first of them is {} old",
        checkpoint.size.saturating_sub(waiting.index),
        format_duration(age)
    );
    if age > export.options.alert_after {
        let remedy = "see that the node runs and what `portcullis audit exports` says; it catches up by itself once the receiver takes entries";
        return Finding::problem(CHECK, what, remedy);
    }
    Finding::good(CHECK, what)
}

fn unreadable(name: &str, error: &LogReadError) -> Finding {
    let what = format!("`{name}`: {}", chain(error));
    Finding::problem(CHECK, what, "look at what the check of the audit log says")
}
