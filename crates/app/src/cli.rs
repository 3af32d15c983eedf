//! The command line: what can be typed, in families of one file each.
//!
//! In: arguments. Out: calls to the node's API and their answers printed, or the node itself.
//! The command line holds no power of its own: on the server, too, it signs in like everyone.

mod access;
mod access_tests;
mod account;
mod audit;
mod break_glass;
mod changes;
mod credentials;
mod explain;
mod factors;
mod files;
mod holds;
mod locks;
mod maintenance;
mod markdown;
mod prove;
mod resources;
mod sessions;
mod shell;
mod sign_in;
mod sign_ins;
mod ssh;
mod tls;
mod usage;

use clap::{Parser, Subcommand};

pub(crate) use credentials::generate_password;
pub(crate) use files::read as read_resource_files;
pub(crate) use maintenance::Config;

use crate::client::Address;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The only way into production, and it can prove it.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the node does not answer, \
4 `plan` found changes, 5 evidence does not hold, \
6 an invariant is broken, 7 an invariant is not proved, \
8 `plan` found that somebody gains access to production."
)]
pub(crate) struct Cli {
    /// The node's API (default: where you signed in, else http://127.0.0.1:3022)
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_ADDRESS",
        hide_env_values = true,
        value_name = "URL",
        display_order = 900
    )]
    address: Option<Address>,

    /// Print JSON instead of text
    #[arg(long, global = true, display_order = 901)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Node(maintenance::Node),
    #[command(flatten)]
    SignIn(sign_in::SignIn),
    #[command(flatten)]
    SignIns(sign_ins::SignIns),
    #[command(flatten)]
    Account(account::Account),
    #[command(flatten)]
    Factors(factors::Factors),
    #[command(flatten)]
    Access(access::Access),
    #[command(flatten)]
    BreakGlass(break_glass::BreakGlass),
    #[command(flatten)]
    Sessions(sessions::Sessions),
    #[command(flatten)]
    Locks(locks::Locks),
    #[command(flatten)]
    Resources(resources::Resources),
    #[command(flatten)]
    Prove(prove::Prove),
    #[command(flatten)]
    AccessTests(access_tests::AccessTests),
    #[command(flatten)]
    Usage(usage::Usage),
    #[command(flatten)]
    Changes(changes::Changes),
    #[command(flatten)]
    Explain(explain::Explain),
    #[command(flatten)]
    Credentials(credentials::Credentials),
    #[command(flatten)]
    Audit(audit::Audit),
    #[command(flatten)]
    Holds(holds::Holds),
    #[command(flatten)]
    Ssh(ssh::Ssh),
    #[command(flatten)]
    Shell(shell::Shell),
}

impl Cli {
    /// Does what was asked.
    pub(crate) async fn run(self) -> Result<Outcome, Failure> {
        let context = Context::new(self.address, self.json)?;
        match self.command {
            Command::Node(command) => command.run(&context).await,
            Command::SignIn(command) => command.run(&context).await,
            Command::SignIns(command) => command.run(&context).await,
            Command::Account(command) => command.run(&context).await,
            Command::Factors(command) => command.run(&context).await,
            Command::Access(command) => command.run(&context).await,
            Command::BreakGlass(command) => command.run(&context).await,
            Command::Sessions(command) => command.run(&context).await,
            Command::Locks(command) => command.run(&context).await,
            Command::Resources(command) => command.run(&context).await,
            Command::Prove(command) => command.run(&context).await,
            Command::AccessTests(command) => command.run(&context).await,
            Command::Usage(command) => command.run(&context).await,
            Command::Changes(command) => command.run(&context).await,
            Command::Explain(command) => command.run(&context).await,
            Command::Credentials(command) => command.run(&context).await,
            Command::Audit(command) => command.run(&context).await,
            Command::Holds(command) => command.run(&context).await,
            Command::Ssh(command) => command.run(&context).await,
            Command::Shell(command) => command.run(&context),
        }
    }
}

#[cfg(test)]
mod tests;
