//! `portcullis doctor`: is everything a node needs in order, and what to do where it is not.
//!
//! In: the configuration and the machine. Out: a list of findings; nothing is changed, and what a
//! running node holds is left alone. One check is one file in `doctor/` and one line in [`checks`].

mod clock;
mod exports;
mod files;
mod finding;
mod ports;
mod solver;
mod store;
mod witnesses;

use clap::Args;

use crate::cli::Config as ConfigPath;
use crate::config::Config;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::print::{Out, Tone, escape};

use finding::{Finding, State};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    config: ConfigPath,
    /// Do not connect to the targets
    #[arg(long)]
    no_targets: bool,
}

impl Doctor {
    /// Checks, prints, and fails where something must be done.
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let mut found = vec![clock::check(crate::context::now())];
        match Config::read(&self.config.config) {
            Err(error) => found.push(Finding::problem(
                "configuration",
                chain(&error),
                "correct the configuration; the rest can only be checked with it",
            )),
            Ok(config) => {
                let place = config.path.display().to_string();
                found.push(Finding::good("configuration", format!("{place} is valid")));
                checks(&config, !self.no_targets, &mut found).await;
            }
        }
        let problems = found.iter().any(|finding| finding.state == State::Problem);
        context.out.either(&found, |out| print(out, &found))?;
        Ok(if problems { Outcome::Problems } else { Outcome::Done })
    }
}

async fn checks(config: &Config, targets: bool, found: &mut Vec<Finding>) {
    found.push(files::data_dir(config));
    found.push(files::recordings(config));
    found.push(files::free_space("data directory space", &config.data_dir));
    if config.recordings.parent() != Some(&config.data_dir) {
        found.push(files::free_space("recordings space", &config.recordings));
    }
    found.push(ports::ssh(config).await);
    found.push(ports::api(config).await);
    found.push(solver::check(&config.solver));
    store::check(config, targets, found).await;
    found.extend(witnesses::check(config, crate::context::now()));
}

fn print(out: Out, found: &[Finding]) -> Result<(), Failure> {
    for finding in found {
        let (word, tone) = match finding.state {
            State::Good => ("ok     ", Tone::Good),
            State::Notice => ("notice ", Tone::Notice),
            State::Problem => ("PROBLEM", Tone::Bad),
        };
        let (check, what) = (finding.check, escape::line(&finding.what));
        out.line(&format!("{} {check}: {what}", out.tone(tone, word)))?;
        if let Some(remedy) = &finding.remedy {
            out.line(&format!("        -> {}", escape::line(remedy)))?;
        }
    }
    let count = found.iter().filter(|finding| finding.state == State::Problem).count();
    out.line(&match count {
        0 => "everything is in order".to_owned(),
        1 => "1 problem".to_owned(),
        more => format!("{more} problems"),
    })
}
