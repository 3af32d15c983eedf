//! `sessions search`: what was on the screen and what was typed, across sessions.

use std::time::Duration;

use clap::Args;
use portcullis_control::view::{SearchLine, TextMatch, TextQuery, TextWithin};
use portcullis_domain::Timestamp;

use super::offset;
use crate::client::{Client, with_query};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape, time};

#[derive(Debug, Args)]
pub(in crate::cli) struct Search {
    /// What to look for; upper and lower case are the same
    text: String,
    /// Only in sessions of this person
    #[arg(long)]
    user: Option<String>,
    /// Only in sessions to this target
    #[arg(long)]
    target: Option<String>,
    /// Only in sessions in this environment
    #[arg(long)]
    environment: Option<String>,
    /// Only lines begun at or after this time, such as `2026-03-01T08:00:00Z`
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only lines begun before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Only in what was typed, commands included
    #[arg(long, conflicts_with = "screen")]
    typed: bool,
    /// Only in what was on the screen
    #[arg(long)]
    screen: bool,
    /// At most this many lines (default 1000, at most 10000)
    #[arg(long)]
    limit: Option<usize>,
}

impl Search {
    pub(super) async fn run(self, client: &Client, out: Out) -> Result<Outcome, Failure> {
        let within = match (self.typed, self.screen) {
            (true, _) => Some(TextWithin::Typed),
            (_, true) => Some(TextWithin::Screen),
            (false, false) => None,
        };
        let query = TextQuery {
            text: self.text,
            user: self.user,
            target: self.target,
            environment: self.environment,
            from: self.from,
            to: self.to,
            within,
            limit: self.limit,
        };
        let mut lines = client.lines(&with_query("/v1/recordings/search", &query)).await?;
        while let Some(line) = lines.next::<SearchLine>().await? {
            match (&line, out.json) {
                (SearchLine::Failed { why }, _) => return Err(Failure::Failed(why.clone())),
                (_, true) => out.json_line(&line)?,
                (SearchLine::Match(found), false) => out.line(&described(out, found))?,
                (SearchLine::Skipped { session, why }, false) => {
                    let text = format!("{session}  not searched: {}", escape::line(why));
                    out.line(&out.tone(Tone::Notice, &text))?;
                }
                (SearchLine::Done { searched, found, limited }, false) => {
                    let more = if *limited { "; there may be more, see --limit" } else { "" };
                    let text = format!("{found} lines in {searched} sessions{more}");
                    out.line(&out.tone(Tone::Faint, &text))?;
                }
            }
            if let SearchLine::Done { .. } = line {
                return Ok(Outcome::Done);
            }
        }
        Err(Failure::Failed("the answer broke off: not everything was searched".into()))
    }
}

fn described(out: Out, found: &TextMatch) -> String {
    let place = format!(
        "{}  {} on {}  {}  {}  {}",
        found.session,
        found.user,
        found.target,
        time(found.at),
        offset::text(Duration::from_micros(found.at_us)),
        found.kind,
    );
    format!("{}  {}", out.tone(Tone::Faint, &place), escape::line(&found.line))
}
