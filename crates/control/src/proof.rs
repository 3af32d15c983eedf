//! Invariants are proved before a change comes into force.
//!
//! What is in force and what would be flow in; the proofs, and why the change is refused, flow
//! out. Every way to change resources goes through [`Control::apply`], also the second person's,
//! and each time what would be in force then is proved.
//!
//! INVARIANT: nothing is passed for want of an answer. Where there is production, what is not
//! proved is not applied.

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{ControlAction, Facts, Tier};
use portcullis_gateway::{Authenticated, Snapshot};
use portcullis_policy::Policies;
use portcullis_proof::{Counterexample, Proof, Report, Status, check, same_question};

use crate::places::Places;
use crate::resources::{Proposal, changes_of, compiled};
use crate::view::{InvariantsView, PlanBody};
use crate::{Control, ControlError, ErrorKind};

/// Most reasons in one refusal.
const MAX_REASONS: usize = 5;

impl Control {
    /// Proves the invariants of what is in force, or of what applying these files would make.
    pub async fn prove(
        &self,
        who: &Authenticated,
        body: Option<PlanBody>,
    ) -> Result<InvariantsView, ControlError> {
        let (right, activity) = match body {
            Some(_) => (ControlAction::ApplyResources, Activity::ResourceApply),
            None => (ControlAction::ReadResources, Activity::AuditRead),
        };
        self.must_hold(who, right, activity).await?;
        let (control, snapshot) = (self.clone(), self.gateway().snapshot());
        let worked = tokio::task::spawn_blocking(move || {
            let now = control.gateway().now();
            let mut places = Places::default();
            let after = match body {
                Some(body) => {
                    let (_, after) = changes_of(&snapshot, &body)?;
                    places = Places::of(&body);
                    Some(compiled(&snapshot, &after, &places)?)
                }
                None => None,
            };
            let (facts, policies) = after
                .as_ref()
                .map_or((&snapshot.facts, &snapshot.policies), |(facts, policies)| {
                    (facts, policies)
                });
            must_make_sense(facts)?;
            let mut report = control.prover().inspect(facts, policies, now);
            report.findings = places.placed(report.findings);
            let refused = match &after {
                Some(_) => control.refusal(&snapshot, facts, &report),
                None => None,
            };
            Ok(InvariantsView { report, refused })
        });
        let worked = worked.await;
        worked.unwrap_or_else(|_| Err(ControlError::unavailable("the proof was broken off")))
    }

    /// Proves what would be in force; `None` where nothing changes that a proof is about. Takes
    /// CPU time and the solver's: not for the async threads.
    pub(crate) fn prove_change(
        &self,
        snapshot: &Snapshot,
        facts: &Facts,
        policies: &Policies,
    ) -> Result<Option<InvariantsView>, ControlError> {
        must_make_sense(facts)?;
        if same_question(&snapshot.facts, facts) {
            return Ok(None);
        }
        let report = self.prover().prove(facts, policies, self.gateway().now());
        let refused = self.refusal(snapshot, facts, &report);
        Ok(Some(InvariantsView { report, refused }))
    }

    /// Refuses what breaks an invariant, and what is not proved.
    pub(crate) async fn must_be_proved(
        &self,
        who: &Authenticated,
        proposal: &Proposal,
    ) -> Result<(), ControlError> {
        let Some(proof) = &proposal.proof else { return Ok(()) };
        let Some(why) = &proof.refused else { return Ok(()) };
        let event = self.event(who, Activity::ResourceApply).detail("needs", "proof");
        self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
        let broken = proof.report.invariants.iter().any(|proof| proof.status == Status::Broken);
        Err(if broken {
            ControlError::new(ErrorKind::Conflict, "invariant_broken", why.clone())
        } else {
            ControlError::new(ErrorKind::Unavailable, "not_proved", why.clone())
        })
    }

    /// Why a change that leads to this is refused.
    fn refusal(&self, snapshot: &Snapshot, facts: &Facts, report: &Report) -> Option<String> {
        if report.holds() {
            return None;
        }
        let broken = report.invariants.iter().any(|proof| proof.status == Status::Broken);
        let before = broken.then(|| {
            let now = self.gateway().now();
            self.prover().prove(&snapshot.facts, &snapshot.policies, now)
        });
        let before = before.unwrap_or_default();
        let new = report.new_since(&before).into_iter();
        let mut reasons: Vec<String> = new.map(|(proof, found)| breaks(proof, found)).collect();
        if has_production(&snapshot.facts) || has_production(facts) {
            let unproved = report.invariants.iter().filter(|proof| {
                // A broken one whose other policies could not be asked about hides what is new.
                proof.status == Status::NotProved
                    || (proof.status == Status::Broken && !proof.why.is_empty())
            });
            reasons.extend(unproved.map(not_proved));
        }
        if reasons.is_empty() {
            return None;
        }
        let more = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        if more > 0 {
            reasons.push(format!("... and {more} more; `portcullis prove` shows all"));
        }
        Some(reasons.join("\n"))
    }
}

fn must_make_sense(facts: &Facts) -> Result<(), ControlError> {
    let problems = check(facts);
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(ControlError::new(ErrorKind::Invalid, "invalid_resources", lines.join("\n")))
}

fn has_production(facts: &Facts) -> bool {
    facts.environments.values().any(|environment| environment.tier == Tier::Production)
}

fn breaks(proof: &Proof, found: &Counterexample) -> String {
    let means = proof.description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
    format!(
        "invariant `{}`{means} would be broken: {}; narrow what lets them, or have someone answer for \
         an exception until a date",
        proof.invariant,
        told(found)
    )
}

fn not_proved(proof: &Proof) -> String {
    format!(
        "invariant `{}` is not proved, and nothing is applied unproved: {}",
        proof.invariant,
        proof.why.join("; ")
    )
}

/// A counterexample in one sentence.
pub(crate) fn told(found: &Counterexample) -> String {
    let who = match (found.user_exists, found.roles.is_empty()) {
        (true, _) => format!("`{}`", found.user),
        (false, true) => "anyone".to_owned(),
        (false, false) => format!("whoever holds `{}`", found.roles.join("`, `")),
    };
    let groups = match (found.user_exists, found.groups.is_empty()) {
        (false, false) => format!(" in group `{}`", found.groups.join("`, `")),
        _ => String::new(),
    };
    let target = if found.target_exists {
        format!("`{}`", found.target)
    } else {
        format!("a target of environment `{}`", found.environment)
    };
    let grant = if found.granted { "with" } else { "without" };
    let factor = match found.second_factor_age {
        Some(age) => format!("a second factor {age} s old"),
        None => "no second factor".to_owned(),
    };
    let by = if found.allowed_by.is_empty() { &found.policies } else { &found.allowed_by };
    let said = if found.confirmed { "" } else { " (not confirmed)" };
    format!(
        "{who}{groups} can {} on {target} as `{}`, {grant} a grant and {factor}, by {}{said}",
        found.action,
        found.login.escape_debug(),
        by.iter().take(3).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
    )
}
