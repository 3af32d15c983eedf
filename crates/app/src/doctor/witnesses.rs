//! Whether the log's witnesses have cosigned a checkpoint lately.

use portcullis_domain::Timestamp;
use portcullis_evidence::log::holding::COSIGNED_PATH;
use portcullis_evidence::log::note::{MAX_NOTE_BYTES, Note};
use portcullis_evidence::log::storage::{Directory, TileStore as _};

use super::finding::Finding;
use crate::config::Config;

const CHECK: &str = "witnesses";

/// Nothing to say where there are none.
pub(super) fn check(config: &Config, now: Timestamp) -> Option<Finding> {
    let audit = &config.audit;
    if audit.witnesses.is_empty() {
        return None;
    }
    let note = Directory::new(config.log_dir()).read(COSIGNED_PATH, MAX_NOTE_BYTES);
    let note = note.ok().flatten().unwrap_or_default();
    let mut times: Vec<u64> = match Note::parse(&note) {
        Ok(note) => {
            let each = audit.witnesses.iter();
            each.filter_map(|witness| witness.key.cosigned_at(&note).ok()).collect()
        }
        Err(_) => Vec::new(),
    };
    times.sort_unstable_by(|a, b| b.cmp(a));
    let remedy = "see that the node runs and that the witnesses run and are reached: `portcullis audit search --activity finding`";
    let Some(complete) = times.get(audit.quorum.saturating_sub(1)) else {
        let what = "no checkpoint was cosigned by a quorum of the witnesses yet";
        return Some(Finding::notice(CHECK, what.to_owned(), remedy));
    };
    let age = u64::try_from(now.as_seconds()).unwrap_or(0).saturating_sub(*complete);
    let what = format!("a quorum cosigned the log {age} s ago");
    Some(if age > audit.max_cosignature_age.as_secs() {
        Finding::notice(CHECK, what, remedy)
    } else {
        Finding::good(CHECK, what)
    })
}
