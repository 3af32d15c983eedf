//! What a proof came to: plain data for people and programs.

use portcullis_domain::{Action, PolicyName};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// Where an invariant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds for every possible request.
    Proved,
    /// It is broken only by what a named exception in force allows to.
    Excepted,
    /// It is neither proved nor refuted.
    NotProved,
    /// A counterexample is confirmed.
    Broken,
}

impl Status {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Excepted => "excepted",
            Self::NotProved => "not proved",
            Self::Broken => "broken",
        }
    }
}

/// A request that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// Who: a user there is, or a name for someone there could be.
    pub user: String,
    /// Whether there is such a user now.
    pub user_exists: bool,
    /// Roles they hold, sorted.
    pub roles: Vec<String>,
    /// Groups they are in, sorted.
    pub groups: Vec<String>,
    /// What they do: the action, with its command, path or destination.
    pub action: String,
    /// Where: a target there is, or a name for one there could be.
    pub target: String,
    /// Whether there is such a target now.
    pub target_exists: bool,
    /// The target's environment.
    pub environment: String,
    /// As which account.
    pub login: String,
    /// With an approved grant.
    pub granted: bool,
    /// Age of the second factor in seconds; `None`: without one.
    pub second_factor_age: Option<i64>,
    /// From which address.
    pub source: String,
    /// Policies that let them, by `decide`.
    pub allowed_by: Vec<String>,
    /// Every policy that breaks the invariant in the same way, sorted.
    pub policies: Vec<String>,
    /// `decide` allows exactly this, and does not with the invariant as a forbid.
    pub confirmed: bool,
    /// Who answers for it and until when, where an exception covers all of `policies`.
    pub exception: Option<String>,
    /// What those policies mean, to tell a new violation from one there was.
    #[serde(skip)]
    pub meanings: Vec<String>,
}

/// One invariant and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its name.
    pub invariant: PolicyName,
    /// Shipped with Portcullis.
    pub builtin: bool,
    /// What it means.
    pub description: Option<String>,
    /// The policy that would enforce it.
    pub cedar: String,
    /// Where it stands.
    pub status: Status,
    /// How it can be broken.
    pub counterexamples: Vec<Counterexample>,
    /// Why there is no proof, where there is none; several lines at most.
    pub why: Vec<String>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The solver and its version; `None` where it could not be asked.
    pub solver: Option<String>,
    /// Every invariant, built-in ones first.
    pub invariants: Vec<Proof>,
    /// What is odd about single policies.
    pub findings: Vec<Finding>,
    /// Questions the solver was asked.
    pub asked: usize,
    /// Questions whose answer was known.
    pub remembered: usize,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// How long solvers were waited for, in milliseconds, all processes together.
    #[serde(default)]
    pub solver_milliseconds: u64,
}

impl Report {
    /// Whether every invariant is proved, or excepted.
    pub fn holds(&self) -> bool {
        self.invariants
            .iter()
            .all(|proof| matches!(proof.status, Status::Proved | Status::Excepted))
    }

    /// Violations here that were not there before: by invariant and by what the policy means.
    pub fn new_since<'r>(&'r self, before: &Self) -> Vec<(&'r Proof, &'r Counterexample)> {
        let known = |proof: &Proof, meaning: &String| {
            before.invariants.iter().any(|old| {
                old.cedar == proof.cedar
                    && old.counterexamples.iter().any(|c| c.meanings.contains(meaning))
            })
        };
        let broken = self.invariants.iter().filter(|proof| proof.status == Status::Broken);
        broken
            .flat_map(|proof| proof.counterexamples.iter().map(move |c| (proof, c)))
            .filter(|(proof, c)| {
                c.exception.is_none() && !c.meanings.iter().all(|m| known(proof, m))
            })
            .collect()
    }
}

/// An action as a person says it.
pub(crate) fn told(action: &Action) -> String {
    let kind = action.kind();
    match action {
        Action::Shell | Action::AgentForward => kind.to_string(),
        Action::Exec { command } => format!("{kind} `{}`", command.escape_debug()),
        Action::Upload { path } | Action::Download { path } => {
            format!("{kind} `{}`", path.escape_debug())
        }
        Action::Database { database, .. } => {
            format!("{kind} in `{}`", database.escape_debug())
        }
        Action::Forward { host, port } | Action::RemoteForward { host, port } => {
            format!("{kind} `{}:{port}`", host.escape_debug())
        }
    }
}
