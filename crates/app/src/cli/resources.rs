//! Resources as code: plan, apply, read back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_control::view::{ChangeView, PlanBody, PlanView, ReachView, ResourceView};
use portcullis_domain::Kind;
use portcullis_proof::Status;
use serde::Serialize;
use serde_json::Value;

use super::prove::{print_findings, print_proofs};
use super::{files, markdown};
use crate::client::{Client, with_query};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape, time};
use crate::prompt;

/// Longest value shown of a changed field, in characters.
const MAX_VALUE_CHARS: usize = 120;

#[derive(Debug, Subcommand)]
pub(super) enum Resources {
    /// Show what applying files would change, and who would gain or lose access
    Plan(Plan),
    /// Apply files: all of it or nothing
    Apply(Apply),
    /// List resources in force, or print one
    Get(Get),
    /// Print everything in force as YAML
    Export,
    /// Print the JSON Schema of resource files, for editors
    Schema {
        /// Of files of tests instead
        #[arg(long)]
        tests: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Files {
    /// A file, a directory of .yaml files, or `-` for standard input (may be repeated)
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Remove what is in force and not in the files
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    files: Files,
    /// As Markdown, for a comment on a merge request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Go ahead without asking
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Environment, Group, User, Target, Role, RoleAssignment, Policy or Invariant
    kind: Kind,
    /// Print this one as YAML
    name: Option<String>,
}

#[derive(Serialize)]
struct GetQuery<'a> {
    kind: &'a str,
    name: Option<String>,
}

impl Resources {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let out = context.out;
        match self {
            Self::Plan(plan) => {
                let body = plan.files.body()?;
                let view: PlanView = context.client()?.post("/v1/plan", &body).await?;
                match plan.markdown {
                    true => out.line(markdown::plan(&view).trim_end())?,
                    false => out.either(&view, |out| print_plan(out, &view))?,
                }
                return Ok(outcome(&view));
            }
            Self::Apply(apply) => apply.run(&context.client()?, out).await?,
            Self::Get(get) => get.run(&context.client()?, out).await?,
            Self::Export => {
                let text = context.client()?.get_text("/v1/export").await?;
                out.either(&serde_json::json!({"yaml": text}), |out| {
                    out.line(escape::lines(&text).trim_end())
                })?;
            }
            Self::Schema { tests: true } => out.json(&portcullis_resources::access_test_schema())?,
            Self::Schema { tests: false } => out.json(&portcullis_resources::schema())?,
        }
        Ok(Outcome::Done)
    }
}

impl Files {
    fn body(&self) -> Result<PlanBody, Failure> {
        Ok(PlanBody {
            files: files::read(&self.files)?,
            prune: self.prune,
            expected_revision: None,
        })
    }
}

impl Apply {
    /// Plans, asks, and applies exactly what was planned: the node refuses if it has moved on.
    async fn run(self, client: &Client, out: Out) -> Result<(), Failure> {
        let mut body = self.files.body()?;
        let plan: PlanView = client.post("/v1/plan", &body).await?;
        if plan.changes.is_empty() {
            return out.either(&plan, |out| print_plan(out, &plan));
        }
        if !self.yes {
            if !out.json {
                print_plan(out, &plan)?;
            }
            if !prompt::confirm("apply?")? {
                return Err(Failure::Failed("nothing was applied".into()));
            }
        }
        body.expected_revision = Some(plan.revision);
        let done: PlanView = client.post("/v1/apply", &body).await?;
        out.either(&done, |out| {
            if self.yes {
                print_plan(out, &done)?;
            }
            out.line(&format!("applied; the revision is {}", done.revision))
        })
    }
}

impl Get {
    async fn run(self, client: &Client, out: Out) -> Result<(), Failure> {
        let query = GetQuery { kind: self.kind.as_str(), name: self.name.clone() };
        let found: Vec<ResourceView> =
            client.list(&with_query("/v1/resources", &query), usize::MAX).await?;
        if let Some(name) = &self.name
            && found.is_empty()
        {
            return Err(Failure::Failed(format!(
                "there is no {} `{name}`; list them with `portcullis get {}`",
                self.kind, self.kind
            )));
        }
        out.either(&found, |out| {
            if self.name.is_some() {
                return found
                    .iter()
                    .try_for_each(|one| out.line(escape::lines(&one.yaml).trim_end()));
            }
            let rows = found
                .iter()
                .map(|one| vec![one.name.clone(), one.author.to_string(), time(one.updated_at)])
                .collect();
            out.table(&["name", "changed by", "at"], rows, "none")
        })
    }
}

/// The worst that CI has to know of a plan.
fn outcome(plan: &PlanView) -> Outcome {
    let any = |status| {
        let proofs = plan.proof.iter().flat_map(|proof| &proof.report.invariants);
        proofs.into_iter().any(|proof| proof.status == status)
    };
    if plan.changes.is_empty() {
        return Outcome::Done;
    }
    match (any(Status::Broken), any(Status::NotProved), plan.gains_in_production) {
        (true, ..) => Outcome::Broken,
        (_, true, _) => Outcome::NotProved,
        (.., true) => Outcome::Gains,
        _ => Outcome::Changes,
    }
}

pub(super) fn print_plan(out: Out, plan: &PlanView) -> Result<(), Failure> {
    if plan.changes.is_empty() {
        return out.line("nothing to change");
    }
    for change in &plan.changes {
        print_change(out, change)?;
    }
    if plan.reach.is_empty() {
        out.line("nobody gains or loses access")?;
    } else {
        out.line("")?;
        plan.reach.iter().try_for_each(|reach| print_reach(out, reach))?;
    }
    plan.not_separated.iter().try_for_each(|who| {
        out.line(&out.tone(Tone::Notice, &format!("not separated: {}", escape::line(who))))
    })?;
    print_findings(out, &plan.warnings)?;
    match &plan.proof {
        Some(proof) => {
            out.line("")?;
            print_proofs(out, proof)
        }
        None => Ok(()),
    }
}

fn print_change(out: Out, change: &ChangeView) -> Result<(), Failure> {
    let (sign, tone) = match change.change.as_str() {
        "add" => ("+", Tone::Good),
        "remove" => ("-", Tone::Bad),
        _ => ("~", Tone::Notice),
    };
    out.line(&out.tone(tone, &format!("{sign} {}", escape::line(&change.resource))))?;
    if change.change != "change" {
        return Ok(());
    }
    change.fields.iter().try_for_each(|field| {
        let (before, after) = (shown(&field.before), shown(&field.after));
        out.line(&format!("    {}: {before} -> {after}", escape::line(&field.path)))
    })
}

fn print_reach(out: Out, reach: &ReachView) -> Result<(), Failure> {
    let (verb, tone) = if reach.gains { ("gains", Tone::Good) } else { ("loses", Tone::Bad) };
    let login = reach.login.as_ref().map(|login| format!(" as {login}")).unwrap_or_default();
    let detail = reach.detail.as_ref().map(|text| format!(" ({})", escape::line(text)));
    out.line(&format!(
        "{} {} {} on {}{login}: {} -> {}{}",
        reach.user,
        out.tone(tone, verb),
        reach.action,
        reach.target,
        escape::line(&reach.before),
        escape::line(&reach.after),
        detail.unwrap_or_default()
    ))
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "(none)".to_owned(),
        other => other.to_string(),
    };
    let escaped = escape::line(&text);
    if escaped.chars().count() <= MAX_VALUE_CHARS {
        return escaped;
    }
    escaped.chars().take(MAX_VALUE_CHARS).chain("...".chars()).collect()
}
