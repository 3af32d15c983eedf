//! `why`, `who-can` and `policy show`: decisions explained.

use clap::{Args, Subcommand};
use portcullis_control::view::{PolicyView, WhoCanView, WhyQuery, WhyView};
use portcullis_domain::ActionKind;
use serde::Serialize;

use crate::client::with_query;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape};

#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// Explain what would be decided, with the policies that decide it
    Why(Why),
    /// List everyone who can do something to a target, and by which path
    WhoCan(WhoCan),
    /// Print policies in force as Cedar
    #[command(subcommand)]
    Policy(Policy),
}

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Print what a role comes to, with what it inherits; or one policy; or, without a name, all
    Show {
        /// A role, a raw policy, the id of one policy, or `builtin`
        name: Option<String>,
    },
}

#[derive(Serialize)]
struct PoliciesQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    /// Who
    user: String,
    /// What: shell, exec, upload, download, forward, agent_forward, remote_forward
    action: ActionKind,
    /// Where
    target: String,
    /// The command, path or `host:port` it is about
    object: Option<String>,
    /// As which account on the target
    #[arg(long)]
    login: Option<String>,
    /// Assume that a second factor has just been proved
    #[arg(long)]
    second_factor: bool,
}

#[derive(Debug, Args)]
pub(super) struct WhoCan {
    /// What: shell, exec, upload, download, forward, agent_forward, remote_forward
    action: ActionKind,
    /// Where
    target: String,
}

#[derive(Serialize)]
struct WhoCanQuery {
    action: ActionKind,
    target: String,
}

impl Explain {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::Why(why) => {
                let query = WhyQuery {
                    user: why.user,
                    action: why.action,
                    target: why.target,
                    login: why.login,
                    object: why.object,
                    second_factor: why.second_factor,
                };
                let view: WhyView = client.get(&with_query("/v1/why", &query)).await?;
                out.either(&view, |out| print_why(out, &view))?;
            }
            Self::WhoCan(WhoCan { action, target }) => {
                let query = WhoCanQuery { action, target };
                let path = with_query("/v1/who-can", &query);
                let found: Vec<WhoCanView> = client.list(&path, usize::MAX).await?;
                out.either(&found, |out| print_who_can(out, &found))?;
            }
            Self::Policy(Policy::Show { name }) => {
                let path = with_query("/v1/policies", &PoliciesQuery { of: name });
                let found: Vec<PolicyView> = client.list(&path, usize::MAX).await?;
                out.either(&found, |out| print_policies(out, &found))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn print_policies(out: Out, found: &[PolicyView]) -> Result<(), Failure> {
    if found.is_empty() {
        return out.line("nothing: it has no rules for targets");
    }
    // The text carries id and description as annotations, and is what a reviewer compares.
    found.iter().try_for_each(|policy| {
        policy.cedar.trim_end().lines().try_for_each(|line| out.line(&escape::line(line)))?;
        out.line("")
    })
}

fn print_why(out: Out, view: &WhyView) -> Result<(), Failure> {
    let tone = match view.decision.as_str() {
        "allow" => Tone::Good,
        "deny" => Tone::Bad,
        _ => Tone::Notice,
    };
    let decision = view.decision.replace('_', " ");
    out.line(&out.tone(tone, &escape::line(&decision)))?;
    out.line(escape::lines(&view.text).trim_end())
}

fn print_who_can(out: Out, found: &[WhoCanView]) -> Result<(), Failure> {
    let rows = found
        .iter()
        .map(|row| {
            vec![row.user.clone(), row.how.clone(), row.logins.join(", "), row.via.join("\n")]
        })
        .collect();
    out.table(&["user", "how", "as", "by"], rows, "nobody")
}
