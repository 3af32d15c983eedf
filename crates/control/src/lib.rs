//! Use cases: what people do with Portcullis itself, one method each, and the reconcilers that
//! keep time.
//!
//! A signed-in caller and plain data ([`view`]) flow in; plain data or a [`ControlError`] flows
//! out. Every method checks the caller's right here, writes its audit event before its effect is
//! visible, and has the gate take the change in before it answers.
//!
//! Architecture invariant: no HTTP, no command line. There is no caller with more rights than a
//! signed-in person: the command line on the server signs in like everyone else.

mod access;
mod access_tests;
mod asking;
mod audit;
mod audit_proof;
mod bootstrap;
mod break_glass;
mod changes;
mod confirmations;
mod credential_changes;
mod error;
mod events;
mod explain;
mod exports;
mod factors;
mod forget;
mod grants;
mod history;
mod holds;
mod indexing;
mod locks;
mod map;
mod pages;
mod people;
mod places;
mod proof;
mod reach;
mod reconcile;
mod recordings;
mod resources;
mod retention;
mod right;
mod search_recordings;
mod searching;
mod second_person;
mod secrets;
mod separation;
mod sessions;
mod show_session;
mod sign_ins;
mod smaller;
mod ssh_config;
mod suggest;
mod trail;
mod usage;
mod verify_recordings;
pub mod view;
mod weakening;
mod witnessing;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_gateway::Gateway;
use portcullis_proof::Prover;

pub use access_tests::run_access_tests;
pub use audit_proof::{EntryRef, ExportStream, entries_between, entry_meaning, plan_export, prove};
pub use bootstrap::{BootstrapError, BootstrapUser};
pub use error::{ControlError, ErrorKind};
pub use portcullis_gateway::{Authenticated, Carrier, Presence, Presented};
pub use portcullis_proof::SolverSettings;
#[doc(hidden)]
pub use reach::reach as reach_for_measurement;
pub use recordings::{FRAME_QUEUE, RecordingStream};
pub use sign_ins::{WebSession, csrf_of, says_csrf};
pub use witnessing::{WitnessTransport, Witnesses};

/// What use cases need to know about the node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` people reach the SSH door at.
    pub ssh_address: String,
    /// `host:port` people reach the PostgreSQL door at, where it is open.
    pub postgres_address: Option<String>,
    /// The gate's SSH host key, OpenSSH format.
    pub gate_host_key: String,
    /// Where the audit log is, for a full verification.
    pub log_directory: std::path::PathBuf,
    /// How long certificates and tokens are good; at most 12 h.
    pub sign_in_lifetime: Duration,
    /// After how long without use a browser's sign-in ends.
    pub sign_in_idle: Duration,
    /// The solver that proofs ask.
    pub solver: SolverSettings,
}

/// Handle to the use cases of a node; clones are the same.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    settings: Settings,
    /// Exports of the audit log, once they run.
    exports: std::sync::OnceLock<portcullis_connectors::export::Exports>,
    /// The log's witnesses, where there are some.
    witnessing: OnceLock<witnessing::Witnessing>,
    /// Who wants to be told what changes.
    listening: events::Listening,
    /// Proves invariants, and remembers what it has proved.
    prover: Prover,
    /// Texts of recordings that are being made.
    texts: search_recordings::Texts,
    /// Where entries of the audit log may be found.
    indexed: indexing::Indexed,
}

impl Control {
    /// Use cases over a gate.
    pub fn new(gateway: Gateway, settings: Settings) -> Self {
        let prover = Prover::new(settings.solver.clone());
        Self(Arc::new(Inner {
            gateway,
            settings,
            exports: std::sync::OnceLock::new(),
            witnessing: OnceLock::new(),
            listening: events::Listening::default(),
            prover,
            texts: search_recordings::Texts::default(),
            indexed: indexing::Indexed::default(),
        }))
    }

    /// The gate.
    pub fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    pub(crate) fn indexed(&self) -> &indexing::Indexed {
        &self.0.indexed
    }

    pub(crate) fn texts(&self) -> &search_recordings::Texts {
        &self.0.texts
    }

    pub(crate) fn witnessing(&self) -> Option<&witnessing::Witnessing> {
        self.0.witnessing.get()
    }

    pub(crate) fn witnessing_slot(&self) -> &OnceLock<witnessing::Witnessing> {
        &self.0.witnessing
    }

    pub(crate) fn listening(&self) -> &events::Listening {
        &self.0.listening
    }

    pub(crate) fn prover(&self) -> &Prover {
        &self.0.prover
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Why the node is not ready to let people in; empty when it is.
    pub fn readiness(&self) -> Vec<String> {
        self.gateway().closed_because().into_iter().collect()
    }
}
