//! From a solver's model to a request that `decide` answers.
//!
//! A model is a world of the schema; a counterexample is a world of facts: a person with the
//! model's roles and groups, a target with its labels, a grant where it has one. People and
//! targets there are come before made-up ones. What `decide` does not allow, or what the
//! invariant as a forbid would not stop, is not a counterexample.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cedar_policy::EvalResult;
use cedar_policy_symcc::Env;
use portcullis_domain::{
    Action, ActionKind, Authentication, Decision, Denial, EnvironmentName, Factor, FactorKind,
    Facts, Grant, GrantId, GrantSource, GroupName, Login, PolicyName, Query, RequestId,
    RoleAssignment, RoleName, SshCredential, SshTarget, Target, TargetName, Timestamp, User,
    UserName,
};
use portcullis_policy::{FRESH_GRACE, Policies, PolicySource, decide};

use crate::item::Item;
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
    let scenario = Scenario::new(ground, &model, item)?;
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

/// What of a model matters to a request.
struct Model {
    user: Option<UserName>,
    roles: BTreeSet<RoleName>,
    groups: BTreeSet<GroupName>,
    target: Option<TargetName>,
    environment: Option<EnvironmentName>,
    tier: String,
    access: String,
    labels: BTreeMap<String, String>,
    login: Option<Login>,
    granted: bool,
    age: Option<i64>,
    factor: (bool, i64),
    source: IpAddr,
    /// Command or path.
    text: Option<String>,
    host: Option<String>,
    port: Option<u16>,
}

impl Model {
    fn read(env: &Env, item: &Item) -> Self {
        let request = &env.request;
        let context = |name: &str| request.context().and_then(|context| context.get(name));
        let context_text = |name: &str| match context(name) {
            Some(EvalResult::String(text)) => Some(text),
            _ => None,
        };
        let truth = |name: &str| matches!(context(name), Some(EvalResult::Bool(true)));
        let number = |name: &str| match context(name) {
            Some(EvalResult::Long(number)) => Some(number),
            _ => None,
        };
        let source = match context("source") {
            Some(EvalResult::ExtensionValue(text)) => address(&text),
            _ => None,
        };
        let resource = request.resource().and_then(|uid| env.entities.get(uid));
        let attribute = |name: &str| resource.and_then(|r| r.attr(name)).and_then(Result::ok);
        let attribute_text = |name: &str| match attribute(name) {
            Some(EvalResult::String(text)) => text,
            _ => String::new(),
        };
        let tags = resource.into_iter().flat_map(|resource| resource.tags());
        let labels = tags.filter_map(|(key, value)| match value {
            Ok(EvalResult::String(text)) => Some((key.to_owned(), text)),
            _ => None,
        });
        let mut roles = BTreeSet::new();
        let mut groups = BTreeSet::new();
        let above = request.principal().and_then(|uid| env.entities.ancestors(uid));
        for uid in above.into_iter().flatten() {
            let id: &str = uid.id().as_ref();
            match uid.type_name().basename() {
                "Role" => roles.extend(RoleName::new(id)),
                "Group" => groups.extend(GroupName::new(id)),
                _ => {}
            }
        }
        if let PolicySource::Role(role) = &item.source {
            roles.insert(role.clone());
        }
        let id = |uid: Option<&cedar_policy::EntityUid>| {
            uid.map(|uid| AsRef::<str>::as_ref(uid.id()).to_owned())
        };
        let room = match attribute("environment") {
            Some(EvalResult::EntityUid(uid)) => EnvironmentName::new(uid.id().as_ref()).ok(),
            _ => None,
        };
        Self {
            user: id(request.principal()).and_then(|id| UserName::new(&id).ok()),
            roles,
            groups,
            target: id(request.resource()).and_then(|id| TargetName::new(&id).ok()),
            environment: room,
            tier: attribute_text("tier"),
            access: attribute_text("access"),
            labels: labels.collect(),
            login: context_text("login").and_then(|login| Login::new(&login).ok()),
            granted: truth("granted"),
            age: number("second_factor_age"),
            factor: (
                truth("second_factor_required"),
                number("second_factor_max_age").unwrap_or_default(),
            ),
            source: source.unwrap_or(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
            text: context_text("command").or_else(|| context_text("path")),
            host: context_text("host").filter(|host| !host.is_empty()),
            port: number("port").and_then(|port| u16::try_from(port).ok()),
        }
    }

    /// The environments of the facts that may be meant.
    fn rooms<'f>(&self, facts: &'f Facts) -> Vec<&'f EnvironmentName> {
        let named = self.environment.as_ref().and_then(|name| facts.environments.get(name));
        let alike = facts.environments.values().filter(|room| {
            let asked = room.second_factor_max_age;
            let age = asked.map_or(0, |age| age.max(FRESH_GRACE).as_secs());
            room.tier.as_str() == self.tier
                && (room.access == portcullis_domain::Access::OnRequest)
                    == (self.access == "on_request")
                && self.factor == (asked.is_some(), i64::try_from(age).unwrap_or(i64::MAX))
        });
        named.into_iter().chain(alike).map(|room| &room.name).take(3).collect()
    }
}

/// An address out of Cedar's spelling, which may be a range or a call of its function.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix("ip(\"").and_then(|t| t.strip_suffix("\")")).unwrap_or(text);
    let text = text.split('/').next().unwrap_or(text);
    text.parse().ok()
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
    fn new(ground: Ground<'_>, model: &Model, item: &Item) -> Result<Self, String> {
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
            facts.targets.insert(name.clone(), made_up(name.clone(), room, model, item));
            made_up_targets.insert(name.clone());
            targets.push(name);
        }
        if model.granted {
            for user in &users {
                let grants = targets.iter().map(|target| grant(user, target, ground.now));
                facts.grants.insert(user.clone(), grants.collect());
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
                let mut logins: Vec<&Login> = found.ssh.logins.iter().collect();
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

fn made_up(name: TargetName, room: &EnvironmentName, model: &Model, item: &Item) -> Target {
    let mut logins: Vec<Login> = model.login.clone().into_iter().collect();
    if let Some((_, rule)) = &item.rule {
        logins.extend(rule.logins.iter().take(2).cloned());
    }
    logins.extend(Login::new("root"));
    Target {
        name,
        environment: room.clone(),
        labels: model.labels.clone(),
        ssh: SshTarget {
            host: "192.0.2.1".to_owned(),
            port: 22,
            aliases: BTreeSet::new(),
            logins,
            host_keys: Vec::new(),
            host_authorities: Vec::new(),
            credential: SshCredential::Certificate,
            legacy_algorithms: BTreeSet::new(),
            accept_env: Vec::new(),
        },
    }
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

fn grant(user: &UserName, target: &TargetName, now: Timestamp) -> Grant {
    let starts = now.minus(GRANT_AGE);
    Grant {
        id: GrantId::new(starts, [0; 10]),
        user: user.clone(),
        target: target.clone(),
        actions: BTreeSet::new(),
        login: None,
        starts,
        ends: now.plus(GRANT_LENGTH),
        source: GrantSource::Request {
            request: RequestId::new(starts, [0; 10]),
            approved_by: Vec::new(),
        },
        ended: None,
    }
}

/// Actions of this kind that may be meant: as the model has it, then such that the patterns of
/// the rule match, then plain ones.
fn actions(model: &Model, item: &Item, kind: ActionKind) -> Vec<Action> {
    let rule = item.rule.as_ref().map(|(_, rule)| rule);
    let filled = |patterns: Option<&Vec<String>>| -> Vec<String> {
        let patterns = patterns.into_iter().flatten().take(4);
        patterns.flat_map(|p| [p.replace('*', ""), p.replace('*', "x")]).collect()
    };
    let texts = |patterns: Option<&Vec<String>>, plain: &str| -> Vec<String> {
        let mut texts: Vec<String> = model.text.clone().into_iter().collect();
        texts.extend(filled(patterns));
        texts.push(plain.to_owned());
        texts
    };
    let hosts = || -> Vec<(String, u16)> {
        let host = model.host.clone().unwrap_or_else(|| "db.internal".to_owned());
        let port = model.port.unwrap_or(5432);
        let mut all = vec![(host.clone(), port), ("db.internal".to_owned(), port)];
        let patterns = rule.map(|rule| &rule.destinations).into_iter().flatten().take(4);
        for (left, right) in patterns.filter_map(|pattern| pattern.rsplit_once(':')) {
            let host = if left == "*" { host.clone() } else { left.replace('*', "x") };
            all.push((host, right.parse().unwrap_or(port)));
        }
        all
    };
    match kind {
        ActionKind::Shell => vec![Action::Shell],
        ActionKind::AgentForward => vec![Action::AgentForward],
        ActionKind::Exec => texts(rule.map(|rule| &rule.commands), "id")
            .into_iter()
            .map(|command| Action::Exec { command })
            .collect(),
        ActionKind::Upload => texts(rule.map(|rule| &rule.paths), "/tmp/x")
            .into_iter()
            .map(|path| Action::Upload { path })
            .collect(),
        ActionKind::Download => texts(rule.map(|rule| &rule.paths), "/tmp/x")
            .into_iter()
            .map(|path| Action::Download { path })
            .collect(),
        ActionKind::Forward => {
            hosts().into_iter().map(|(host, port)| Action::Forward { host, port }).collect()
        }
        ActionKind::RemoteForward => {
            hosts().into_iter().map(|(host, port)| Action::RemoteForward { host, port }).collect()
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
