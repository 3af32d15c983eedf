//! [`ReachTable`]: what each person reaches on each target, as [`who_can`](crate::who_can) tells it,
//! for all of them at once.
//!
//! Most pairs of a person and a target are alike: the same policies select the target, and the
//! person holds the same of their roles. Each such situation is evaluated once, with one pair that
//! is in it. What makes a situation is everything the answer depends on:
//!
//! - of the target: its environment, its accounts, which policies of roles select it, and, where
//!   there are raw policies, its labels; its name where one of them may read it;
//! - of the person: which of those policies' roles they hold, and which groups and roles that raw
//!   policies name they are in.
//!
//! Whoever has a grant, holds a locked role or several roles that are kept apart is in a situation
//! of their own, and so is everything that a raw policy names. A test holds the table against
//! `who_can`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use portcullis_domain::{
    ActionKind, Environment, EnvironmentName, Facts, Grant, Lock, LockSubject, Login, RoleName,
    Target, TargetName, Timestamp, User, UserName,
};

use crate::policies::{Policies, rule_selects};
use crate::slice::Subject;
use crate::who_can::{Anyone, Reach, anyone, ways};

/// How someone reaches an account of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What stands between.
    pub reach: Reach,
    /// Only commands, paths or destinations that match one of these; empty: any.
    pub only: BTreeSet<String>,
    /// But none that match one of these.
    pub except: BTreeSet<String>,
    /// Only under one of these conditions of roles; empty: any.
    pub under: BTreeSet<String>,
}

/// What someone reaches on a target, by action and account; best of several ways.
pub type Reaches = BTreeMap<ActionKind, BTreeMap<Login, Reached>>;

/// The table, filled in where it is asked.
#[derive(Debug)]
pub struct ReachTable<'a> {
    policies: &'a Policies,
    facts: &'a Facts,
    now: Timestamp,
    /// Roles in the order of their bits.
    roles: Vec<&'a RoleName>,
    people: BTreeMap<&'a UserName, Person<'a>>,
    targets: BTreeMap<&'a TargetName, Place<'a>>,
    /// For each class of targets: the roles with a policy that selects them.
    selecting: Vec<Bits>,
    known: HashMap<Situation, Arc<Reaches>>,
    nothing: Arc<Reaches>,
}

/// A set of roles.
type Bits = Vec<u64>;

#[derive(Debug)]
struct Person<'a> {
    user: &'a User,
    held: Bits,
    /// Groups and roles that raw policies name.
    named: BTreeSet<String>,
    /// Has something that others who hold the same have not.
    alone: bool,
    /// Has it on the targets that these reach.
    grants: &'a [Grant],
}

#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    target: &'a Target,
    environment: &'a Environment,
    class: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Situation {
    class: usize,
    relevant: Bits,
    named: BTreeSet<String>,
    alone: Option<(UserName, TargetName)>,
}

/// What targets of a class have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    environment: EnvironmentName,
    /// Which actions there are on them.
    protocol: &'static str,
    logins: BTreeSet<Login>,
    /// Policies of roles, by role and number.
    selected: Vec<(usize, usize)>,
    labels: BTreeMap<String, String>,
    name: Option<TargetName>,
}

impl<'a> ReachTable<'a> {
    /// Of these policies and facts, at `now`. Locked people and targets, disabled people, and
    /// everyone where the policies are of another revision reach nothing.
    pub fn new(policies: &'a Policies, facts: &'a Facts, now: Timestamp) -> Self {
        let mut table = Self {
            policies,
            facts,
            now,
            roles: policies.compiled.roles.keys().collect(),
            people: BTreeMap::new(),
            targets: BTreeMap::new(),
            selecting: Vec::new(),
            known: HashMap::new(),
            nothing: Arc::default(),
        };
        if policies.revision() == facts.revision {
            table.meet();
            table.survey();
        }
        table
    }

    /// What a person reaches on a target.
    pub fn of(&mut self, user: &UserName, target: &TargetName) -> Arc<Reaches> {
        let (Some(person), Some(place)) = (self.people.get(user), self.targets.get(target)) else {
            return Arc::clone(&self.nothing);
        };
        let Some(selecting) = self.selecting.get(place.class) else {
            return Arc::clone(&self.nothing);
        };
        let relevant: Bits = person.held.iter().zip(selecting).map(|(a, b)| a & b).collect();
        if relevant.iter().all(|word| *word == 0) && self.policies.compiled.raw.is_empty() {
            return Arc::clone(&self.nothing);
        }
        let situation = Situation {
            class: place.class,
            relevant,
            named: person.named.clone(),
            alone: (person.alone || person.grants.iter().any(|grant| grant.reaches(target)))
                .then(|| (user.clone(), target.clone())),
        };
        if let Some(known) = self.known.get(&situation) {
            return Arc::clone(known);
        }
        let subject =
            Subject { user: person.user, target: place.target, environment: place.environment };
        let reaches = Arc::new(self.evaluate(subject));
        self.known.insert(situation, Arc::clone(&reaches));
        reaches
    }

    fn evaluate(&self, subject: Subject<'a>) -> Reaches {
        let who = anyone(subject.user);
        let compiled = &self.policies.compiled;
        let first = ActionKind::Shell;
        let case = Anyone::new(compiled, self.facts, subject, &who, first, self.now);
        let Ok(mut case) = case else { return Reaches::new() };
        let mut all = Reaches::new();
        for kind in ActionKind::ALL.into_iter().filter(|kind| subject.target.offers(*kind)) {
            case.with_kind(kind);
            let mut accounts: BTreeMap<Login, Reached> = BTreeMap::new();
            for way in ways(self.policies, &mut case, subject, kind) {
                let reached = Reached {
                    reach: way.reach,
                    only: way.only.into_iter().collect(),
                    except: way.except.into_iter().collect(),
                    under: way.under.into_iter().collect(),
                };
                for login in way.logins {
                    accounts.entry(login).or_insert_with(|| reached.clone());
                }
            }
            if !accounts.is_empty() {
                all.insert(kind, accounts);
            }
        }
        all
    }

    /// Who there is, with what they hold.
    fn meet(&mut self) {
        let compiled = &self.policies.compiled;
        let now = self.now;
        let in_force = || self.facts.locks.iter().filter(|lock| lock.holds(now));
        let locked = |role: &RoleName| {
            in_force().any(|lock| matches!(&lock.subject, LockSubject::Role(on) if on == role))
        };
        let locked: BTreeSet<&RoleName> =
            self.roles.iter().copied().filter(|role| locked(role)).collect();
        let numbers: HashMap<&RoleName, usize> =
            self.roles.iter().enumerate().map(|(number, role)| (*role, number)).collect();
        let named = |kind: &str| -> BTreeSet<&str> {
            let of_kind = compiled.named.iter().filter(|uid| uid.type_name().basename() == kind);
            of_kind.map(|uid| uid.id().as_ref()).collect()
        };
        // Which windows of hours and tickets there are depends on all the roles somebody holds.
        let raw = compiled.raw.values().flat_map(|policies| policies.iter());
        let mut texts = raw.map(|policy| policy.text.as_str());
        let reads_moments = texts.any(|text| text.contains("hours") || text.contains("tickets"));
        let (groups, roles, users) = (named("Group"), named("Role"), named("User"));
        for user in self.facts.users.values() {
            let keeps = |lock: &Lock| matches!(&lock.subject, LockSubject::User(name) if *name == user.name);
            if user.disabled || in_force().any(keeps) {
                continue;
            }
            let held = compiled.roles_held(user);
            let kept_apart = self.facts.separations.values().any(|separation| {
                separation.roles.iter().filter(|role| held.contains(role)).count() > 1
            });
            let in_groups = user.groups.iter().map(|group| group.as_str());
            let in_groups = in_groups.filter(|group| groups.contains(group));
            let in_roles = held.iter().map(|role| role.as_str());
            let in_roles = in_roles.filter(|role| roles.contains(role));
            let person = Person {
                user,
                held: bits(held.iter().filter_map(|role| numbers.get(*role)), self.roles.len()),
                named: in_groups
                    .map(|group| format!("group {group}"))
                    .chain(in_roles.map(|role| format!("role {role}")))
                    .collect(),
                grants: self.facts.grants.get(&user.name).map_or(&[], Vec::as_slice),
                alone: kept_apart
                    || reads_moments
                    || users.contains(user.name.as_str())
                    || held.iter().any(|role| locked.contains(role)),
            };
            self.people.insert(&user.name, person);
        }
    }

    /// Where there is anything, by class.
    fn survey(&mut self) {
        let compiled = &self.policies.compiled;
        let raw = compiled.raw.values().flat_map(|policies| policies.iter());
        let texts: Vec<&str> = raw.map(|policy| policy.text.as_str()).collect();
        // However a raw policy spells it: `resource.name`, `resource["name"]`, `Target::"x"`.
        let names = texts.iter().any(|text| text.contains("name") || text.contains("Target"));
        let mut classes: BTreeMap<Class, usize> = BTreeMap::new();
        for target in self.facts.targets.values() {
            let Some(environment) = self.facts.environments.get(&target.environment) else {
                continue;
            };
            let keeps = |subject: &LockSubject| match subject {
                LockSubject::Target(name) => *name == target.name,
                LockSubject::Environment(name) => *name == environment.name,
                LockSubject::User(_) | LockSubject::Role(_) => false,
            };
            if self.facts.locks.iter().any(|lock| lock.holds(self.now) && keeps(&lock.subject)) {
                continue;
            }
            let selected = self.selected(target);
            let selecting = bits(selected.iter().map(|(role, _)| role), self.roles.len());
            let class = Class {
                environment: environment.name.clone(),
                protocol: target.protocol.as_str(),
                logins: target.logins().iter().cloned().collect(),
                selected,
                labels: if texts.is_empty() { BTreeMap::new() } else { target.labels.clone() },
                name: names.then(|| target.name.clone()),
            };
            let next = classes.len();
            let class = *classes.entry(class).or_insert(next);
            if class == next {
                self.selecting.push(selecting);
            }
            self.targets.insert(&target.name, Place { target, environment, class });
        }
    }

    /// The policies of roles that can apply to this target.
    fn selected(&self, target: &Target) -> Vec<(usize, usize)> {
        let roles = self.policies.compiled.roles.values().enumerate();
        let of_role = roles.flat_map(|(number, role)| {
            let policies = role.policies.iter().enumerate();
            let selects = policies.filter(move |(_, policy)| {
                let mut kinds = policy.made.actions.iter();
                role.rule(&policy.made)
                    .is_some_and(|rule| kinds.any(|kind| rule_selects(rule, target, *kind)))
            });
            selects.map(move |(policy, _)| (number, policy))
        });
        of_role.collect()
    }
}

fn bits<'n>(numbers: impl Iterator<Item = &'n usize>, roles: usize) -> Bits {
    let mut bits = vec![0; roles.div_ceil(64)];
    for number in numbers {
        if let Some(word) = bits.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }
    bits
}
