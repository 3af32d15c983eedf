//! `portcullis demo`: a whole gate on this machine, to try or to watch.
//!
//! In: nothing but OpenSSH's server and client. Out: a node, four hosts, three people and the
//! commands of a tour; or, with `--tour`, the tour itself, each step held to what must happen.
//! Everything lives in one directory and listens on loopback; all of it goes when it stops.

mod actor;
mod host;
mod people;
mod stage;
mod terminal;
mod tour;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, now};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone};

use people::Person;
use stage::Stage;

/// Names the directory of a running demo.
const DIRECTORY_VARIABLE: &str = "PORTCULLIS_DEMO";

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Demo {
    /// Take the tour and say what happens; fails if anything goes otherwise than it must
    #[arg(long)]
    tour: bool,
    /// Keep everything in this new directory, also after the end
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Use the ports from here on instead of any that are free
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..65000))]
    port_base: Option<u16>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print somebody's present one-time code
    Code {
        /// alice, bob or carol
        user: String,
        /// The directory of the running demo
        #[arg(long, value_name = "DIR", env = DIRECTORY_VARIABLE, hide_env_values = true)]
        dir: PathBuf,
    },
}

impl Demo {
    /// Runs until Ctrl-C, or to the end of the tour.
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let out = context.out;
        if let Some(Command::Code { user, dir }) = self.command {
            let code = people::find(&dir, &user)?.code_at(now())?;
            out.either(&serde_json::json!({"code": code}), |out| out.line(&code))?;
            return Ok(Outcome::Done);
        }
        if let Some(why) = host::without_terminals() {
            eprintln!("portcullis: shells and the tour will not work: {why}");
        }
        let (stage, node, listeners) = Stage::set(self.keep.as_deref(), self.port_base).await?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(node.run(listeners, stop.clone()));
        let played = if self.tour {
            tokio::select! {
                played = tour::take(out, &stage) => played,
                () = stopped() => Err(Failure::Failed("the tour was interrupted".into())),
            }
        } else {
            let told = invite(out, &stage);
            if told.is_ok() {
                stopped().await;
            }
            told
        };
        stop.cancel();
        let served = serving
            .await
            .unwrap_or_else(|error| Err(Failure::because("the node was interrupted", &error)));
        if played.is_err() && self.tour {
            eprintln!("the node's log ended:\n{}", stage.log_end());
        }
        stage.strike();
        played?;
        served?;
        Ok(Outcome::Done)
    }
}

/// Ctrl-C or SIGTERM.
async fn stopped() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// What to paste.
fn invite(out: Out, stage: &Stage) -> Result<(), Failure> {
    if out.json {
        return out.json(&stage.facts());
    }
    let title = |text: &str| out.tone(Tone::Strong, text);
    out.line(&title("A gate with three environments is open on this machine."))?;
    out.line(&format!(
        "  ssh {}   api {}   files {}\n  hosts: {} (each a real OpenSSH server on loopback)\n",
        stage.ssh_address(),
        stage.api_url(),
        stage.directory().display(),
        stage.host_names().join(", ")
    ))?;
    for Person { name, role, password, totp_secret, .. } in stage.people() {
        out.line(&format!("  {name:<6} {role:<17} password {password}   codes {totp_secret}"))?;
    }
    out.line(&format!("\n{}", title("In a second terminal, paste:")))?;
    out.line(&tour::script(stage))?;
    out.line(&out.tone(Tone::Faint, "Ctrl-C here stops everything and removes it."))
}
