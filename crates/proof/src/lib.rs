//! Invariants proved of policies: for every possible request, not for those somebody tried.
//!
//! Facts with their policies and invariants flow in; a [`Report`] flows out: per invariant proved,
//! or a concrete counterexample that [`portcullis_policy::decide`] has confirmed, or why there is
//! no proof. Cedar's symbolic compiler writes the question, an SMT solver that runs as a bounded
//! child process answers it. Whatever is not a clear answer is not a proof.
//!
//! A proof is about the policies' text over all people, memberships, grants, factors and targets
//! there could be; environments, and what assignments give to groups that an invariant names, are
//! as the facts have them ([`assumptions`](crate) in `world.rs`).
//!
//! How it stays fast: forbids alone often suffice, whatever the permits are; where they do not,
//! permits are asked about together and without what cannot matter, then one by one (see `run.rs`
//! and `together.rs`), and never again while the question is the same.
//!
//! Architecture invariant: names Cedar besides the policy crate because questions are built of its
//! syntax; never decides. Blocks its thread: callers keep it off async threads.

mod counterexample;
mod finding;
mod item;
mod memory;
mod model;
mod prove;
mod question;
mod report;
mod run;
mod solver;
mod statement;
mod together;
mod touch;
mod witness;
mod work;
mod world;

pub use finding::{Finding, FindingKind};
pub use prove::Prover;
pub use report::{Counterexample, Proof, Report, Status};
pub use solver::{INSTALL, SolverError, SolverSettings, version};
pub use statement::{BUILTIN, InvariantProblem, check};
pub use touch::same_question;
#[doc(hidden)]
pub use world::assumptions_refuted;
