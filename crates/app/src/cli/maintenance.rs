//! The node itself: set up, run, check, demonstrate, maintain.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::demo;
use crate::doctor;
use crate::failure::{Failure, Outcome};
use crate::init;
use crate::serve;
use crate::witness;

#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// Set up a node: configuration, keys, store, and the first people
    Init(init::Init),
    /// Run a node
    Serve(serve::Serve),
    /// Check everything a node needs, and say what to do where it is not in order
    Doctor(doctor::Doctor),
    /// Run a gate with three environments, three people and real hosts on this machine
    Demo(demo::Demo),
    /// Cosign the checkpoints of other people's logs, on a machine of your own
    #[command(subcommand)]
    Witness(witness::WitnessCommand),
    /// Keys of a node that is stopped
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Replace the master key: every secret is wrapped anew, in one transaction
    ///
    /// Refused while a node uses the store. A key file is replaced by this command; a key from the
    /// environment or a command is given by its keeper: put the new one into the variable
    /// PORTCULLIS_NEW_MASTER_KEY for this command.
    RotateMaster(Config),
    /// Replace the key that signs the audit log's checkpoints; the log says so, signed by the old key
    ///
    /// The node must be stopped. For 30 days both keys sign, so that witnesses and whoever verifies
    /// can take over the new one; exports carry the handover, and verification follows it.
    RotateLog(Config),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The node's configuration
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        hide_env_values = true,
        default_value = "portcullis.toml"
    )]
    pub(crate) config: PathBuf,
}

impl Node {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Init(init) => init.run(context).await,
            Self::Serve(serve) => serve.run(context).await,
            Self::Doctor(doctor) => doctor.run(context).await,
            Self::Demo(demo) => demo.run(context).await,
            Self::Witness(witness) => witness.run(context).await,
            Self::Keys(Keys::RotateLog(config)) => {
                crate::node::rotate_log_key(context, &config.config).await
            }
            Self::Keys(Keys::RotateMaster(config)) => {
                crate::node::rotate_master_key(context, &config.config).await
            }
        }
    }
}
