//! Everything a decision may depend on, as one immutable snapshot.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::Environment;
use crate::grant::Grant;
use crate::invariant::Invariant;
use crate::lock::Lock;
use crate::name::{EnvironmentName, GroupName, PolicyName, RoleName, TargetName, UserName};
use crate::resource::Resource;
use crate::role::{Group, PolicyText, Role, RoleAssignment, with_inherited};
use crate::separation::SeparationOfDuties;
use crate::target::Target;
use crate::time::Timestamp;
use crate::user::User;

/// Resources, grants and locks in force at one revision of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The store's revision this was read at; grows with every change.
    pub revision: u64,
    /// Environments by name.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// Groups by name.
    pub groups: BTreeMap<GroupName, Group>,
    /// Users by name.
    pub users: BTreeMap<UserName, User>,
    /// Targets by name.
    pub targets: BTreeMap<TargetName, Target>,
    /// Roles by name.
    pub roles: BTreeMap<RoleName, Role>,
    /// Assignments by name.
    pub assignments: BTreeMap<RoleName, RoleAssignment>,
    /// Raw policies by name.
    pub policies: BTreeMap<PolicyName, PolicyText>,
    /// Invariants by name.
    pub invariants: BTreeMap<PolicyName, Invariant>,
    /// Roles that are kept apart, by the separation's name.
    pub separations: BTreeMap<PolicyName, SeparationOfDuties>,
    /// Grants that have not ended, by user.
    pub grants: BTreeMap<UserName, Vec<Grant>>,
    /// Locks that have not been lifted.
    pub locks: Vec<Lock>,
    /// Until when people whose second factors changed stay out of production.
    pub factor_waits: BTreeMap<UserName, Timestamp>,
}

impl Facts {
    /// Puts a resource where it belongs, replacing one of the same key.
    pub fn insert(&mut self, resource: Resource) {
        match resource {
            Resource::Environment(r) => drop(self.environments.insert(r.name.clone(), r)),
            Resource::Group(r) => drop(self.groups.insert(r.name.clone(), r)),
            Resource::User(r) => drop(self.users.insert(r.name.clone(), r)),
            Resource::Target(r) => drop(self.targets.insert(r.name.clone(), r)),
            Resource::Role(r) => drop(self.roles.insert(r.name.clone(), r)),
            Resource::RoleAssignment(r) => drop(self.assignments.insert(r.name.clone(), r)),
            Resource::Policy(r) => drop(self.policies.insert(r.name.clone(), r)),
            Resource::Invariant(r) => drop(self.invariants.insert(r.name.clone(), r)),
            Resource::SeparationOfDuties(r) => drop(self.separations.insert(r.name.clone(), r)),
        }
    }

    /// Every resource, kind by kind.
    pub fn resources(&self) -> impl Iterator<Item = Resource> + '_ {
        let environments = self.environments.values().cloned().map(Resource::Environment);
        let groups = self.groups.values().cloned().map(Resource::Group);
        let users = self.users.values().cloned().map(Resource::User);
        let targets = self.targets.values().cloned().map(Resource::Target);
        let roles = self.roles.values().cloned().map(Resource::Role);
        let assignments = self.assignments.values().cloned().map(Resource::RoleAssignment);
        let policies = self.policies.values().cloned().map(Resource::Policy);
        let invariants = self.invariants.values().cloned().map(Resource::Invariant);
        let separations = self.separations.values().cloned().map(Resource::SeparationOfDuties);
        environments
            .chain(groups)
            .chain(users)
            .chain(targets)
            .chain(roles)
            .chain(assignments)
            .chain(policies)
            .chain(invariants)
            .chain(separations)
    }

    /// Roles a user holds, directly, through groups and through roles that inherit them, each with
    /// the paths that give it.
    pub fn roles_of(&self, user: &UserName) -> BTreeMap<RoleName, Vec<String>> {
        let mut roles: BTreeMap<RoleName, Vec<String>> = BTreeMap::new();
        let Some(found) = self.users.get(user) else { return roles };
        for assignment in self.assignments.values() {
            let mut paths = Vec::new();
            if assignment.users.contains(user) {
                paths.push(format!("assignment `{}`", assignment.name));
            }
            for group in found.groups.intersection(&assignment.groups) {
                paths.push(format!("group `{group}` in assignment `{}`", assignment.name));
            }
            if paths.is_empty() {
                continue;
            }
            for role in self.with_inherited(&assignment.role) {
                let through = |path: &String| match role == assignment.role {
                    true => path.clone(),
                    false => format!("role `{}`, {path}", assignment.role),
                };
                roles.entry(role.clone()).or_default().extend(paths.iter().map(through));
            }
        }
        roles
    }

    /// A role and every role it inherits, at any distance.
    pub fn with_inherited(&self, role: &RoleName) -> BTreeSet<RoleName> {
        let found = with_inherited(role, |name| self.roles.get(name).map(|role| &role.inherits));
        found.into_iter().cloned().collect()
    }

    /// Until when this person stays out of production because their second factors changed, if so.
    pub fn factor_wait(&self, user: &UserName, now: Timestamp) -> Option<Timestamp> {
        self.factor_waits.get(user).copied().filter(|until| now < *until)
    }

    /// Grants of a user on a target in force at `now`.
    pub fn active_grants<'a>(
        &'a self,
        user: &UserName,
        target: &'a TargetName,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Grant> {
        self.grants
            .get(user)
            .into_iter()
            .flatten()
            .filter(move |grant| grant.reaches(target) && grant.active(now))
    }
}
