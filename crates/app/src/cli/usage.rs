//! `portcullis usage`: what was given, what was used of it, and the smaller role that would have done.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use portcullis_control::view::{PersonUsageView, RoleUsageView, UsageQuery, UsageView};
use portcullis_domain::{format_duration, parse_duration};

use crate::client::with_query;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape, time};

/// The file a proposal is written to.
const PROPOSAL: &str = "usage.yaml";
/// Unused targets shown of a role.
const SHOWN_TARGETS: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Usage {
    /// Show what roles gave and what was used of it, and propose smaller ones
    Usage(Given),
}

#[derive(Debug, Args)]
pub(super) struct Given {
    /// Only what this person was given
    #[arg(long, value_name = "USER")]
    person: Option<String>,
    /// Only this role
    #[arg(long, value_name = "ROLE", conflicts_with = "person")]
    role: Option<String>,
    /// How far to look back, such as 30d
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = parse_duration)]
    window: Duration,
    /// Write the smaller roles and assignments into this directory, as resources for `plan`
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

impl Usage {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::Usage(given) = self;
        let query = UsageQuery {
            person: given.person,
            role: given.role,
            window_seconds: Some(given.window.as_secs()),
        };
        let view: UsageView = context.client()?.get(&with_query("/v1/usage", &query)).await?;
        context.out.either(&view, |out| print(out, &view))?;
        if let Some(directory) = given.write {
            write(&directory, &view, context.out)?;
        }
        Ok(Outcome::Done)
    }
}

/// A proposal of what the log does not cover would take away what nobody could have used yet.
fn write(directory: &std::path::Path, view: &UsageView, out: Out) -> Result<(), Failure> {
    if !view.complete {
        let covered = view.to.since(view.covers_from).as_secs().max(1);
        return Err(Failure::Failed(format!(
            "nothing was written: the audit log covers the last {} and not the window asked for; ask for at most that with `--window {covered}s`",
            format_duration(Duration::from_secs(covered))
        )));
    }
    if view.resources.is_empty() {
        return if out.json {
            Ok(())
        } else {
            out.line("nothing to write: nothing could be taken away")
        };
    }
    let path = directory.join(PROPOSAL);
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let written = opened.and_then(|mut file| file.write_all(view.resources.as_bytes()));
    written.map_err(|error| {
        Failure::because(format!("`{}` cannot be written as a new file", path.display()), &error)
    })?;
    if out.json {
        return Ok(());
    }
    let path = path.display();
    out.line(&format!("written to {path}; `portcullis plan -f {path}` shows what would be lost"))
}

fn print(out: Out, view: &UsageView) -> Result<(), Failure> {
    out.line(&format!("from {} to {}", time(view.covers_from), time(view.to)))?;
    if !view.complete {
        let said = format!(
            "the audit log does not go back to {}: what was used before is not known",
            time(view.from)
        );
        out.line(&out.tone(Tone::Notice, &said))?;
    }
    let rows = view.roles.iter().map(role_row).collect();
    out.table(&["role", "held by", "used", "unused"], rows, "no role lets anybody do anything")?;
    if !view.people.is_empty() {
        out.line("")?;
        let rows = view.people.iter().map(person_row).collect();
        out.table(&["person", "used", "grants used", "roles not used"], rows, "nobody")?;
    }
    for note in &view.notes {
        out.line(&out.tone(Tone::Notice, &escape::line(note)))?;
    }
    if view.resources.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.line(&format!(
        "smaller roles would take {} away; --write DIR writes them as resources",
        match view.losses {
            0 => "nobody's access".to_owned(),
            1 => "one access that was not used".to_owned(),
            losses => format!("{losses} accesses that were not used"),
        }
    ))
}

fn role_row(role: &RoleUsageView) -> Vec<String> {
    let mut unused: Vec<String> = role.unused_actions.iter().map(ToString::to_string).collect();
    unused.extend(role.unused_targets.iter().take(SHOWN_TARGETS).map(ToString::to_string));
    if role.unused_target_count > SHOWN_TARGETS {
        unused.push(format!("{} more targets", role.unused_target_count - SHOWN_TARGETS));
    }
    if role.is_young {
        unused.push("(changed within the window: too young to tell)".to_owned());
    }
    vec![
        role.role.to_string(),
        role.holders.to_string(),
        format!("{} of {}", role.used, role.granted),
        unused.join(", "),
    ]
}

fn person_row(person: &PersonUsageView) -> Vec<String> {
    let unused: Vec<String> = person.unused_roles.iter().map(ToString::to_string).collect();
    vec![
        person.user.to_string(),
        format!("{} of {}", person.used, person.granted),
        format!("{} of {}", person.grants_used, person.grants),
        unused.join(", "),
    ]
}
