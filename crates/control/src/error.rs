//! The one error of use cases: whose fault, a stable code, and a message for a person.

use std::fmt;
use std::time::Duration;

use portcullis_domain::TransitionError;
use portcullis_domain::change::ChangeError;
use portcullis_gateway::{AuditError, RefreshError};
use portcullis_store::{StoreError, TransitionFailure};
use thiserror::Error;

/// Whose fault it is and what kind; the API maps it to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller is not signed in.
    Unauthenticated,
    /// The caller must prove a second factor as well.
    SecondFactorRequired,
    /// Too many attempts; wait.
    TooMany {
        /// How long.
        retry_after: Duration,
    },
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// It is not in the state this needs.
    Conflict,
    /// What was sent makes no sense.
    Invalid,
    /// We cannot do it now.
    Unavailable,
}

/// A use case did not happen.
#[derive(Debug, Clone, Error)]
pub struct ControlError {
    /// What kind.
    pub kind: ErrorKind,
    /// Stable, for programs.
    pub code: &'static str,
    /// For a person: what happened and what to do next.
    pub message: String,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ControlError {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, "invalid", message.to_string())
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, "forbidden", message)
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, "not_found", format!("there is no {what}"))
    }

    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unavailable, "unavailable", message.to_string())
    }

    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthenticated, "unauthenticated", message)
    }
}

impl From<AuditError> for ControlError {
    fn from(error: AuditError) -> Self {
        Self::new(ErrorKind::Unavailable, "audit_unavailable", error.to_string())
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => {
                Self::new(ErrorKind::NotFound, "not_found", error.to_string())
            }
            StoreError::Conflict { .. } => {
                Self::new(ErrorKind::Conflict, "conflict", error.to_string())
            }
            other => {
                tracing::error!(error = %other, "the store failed a use case");
                Self::new(
                    ErrorKind::Unavailable,
                    "store_unavailable",
                    "the store does not answer as it should; try again, or see the node's log",
                )
            }
        }
    }
}

impl From<RefreshError> for ControlError {
    fn from(error: RefreshError) -> Self {
        tracing::error!(%error, "a change was stored but could not be taken in");
        Self::new(
            ErrorKind::Unavailable,
            "refresh_failed",
            format!("the change is stored, but the gate could not take it in: {error}"),
        )
    }
}

impl From<ChangeError> for ControlError {
    fn from(error: ChangeError) -> Self {
        let (kind, code) = match error {
            ChangeError::OwnChange { .. } => (ErrorKind::Forbidden, "own_change"),
            ChangeError::Expired { .. } => (ErrorKind::Conflict, "expired"),
            ChangeError::NotPending { .. } => (ErrorKind::Conflict, "not_pending"),
        };
        Self::new(kind, code, error.to_string())
    }
}

impl<E: Into<ControlError> + std::error::Error + 'static> From<TransitionFailure<E>>
    for ControlError
{
    fn from(failure: TransitionFailure<E>) -> Self {
        match failure {
            TransitionFailure::Refused(error) => error.into(),
            TransitionFailure::Store(error) => error.into(),
        }
    }
}

impl From<TransitionError> for ControlError {
    fn from(error: TransitionError) -> Self {
        let (kind, code) = match error {
            TransitionError::OwnRequest { .. } => (ErrorKind::Forbidden, "own_request"),
            TransitionError::NotRequester { .. } => (ErrorKind::Forbidden, "not_requester"),
            TransitionError::NotApprover { .. } => (ErrorKind::Forbidden, "not_an_approver"),
            TransitionError::AlreadyApproved { .. } => (ErrorKind::Conflict, "already_approved"),
            TransitionError::Expired { .. } => (ErrorKind::Conflict, "expired"),
            TransitionError::NotPending { .. } => (ErrorKind::Conflict, "not_pending"),
        };
        Self::new(kind, code, error.to_string())
    }
}
