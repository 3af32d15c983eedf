//! `audit archive`: old entries leave the log, and their hashes stay.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Config;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::node::{Before, archive_log};

#[derive(Debug, Args)]
pub(in crate::cli) struct Archive {
    /// The directory to make; it must be empty where it exists
    dir: PathBuf,
    /// Move what is older than this time, such as `2026-01-01T00:00:00Z`, or below this index
    #[arg(long, value_name = "TIME|INDEX")]
    before: Before,
    #[command(flatten)]
    config: Config,
}

impl Archive {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        archive_log(context, &self.config.config, self.dir, self.before).await
    }
}
