//! What an endpoint is, as data.
//!
//! An endpoint states how it is called, what it needs and how much it may take; `router` wraps its
//! handler accordingly. A handler is never reached without the guard its right asks for.

use std::fmt;

use axum::routing::{MethodFilter, MethodRouter};
use portcullis_domain::ControlAction;

use crate::guard::Api;

/// How an endpoint is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`: changes nothing.
    Get,
    /// `POST`.
    Post,
    /// `PUT`: sets something to what is sent.
    Put,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// As in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Method> for MethodFilter {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Delete => Self::DELETE,
        }
    }
}

/// What a caller needs. The use case decides; this states it for tests and documentation, and says
/// whether the guard must know the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nothing, not even a sign-in.
    Anonymous,
    /// To be signed in: it concerns the caller, or the use case decides by what it concerns.
    SignedIn,
    /// To be signed in for what is one's own, this control right for what is others'.
    OwnOr(ControlAction),
    /// This control right.
    Control(ControlAction),
}

/// How much a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// A small body, an answer within seconds.
    Light,
    /// A large body or a long computation; few at a time.
    Heavy,
    /// An answer that goes on as long as both sides want, its caller's right being asked again.
    Stream,
}

/// A call as one would write it, for tests and documentation.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Path and query.
    pub target: &'static str,
    /// JSON body.
    pub body: Option<&'static str>,
}

/// One endpoint.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// How it is called.
    pub method: Method,
    /// Where, parameters in braces.
    pub path: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What a caller needs.
    pub right: Right,
    /// How much a call may take.
    pub weight: Weight,
    /// A call, well-formed; where the right is [`Right::OwnOr`], about something of others'.
    pub example: Example,
    pub(crate) route: fn(MethodFilter) -> MethodRouter<Api>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
