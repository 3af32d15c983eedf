//! Environments: the rooms production is separated from. Every target, credential and secret
//! belongs to exactly one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::approval::ApprovalRule;
use crate::decision::Recording;
use crate::name::{EnvironmentName, GroupName};
use crate::time::{Timestamp, human};

/// A pending request that nobody decides expires after this long, where nothing else is said.
pub const REQUEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How much an environment matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Real users and real data.
    Production,
    /// A rehearsal of production.
    Staging,
    /// Automated and manual testing.
    Test,
    /// Where people build.
    Development,
}

impl Tier {
    /// The name in resources and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Test => "test",
            Self::Development => "development",
        }
    }
}

/// Whether a role alone lets someone in, or a grant is needed beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// A role is enough.
    Standing,
    /// A role makes someone eligible; an approved, unexpired grant lets them in.
    OnRequest,
}

/// What holds for access requests in an environment, beside who approves them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTerms {
    /// A pending request expires after this long.
    #[serde(with = "human")]
    pub expire_after: Duration,
    /// Who else may approve once a request has waited for long.
    pub escalation: Option<Escalation>,
    /// What a ticket must look like, see [`ticket_matches`]; `None`: no ticket is needed.
    pub ticket: Option<String>,
}

impl Default for RequestTerms {
    fn default() -> Self {
        Self { expire_after: REQUEST_LIFETIME, escalation: None, ticket: None }
    }
}

/// Other groups that may approve, too, after a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How long after the request was made.
    #[serde(with = "human")]
    pub after: Duration,
    /// Their members count in every place of the rule from then on.
    pub groups: BTreeSet<GroupName>,
}

impl RequestTerms {
    /// The rule for a request made at `asked_at`: wider once it has escalated.
    pub fn rule_at(
        &self,
        rule: &ApprovalRule,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> ApprovalRule {
        match &self.escalation {
            Some(to) if now >= asked_at.plus(to.after) => rule.widened(&to.groups),
            _ => rule.clone(),
        }
    }
}

/// Whether a ticket is of this pattern: `*` stands for any text, `#` for one or more digits, and
/// everything else for itself.
pub fn ticket_matches(pattern: &str, ticket: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // The places in the pattern that the text so far can have led to.
    let mut at: BTreeSet<usize> = BTreeSet::new();
    let reach = |at: &mut BTreeSet<usize>, mut place: usize| {
        at.insert(place);
        while pattern.get(place) == Some(&'*') {
            place += 1;
            at.insert(place);
        }
    };
    reach(&mut at, 0);
    for c in ticket.chars() {
        let mut next = BTreeSet::new();
        for place in at {
            match pattern.get(place) {
                Some('*') => reach(&mut next, place),
                Some('#') if c.is_ascii_digit() => {
                    next.insert(place);
                    reach(&mut next, place + 1);
                }
                Some(same) if *same == c && c != '#' => reach(&mut next, place + 1),
                _ => {}
            }
        }
        at = next;
    }
    at.contains(&pattern.len())
}

/// What becomes of the recordings of an environment, and who reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recordings {
    /// How long after a session's end its recording is kept; `None` keeps it for ever.
    #[serde(with = "human::option")]
    pub keep: Option<Duration>,
    /// Who may read them, of those with the right to read recordings: members of these groups.
    /// `None` means all of them.
    pub readers: Option<BTreeSet<GroupName>>,
}

/// An environment with the terms every session in it gets at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// How much it matters.
    pub tier: Tier,
    /// INVARIANT: `OnRequest` where the tier is Production (the parser refuses anything else).
    pub access: Access,
    /// Who approves requests; `None` means that nobody can, so requests are refused.
    pub approval: Option<ApprovalRule>,
    /// Who approves these actions instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approval_for: BTreeMap<ActionKind, ApprovalRule>,
    /// What else holds for requests.
    #[serde(default)]
    pub requests: RequestTerms,
    /// Longest grant that can be asked for.
    #[serde(with = "human")]
    pub max_grant: Duration,
    /// How old the second factor may be when a session starts. `Some(0)` asks anew for every
    /// session; `None` asks for no second factor.
    #[serde(with = "human::option")]
    pub second_factor_max_age: Option<Duration>,
    /// Whether sessions are recorded.
    pub recording: Recording,
    /// What becomes of recordings, and who reads them.
    #[serde(default)]
    pub recordings: Recordings,
    /// Longest session, however long the grant.
    #[serde(with = "human::option")]
    pub max_session: Option<Duration>,
    /// A session without a byte in either direction for this long ends.
    #[serde(with = "human::option")]
    pub idle_timeout: Option<Duration>,
}

impl Environment {
    /// Who must agree to a request for these actions (empty: all of them). Where several rules
    /// apply, each of them must be met; where one has nobody, nobody can approve.
    pub fn rule_for(&self, actions: &BTreeSet<ActionKind>) -> Option<ApprovalRule> {
        let rule_of =
            |kind: &ActionKind| self.approval_for.get(kind).or(self.approval.as_ref()).cloned();
        let rules: Option<Vec<ApprovalRule>> = if actions.is_empty() {
            ActionKind::ALL.iter().map(rule_of).collect()
        } else {
            actions.iter().map(rule_of).collect()
        };
        ApprovalRule::each_of(rules?)
    }

    /// Every rule that is in force here for some action.
    pub fn approval_rules(&self) -> impl Iterator<Item = &ApprovalRule> {
        self.approval.iter().chain(self.approval_for.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_matches_its_pattern_and_nothing_around_it() {
        for (pattern, good, bad) in [
            ("OPS-#", "OPS-42", "OPS-"),
            ("OPS-#", "OPS-0", "XOPS-1"),
            ("CHG#-*", "CHG12-a b", "CHG-a"),
            ("*", "", "\u{0}no"),
            ("#.#", "10.2", "10."),
            ("INC-#", "INC-7", "INC-7x"),
        ] {
            assert!(ticket_matches(pattern, good), "{pattern} {good}");
            assert!(pattern == "*" || !ticket_matches(pattern, bad), "{pattern} {bad}");
        }
        assert!(!ticket_matches("a#b", "a#b"), "`#` is digits and never itself");
        assert!(ticket_matches("", "") && !ticket_matches("", "x"));
    }
}
