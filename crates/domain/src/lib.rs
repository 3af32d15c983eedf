//! The nouns of Portcullis: names, times, resources, access requests, grants, locks, decisions
//! and the vocabulary of the audit log.
//!
//! Everything here is a value. Text comes in through `FromStr` or serde and is canonical from
//! then on; states are enums whose transitions consume them. `now` and ids are parameters.
//!
//! Architecture invariant: this crate knows no async runtime, no file, no socket, no database,
//! no policy language. It is imported by everything and imports nothing of ours.

pub mod access_test;
pub mod action;
pub mod approval;
pub mod audit;
pub mod break_glass;
pub mod canonical;
pub mod change;
pub mod conditions;
pub mod confirmation;
pub mod database;
pub mod decision;
pub mod entry;
pub mod environment;
pub mod factor;
pub mod facts;
pub mod grant;
pub mod hold;
pub mod id;
pub mod invariant;
pub mod lock;
pub mod name;
pub mod request;
pub mod resource;
pub mod role;
pub mod secret;
pub mod separation;
pub mod target;
pub mod time;
pub mod user;
pub mod user_code;

pub use action::{Action, ActionKind};
pub use approval::{ApprovalRule, Threshold};
pub use break_glass::{BreakGlass, BreakGlassError, Review, ReviewError, ReviewState};
pub use change::{ChangeFile, ChangeState, ChangeSubject, PendingChange};
pub use conditions::Conditions;
pub use confirmation::{Confirmation, ConfirmationState};
pub use database::{DatabaseAct, PostgresCredential, PostgresTarget, PostgresTls};
pub use decision::{Decision, Denial, Query, Recording, Terms};
pub use environment::{Access, Environment, Escalation, Recordings, RequestTerms, Tier};
pub use factor::{Authentication, Factor, FactorKind};
pub use facts::Facts;
pub use grant::{Grant, GrantEnd, GrantSource};
pub use hold::{Hold, HoldScope};
pub use id::{
    ChangeId, ConfirmationId, EventId, FactorId, GrantId, HoldId, LockId, RequestId, ReviewId,
    SessionId, SignInId, SubjectId,
};
pub use invariant::{Excepted, Exception, Invariant, Never};
pub use lock::{Lock, LockSubject};
pub use name::{EnvironmentName, GroupName, Login, PolicyName, RoleName, TargetName, UserName};
pub use request::{AccessRequest, RequestState, Scope, TransitionError};
pub use resource::{Kind, Resource, ResourceKey};
pub use role::{ControlAction, Group, PolicyText, Role, RoleAssignment, Rule};
pub use secret::Secret;
pub use separation::{SeparationMode, SeparationOfDuties};
pub use target::{Protocol, SshCredential, SshTarget, Target};
pub use time::{Timestamp, format_duration, parse_duration};
pub use user::User;
pub use user_code::UserCode;
