//! Just-in-time access: asking, deciding, giving back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use portcullis_control::view::{
    AccessQuery, DecidedView, ReasonBody, RequestBody, RequestView, RevokeView, SuggestionView,
};
use portcullis_domain::{
    ActionKind, Grant, GrantSource, Login, RequestState, Scope, TargetName, Timestamp,
    format_duration,
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
    /// List access requests, or show one: what it would allow, and what came of the last grants
    Requests(Requests),
    /// Approve somebody's request; the grant's clock starts now
    Approve(Id),
    /// Refuse somebody's request
    Deny(IdWithReason),
    /// Withdraw a request of your own
    Cancel(Id),
    /// Ask to prolong a grant of yours; somebody else must approve, as the first time
    Extend(Extend),
    /// List grants
    Grants(List),
    /// End a grant now, and the sessions that depend on it; your own can always be given back
    Revoke(IdWithReason),
}

#[derive(Debug, Args)]
pub(super) struct Request {
    /// The target
    #[arg(required_unless_present_any = ["role", "labels", "suggest"])]
    target: Option<String>,
    /// Instead of a target: all that this role of yours reaches
    #[arg(long, conflicts_with = "target")]
    role: Option<String>,
    /// Instead of a target: all targets with this label (may be repeated: with all of them)
    #[arg(long = "label", value_name = "NAME=VALUE", conflicts_with_all = ["target", "role"])]
    labels: Vec<String>,
    /// Only in this environment, where a role or labels reach several
    #[arg(long)]
    environment: Option<String>,
    /// For how long, from approval: `30m`, `1h`, `8h`
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "suggest")]
    duration: Option<String>,
    /// Why, for the approver and the audit log
    #[arg(long, required_unless_present = "suggest")]
    reason: Option<String>,
    /// The ticket it belongs to, where the environment asks for one
    #[arg(long)]
    ticket: Option<String>,
    /// Ask for nothing: list the smallest requests for what you were refused lately
    #[arg(long)]
    suggest: bool,
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
pub(super) struct Extend {
    /// The grant's id, or at least its last six digits
    id: String,
    /// For how much longer: `30m`, `1h`
    #[arg(long = "for", value_name = "DURATION")]
    duration: String,
    /// Why, for the approver and the audit log
    #[arg(long)]
    reason: String,
    /// The ticket it belongs to, where the environment asks for one
    #[arg(long)]
    ticket: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Requests {
    /// One request: its id, or at least the last six digits
    #[arg(conflicts_with_all = ["mine", "open"])]
    id: Option<String>,
    #[command(flatten)]
    list: List,
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
            Self::Requests(Requests { id: Some(id), .. }) => {
                let view: RequestView = client.get(&path("/v1/requests/{}", &[&id])).await?;
                out.either(&view, |out| show(out, &view))?;
            }
            Self::Requests(Requests { id: None, list }) => {
                let found: Vec<RequestView> =
                    client.list(&with_query("/v1/requests", &list.query()), usize::MAX).await?;
                out.either(&found, |out| print_requests(out, &found))?;
            }
            Self::Extend(extend) => {
                let view: RequestView = client.post("/v1/requests", &extend.body()).await?;
                out.either(&view, |out| print_request(out, &view))?;
            }
            Self::Grants(list) => {
                let found: Vec<Grant> =
                    client.list(&with_query("/v1/grants", &list.query()), usize::MAX).await?;
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
        if self.suggest {
            let found: Vec<SuggestionView> = client.list("/v1/suggestions", usize::MAX).await?;
            out.either(&found, |out| print_suggestions(out, &found))?;
            return Ok(Outcome::Done);
        }
        let body = RequestBody {
            target: self.target,
            role: self.role,
            labels: labels(&self.labels)?,
            extends: None,
            environment: self.environment,
            duration: self.duration.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            actions: self.actions.into_iter().collect(),
            login: self.login,
            ticket: self.ticket,
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

impl Extend {
    fn body(self) -> RequestBody {
        RequestBody {
            target: None,
            role: None,
            labels: BTreeMap::new(),
            extends: Some(self.id),
            environment: None,
            duration: self.duration,
            reason: self.reason,
            actions: BTreeSet::new(),
            login: None,
            ticket: self.ticket,
        }
    }
}

fn labels(typed: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let split = typed.iter().map(|label| {
        let pair = label.split_once('=').filter(|(name, _)| !name.is_empty());
        let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Failure::Usage(format!("`{}` is not `NAME=VALUE`", escape::line(label))))
    });
    split.collect()
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
        RequestState::Pending { .. } => format!(
            "request {id} for {} is waiting for {}\nask one of them to run: portcullis approve {id}",
            targets(request.targets()),
            approvers(view)
        ),
        RequestState::Approved { .. } => {
            let until = view.grant.as_ref().map(|grant| time(grant.ends)).unwrap_or_default();
            let what = targets(request.targets());
            format!("request {id} is approved; {what} is open to you until {until}")
        }
        RequestState::Denied { by, reason, .. } => {
            format!("request {id} was denied by {by}: {}", escape::line(reason))
        }
        other => format!("request {id} is {}", other.as_str()),
    })
}

fn approvers(view: &RequestView) -> String {
    let missing = view.missing.unwrap_or(1).max(1);
    let people =
        if missing == 1 { "1 approval".to_owned() } else { format!("{missing} approvals") };
    match &view.waits_for {
        Some(rule) => format!("{people} ({})", escape::line(rule)),
        None => people,
    }
}

fn targets<'a>(names: impl Iterator<Item = &'a TargetName>) -> String {
    names.map(TargetName::as_str).collect::<Vec<_>>().join(", ")
}

fn show(out: Out, view: &RequestView) -> Result<(), Failure> {
    let request = &view.request;
    let mut lines = vec![
        format!("request {} of {}: {}", short(request.id), request.user, request.state.as_str()),
        format!("for       {} in {}", targets(request.targets()), request.environment),
        format!("reason    {}", escape::line(&request.reason)),
        format!("duration  {}", format_duration(request.duration)),
    ];
    if let Scope::Role { role } = &request.scope {
        lines.push(format!("by role   {role}"));
    }
    if !request.actions.is_empty() {
        let names: Vec<String> = request.actions.iter().map(ToString::to_string).collect();
        lines.push(format!("actions   {}", names.join(", ")));
    }
    lines.extend(request.login.iter().map(|login| format!("only as   {login}")));
    lines.extend(request.ticket.iter().map(|ticket| format!("ticket    {}", escape::line(ticket))));
    if let Some(extended) = &request.extends {
        lines.push(format!("prolongs  {} until {}", short(extended.grant), time(extended.ends)));
    }
    if let RequestState::Pending { approvals } = &request.state {
        let names: Vec<_> = approvals.iter().map(|given| given.by.to_string()).collect();
        lines.push(format!(
            "approved  {}",
            if names.is_empty() { "by nobody yet".into() } else { names.join(", ") }
        ));
        lines.push(format!("waits for {}", approvers(view)));
        lines.push(format!("expires   {}", time(request.expires())));
    }
    out.line(&lines.join("\n"))?;
    if !view.would_allow.is_empty() {
        let rows = view.would_allow.iter().map(|row| {
            let login = row.login.as_ref().map(ToString::to_string).unwrap_or_default();
            let detail = row.detail.as_deref().map(escape::line).unwrap_or_default();
            let now_then = [escape::line(&row.before), escape::line(&row.after)];
            let [before, after] = now_then;
            vec![row.target.to_string(), row.action.to_string(), login, before, after, detail]
        });
        out.line("\nit would allow:")?;
        out.table(&["target", "action", "as", "now", "then", "bounds"], rows.collect(), "")?;
    }
    if !view.history.is_empty() {
        let rows = view.history.iter().map(|row| {
            let used = row.last_used.map_or_else(|| "never".to_owned(), time);
            vec![
                short(row.grant),
                targets(row.targets.iter()),
                time(row.starts),
                row.sessions.to_string(),
                row.actions.to_string(),
                used,
            ]
        });
        out.line(&format!("\nwhat {} did with the last grants:", request.user))?;
        let head = ["grant", "targets", "from", "sessions", "actions", "last used"];
        out.table(&head, rows.collect(), "")?;
    }
    Ok(())
}

fn print_suggestions(out: Out, found: &[SuggestionView]) -> Result<(), Failure> {
    let rows = found.iter().map(|row| {
        vec![
            time(row.at),
            row.target.to_string(),
            row.action.to_string(),
            row.role.as_ref().map(ToString::to_string).unwrap_or_default(),
            escape::line(row.command.as_deref().unwrap_or(&row.text)),
        ]
    });
    let head = ["refused", "target", "action", "smallest role", "ask with"];
    out.table(&head, rows.collect(), "you were refused nothing lately")
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
                targets(request.targets()),
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
            let by: Vec<_> = match &grant.source {
                GrantSource::Request { approved_by, .. } => {
                    approved_by.iter().map(ToString::to_string).collect()
                }
                GrantSource::BreakGlass { .. } => vec!["nobody (break-glass)".to_owned()],
            };
            vec![
                short(grant.id),
                grant.user.to_string(),
                targets(grant.targets()),
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
