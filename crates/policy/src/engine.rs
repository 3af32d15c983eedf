//! The one place where Cedar evaluates: circumstances and a slice of the policies in, verdict out.
//!
//! INVARIANT: a diagnostic error is never anything but [`Verdict::Failed`]. Cedar reports an
//! erring policy and goes on without it, a `forbid` included.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use portcullis_domain::ActionKind;

use crate::circumstances::{Circumstances, Detail};

/// The stack of a thread that decides, in bytes. Cedar measures what is left and skips a policy
/// that needs more.
pub const MIN_STACK_BYTES: usize = 2 * 1024 * 1024;
/// The stack that must be left when a decision begins, in bytes; with less, the answer is a deny.
/// The rest of [`MIN_STACK_BYTES`] is the caller's.
pub const MIN_REMAINING_STACK_BYTES: usize = 512 * 1024;

/// What the policies said in one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Permitted by these, forbidden by none.
    Allowed(Vec<String>),
    /// Forbidden by these; empty: nothing permits it.
    Refused(Vec<String>),
    /// Not evaluated to the end: always a deny.
    Failed(Vec<String>),
}

/// Cedar's names for our nouns, parsed once.
#[derive(Debug)]
pub(crate) struct Names {
    user: EntityTypeName,
    group: EntityTypeName,
    role: EntityTypeName,
    environment: EntityTypeName,
    target: EntityTypeName,
    actions: Vec<EntityUid>,
}

impl Names {
    pub(crate) fn new() -> Result<Self, String> {
        let name = |text: &str| text.parse::<EntityTypeName>().map_err(|e| e.to_string());
        let action = name("Action")?;
        Ok(Self {
            user: name("User")?,
            group: name("Group")?,
            role: name("Role")?,
            environment: name("Environment")?,
            target: name("Target")?,
            actions: ActionKind::ALL.iter().map(|kind| uid(&action, kind.as_str())).collect(),
        })
    }

    pub(crate) fn user(&self, name: &str) -> EntityUid {
        uid(&self.user, name)
    }

    pub(crate) fn group(&self, name: &str) -> EntityUid {
        uid(&self.group, name)
    }

    pub(crate) fn role(&self, name: &str) -> EntityUid {
        uid(&self.role, name)
    }

    pub(crate) fn environment(&self, name: &str) -> EntityUid {
        uid(&self.environment, name)
    }

    pub(crate) fn target(&self, name: &str) -> EntityUid {
        uid(&self.target, name)
    }

    pub(crate) fn action(&self, kind: ActionKind) -> Option<&EntityUid> {
        self.actions.get(kind as usize)
    }
}

fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

/// Why there is not enough stack, if so.
pub(crate) fn stack_shortage() -> Option<String> {
    // Where it cannot be measured, Cedar assumes that there is enough; we do not.
    let left = stacker::remaining_stack().unwrap_or(0);
    (left < MIN_REMAINING_STACK_BYTES).then(|| {
        format!(
            "{left} bytes of stack are left and {MIN_REMAINING_STACK_BYTES} are needed; decide on threads with {MIN_STACK_BYTES} bytes"
        )
    })
}

/// Most source addresses kept as Cedar expressions.
const MAX_SOURCES: usize = 1024;

/// Source addresses as Cedar expressions. Building one makes Cedar parse the name of its own
/// function, which would be a third of a decision.
#[derive(Debug, Default)]
pub(crate) struct Sources(RwLock<HashMap<IpAddr, RestrictedExpression>>);

impl Sources {
    fn expression(&self, source: IpAddr) -> RestrictedExpression {
        let source = source.to_canonical();
        // A panic while the lock is held leaves a complete map.
        let read = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&source) {
            return known.clone();
        }
        drop(read);
        let expression = RestrictedExpression::new_ip(source.to_string());
        let mut write = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if write.len() >= MAX_SOURCES {
            write.clear();
        }
        write.insert(source, expression.clone());
        expression
    }
}

/// Circumstances, with what of them policies know by name.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) circumstances: &'a Circumstances<'a>,
    /// Windows of hours that are open.
    pub(crate) hours: Vec<&'a str>,
    /// Ticket patterns that are met.
    pub(crate) tickets: Vec<&'a str>,
}

/// Evaluates a policy set for one request.
pub(crate) fn evaluate(
    sources: &Sources,
    principal: &EntityUid,
    action: &EntityUid,
    resource: &EntityUid,
    moment: Moment<'_>,
    policies: &PolicySet,
    entities: &Entities,
) -> Verdict {
    if let Some(shortage) = stack_shortage() {
        return Verdict::Failed(vec![shortage]);
    }
    let context = match context(sources, moment) {
        Ok(context) => context,
        Err(error) => return Verdict::Failed(vec![error]),
    };
    let request = Request::new(principal.clone(), action.clone(), resource.clone(), context, None);
    let request = match request {
        Ok(request) => request,
        Err(error) => return Verdict::Failed(vec![error.to_string()]),
    };
    let response = Authorizer::new().is_authorized(&request, policies, entities);
    let diagnostics = response.diagnostics();
    let mut errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
    if !errors.is_empty() {
        errors.sort();
        return Verdict::Failed(errors);
    }
    let mut reasons: Vec<String> =
        diagnostics.reason().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect();
    reasons.sort();
    match response.decision() {
        cedar_policy::Decision::Allow => Verdict::Allowed(reasons),
        cedar_policy::Decision::Deny => Verdict::Refused(reasons),
    }
}

fn context(sources: &Sources, moment: Moment<'_>) -> Result<Context, String> {
    let c = moment.circumstances;
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::with_capacity(12);
    let mut put = |name: &str, value| pairs.push((name.to_owned(), value));
    put("login", text(c.login.as_str()));
    put("granted", RestrictedExpression::new_bool(c.granted));
    if let Some(age) = c.second_factor_age {
        put("second_factor_age", RestrictedExpression::new_long(age));
    }
    let required = c.second_factor_max_age.is_some();
    put("second_factor_required", RestrictedExpression::new_bool(required));
    let max_age = c.second_factor_max_age.unwrap_or(0);
    put("second_factor_max_age", RestrictedExpression::new_long(max_age));
    put("source", sources.expression(c.source));
    let set = |names: Vec<&str>| RestrictedExpression::new_set(names.into_iter().map(text));
    put("hours", set(moment.hours));
    put("tickets", set(moment.tickets));
    match c.detail {
        Detail::None => {}
        Detail::Command { command, plain } => {
            put("command", text(command));
            put("command_plain", RestrictedExpression::new_bool(*plain));
        }
        Detail::Path { path, plain } => {
            put("path", text(path));
            put("path_plain", RestrictedExpression::new_bool(*plain));
        }
        Detail::Destination { host, port, destination, plain } => {
            put("host", text(host));
            put("port", RestrictedExpression::new_long(i64::from(*port)));
            put("destination", text(destination));
            put("destination_plain", RestrictedExpression::new_bool(*plain));
        }
        Detail::Database { database } => put("database", text(database)),
    }
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}
