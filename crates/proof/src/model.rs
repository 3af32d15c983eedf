//! What of a solver's model matters to a request, and which actions it may mean.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use cedar_policy::EvalResult;
use cedar_policy_symcc::Env;
use portcullis_domain::{
    Access, Action, ActionKind, Conditions, DatabaseAct, EnvironmentName, Facts, GroupName, Login,
    RoleName, TargetName, Timestamp, UserName,
};
use portcullis_policy::{FRESH_GRACE, PolicySource};

use crate::item::Item;

/// What of a model matters to a request.
pub(crate) struct Model {
    pub(crate) user: Option<UserName>,
    pub(crate) roles: BTreeSet<RoleName>,
    pub(crate) groups: BTreeSet<GroupName>,
    pub(crate) target: Option<TargetName>,
    pub(crate) environment: Option<EnvironmentName>,
    pub(crate) tier: String,
    pub(crate) access: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) login: Option<Login>,
    pub(crate) granted: bool,
    pub(crate) age: Option<i64>,
    pub(crate) factor: (bool, i64),
    pub(crate) source: IpAddr,
    /// Windows of hours that are open.
    hours: BTreeSet<String>,
    /// Command, path or database.
    pub(crate) text: Option<String>,
    pub(crate) host: Option<String>,
    port: Option<u16>,
}

impl Model {
    pub(crate) fn read(env: &Env, item: &Item) -> Self {
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
        let texts = |name: &str| -> BTreeSet<String> {
            let Some(EvalResult::Set(set)) = context(name) else { return BTreeSet::new() };
            let text = |value: &EvalResult| match value {
                EvalResult::String(text) => Some(text.clone()),
                _ => None,
            };
            set.iter().filter_map(text).collect()
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
            hours: texts("hours"),
            text: context_text("command")
                .or_else(|| context_text("path"))
                .or_else(|| context_text("database")),
            host: context_text("host").filter(|host| !host.is_empty()),
            port: number("port").and_then(|port| u16::try_from(port).ok()),
        }
    }

    /// A moment from `now` on at which the hours of the permit's role are what the model says.
    pub(crate) fn moment(&self, facts: &Facts, item: &Item, now: Timestamp) -> Timestamp {
        let Some(conditions) = conditions(facts, item) else { return now };
        let meant =
            conditions.hours.iter().filter(|window| self.hours.contains(&window.to_string()));
        meant.filter_map(|window| window.next_open(now)).min().unwrap_or(now)
    }

    /// A ticket that the permit's role asks for.
    pub(crate) fn ticket(&self, facts: &Facts, item: &Item) -> Option<String> {
        let pattern = conditions(facts, item)?.ticket.as_ref()?;
        Some(pattern.replace('*', "x").replace('#', "1"))
    }

    /// The environments of the facts that may be meant.
    pub(crate) fn rooms<'f>(&self, facts: &'f Facts) -> Vec<&'f EnvironmentName> {
        let named = self.environment.as_ref().and_then(|name| facts.environments.get(name));
        let alike = facts.environments.values().filter(|room| {
            let asked = room.second_factor_max_age;
            let age = asked.map_or(0, |age| age.max(FRESH_GRACE).as_secs());
            room.tier.as_str() == self.tier
                && (room.access == Access::OnRequest) == (self.access == "on_request")
                && self.factor == (asked.is_some(), i64::try_from(age).unwrap_or(i64::MAX))
        });
        named.into_iter().chain(alike).map(|room| &room.name).take(3).collect()
    }
}

fn conditions<'f>(facts: &'f Facts, item: &Item) -> Option<&'f Conditions> {
    match &item.source {
        PolicySource::Role(role) => facts.roles.get(role).map(|role| &role.conditions),
        PolicySource::Policy(_) | PolicySource::BuiltIn => None,
    }
}

/// An address out of Cedar's spelling, which may be a range or a call of its function.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix("ip(\"").and_then(|t| t.strip_suffix("\")")).unwrap_or(text);
    let text = text.split('/').next().unwrap_or(text);
    text.parse().ok()
}

/// Actions of this kind that may be meant: as the model has it, then such that the patterns of
/// the rule match, then plain ones.
pub(crate) fn actions(model: &Model, item: &Item, kind: ActionKind) -> Vec<Action> {
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
        database => {
            let act = database.database_act().unwrap_or(DatabaseAct::Unclassified);
            texts(rule.map(|rule| &rule.databases), "postgres")
                .into_iter()
                .map(|database| Action::Database { act, database })
                .collect()
        }
    }
}
