//! `[proofs]`: the solver and how long it may take.

use std::path::Path;
use std::time::Duration;

use portcullis_control::SolverSettings;
use portcullis_domain::parse_duration;
use serde::Deserialize;

/// Longest time a proof may be given: an apply waits for it.
const MAX_IN_TOTAL: Duration = Duration::from_secs(600);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProofs {
    solver: Option<String>,
    per_question: Option<String>,
    in_total: Option<String>,
}

impl RawProofs {
    pub(super) fn settings(&self, base: &Path) -> Result<SolverSettings, (&'static str, String)> {
        let mut settings = SolverSettings::default();
        if let Some(solver) = &self.solver {
            // A name alone is looked up in PATH; anything with a `/` is a file.
            settings.program = if solver.contains('/') { base.join(solver) } else { solver.into() };
        }
        for (key, given, place) in [
            ("proofs.per_question", &self.per_question, &mut settings.per_query),
            ("proofs.in_total", &self.in_total, &mut settings.in_total),
        ] {
            let Some(text) = given else { continue };
            *place = parse_duration(text)
                .ok()
                .filter(|time| !time.is_zero() && *time <= MAX_IN_TOTAL)
                .ok_or_else(|| (key, "write at most `10m`, and more than `0s`".to_owned()))?;
        }
        Ok(settings)
    }
}
