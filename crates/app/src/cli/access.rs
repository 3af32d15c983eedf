//! Just-in-time access: asking, deciding, giving back.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use portcullis_control::view::{
    AccessQuery, DecidedView, ReasonBody, RequestBody, RequestView, RevokeView,
};
use portcullis_domain::{
    ActionKind, Grant, GrantSource, Login, RequestState, Timestamp, format_duration,
};

use crate::client::{Client, path, with_query};
use crate::context::{Context, now};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, short, time};

/// How often `request --wait` looks.
const WAIT_STEP: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Access {
    /// Ask for access to a target; somebody else must approve
    Request(Request),
    /// List access requests
    Requests(List),
    /// Approve somebody's request; the grant's clock starts now
    Approve(Id),
    /// Refuse somebody's request
    Deny(IdWithReason),
    /// Withdraw a request of your own
    Cancel(Id),
    /// List grants
    Grants(List),
    /// End a grant now, and the sessions that depend on it; your own can always be given back
    Revoke(IdWithReason),
}

#[derive(Debug, Args)]
pub(super) struct Request {
    /// The target
    target: String,
    /// For how long, from approval: `30m`, `1h`, `8h`
    #[arg(long = "for", value_name = "DURATION")]
    duration: String,
    /// Why, for the approver and the audit log
    #[arg(long)]
    reason: String,
    /// Only this action (may be repeated): shell, exec, upload, download, forward, agent_forward,
    /// remote_forward
    #[arg(long = "action", value_name = "ACTION")]
    actions: Vec<ActionKind>,
    /// Only as this account on the target
    #[arg(long)]
    login: Option<Login>,
    /// Wait until it is decided
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only your own
    #[arg(long)]
    mine: bool,
    /// Only pending requests, or grants in force
    #[arg(long)]
    open: bool,
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// The id, or at least its last six digits
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct IdWithReason {
    /// The id, or at least its last six digits
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Access {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::Request(request) => return request.run(&client, out).await,
            Self::Requests(list) => {
                let found: Vec<RequestView> =
                    client.get(&with_query("/v1/requests", &list.query())).await?;
                out.either(&found, |out| print_requests(out, &found))?;
            }
            Self::Grants(list) => {
                let found: Vec<Grant> =
                    client.get(&with_query("/v1/grants", &list.query())).await?;
                out.either(&found, |out| print_grants(out, &found))?;
            }
            Self::Approve(Id { id }) => decide(&client, out, &id, "approve", None).await?,
            Self::Cancel(Id { id }) => decide(&client, out, &id, "cancel", None).await?,
            Self::Deny(IdWithReason { id, reason }) => {
                decide(&client, out, &id, "deny", Some(reason)).await?;
            }
            Self::Revoke(IdWithReason { id, reason }) => {
                let path = path("/v1/grants/{}/revoke", &[&id]);
                let done: RevokeView = client.post(&path, &ReasonBody { reason }).await?;
                out.either(&done, |out| {
                    let id = done.grant.to_string();
                    out.line(&match done.was_active {
                        true => format!("grant {} has ended", short(&id)),
                        false => format!("grant {} had ended already", short(&id)),
                    })
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl List {
    fn query(&self) -> AccessQuery {
        AccessQuery { mine: self.mine, open: self.open }
    }
}

impl Request {
    async fn run(self, client: &Client, out: Out) -> Result<Outcome, Failure> {
        let body = RequestBody {
            target: self.target,
            duration: self.duration,
            reason: self.reason,
            actions: self.actions.into_iter().collect(),
            login: self.login,
        };
        let mut view: RequestView = client.post("/v1/requests", &body).await?;
        if self.wait {
            let id = view.request.id.to_string();
            if !out.json {
                eprintln!("request {} is waiting for an approval", short(&id));
            }
            while matches!(view.request.state, RequestState::Pending { .. }) {
                tokio::time::sleep(WAIT_STEP).await;
                view = client.get(&path("/v1/requests/{}", &[&id])).await?;
            }
        }
        out.either(&view, |out| print_request(out, &view))?;
        Ok(match view.request.state {
            RequestState::Pending { .. } | RequestState::Approved { .. } => Outcome::Done,
            _ => Outcome::Problems,
        })
    }
}

async fn decide(
    client: &Client,
    out: Out,
    id: &str,
    verb: &str,
    reason: Option<String>,
) -> Result<(), Failure> {
    let path = path("/v1/requests/{}/{}", &[id, verb]);
    let decided: DecidedView = match reason {
        Some(reason) => client.post(&path, &ReasonBody { reason }).await?,
        None => client.ask(Method::POST, &path).await?,
    };
    out.either(&decided, |out| {
        let id = short(decided.request);
        out.line(&match &decided.grant {
            Some(grant) => format!(
                "request {id} is {}; {} has access to {} until {} (grant {})",
                escape::line(&decided.state),
                grant.user,
                grant.target,
                time(grant.ends),
                short(grant.id)
            ),
            None if decided.state == "pending" => {
                format!("request {id} has your approval and waits for another person's")
            }
            None => format!("request {id} is {}", escape::line(&decided.state)),
        })
    })
}

fn print_request(out: Out, view: &RequestView) -> Result<(), Failure> {
    let request = &view.request;
    let id = short(request.id);
    out.line(&match &request.state {
        RequestState::Pending { approvals } => format!(
            "request {id} for {} is waiting for {}\nask one of them to run: portcullis approve {id}",
            request.target,
            approvers(request.rule.count, approvals.len(), &request.rule.groups)
        ),
        RequestState::Approved { .. } => {
            let until = view.grant.as_ref().map(|grant| time(grant.ends)).unwrap_or_default();
            format!("request {id} is approved; {} is open to you until {until}", request.target)
        }
        RequestState::Denied { by, reason, .. } => {
            format!("request {id} was denied by {by}: {}", escape::line(reason))
        }
        other => format!("request {id} is {}", other.as_str()),
    })
}

fn approvers<G: std::fmt::Display>(count: u32, have: usize, groups: &BTreeSet<G>) -> String {
    let missing = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(have).max(1);
    let people =
        if missing == 1 { "1 approval".to_owned() } else { format!("{missing} approvals") };
    let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
    if groups.is_empty() { people } else { format!("{people} from {}", groups.join(" or ")) }
}

fn print_requests(out: Out, found: &[RequestView]) -> Result<(), Failure> {
    let rows = found
        .iter()
        .map(|view| {
            let request = &view.request;
            let state = request.state.as_str();
            let decide = if view.can_decide { " (yours to decide)" } else { "" };
            vec![
                short(request.id),
                request.user.to_string(),
                request.target.to_string(),
                format_duration(request.duration),
                format!("{state}{decide}"),
                time(request.asked_at),
                escape::line(&request.reason),
            ]
        })
        .collect();
    let head = ["id", "user", "target", "for", "state", "asked", "reason"];
    out.table(&head, rows, "no requests")
}

fn print_grants(out: Out, found: &[Grant]) -> Result<(), Failure> {
    let now = now();
    let rows = found
        .iter()
        .map(|grant| {
            let GrantSource::Request { approved_by, .. } = &grant.source;
            let by: Vec<_> = approved_by.iter().map(ToString::to_string).collect();
            vec![
                short(grant.id),
                grant.user.to_string(),
                grant.target.to_string(),
                limits(grant),
                standing(grant, now),
                by.join(", "),
            ]
        })
        .collect();
    out.table(&["id", "user", "target", "limited to", "state", "approved by"], rows, "no grants")
}

fn limits(grant: &Grant) -> String {
    let mut parts: Vec<String> = grant.actions.iter().map(ToString::to_string).collect();
    parts.extend(grant.login.iter().map(|login| format!("as {login}")));
    parts.join(", ")
}

fn standing(grant: &Grant, now: Timestamp) -> String {
    match &grant.ended {
        Some(end) => format!("ended {} by {}: {}", time(end.at), end.by, escape::line(&end.reason)),
        None if grant.active(now) => {
            format!("until {} ({} left)", time(grant.ends), format_duration(grant.ends.since(now)))
        }
        None => format!("expired {}", time(grant.ends)),
    }
}
