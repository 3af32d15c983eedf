//! The decision matrix of the shipped policies in the demo organisation, kept as a file people
//! review. After a wanted change: `UPDATE_MATRIX=1 cargo test -p portcullis-policy --test matrix`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise, in their own functions too"
)]

mod organisation;

use std::fmt::Write as _;
use std::path::Path;

use organisation::*;
use portcullis_domain::{Action, DatabaseAct, Decision, Denial, Facts, LockSubject};
use portcullis_policy::{Policies, decide};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/matrix.txt");

#[test]
fn the_decision_matrix_is_the_reviewed_one() {
    let printed = matrix();
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(FILE, &printed).unwrap();
    }
    let reviewed = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    let line = printed.lines().zip(reviewed.lines()).position(|(a, b)| a != b);
    assert!(
        printed == reviewed,
        "policies/matrix.txt differs at line {:?}; review it and run with UPDATE_MATRIX=1",
        line.map(|n| n + 1)
    );
}

fn actions() -> Vec<(&'static str, Action)> {
    let path = |path: &str| path.to_owned();
    let database =
        |act: DatabaseAct, database: &str| Action::Database { act, database: database.to_owned() };
    let mut all = vec![
        ("shell", Action::Shell),
        ("exec uptime", exec("uptime")),
        ("exec reboot", exec("reboot")),
        ("exec uptime; reboot", exec("uptime; reboot")),
        ("upload /srv/x", Action::Upload { path: path("/srv/x") }),
        ("upload /etc/x", Action::Upload { path: path("/etc/x") }),
        ("download /var/log/x", Action::Download { path: path("/var/log/x") }),
        ("download /etc/shadow", Action::Download { path: path("/etc/shadow") }),
        ("forward localhost:80", Action::Forward { host: "localhost".into(), port: 80 }),
        ("forward other:22", Action::Forward { host: "other".into(), port: 22 }),
        ("agent_forward", Action::AgentForward),
        (
            "remote_forward localhost:80",
            Action::RemoteForward { host: "localhost".into(), port: 80 },
        ),
        ("db_read in hr", database(DatabaseAct::Read, "hr")),
    ];
    let acts = DatabaseAct::ALL.into_iter();
    all.extend(acts.map(|act| (act.kind().as_str(), database(act, "orders"))));
    all
}

fn matrix() -> String {
    let mut out = String::from(
        "What the shipped policies decide in the demo organisation.\n\
         dana: developer. lee: developer and lead. sam: security officer.\n\
         Columns: what is proved or granted; `locked`: factor and grant, but the user is locked.\n\
         allow | step-up: prove the second factor | request: ask for access | forbidden: a policy forbids it |\n\
         no: nothing allows it | locked\n",
    );
    let base = facts();
    let policies = Policies::compile(&base).unwrap();
    for user in base.users.keys() {
        for target in base.targets.values() {
            for login in target.logins() {
                writeln!(out, "\n{user} on {} as {login}", target.name).unwrap();
                let row = ["", "nothing", "factor", "grant", "both", "locked"];
                writeln!(out, "{}", line(row)).unwrap();
                let actions = actions().into_iter();
                for (label, action) in actions.filter(|(_, a)| target.offers(a.kind())) {
                    let cell = |factor: bool, granted: bool, locked: bool| {
                        let mut facts = base.clone();
                        if granted {
                            let grant = grant(user.as_str(), target.name.as_str());
                            facts.grants.insert(user.clone(), vec![grant]);
                        }
                        if locked {
                            facts.locks.push(lock(LockSubject::User(user.clone())));
                        }
                        let factors = if factor { vec![totp(30)] } else { vec![] };
                        word(&policies, &facts, user.as_str(), factors, target, login, &action)
                    };
                    for (factor, granted) in [(false, false), (true, false), (false, true)] {
                        assert_eq!(cell(factor, granted, true), "locked");
                    }
                    let cells = [
                        label,
                        cell(false, false, false),
                        cell(true, false, false),
                        cell(false, true, false),
                        cell(true, true, false),
                        cell(true, true, true),
                    ];
                    writeln!(out, "{}", line(cells)).unwrap();
                }
            }
        }
    }
    out
}

fn line(cells: [&str; 6]) -> String {
    let [label, rest @ ..] = cells;
    let rest: Vec<String> = rest.iter().map(|cell| format!("{cell:<9}")).collect();
    format!("  {label:<28} {}", rest.join(" ")).trim_end().to_owned()
}

fn word(
    policies: &Policies,
    facts: &Facts,
    user: &str,
    factors: Vec<portcullis_domain::Factor>,
    target: &portcullis_domain::Target,
    login: &portcullis_domain::Login,
    action: &Action,
) -> &'static str {
    let mut query = query(user, target.name.as_str(), Some(login.as_str()), action.clone());
    query.who = who(user, factors);
    match decide(policies, facts, &query, NOW) {
        Decision::Allow(_) => "allow",
        Decision::StepUp { .. } => "step-up",
        Decision::RequestAccess { .. } => "request",
        Decision::Deny(Denial::Forbidden { .. }) => "forbidden",
        Decision::Deny(Denial::NoPolicy) => "no",
        Decision::Deny(Denial::Locked { .. }) => "locked",
        Decision::Deny(other) => panic!("{user} {action:?}: {other}"),
    }
}
