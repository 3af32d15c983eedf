//! Changes of resources that wait for a second person.

use clap::Subcommand;
use hyper::Method;
use portcullis_control::view::{ChangesQuery, NotedChangeView, PlanView, ReasonBody};

use super::resources::print_plan;
use crate::client::{path, with_query};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, short, time};

#[derive(Debug, Subcommand)]
pub(super) enum Changes {
    /// Changes of resources that wait for a second person
    #[command(subcommand)]
    Changes(ChangesCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum ChangesCommand {
    /// List the changes that wait
    List {
        /// Those that were decided or expired, too
        #[arg(long)]
        all: bool,
    },
    /// Show a change and what it would do
    Show {
        /// The id, or at least its last six digits
        id: String,
    },
    /// Approve a change that somebody else proposed; it is in force at once
    Approve {
        /// The id, or at least its last six digits
        id: String,
    },
    /// Refuse a change, or withdraw one of your own
    Deny {
        /// The id, or at least its last six digits
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

impl Changes {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out, Self::Changes(command)) = (context.client()?, context.out, self);
        match command {
            ChangesCommand::List { all } => {
                let asked = with_query("/v1/changes", &ChangesQuery { all });
                let found: Vec<NotedChangeView> = client.list(&asked, usize::MAX).await?;
                out.either(&found, |out| print_changes(out, &found))?;
            }
            ChangesCommand::Show { id } => {
                let view: NotedChangeView = client.get(&path("/v1/changes/{}", &[&id])).await?;
                out.either(&view, |out| show(out, &view))?;
            }
            ChangesCommand::Approve { id } => {
                let path = path("/v1/changes/{}/approve", &[&id]);
                let done: PlanView = client.ask(Method::POST, &path).await?;
                out.either(&done, |out| {
                    print_plan(out, &done)?;
                    out.line(&format!("applied; the revision is {}", done.revision))
                })?;
            }
            ChangesCommand::Deny { id, reason } => {
                let path = path("/v1/changes/{}/deny", &[&id]);
                let done: NotedChangeView = client.post(&path, &ReasonBody { reason }).await?;
                out.either(&done, |out| out.line(&format!("change {} is denied", short(done.id))))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn print_changes(out: Out, found: &[NotedChangeView]) -> Result<(), Failure> {
    let row = |change: &NotedChangeView| {
        let decide = if change.can_decide { " (yours to decide)" } else { "" };
        vec![
            short(change.id),
            change.author.to_string(),
            format!("{}{decide}", escape::line(&change.state)),
            time(change.at),
            escape::line(&change.why),
        ]
    };
    let rows = found.iter().map(row).collect();
    out.table(&["id", "by", "state", "proposed", "why it takes two"], rows, "no change waits")
}

fn show(out: Out, change: &NotedChangeView) -> Result<(), Failure> {
    let id = short(change.id);
    out.line(&format!(
        "change {id} by {}, {}: {}",
        change.author,
        escape::line(&change.state),
        escape::line(&change.why)
    ))?;
    if let Some(plan) = &change.plan {
        print_plan(out, plan)?;
        if !change.is_current {
            out.line("the resources have changed since; its author must apply the files again")?;
        }
    }
    Ok(())
}
