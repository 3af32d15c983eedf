//! Locks, and the gate of an environment: drop and raise.

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use portcullis_control::view::{LockBody, RaiseView, ReasonBody};
use portcullis_domain::lock::LockKind;
use portcullis_domain::{Lock, LockSubject};

use crate::client::path;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, short, time};

#[derive(Debug, Subcommand)]
pub(super) enum Locks {
    /// Lock a user, role, target or environment; running sessions end now
    Lock(Place),
    /// List the locks in force
    #[command(name = "locks")]
    List,
    /// Lift a lock
    Unlock {
        /// The lock's id, or at least its last six digits
        id: String,
    },
    /// Drop the gate of an environment: everyone is out, nobody gets in. One person is enough
    Drop(Gate),
    /// Raise a dropped gate. Two different people must ask
    Raise(Gate),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// What kind of thing
    #[arg(value_enum)]
    kind: Kind,
    /// Its name
    name: String,
    /// Why; whoever is thrown out reads it
    #[arg(long)]
    reason: String,
    /// Lift it by itself after this long, such as `2h` (default: it stays until lifted)
    #[arg(long = "for", value_name = "DURATION")]
    expires_in: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Gate {
    /// The environment
    environment: String,
    /// Why
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    User,
    Role,
    Target,
    Environment,
}

impl Locks {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::Lock(place) => {
                let lock: Lock = client.post("/v1/locks", &place.body()?).await?;
                out.either(&lock, |out| {
                    out.line(&format!("{} is locked (lock {})", lock.subject, short(lock.id)))
                })?;
            }
            Self::List => {
                let found: Vec<Lock> = client.list("/v1/locks", usize::MAX).await?;
                out.either(&found, |out| print_locks(out, &found))?;
            }
            Self::Unlock { id } => {
                let lock: Lock = client.ask(Method::DELETE, &path("/v1/locks/{}", &[&id])).await?;
                out.either(&lock, |out| {
                    out.line(&format!(
                        "{} is not locked by {} any more",
                        lock.subject,
                        short(lock.id)
                    ))
                })?;
            }
            Self::Drop(Gate { environment, reason }) => {
                let path = path("/v1/environments/{}/drop", &[&environment]);
                let lock: Lock = client.post(&path, &ReasonBody { reason }).await?;
                out.either(&lock, |out| {
                    out.line(&format!(
                        "the gate of {} is down; its sessions have ended. Raising it takes two people",
                        lock.subject
                    ))
                })?;
            }
            Self::Raise(Gate { environment, reason }) => {
                let path = path("/v1/environments/{}/raise", &[&environment]);
                let view: RaiseView = client.post(&path, &ReasonBody { reason }).await?;
                out.either(&view, |out| print_raise(out, &view))?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Place {
    fn body(&self) -> Result<LockBody, Failure> {
        let wrong = |error: portcullis_domain::name::NameError| Failure::Usage(error.to_string());
        let name = &self.name;
        let subject = match self.kind {
            Kind::User => LockSubject::User(name.parse().map_err(wrong)?),
            Kind::Role => LockSubject::Role(name.parse().map_err(wrong)?),
            Kind::Target => LockSubject::Target(name.parse().map_err(wrong)?),
            Kind::Environment => LockSubject::Environment(name.parse().map_err(wrong)?),
        };
        Ok(LockBody { subject, reason: self.reason.clone(), expires_in: self.expires_in.clone() })
    }
}

fn print_raise(out: Out, view: &RaiseView) -> Result<(), Failure> {
    let subject = &view.lock.subject;
    out.line(&match (view.raised, view.waiting_for) {
        (true, _) => format!("the gate of {subject} is up again"),
        (false, 1) => format!("noted; the gate of {subject} goes up when one more person asks"),
        (false, more) => {
            format!("noted; the gate of {subject} goes up when {more} more people ask")
        }
    })
}

fn print_locks(out: Out, found: &[Lock]) -> Result<(), Failure> {
    let rows = found
        .iter()
        .map(|lock| {
            let kind = match &lock.kind {
                LockKind::Lock => "lock".to_owned(),
                LockKind::Drop { raised_by } if raised_by.is_empty() => "drop".to_owned(),
                LockKind::Drop { raised_by } => {
                    let names: Vec<_> = raised_by.iter().map(ToString::to_string).collect();
                    format!("drop (raise asked by {})", names.join(", "))
                }
            };
            vec![
                short(lock.id),
                lock.subject.to_string(),
                kind,
                lock.by.to_string(),
                time(lock.at),
                lock.expires.map(time).unwrap_or_else(|| "lifted".into()),
                escape::line(&lock.reason),
            ]
        })
        .collect();
    out.table(&["id", "on", "kind", "by", "since", "until", "reason"], rows, "no locks")
}
