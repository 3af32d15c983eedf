//! Evidence holds: keep what somebody may still have to answer for.

use clap::Subcommand;
use hyper::Method;
use portcullis_control::view::HoldBody;
use portcullis_domain::{Hold, HoldScope, UserName};

use crate::client::path;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{escape, short, time};

#[derive(Debug, Subcommand)]
pub(super) enum Holds {
    /// Evidence holds: nothing about their scope is erased or deleted while they are in force
    #[command(subcommand)]
    Hold(HoldCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// Place a hold; lifting it takes another person
    Place {
        /// What to hold: subject:NAME, target:NAME, environment:NAME or session:ID
        scope: HoldScope,
        /// Why; a case number rather than a story
        #[arg(long)]
        reason: String,
        /// Who answers for it (default: you)
        #[arg(long, value_name = "USER")]
        owner: Option<UserName>,
    },
    /// List the holds in force
    List,
    /// Lift a hold that somebody else placed
    Lift {
        /// The hold's id, or its last characters
        id: String,
    },
}

impl Holds {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out, Self::Hold(command)) = (context.client()?, context.out, self);
        match command {
            HoldCommand::Place { scope, reason, owner } => {
                let body = HoldBody { scope, reason, owner };
                let hold: Hold = client.post("/v1/holds", &body).await?;
                out.either(&hold, |out| {
                    out.line(&format!("{} is held (hold {})", hold.scope, short(hold.id)))
                })?;
            }
            HoldCommand::List => {
                let found: Vec<Hold> = client.list("/v1/holds", usize::MAX).await?;
                out.either(&found, |out| {
                    let row = |hold: &Hold| {
                        vec![
                            short(hold.id),
                            hold.scope.to_string(),
                            hold.owner.to_string(),
                            hold.by.to_string(),
                            time(hold.at),
                            escape::line(&hold.reason),
                        ]
                    };
                    let rows = found.iter().map(row).collect();
                    let titles = ["id", "on", "owner", "by", "since", "reason"];
                    out.table(&titles, rows, "no evidence is held")
                })?;
            }
            HoldCommand::Lift { id } => {
                let hold: Hold = client.ask(Method::DELETE, &path("/v1/holds/{}", &[&id])).await?;
                out.either(&hold, |out| {
                    out.line(&format!("{} is not held by {} any more", hold.scope, short(hold.id)))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}
