//! Facts in, decision with terms out.
//!
//! [`Policies::compile`] turns the resources of one revision (roles, assignments, raw policies)
//! into validated Cedar policies, indexed so that a decision evaluates only what concerns it;
//! [`decide`] answers one query; [`explain`] says why; [`who_can`] turns the question round;
//! [`control`] answers for actions on Portcullis itself.
//!
//! Fails closed: any error while a policy is evaluated is a deny, whatever the other policies
//! said, because Cedar skips an erring policy and a skipped `forbid` would open the gate. Cedar
//! measures the stack, so decisions are taken on threads with [`MIN_STACK_BYTES`].
//!
//! Architecture invariant: the only crate that names Cedar, and it does no IO, reads no clock and
//! knows no async runtime. It never sees a credential.

pub mod control;

mod circumstances;
mod compile;
mod decide;
mod engine;
mod explain;
mod inactive;
mod like;
mod limits;
mod outcome;
mod policies;
mod raw;
mod reach;
mod slice;
mod views;
mod who_can;

pub use compile::{CompiledPolicy, Effect, compile_role};
pub use decide::{FRESH_GRACE, FUTURE_TOLERANCE, decide};
pub use engine::{MIN_REMAINING_STACK_BYTES, MIN_STACK_BYTES};
pub use explain::{Explanation, GrantSeen, LockSeen, PolicyReason, RoleHeld, explain};
pub use like::quoted;
pub use limits::{
    MAX_BRACKET_DEPTH, MAX_PATTERN_BYTES, MAX_PATTERNS_PER_RULE, MAX_POLICY_TEXT_BYTES,
    MAX_POLICY_TOKENS, MAX_RULES_PER_ROLE,
};
pub use policies::{BUILTIN, CompileError, Policies, PolicyInForce, PolicySource, Problem, SCHEMA};
pub use reach::{ReachTable, Reached, Reaches};
pub use slice::MAX_CACHED_SLICES;
pub use who_can::{Reach, WhoCan, who_can};
