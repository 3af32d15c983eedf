//! The audit log: follow it, search it, verify it, with or without the node.

mod archive;
mod export;
mod exports;
mod prove;
mod trust;
mod verify;

use clap::{Args, Subcommand};
use portcullis_control::view::{AuditEntry, AuditQuery, CheckpointView, ForgetBody, ForgetView};
use portcullis_domain::audit::read;
use portcullis_domain::{SessionId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::client::{Lines, with_query};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape, time};

/// Fields of an event's own details that the line has elsewhere.
const SHOWN_ELSEWHERE: [&str; 4] = ["environment", "session", "source", "target"];
/// Longest value of a detail on the line, in characters.
const MAX_DETAIL_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Follow the log as it grows
    Tail {
        /// Begin at this entry instead of now
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
    },
    /// Find entries; all conditions must hold
    Search(Search),
    /// Recompute the log from its entries and hold it against its signed checkpoint
    ///
    /// Without a directory the node does it. With one this program does it alone, on the files of a
    /// log or a copy of them; take the keys from `audit checkpoint` and the witnesses, kept somewhere
    /// else. The first bad entry is named, and the exit code is 5.
    Verify(verify::Verify),
    /// Copy the log, or a part of it, into a directory that is verified with nothing else at hand
    Export(export::Export),
    /// Move old entries of a stopped node's log to an archive, once they are verified there
    Archive(archive::Archive),
    /// Write a proof that one entry is in the log (C2SP tlog-proof)
    Prove(prove::Prove),
    /// Check such a proof, without the log and without a node; the exit code is 5 if it fails
    CheckProof(prove::CheckProof),
    /// Print the latest signed checkpoint and the key that verifies it
    Checkpoint,
    /// How this node's exports of the log stand: cursor, lag, last error
    Exports,
    /// Erase a person from the evidence: destroy the key of what the log says of them
    ///
    /// It takes two people, and the log goes on to verify. Refused while the person can sign in or an
    /// evidence hold covers anything about them.
    Forget {
        /// The person's name, or their pseudonym in the log
        subject: String,
        /// Why: who asked for it, not whom it is about
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Search {
    /// By this person
    #[arg(long)]
    user: Option<String>,
    /// On this target
    #[arg(long)]
    target: Option<String>,
    /// In this environment
    #[arg(long)]
    environment: Option<String>,
    /// Of this activity, such as `authorize` or `session.open`
    #[arg(long)]
    activity: Option<String>,
    /// Of this action, such as `shell` or `exec`
    #[arg(long)]
    action: Option<String>,
    /// success, refused or failed
    #[arg(long)]
    outcome: Option<String>,
    /// Of this session
    #[arg(long)]
    session: Option<SessionId>,
    /// The event of this id
    #[arg(long)]
    event: Option<String>,
    /// Not before, such as `2026-11-22T14:00:00Z`
    #[arg(long)]
    from: Option<Timestamp>,
    /// Before
    #[arg(long)]
    to: Option<Timestamp>,
    /// With this text anywhere
    #[arg(long)]
    text: Option<String>,
    /// Only entries before this one: the first that was shown, for those that come before it
    #[arg(long, value_name = "INDEX")]
    before: Option<u64>,
    /// The latest this many (default 100, at most 10000)
    #[arg(long)]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct TailQuery {
    from: Option<u64>,
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (out, Self::Audit(command)) = (context.out, self);
        match command {
            AuditCommand::Tail { from } => {
                let path = with_query("/v1/audit/tail", &TailQuery { from });
                follow(out, context.client()?.lines(&path).await?).await?;
            }
            AuditCommand::Search(search) => {
                let path = with_query("/v1/audit/search", &search.query());
                follow(out, context.client()?.lines(&path).await?).await?;
            }
            AuditCommand::Verify(verify) => return verify.run(context).await,
            AuditCommand::Export(export) => return export.run(context).await,
            AuditCommand::Archive(archive) => return archive.run(context).await,
            AuditCommand::Prove(prove) => return prove.run(context).await,
            AuditCommand::CheckProof(check) => return check.run(out),
            AuditCommand::Exports => exports::show(context).await?,
            AuditCommand::Checkpoint => {
                let view: CheckpointView = context.client()?.get("/v1/audit/checkpoint").await?;
                out.either(&view, |out| {
                    out.line(escape::lines(&view.checkpoint).trim_end())?;
                    out.line(&format!("\nvkey: {}", escape::line(&view.vkey)))?;
                    let each = view.witness_keys.iter();
                    each.map(|key| format!("witness: {}", escape::line(key)))
                        .try_for_each(|line| out.line(&line))
                })?;
            }
            AuditCommand::Forget { subject, reason } => {
                let body = ForgetBody { subject, reason };
                let view: ForgetView = context.client()?.post("/v1/audit/forget", &body).await?;
                out.either(&view, |out| {
                    out.line(&format!(
                        "{} is forgotten; what the log says of them reads `erased` from now on",
                        view.subject
                    ))
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Search {
    fn query(self) -> AuditQuery {
        AuditQuery {
            user: self.user,
            target: self.target,
            environment: self.environment,
            activity: self.activity,
            action: self.action,
            outcome: self.outcome,
            session: self.session,
            event: self.event,
            from: self.from,
            to: self.to,
            text: self.text,
            before: self.before,
            limit: self.limit,
        }
    }
}

async fn follow(out: Out, mut lines: Lines) -> Result<(), Failure> {
    loop {
        let entry: AuditEntry = tokio::select! {
            entry = lines.next() => match entry? {
                Some(entry) => entry,
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        if out.json {
            out.json_line(&entry)?;
        } else {
            out.line(&line(out, &entry))?;
        }
    }
}

/// One entry on one line: index, time, outcome, activity, who, from where, on what, and the rest.
fn line(out: Out, entry: &AuditEntry) -> String {
    let event = &entry.event;
    let shown = |text: Option<&str>| text.map(escape::line);
    let tone = match read::outcome(event) {
        "success" => Tone::Good,
        "refused" => Tone::Bad,
        _ => Tone::Notice,
    };
    let mut parts = vec![
        format!("{:>6}", entry.index),
        out.tone(Tone::Faint, &read::time(event).map(time).unwrap_or_default()),
        out.tone(tone, &format!("{:<7}", read::outcome(event))),
        format!("{:<16}", shown(read::activity(event)).unwrap_or_default()),
    ];
    let whole = [
        shown(read::actor(event)),
        shown(read::source(event)).map(|ip| format!("from {ip}")),
        shown(read::target(event)).map(|target| format!("on {target}")),
        shown(read::reason(event)).map(|why| format!("({why})")),
    ];
    parts.extend(whole.into_iter().flatten());
    if let Some(details) = event.pointer("/unmapped").and_then(Value::as_object) {
        for (name, value) in details {
            if !SHOWN_ELSEWHERE.contains(&name.as_str()) {
                parts.push(
                    out.tone(Tone::Faint, &format!("{}={}", escape::line(name), brief(value))),
                );
            }
        }
    }
    parts.join(" ")
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) => escape::line(text),
        other => escape::line(&other.to_string()),
    };
    if text.chars().count() <= MAX_DETAIL_CHARS {
        return text;
    }
    text.chars().take(MAX_DETAIL_CHARS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::UserName;
    use portcullis_domain::audit::{Activity, Event, Outcome as Came};

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let event = Event::new(Activity::Authorize, Timestamp::from_millis(1_795_000_000_000))
            .user(&UserName::new("alice").unwrap())
            .outcome(Came::Refused("no\nrole \u{1b}[2J".into()))
            .detail("command", "rm\r\n-rf");
        let event = serde_json::from_slice(&event.to_ocsf()).unwrap();
        let line = line(Out::new(false), &AuditEntry { index: 7, event });
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.contains("refused") && line.contains("alice") && line.contains("authorize"));
    }
}
