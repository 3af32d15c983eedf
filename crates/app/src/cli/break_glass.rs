//! Access without approval in an emergency, and the reviews that follow.

use clap::{Args, Subcommand};
use portcullis_control::view::{
    BreakGlassBody, BrokenView, FindingsBody, ReviewView, ReviewsQuery,
};
use portcullis_domain::{ReviewState, TargetName};

use crate::client::{path, with_query};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, short, time};

#[derive(Debug, Subcommand)]
pub(super) enum BreakGlass {
    /// Take a break-glass role out: no approval, but everybody hears of it and somebody reviews it
    BreakGlass(Take),
    /// Reviews of uses of break-glass roles
    #[command(subcommand)]
    Reviews(ReviewsCommand),
}

#[derive(Debug, Args)]
pub(super) struct Take {
    /// The targets, all in one environment
    #[arg(required = true)]
    targets: Vec<String>,
    /// Why
    #[arg(long)]
    reason: String,
    /// For how long; left out: for as long as the role lets it last
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<String>,
    /// By which break-glass role, where several of yours would do
    #[arg(long)]
    role: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ReviewsCommand {
    /// List the reviews that are open
    List {
        /// Closed ones, too
        #[arg(long)]
        all: bool,
    },
    /// Show a review and what was done
    Show {
        /// The id, or at least its last six digits
        id: String,
    },
    /// Close the review of another person's use; the role can be taken out again
    Close {
        /// The id, or at least its last six digits
        id: String,
        /// What you found
        #[arg(long)]
        findings: String,
    },
}

impl BreakGlass {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::BreakGlass(Take { targets, reason, duration, role }) => {
                let body = BreakGlassBody { targets, role, reason, duration };
                let done: BrokenView = client.post("/v1/break-glass", &body).await?;
                out.either(&done, |out| print_broken(out, &done))?;
            }
            Self::Reviews(ReviewsCommand::List { all }) => {
                let asked = with_query("/v1/reviews", &ReviewsQuery { all });
                let found: Vec<ReviewView> = client.get(&asked).await?;
                out.either(&found, |out| print_reviews(out, &found))?;
            }
            Self::Reviews(ReviewsCommand::Show { id }) => {
                let found: ReviewView = client.get(&path("/v1/reviews/{}", &[&id])).await?;
                out.either(&found, |out| show(out, &found))?;
            }
            Self::Reviews(ReviewsCommand::Close { id, findings }) => {
                let path = path("/v1/reviews/{}/close", &[&id]);
                let done: ReviewView = client.post(&path, &FindingsBody { findings }).await?;
                out.either(&done, |out| {
                    let (id, role) = (short(done.review.id), &done.review.role);
                    out.line(&format!("review {id} is closed; role {role} can be taken out again"))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn print_broken(out: Out, done: &BrokenView) -> Result<(), Failure> {
    let grant = &done.grant;
    let names: Vec<&str> = grant.targets().map(TargetName::as_str).collect();
    out.line(&format!(
        "you have {} until {}; what you do there is recorded",
        names.join(", "),
        time(grant.ends)
    ))?;
    let (review, id) = (short(done.review), short(grant.id));
    out.line(&format!(
        "give it back with `portcullis revoke {id}`; somebody else closes review {review}"
    ))
}

fn print_reviews(out: Out, found: &[ReviewView]) -> Result<(), Failure> {
    let row = |view: &ReviewView| {
        let close = if view.can_close { " (yours to close)" } else { "" };
        vec![
            short(view.review.id),
            view.review.role.to_string(),
            view.review.user.to_string(),
            view.review.target.to_string(),
            format!("{}{close}", view.review.state.as_str()),
            time(view.review.opened_at),
            escape::line(&view.review.reason),
        ]
    };
    let rows = found.iter().map(row).collect();
    let head = ["id", "role", "user", "target", "state", "opened", "reason"];
    out.table(&head, rows, "no reviews")
}

fn show(out: Out, view: &ReviewView) -> Result<(), Failure> {
    let review = &view.review;
    out.line(&format!(
        "review {}: {} took role {} out for {} on {}: {}",
        short(review.id),
        review.user,
        review.role,
        review.target,
        time(review.opened_at),
        escape::line(&review.reason)
    ))?;
    if let Some(used) = &view.used {
        out.line(&format!(
            "  {} sessions with {} actions, until {}",
            used.sessions,
            used.actions,
            time(used.ends)
        ))?;
    }
    match &review.state {
        ReviewState::Open => out.line("open; nobody can take the role out"),
        ReviewState::Closed { by, at, findings } => {
            out.line(&format!("closed by {by} on {}: {}", time(*at), escape::line(findings)))
        }
    }
}
