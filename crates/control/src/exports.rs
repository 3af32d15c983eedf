//! Exports of the audit log: how they stand, and the finding about one that falls behind.

use std::collections::BTreeSet;

use portcullis_connectors::export::{ExportState, Exports};
use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{ControlAction, Timestamp};
use portcullis_gateway::Authenticated;

use crate::view::{ExportFailure, ExportView};
use crate::{Control, ControlError};

impl Control {
    /// Says which exports this node runs. Once, when it starts to; later calls change nothing.
    pub fn set_exports(&self, exports: Exports) {
        // A second call could only come from a second start of the same node, which there is not.
        let _ = self.0.exports.set(exports);
    }

    fn export_states(&self) -> Vec<ExportState> {
        self.0.exports.get().map(Exports::states).unwrap_or_default()
    }

    /// How the exports of this node stand, in the order of its configuration.
    pub async fn audit_exports(
        &self,
        who: &Authenticated,
    ) -> Result<Vec<ExportView>, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        Ok(self.export_states().into_iter().map(view).collect())
    }

    /// Writes one finding for each export that has fallen behind for too long, when it does; not
    /// again before it has caught up. `told` are those known already.
    pub(crate) async fn note_overdue_exports(
        &self,
        told: &mut BTreeSet<String>,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        for state in self.export_states() {
            if state.overdue_since.is_none() {
                told.remove(&state.name);
                continue;
            }
            if told.contains(&state.name) {
                continue;
            }
            self.audit(finding(&state, now)).await?;
            told.insert(state.name);
        }
        Ok(())
    }
}

fn finding(state: &ExportState, now: Timestamp) -> Event {
    let why = match &state.failing {
        Some(failing) => failing.why.clone(),
        None => "the receiver takes less than is logged".into(),
    };
    Event::new(Activity::Finding, now)
        .outcome(Outcome::Failed(why))
        .detail("kind", "export_overdue")
        .detail("export", state.name.as_str())
        .detail("destination", state.destination.as_str())
        .detail("cursor", state.next)
        .detail("lag", state.lag())
}

fn view(state: ExportState) -> ExportView {
    ExportView {
        kind: state.kind.as_str().to_owned(),
        cursor: state.next,
        lag: state.lag(),
        delivered_at: state.delivered_at,
        behind_since: state.behind_since,
        overdue_since: state.overdue_since,
        failing: state.failing.map(|failing| ExportFailure {
            since: failing.since,
            tries: failing.tries,
            why: failing.why,
        }),
        name: state.name,
        destination: state.destination,
    }
}
