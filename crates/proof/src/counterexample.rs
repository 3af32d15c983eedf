//! From a solver's model to a request that `decide` answers.
//!
//! A model is a world of the schema; a counterexample is a world of facts: a person with the
//! model's roles and groups, a target with its labels, a grant where it has one. People and
//! targets there are come before made-up ones. What `decide` does not allow, or what the
//! invariant as a forbid would not stop, is not a counterexample.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cedar_policy_symcc::Env;
use portcullis_domain::{
    Action, ActionKind, Authentication, Decision, Denial, EnvironmentName, Factor, FactorKind,
    Facts, Grant, GrantId, GrantSource, GroupName, Login, PolicyName, PostgresTarget, PostgresTls,
    Protocol, Query, RequestId, ReviewId, RoleAssignment, RoleName, SshCredential, SshTarget,
    Target, TargetName, Timestamp, User, UserName,
};
use portcullis_policy::{Policies, PolicySource, decide};

use crate::item::Item;
use crate::model::{Model, actions};
use crate::report::{Counterexample, told};
use crate::statement::Statement;

/// People and targets there are that are tried before made-up ones.
const MAX_REAL: usize = 2;
/// Requests put to `decide` for one model.
const MAX_TRIES: usize = 256;
/// How old the made-up grant is, and how long it lasts.
const GRANT_AGE: Duration = Duration::from_secs(60);
const GRANT_LENGTH: Duration = Duration::from_secs(3600);

/// What became of a model.
pub(crate) enum Tried {
    /// `decide` confirms it.
    Confirmed(Box<Counterexample>),
    /// These forbid it: the question left them out.
    Forbidden(Vec<String>),
    /// `decide` does not confirm it; the nearest request, and what it answered.
    Unconfirmed(Box<Counterexample>, String),
}

/// What is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) policies: &'a Policies,
    pub(crate) now: Timestamp,
}

/// Looks for a request that the model stands for.
pub(crate) fn confirm(
    ground: Ground<'_>,
    statement: &Statement,
    item: &Item,
    kind: ActionKind,
    env: &Env,
) -> Result<Tried, String> {
    let model = Model::read(env, item);
    // Hours of a role are open at some moments only.
    let ground = Ground { now: model.moment(ground.facts, item, ground.now), ..ground };
    let scenario = Scenario::new(ground, &model, item, kind)?;
    let allowed = ground.policies.refresh(&scenario.facts).map_err(|error| error.to_string())?;
    let mut stopped_facts = scenario.facts.clone();
    let name = unused_policy(&stopped_facts)?;
    stopped_facts.policies.insert(name.clone(), statement.as_policy(name.clone()));
    let stopped = allowed.refresh(&stopped_facts).map_err(|error| error.to_string())?;
    let forbid = format!("policy:{name}:1");
    let mut nearest = None;
    let mut forbidden = BTreeSet::new();
    for attempt in scenario.attempts(&model, item, kind).into_iter().take(MAX_TRIES) {
        let query = attempt.query(&model, ground.now);
        let decision = decide(&allowed, &scenario.facts, &query, ground.now);
        let reasons = match decision {
            Decision::Allow(terms) => terms.reasons,
            Decision::Deny(Denial::Forbidden { policies }) => {
                if attempt.user_is_made_up {
                    forbidden.extend(policies);
                }
                continue;
            }
            other => {
                let said = format!("{other:?}").chars().take(200).collect::<String>();
                nearest.get_or_insert((attempt, said));
                continue;
            }
        };
        let with_it = decide(&stopped, &stopped_facts, &query, ground.now);
        // Where a grant or a fresh factor would satisfy the invariant, that is what is asked for.
        let stops = match &with_it {
            Decision::Deny(Denial::Forbidden { policies }) => policies.contains(&forbid),
            Decision::StepUp { .. } | Decision::RequestAccess { .. } => true,
            Decision::Deny(_) | Decision::Allow(_) => false,
        };
        if stops {
            let told = attempt.told(&scenario.facts, &model, reasons, true);
            return Ok(Tried::Confirmed(Box::new(told)));
        }
        nearest.get_or_insert((attempt, "allow, but the invariant is not about it".to_owned()));
    }
    if !forbidden.is_empty() {
        return Ok(Tried::Forbidden(forbidden.into_iter().collect()));
    }
    match nearest {
        Some((attempt, said)) => {
            let told = attempt.told(&scenario.facts, &model, Vec::new(), false);
            Ok(Tried::Unconfirmed(Box::new(told), said))
        }
        None => Err("the model stands for no request".to_owned()),
    }
}

fn unused_policy(facts: &Facts) -> Result<PolicyName, String> {
    let free = (0..=facts.policies.len()).map(|n| format!("the-invariant-{n}"));
    let mut free = free.filter_map(|name| PolicyName::new(&name).ok());
    free.find(|name| !facts.policies.contains_key(name)).ok_or_else(|| "no free name".to_owned())
}

/// The facts with who and what the model speaks of.
struct Scenario {
    facts: Facts,
    users: Vec<UserName>,
    made_up_user: UserName,
    targets: Vec<TargetName>,
    made_up_targets: BTreeSet<TargetName>,
}

impl Scenario {
    fn new(
        ground: Ground<'_>,
        model: &Model,
        item: &Item,
        kind: ActionKind,
    ) -> Result<Self, String> {
        let mut facts =
            Facts { locks: Vec::new(), grants: BTreeMap::new(), ..ground.facts.clone() };
        let roles: BTreeSet<RoleName> =
            model.roles.iter().filter(|role| facts.roles.contains_key(*role)).cloned().collect();
        let groups: BTreeSet<GroupName> =
            model.groups.iter().filter(|g| facts.groups.contains_key(*g)).cloned().collect();
        let mut users = real_users(&facts, model, &roles, &groups);
        let mut targets = real_targets(&facts, model, item);
        let someone = free("someone", |name| facts.users.keys().any(|user| user.as_str() == name));
        let someone = UserName::new(&someone).map_err(|error| error.to_string())?;
        for (number, role) in roles.into_iter().enumerate() {
            let name = free(&format!("someone-{number}"), |name| {
                facts.assignments.keys().any(|known| known.as_str() == name)
            });
            let name = RoleName::new(&name).map_err(|error| error.to_string())?;
            let users = BTreeSet::from([someone.clone()]);
            let given = RoleAssignment { name: name.clone(), role, users, groups: BTreeSet::new() };
            facts.assignments.insert(name, given);
        }
        let user = User {
            name: someone.clone(),
            full_name: None,
            groups,
            ssh_keys: Vec::new(),
            disabled: false,
        };
        facts.users.insert(someone.clone(), user);
        users.push(someone.clone());
        let mut made_up_targets = BTreeSet::new();
        for room in model.rooms(ground.facts) {
            let name = free(&format!("some-{room}"), |name| {
                facts.targets.keys().any(|known| known.as_str() == name)
            });
            let Ok(name) = TargetName::new(&name) else { continue };
            facts.targets.insert(name.clone(), made_up(name.clone(), room, model, item, kind));
            made_up_targets.insert(name.clone());
            targets.push(name);
        }
        // A break-glass role gives what it permits under a grant of its own kind only.
        let broken = match &item.source {
            PolicySource::Role(name) => Some(name),
            _ => None,
        };
        let broken = broken
            .filter(|name| facts.roles.get(*name).is_some_and(|role| role.break_glass.is_some()));
        let broken = broken.cloned();
        if model.granted || broken.is_some() {
            for user in &users {
                let ticket = || model.ticket(ground.facts, item);
                let of = |target| Grant {
                    role: broken.clone(),
                    source: source(ground.now, broken.is_some()),
                    ..grant(user, target, ticket(), ground.now)
                };
                facts.grants.insert(user.clone(), targets.iter().map(of).collect());
            }
        }
        Ok(Self { facts, users, made_up_user: someone, targets, made_up_targets })
    }

    fn attempts(&self, model: &Model, item: &Item, kind: ActionKind) -> Vec<Attempt> {
        let actions = actions(model, item, kind);
        let mut attempts = Vec::new();
        for user in &self.users {
            for target in &self.targets {
                let Some(found) = self.facts.targets.get(target) else { continue };
                let mut logins: Vec<&Login> = found.logins().iter().collect();
                logins.sort_by_key(|login| Some(*login) != model.login.as_ref());
                for login in logins.into_iter().take(4) {
                    attempts.extend(actions.iter().map(|action| Attempt {
                        user: user.clone(),
                        user_is_made_up: *user == self.made_up_user,
                        target: target.clone(),
                        target_is_made_up: self.made_up_targets.contains(target),
                        login: login.clone(),
                        action: action.clone(),
                    }));
                }
            }
        }
        // Made-up people and targets fit the model best; they must not fall to the bound.
        if attempts.len() > MAX_TRIES {
            attempts.reverse();
        }
        attempts
    }
}

fn real_users(
    facts: &Facts,
    model: &Model,
    roles: &BTreeSet<RoleName>,
    groups: &BTreeSet<GroupName>,
) -> Vec<UserName> {
    if let Some(user) = model.user.as_ref().filter(|user| facts.users.contains_key(*user)) {
        return vec![user.clone()];
    }
    let fits = |user: &&User| {
        let held = facts.roles_of(&user.name);
        !user.disabled
            && groups.is_subset(&user.groups)
            && roles.iter().all(|role| held.contains_key(role))
    };
    facts.users.values().filter(fits).take(MAX_REAL).map(|user| user.name.clone()).collect()
}

fn real_targets(facts: &Facts, model: &Model, item: &Item) -> Vec<TargetName> {
    if let Some(target) = model.target.as_ref().filter(|name| facts.targets.contains_key(*name)) {
        return vec![target.clone()];
    }
    let rooms = model.rooms(facts);
    let rule = item.rule.as_ref().map(|(_, rule)| rule);
    let fits = |target: &&Target| {
        rooms.contains(&&target.environment)
            && rule.is_none_or(|rule| {
                (rule.targets.is_empty() || rule.targets.contains(&target.name))
                    && rule.labels.iter().all(|(key, value)| target.labels.get(key) == Some(value))
            })
    };
    facts.targets.values().filter(fits).take(MAX_REAL).map(|target| target.name.clone()).collect()
}

fn made_up(
    name: TargetName,
    room: &EnvironmentName,
    model: &Model,
    item: &Item,
    kind: ActionKind,
) -> Target {
    let mut logins: Vec<Login> = model.login.clone().into_iter().collect();
    if let Some((_, rule)) = &item.rule {
        logins.extend(rule.logins.iter().take(2).cloned());
    }
    logins.extend(Login::new("root"));
    let host = "192.0.2.1".to_owned();
    let protocol = match kind.database_act() {
        None => Protocol::Ssh(SshTarget {
            host,
            port: 22,
            aliases: BTreeSet::new(),
            logins,
            host_keys: Vec::new(),
            host_authorities: Vec::new(),
            credential: SshCredential::Certificate,
            legacy_algorithms: BTreeSet::new(),
            accept_env: Vec::new(),
        }),
        Some(_) => Protocol::Postgres(PostgresTarget {
            host,
            port: 5432,
            aliases: BTreeSet::new(),
            databases: vec!["postgres".to_owned()],
            logins,
            credentials: Vec::new(),
            tls: PostgresTls::SystemRoots,
        }),
    };
    Target { name, environment: room.clone(), labels: model.labels.clone(), protocol }
}

fn free(stem: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = stem.to_owned();
    let mut number = 1;
    while taken(&name) {
        number += 1;
        name = format!("{stem}-{number}");
    }
    name
}

fn grant(user: &UserName, target: &TargetName, ticket: Option<String>, now: Timestamp) -> Grant {
    let starts = now.minus(GRANT_AGE);
    Grant {
        id: GrantId::new(starts, [0; 10]),
        user: user.clone(),
        target: target.clone(),
        also: BTreeSet::new(),
        role: None,
        actions: BTreeSet::new(),
        login: None,
        ticket,
        starts,
        ends: now.plus(GRANT_LENGTH),
        source: source(now, false),
        ended: None,
    }
}

fn source(now: Timestamp, broken: bool) -> GrantSource {
    match broken {
        true => GrantSource::BreakGlass {
            review: ReviewId::new(now, [0; 10]),
            reason: "a counterexample".to_owned(),
        },
        false => {
            GrantSource::Request { request: RequestId::new(now, [0; 10]), approved_by: Vec::new() }
        }
    }
}

/// One request put to `decide`.
struct Attempt {
    user: UserName,
    user_is_made_up: bool,
    target: TargetName,
    target_is_made_up: bool,
    login: Login,
    action: Action,
}

impl Attempt {
    fn query(&self, model: &Model, now: Timestamp) -> Query {
        let mut factors = vec![Factor { kind: FactorKind::SshKey, at: now }];
        if let Some(age) = model.age {
            let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
            factors.push(Factor { kind: FactorKind::Totp, at: now.minus(age) });
        }
        Query {
            who: Authentication { user: self.user.clone(), factors, source: model.source },
            target: self.target.clone(),
            login: Some(self.login.clone()),
            action: self.action.clone(),
        }
    }

    fn told(
        &self,
        facts: &Facts,
        model: &Model,
        allowed_by: Vec<String>,
        confirmed: bool,
    ) -> Counterexample {
        let groups = facts.users.get(&self.user).map(|user| &user.groups).into_iter().flatten();
        let target = facts.targets.get(&self.target);
        Counterexample {
            user: self.user.to_string(),
            user_exists: !self.user_is_made_up,
            roles: facts.roles_of(&self.user).into_keys().map(|role| role.to_string()).collect(),
            groups: groups.map(ToString::to_string).collect(),
            action: told(&self.action),
            target: self.target.to_string(),
            target_exists: !self.target_is_made_up,
            environment: target.map(|target| target.environment.to_string()).unwrap_or_default(),
            login: self.login.to_string(),
            granted: model.granted,
            second_factor_age: model.age,
            source: model.source.to_string(),
            allowed_by,
            policies: Vec::new(),
            confirmed,
            exception: None,
            meanings: Vec::new(),
        }
    }
}
