//! Slices: the entities and policies one decision needs, cut out of everything and kept.
//!
//! A slice is sound because it leaves out only policies whose scope or selectors cannot match the
//! person, the target or the action; Cedar would have passed over them without evaluating their
//! conditions. The cache is bounded: when a shard is full the slice made first goes.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use cedar_policy::{
    ActionConstraint, Entities, Entity, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint, RestrictedExpression,
};
use portcullis_domain::conditions::Window;
use portcullis_domain::environment::ticket_matches;
use portcullis_domain::{
    Access, ActionKind, Environment, EnvironmentName, GroupName, RoleName, Target, TargetName,
    Timestamp, User, UserName,
};

use crate::circumstances::{Circumstances, Ticket};
use crate::compile::Effect;
use crate::engine::{Moment, Verdict, evaluate};
use crate::policies::{Compiled, rule_selects};

const SHARDS: usize = 16;
/// Most (person, target) pairs whose slices are kept.
pub const MAX_CACHED_SLICES: usize = 4096;

#[derive(Debug, Default)]
struct Shard {
    slices: HashMap<UserName, HashMap<TargetName, Arc<Slice>>>,
    /// In the order they were made.
    made: VecDeque<(UserName, TargetName)>,
}

impl Shard {
    /// Keeps a slice; hands back the one that goes for it.
    fn keep(
        &mut self,
        user: &UserName,
        target: &TargetName,
        slice: Arc<Slice>,
    ) -> Option<Arc<Slice>> {
        let mut gone = None;
        if self.made.len() >= MAX_CACHED_SLICES / SHARDS
            && let Some((user, target)) = self.made.pop_front()
            && let Some(targets) = self.slices.get_mut(&user)
        {
            gone = targets.remove(&target);
            if targets.is_empty() {
                self.slices.remove(&user);
            }
        }
        let targets = self.slices.entry(user.clone()).or_default();
        if targets.insert(target.clone(), slice).is_none() {
            self.made.push_back((user.clone(), target.clone()));
        }
        gone
    }
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Slices {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
}

impl Default for Slices {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { hasher: RandomState::new(), shards }
    }
}

/// What a slice leaves out beyond what cannot match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Without<'a> {
    /// Permits of these roles.
    pub(crate) permits_of: BTreeSet<&'a RoleName>,
    /// These roles altogether: the person does not hold them.
    pub(crate) membership: BTreeSet<&'a RoleName>,
    /// Forbids of roles that hold only for some commands, paths or destinations.
    pub(crate) patterned_forbids: bool,
    /// Conditions of roles that hold at some moments only.
    pub(crate) conditions: bool,
}

/// Entities for one person and target, and the policies per kind of action.
#[derive(Debug)]
pub(crate) struct Slice {
    principal: EntityUid,
    resource: EntityUid,
    entities: Entities,
    /// Windows of hours of the person's roles.
    hours: Vec<(Window, String)>,
    /// Ticket patterns of the person's roles.
    tickets: Vec<String>,
    sets: [OnceLock<Result<PolicySet, String>>; ActionKind::ALL.len()],
}

impl Slice {
    /// Evaluates what the slice holds for one kind of action.
    pub(crate) fn judge(
        &self,
        compiled: &Compiled,
        subject: Subject<'_>,
        kind: ActionKind,
        without: &Without<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Verdict {
        let (Some(cell), Some(action)) =
            (self.sets.get(kind as usize), compiled.names.action(kind))
        else {
            return Verdict::Failed(vec![format!("`{kind}` has no policies")]);
        };
        let set = cell.get_or_init(|| self.cut(compiled, subject, kind, without, action));
        match set {
            Ok(set) => evaluate(
                &compiled.sources,
                &self.principal,
                action,
                &self.resource,
                self.moment(circumstances),
                set,
                &self.entities,
            ),
            Err(error) => Verdict::Failed(vec![error.clone()]),
        }
    }

    /// The names of windows that are open and of patterns that the ticket fits.
    fn moment<'c>(&'c self, circumstances: &'c Circumstances<'c>) -> Moment<'c> {
        let open = self.hours.iter().filter(|(window, _)| window.open(circumstances.now));
        let fits = |pattern: &&String| match circumstances.ticket {
            Ticket::Fitting => true,
            Ticket::Is(ticket) => ticket.is_some_and(|ticket| ticket_matches(pattern, ticket)),
        };
        Moment {
            circumstances,
            hours: open.map(|(_, name)| name.as_str()).collect(),
            tickets: self.tickets.iter().filter(fits).map(String::as_str).collect(),
        }
    }

    /// When a window of hours next opens or closes.
    pub(crate) fn hours_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.hours.iter().filter_map(|(window, _)| window.next_change(now)).min()
    }

    fn cut(
        &self,
        compiled: &Compiled,
        subject: Subject<'_>,
        kind: ActionKind,
        without: &Without<'_>,
        action: &EntityUid,
    ) -> Result<PolicySet, String> {
        let mut set = PolicySet::new();
        let raw = compiled.raw.values().flat_map(|policies| policies.iter());
        for policy in compiled.builtin.iter().chain(raw).map(|raw| &raw.policy) {
            if self.scope_matches(policy, action) {
                set.add(policy.clone()).map_err(|error| error.to_string())?;
            }
        }
        for name in compiled.roles_held(subject.user) {
            let Some(role) = compiled.roles.get(name) else { continue };
            if without.membership.contains(name) {
                continue;
            }
            for policy in &role.policies {
                let made = &policy.made;
                let out = match made.effect {
                    Effect::Permit => without.permits_of.contains(name),
                    Effect::Forbid => without.patterned_forbids && !made.patterns.is_empty(),
                };
                let selected = made.actions.contains(&kind)
                    && role.rule(made).is_some_and(|r| rule_selects(r, subject.target, kind));
                let text = policy.unconditional.as_ref().filter(|_| without.conditions);
                let text = text.unwrap_or(&policy.policy);
                if selected && !out {
                    set.add(text.clone()).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(set)
    }

    /// Whether a policy's scope can match. Types are the schema's, so `is` needs no check.
    fn scope_matches(&self, policy: &Policy, action: &EntityUid) -> bool {
        let within = |uid: &EntityUid, above: &EntityUid| {
            uid == above || self.entities.is_ancestor_of(above, uid)
        };
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
            PrincipalConstraint::Eq(uid) => uid == self.principal,
            PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                within(&self.principal, &uid)
            }
        };
        let acts = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == *action,
            ActionConstraint::In(uids) => uids.contains(action),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
            ResourceConstraint::Eq(uid) => uid == self.resource,
            ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                within(&self.resource, &uid)
            }
        };
        principal && acts && resource
    }
}

/// Who and what a slice is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a User,
    pub(crate) target: &'a Target,
    pub(crate) environment: &'a Environment,
}

impl Compiled {
    /// The slice of a person and a target, cached.
    pub(crate) fn slice(&self, subject: Subject<'_>) -> Result<Arc<Slice>, String> {
        let (user, target) = (&subject.user.name, &subject.target.name);
        let shards = &self.slices.shards;
        let index = self.slices.hasher.hash_one(user) as usize % shards.len().max(1);
        let Some(shard) = shards.get(index) else {
            return self.fresh_slice(subject, &BTreeSet::new()).map(Arc::new);
        };
        // A panic while the lock is held leaves a complete map: inserts are the last step.
        let read = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(slice) = read.slices.get(user).and_then(|targets| targets.get(target)) {
            return Ok(Arc::clone(slice));
        }
        drop(read);
        let slice = Arc::new(self.fresh_slice(subject, &BTreeSet::new())?);
        let mut write = shard.write().unwrap_or_else(PoisonError::into_inner);
        let gone = write.keep(user, target, Arc::clone(&slice));
        // Taking it apart takes longer than keeping the other.
        drop(write);
        drop(gone);
        Ok(slice)
    }

    /// A slice of its own, in which the person does not hold some roles.
    pub(crate) fn fresh_slice(
        &self,
        subject: Subject<'_>,
        without: &BTreeSet<&RoleName>,
    ) -> Result<Slice, String> {
        let Subject { user, target, environment } = subject;
        let mut entities: HashMap<EntityUid, Entity> = HashMap::new();
        let mut put = |entity: Entity| drop(entities.insert(entity.uid(), entity));
        for named in &self.named {
            self.named_entities(named, without)?.into_iter().for_each(&mut put);
        }
        for group in &user.groups {
            put(self.group_entity(group, without));
        }
        for entity in self.place(target, environment)?.iter() {
            put(entity.clone());
        }
        put(self.user_entity(user, without));
        let (hours, tickets) = self.conditions_of(user);
        Ok(Slice {
            hours,
            tickets,
            principal: self.names.user(user.name.as_str()),
            resource: self.names.target(target.name.as_str()),
            entities: Entities::from_entities(entities.into_values(), None)
                .map_err(|error| error.to_string())?,
            sets: Default::default(),
        })
    }

    /// The windows of hours and the ticket patterns that a person's roles name.
    fn conditions_of(&self, user: &User) -> (Vec<(Window, String)>, Vec<String>) {
        if !self.conditional {
            return (Vec::new(), Vec::new());
        }
        let (mut hours, mut tickets) = (BTreeSet::new(), BTreeSet::new());
        for name in self.roles_held(user) {
            let Some(role) = self.roles.get(name) else { continue };
            hours.extend(role.role.conditions.hours.iter().cloned());
            tickets.extend(role.role.conditions.ticket.iter().cloned());
        }
        let named = |window: Window| {
            let name = window.to_string();
            (window, name)
        };
        (hours.into_iter().map(named).collect(), tickets.into_iter().collect())
    }

    /// A target and its environment, made once.
    fn place(
        &self,
        target: &Target,
        environment: &Environment,
    ) -> Result<Arc<[Entity; 2]>, String> {
        let read = self.places.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&target.name) {
            return Ok(Arc::clone(known));
        }
        drop(read);
        let entities =
            [self.environment_entity(environment)?, self.target_entity(target, environment)?];
        let place = Arc::new(entities);
        let mut write = self.places.write().unwrap_or_else(PoisonError::into_inner);
        write.insert(target.name.clone(), Arc::clone(&place));
        Ok(place)
    }

    fn user_entity(&self, user: &User, without: &BTreeSet<&RoleName>) -> Entity {
        let groups = user.groups.iter().map(|group| self.names.group(group.as_str()));
        let roles = self.roles_of_user.get(&user.name).into_iter().flatten();
        let roles = roles.filter(|role| !without.contains(role));
        let roles = roles.map(|role| self.names.role(role.as_str()));
        Entity::new_no_attrs(self.names.user(user.name.as_str()), groups.chain(roles).collect())
    }

    fn group_entity(&self, group: &GroupName, without: &BTreeSet<&RoleName>) -> Entity {
        let roles = self.roles_of_group.get(group).into_iter().flatten();
        let roles = roles.filter(|role| !without.contains(role));
        let roles = roles.map(|role| self.names.role(role.as_str()));
        Entity::new_no_attrs(self.names.group(group.as_str()), roles.collect())
    }

    fn environment_entity(&self, environment: &Environment) -> Result<Entity, String> {
        let attributes = [
            ("tier".to_owned(), text(environment.tier.as_str())),
            ("access".to_owned(), text(access_name(environment.access))),
        ];
        let uid = self.names.environment(environment.name.as_str());
        Entity::new_with_tags(uid, attributes, [], []).map_err(|error| error.to_string())
    }

    fn target_entity(&self, target: &Target, environment: &Environment) -> Result<Entity, String> {
        let room = self.names.environment(environment.name.as_str());
        let logins = target.logins().iter().map(|login| text(login.as_str()));
        let attributes = [
            ("name".to_owned(), text(target.name.as_str())),
            ("environment".to_owned(), RestrictedExpression::new_entity_uid(room.clone())),
            ("tier".to_owned(), text(environment.tier.as_str())),
            ("access".to_owned(), text(access_name(environment.access))),
            ("logins".to_owned(), RestrictedExpression::new_set(logins)),
        ];
        let tags = target.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        let uid = self.names.target(target.name.as_str());
        Entity::new_with_tags(uid, attributes, [room], tags).map_err(|error| error.to_string())
    }

    /// An entity a raw policy names, with those it reaches.
    fn named_entities(
        &self,
        uid: &EntityUid,
        without: &BTreeSet<&RoleName>,
    ) -> Result<Vec<Entity>, String> {
        let id: &str = uid.id().as_ref();
        Ok(match uid.type_name().basename() {
            "User" => match UserName::new(id).ok().and_then(|name| self.users.get(&name)) {
                Some(user) => user
                    .groups
                    .iter()
                    .map(|group| self.group_entity(group, without))
                    .chain([self.user_entity(user, without)])
                    .collect(),
                None => Vec::new(),
            },
            "Group" => GroupName::new(id)
                .map(|group| self.group_entity(&group, without))
                .into_iter()
                .collect(),
            "Environment" => EnvironmentName::new(id)
                .ok()
                .and_then(|name| self.environments.get(&name))
                .map(|environment| self.environment_entity(environment))
                .into_iter()
                .collect::<Result<_, _>>()?,
            "Target" => match TargetName::new(id).ok().and_then(|name| self.targets.get(&name)) {
                Some(target) => match self.environments.get(&target.environment) {
                    Some(room) => {
                        vec![self.environment_entity(room)?, self.target_entity(target, room)?]
                    }
                    None => Vec::new(),
                },
                None => Vec::new(),
            },
            _ => Vec::new(),
        })
    }
}

fn access_name(access: Access) -> &'static str {
    match access {
        Access::Standing => "standing",
        Access::OnRequest => "on_request",
    }
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}
