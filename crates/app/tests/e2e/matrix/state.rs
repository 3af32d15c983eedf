//! The rows: a state of access each, brought about through the product's own API, on a target of
//! its own.
//!
//! Must never know: how a channel is tried.

use std::collections::HashSet;
use std::time::Duration;

use portcullis_domain::ActionKind;
use serde_json::json;

use super::column::{Column, host_kinds};
use crate::gate::{Entry, Gate, Plan};

/// A state of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// An approved grant is in force.
    Granted,
    /// A role would do, with a grant; there is none.
    NoGrant,
    /// The grant has run out.
    ExpiredGrant,
    /// The grant was revoked.
    RevokedGrant,
    /// No role reaches the target.
    WrongRole,
    /// A lock on the person.
    LockedUser,
    /// A lock on the target.
    LockedTarget,
    /// The environment's gate is dropped.
    Dropped,
    /// The person is disabled.
    DisabledUser,
    /// The role has every right but this one.
    Without(ActionKind),
}

const BARE: [State; 9] = [
    State::Granted,
    State::NoGrant,
    State::ExpiredGrant,
    State::RevokedGrant,
    State::WrongRole,
    State::LockedUser,
    State::LockedTarget,
    State::Dropped,
    State::DisabledUser,
];

impl State {
    /// Every state that can be had beside the others.
    pub(super) fn apart() -> Vec<Self> {
        BARE.into_iter().chain(host_kinds().map(State::Without)).collect()
    }

    pub(super) fn target(self) -> String {
        match self {
            Self::Granted => "granted".into(),
            Self::NoGrant => "no-grant".into(),
            Self::ExpiredGrant => "expired".into(),
            Self::RevokedGrant => "revoked".into(),
            Self::WrongRole => "unreachable".into(),
            Self::LockedUser => "for-lara".into(),
            Self::LockedTarget => "locked".into(),
            Self::Dropped => "dropped".into(),
            Self::DisabledUser => "for-dora".into(),
            Self::Without(kind) => format!("no-{}", kind.as_str().replace('_', "-")),
        }
    }

    pub(super) fn person(self) -> &'static str {
        match self {
            Self::LockedUser => "lara",
            Self::DisabledUser => "dora",
            _ => "alice",
        }
    }
}

/// Whether the cell must be allowed.
pub(super) fn expected(state: State, column: Column) -> bool {
    match state {
        State::Granted => true,
        // An agent is forwarded for a program; without a right to run one there is none.
        State::Without(ActionKind::Exec) if column == Column::AgentForward => false,
        State::Without(kind) => column.kind() != kind,
        _ => false,
    }
}

/// A gate with a target for each state.
pub(super) fn stage() -> Gate {
    let mut plan = Plan::base();
    plan.people = vec![("lara", "developers"), ("dora", "developers")];
    plan.resources = "---\nkind: Environment\nmetadata: {name: droppable}\nspec: {tier: staging, \
        access: on_request, approval: {groups: [leads]}}\n"
        .to_owned();
    for state in BARE {
        let app = if state == State::WrongRole { "none" } else { "cell" };
        let environment = if state == State::Dropped { "droppable" } else { "guarded" };
        plan.targets.push((state.target(), environment, app));
    }
    plan.resources += &role("cell", "cell", &host_kinds().collect::<Vec<_>>());
    for kind in host_kinds() {
        let target = State::Without(kind).target();
        let others: Vec<ActionKind> = host_kinds().filter(|other| *other != kind).collect();
        plan.resources += &role(&target, "none", &others);
        plan.targets.push((target, "open", "none"));
    }
    plan.start()
}

/// A role for developers: `actions` on one target, or on all with the label `app`, where it is `cell`.
/// Of commands only those of the columns.
fn role(name: &str, app: &str, actions: &[ActionKind]) -> String {
    let selector = match app {
        "cell" => "labels: {app: cell}".to_owned(),
        _ => format!("targets: [{name}]"),
    };
    let list = |exec: bool| -> String {
        let kinds = actions.iter().filter(|kind| (**kind == ActionKind::Exec) == exec);
        kinds.map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
    };
    let exec = if list(true).is_empty() {
        String::new()
    } else {
        format!(
            "    - {selector}\n      actions: [exec]\n      commands: [\"printf *\", \"echo *\", \
             \"ssh-add -l\"]\n"
        )
    };
    format!(
        "---\nkind: Role\nmetadata: {{name: {name}}}\nspec:\n  allow:\n    - {selector}\n      \
         actions: [{}]\n{exec}---\nkind: RoleAssignment\nmetadata: {{name: {name}}}\nspec: {{role: \
         {name}, groups: [developers]}}\n",
        list(false)
    )
}

/// Brings every state about.
pub(super) fn reach_all(gate: &Gate) {
    for state in [State::Granted, State::LockedTarget, State::Dropped] {
        gate.grant("alice", &state.target(), "1h");
    }
    gate.grant("lara", &State::LockedUser.target(), "1h");
    gate.grant("dora", &State::DisabledUser.target(), "1h");
    gate.grant("alice", &State::ExpiredGrant.target(), "1s");
    let revoked = gate.grant("alice", &State::RevokedGrant.target(), "1h");
    gate.revoke(&revoked);
    gate.lock("user", "lara");
    gate.lock("target", &State::LockedTarget.target());
    let drop = "/v1/environments/droppable/drop";
    gate.api("bob").post(drop, &json!({"reason": "a test drop"}));
    gate.apply(&gate.person("dora").yaml("developers", true));
    std::thread::sleep(Duration::from_millis(1200));
}

/// Whether the log holds the decision of a cell.
pub(super) fn audited(log: &[Entry], state: State, column: Column, marker: &str) -> bool {
    let allowed = expected(state, column);
    let kinds: HashSet<&str> = match column {
        // Decided after the program that would use it.
        Column::AgentForward if !allowed && state != State::Without(ActionKind::AgentForward) => {
            HashSet::from([ActionKind::Exec.as_str()])
        }
        // The first of reading and writing that is allowed opens the subsystem.
        Column::SftpUpload | Column::SftpDownload if !allowed => {
            HashSet::from([ActionKind::Upload.as_str(), ActionKind::Download.as_str()])
        }
        _ => HashSet::from([column.kind().as_str()]),
    };
    let opens_subsystem = matches!(column, Column::SftpUpload | Column::SftpDownload);
    let decided = |entry: &Entry| {
        entry.activity() == "authorize"
            && entry.user() == state.person()
            && entry.target() == state.target()
            && entry.succeeded() == allowed
            && kinds.contains(entry.detail("action"))
            && (entry.detail("object").contains(marker)
                || (opens_subsystem && entry.detail("object").is_empty()))
    };
    // Somebody disabled does not get as far as a decision.
    let turned_away = |entry: &Entry| {
        state == State::DisabledUser
            && entry.activity() == "authenticate"
            && entry.user() == state.person()
            && !entry.succeeded()
    };
    log.iter().any(|entry| decided(entry) || turned_away(entry))
}
