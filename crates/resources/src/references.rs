//! What resources say about each other: names that must exist, and things only one may have.
//!
//! In: resources from files with their places, and what is in force beside them. Out: problems.
//! The rules: every name referred to exists; a secret serves one environment (E1: nothing of one
//! environment opens another); an SSH key signs in one user; an address reaches one target,
//! or a forward to the second name would go around the first one's room.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::role::with_inherited;
use portcullis_domain::{
    Environment, Excepted, Facts, Invariant, Kind, PostgresTls, Protocol, Resource, Role,
    RoleAssignment, RoleName, SshCredential, Target, Tier, User,
};

use crate::located::Located;
use crate::problem::{Problem, Problems};
use crate::ssh_key::identity_of;
use crate::suggest::did_you_mean;

/// Something a resource says that concerns other resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// Another resource, which must exist.
    To(Kind, String),
    /// A stored secret, which serves one environment only.
    Secret(String),
    /// A public key, which signs in one user only.
    SignInKey(String),
    /// `host:port`, which reaches one target only.
    Address(String),
}

/// Checks that every name referred to exists and that nothing which must be one resource's own is
/// claimed by two.
///
/// `existing` is what stays in force beside `resources`: of a resource in both, only the one in
/// `resources` counts. A resource that is about to be removed must not be in `existing`; those
/// that still refer to it are then reported. Grants and locks are not looked at.
pub fn check_references(resources: &[Located<Resource>], existing: &Facts) -> Vec<Problem> {
    let from_files: BTreeSet<_> = resources.iter().map(|located| located.value.key()).collect();
    let staying: Vec<Resource> =
        existing.resources().filter(|resource| !from_files.contains(&resource.key())).collect();
    // Those in force come first, so that a collision is reported at the resource in the file.
    let in_force = staying.iter().map(|resource| Declared { resource, located: None });
    let in_files = resources
        .iter()
        .map(|located| Declared { resource: &located.value, located: Some(located) });
    let declared: Vec<Declared<'_>> = in_force.chain(in_files).collect();

    let mut names: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
    for one in &declared {
        let key = one.resource.key();
        names.entry(key.kind).or_default().insert(key.name);
    }
    let mut problems = Problems::default();
    let mut claims = BTreeMap::new();
    for one in &declared {
        for link in links(one.resource) {
            match &link {
                Link::To(kind, name) => {
                    check_exists(*one, &link, *kind, name, &names, &mut problems)
                }
                _ => check_claim(*one, link, &mut claims, &mut problems),
            }
        }
    }
    check_inheritance(&declared, &mut problems);
    check_plaintext(&declared, &mut problems);
    problems.into_vec()
}

/// A server in production proves itself, whatever the network between it and the gate.
fn check_plaintext(declared: &[Declared<'_>], problems: &mut Problems) {
    let production: BTreeSet<_> = declared
        .iter()
        .filter_map(|one| match one.resource {
            Resource::Environment(environment) if environment.tier == Tier::Production => {
                Some(&environment.name)
            }
            _ => None,
        })
        .collect();
    for one in declared {
        let Resource::Target(target) = one.resource else { continue };
        let plain = target.postgres().is_some_and(|pg| pg.tls == PostgresTls::Plaintext);
        if plain && production.contains(&target.environment) {
            let link = address(target.host(), target.port());
            let message =
                format!("the server of `{}` is in production and reached without TLS", target.name);
            let help =
                Some("give the server a certificate and write `tls: {authority: PEM}`".to_owned());
            problems.push(|| one.problem(&link, message, help));
        }
    }
}

/// Roles that inherit each other in a circle; each circle is named once for each role on it.
fn check_inheritance(declared: &[Declared<'_>], problems: &mut Problems) {
    let roles: BTreeMap<&RoleName, (Declared<'_>, &BTreeSet<RoleName>)> = declared
        .iter()
        .filter_map(|one| match one.resource {
            Resource::Role(role) => Some((&role.name, (*one, &role.inherits))),
            _ => None,
        })
        .collect();
    let parents = |name: &RoleName| roles.get(name).map(|(_, parents)| *parents);
    for (name, (one, inherits)) in &roles {
        let through = inherits.iter().find(|parent| with_inherited(parent, parents).contains(name));
        if let Some(through) = through {
            let link = to(Kind::Role, through);
            let message = format!("the role `{name}` inherits itself through `{through}`");
            let help = Some("leave one step of the circle out".to_owned());
            problems.push(|| one.problem(&link, message, help));
        }
    }
}

/// A resource and, where it comes from a file, its place.
#[derive(Clone, Copy)]
struct Declared<'r> {
    resource: &'r Resource,
    located: Option<&'r Located<Resource>>,
}

impl Declared<'_> {
    fn problem(self, link: &Link, message: String, suggestion: Option<String>) -> Problem {
        match self.located {
            Some(located) => located.problem_at(link, message, suggestion),
            None => {
                let message = format!("{}, which stays in force: {message}", self.resource.key());
                Problem::of_file("", message, suggestion)
            }
        }
    }

    /// What it is and where, for the message of another resource.
    fn introduced(self) -> String {
        match self.located {
            Some(located) => format!("{} ({})", self.resource.key(), located.place()),
            None => format!("{} (in force)", self.resource.key()),
        }
    }
}

fn check_exists(
    one: Declared<'_>,
    link: &Link,
    kind: Kind,
    name: &str,
    names: &BTreeMap<Kind, BTreeSet<String>>,
    problems: &mut Problems,
) {
    let known = names.get(&kind);
    if known.is_some_and(|known| known.contains(name)) {
        return;
    }
    let suggestion = if problems.room() {
        did_you_mean(name, known.into_iter().flatten().map(String::as_str))
            .or_else(|| Some(format!("declare {kind}/{name} or remove the reference")))
    } else {
        None
    };
    problems.push(|| one.problem(link, format!("there is no {kind} `{name}`"), suggestion));
}

/// Who may share a claim with whom: secrets are shared within an environment, the rest never.
fn scope(one: Declared<'_>, link: &Link) -> String {
    match (link, one.resource) {
        (Link::Secret(_), Resource::Target(target)) => target.environment.to_string(),
        _ => one.resource.key().to_string(),
    }
}

fn check_claim<'r>(
    one: Declared<'r>,
    link: Link,
    claims: &mut BTreeMap<Link, Declared<'r>>,
    problems: &mut Problems,
) {
    let Some(first) = claims.get(&link).copied() else {
        claims.insert(link, one);
        return;
    };
    if scope(first, &link) == scope(one, &link) {
        return;
    }
    let first = first.introduced();
    let (message, suggestion) = match &link {
        Link::Secret(name) => (
            format!("the secret `{name}` already serves {first} in another environment"),
            "store a secret of its own for each environment",
        ),
        Link::SignInKey(_) => (
            format!("this SSH key already signs in {first}"),
            "give each person a key of their own",
        ),
        Link::Address(address) => (
            format!("`{address}` already reaches {first}; a forward could go around its room"),
            "declare each host and port once, with all its logins",
        ),
        Link::To(..) => return,
    };
    problems.push(|| one.problem(&link, message, Some(suggestion.into())));
}

/// Everything a resource says that concerns others.
fn links(resource: &Resource) -> Vec<Link> {
    let mut links = Vec::new();
    match resource {
        Resource::Environment(environment) => environment_links(environment, &mut links),
        Resource::User(user) => user_links(user, &mut links),
        Resource::Target(target) => {
            links.push(to(Kind::Environment, &target.environment));
            target_links(target, &mut links);
        }
        Resource::Role(role) => role_links(role, &mut links),
        Resource::RoleAssignment(assignment) => assignment_links(assignment, &mut links),
        Resource::Invariant(invariant) => invariant_links(invariant, &mut links),
        Resource::SeparationOfDuties(separation) => {
            links.extend(separation.roles.iter().map(|role| to(Kind::Role, role)));
        }
        Resource::Group(_) | Resource::Policy(_) => {}
    }
    links
}

/// A reference to another resource.
pub(crate) fn to(kind: Kind, name: &impl AsRef<str>) -> Link {
    Link::To(kind, name.as_ref().to_owned())
}

/// A host or alias with the target's port.
pub(crate) fn address(host: &str, port: u16) -> Link {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Link::Address(format!("{host}:{port}"))
}

fn environment_links(environment: &Environment, links: &mut Vec<Link>) {
    let approvers = environment.approval_rules().flat_map(|rule| rule.groups());
    let readers = environment.recordings.readers.iter().flatten();
    let groups = approvers.chain(readers);
    links.extend(groups.map(|group| to(Kind::Group, group)));
    let escalation = environment.requests.escalation.iter().flat_map(|to| &to.groups);
    links.extend(escalation.map(|group| to(Kind::Group, group)));
}

fn user_links(user: &User, links: &mut Vec<Link>) {
    links.extend(user.groups.iter().map(|group| to(Kind::Group, group)));
    links.extend(user.ssh_keys.iter().map(|key| Link::SignInKey(identity_of(key))));
}

fn target_links(target: &Target, links: &mut Vec<Link>) {
    links.extend(target.hosts().map(|host| address(host, target.port())));
    match &target.protocol {
        Protocol::Ssh(ssh) => match &ssh.credential {
            SshCredential::Certificate => {}
            SshCredential::Key { secret } | SshCredential::Password { secret } => {
                links.push(Link::Secret(secret.clone()));
            }
        },
        Protocol::Postgres(postgres) => {
            links.extend(postgres.secrets().map(|secret| Link::Secret(secret.to_owned())));
        }
    }
}

fn role_links(role: &Role, links: &mut Vec<Link>) {
    links.extend(role.inherits.iter().map(|name| to(Kind::Role, name)));
    for rule in role.allow.iter().chain(&role.deny) {
        links.extend(rule.environments.iter().map(|name| to(Kind::Environment, name)));
        links.extend(rule.targets.iter().map(|name| to(Kind::Target, name)));
    }
}

fn assignment_links(assignment: &RoleAssignment, links: &mut Vec<Link>) {
    links.push(to(Kind::Role, &assignment.role));
    links.extend(assignment.users.iter().map(|user| to(Kind::User, user)));
    links.extend(assignment.groups.iter().map(|group| to(Kind::Group, group)));
}

fn invariant_links(invariant: &Invariant, links: &mut Vec<Link>) {
    if let Some(never) = &invariant.never {
        links.extend(never.groups.iter().map(|name| to(Kind::Group, name)));
        links.extend(never.roles.iter().map(|name| to(Kind::Role, name)));
        links.extend(never.users.iter().map(|name| to(Kind::User, name)));
        links.extend(never.environments.iter().map(|name| to(Kind::Environment, name)));
        links.extend(never.targets.iter().map(|name| to(Kind::Target, name)));
    }
    for exception in &invariant.exceptions {
        links.push(to(Kind::User, &exception.owner));
        links.push(match &exception.what {
            Excepted::Role(role) => to(Kind::Role, role),
            Excepted::Policy(policy) => to(Kind::Policy, policy),
        });
    }
}
