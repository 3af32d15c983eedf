//! Sessions: list, show, watch live, play back, export, search, verify, end.

mod offset;
mod search;
mod show;
mod verify;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use portcullis_control::view::{
    FrameView, ReasonBody, RecordingFormat, RecordingWanted, SessionQuery, SessionRow,
};
use portcullis_domain::{format_duration, parse_duration};

use crate::client::{Client, Lines, path, with_query};
use crate::context::{Context, now};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, TerminalFilter, escape, replay, short, time, write_out};

/// Sessions listed when nobody says how many.
const DEFAULT_LIMIT: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// Live and past sessions
    #[command(subcommand)]
    Sessions(Session),
}

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List sessions
    List(List),
    /// All there is to know of a session: who, grant, terms, channels, chunks, places in the log
    Show {
        /// The session's id, or at least its last six digits
        id: String,
    },
    /// Watch a live session; what could attack your terminal is filtered out
    Watch {
        /// The session's id, or at least its last six digits
        id: String,
    },
    /// Play a recording; what could attack your terminal is filtered out
    Play(Play),
    /// End a live session
    Kill {
        /// The session's id, or at least its last six digits
        id: String,
        /// Why; the person is told
        #[arg(long)]
        reason: String,
    },
    /// Write a recording to a file or to standard output
    ///
    /// The file holds the terminal's output as it was: play it with something that is prepared
    /// for hostile output, or use `sessions play`.
    Export(Export),
    /// Find text that was on the screen or was typed, across sessions
    Search(search::Search),
    /// Hold recordings against the audit log
    ///
    /// Every chunk is opened and its hash compared with the one that was logged when it was
    /// written; the first bad chunk is named. `audit verify` shows that the log was not changed.
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only live ones
    #[arg(long)]
    live: bool,
    /// Only this person's
    #[arg(long)]
    user: Option<String>,
    /// Only to this target
    #[arg(long)]
    target: Option<String>,
    /// At most this many (default 100)
    #[arg(long)]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct Play {
    /// The session's id, or at least its last six digits
    #[arg(required_unless_present = "at_event")]
    id: Option<String>,
    /// How many times faster than it was
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Longest pause, such as `2s`; `0s` plays without any
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_idle: Option<Duration>,
    /// Begin here, such as `1:23` or `2026-11-22T14:00:00Z`: what comes before is shown at once
    #[arg(long, value_name = "OFFSET|TIME", value_parser = offset::from)]
    from: Option<offset::From>,
    /// Begin a second before this event of the audit log (`sessions show`, `audit search`)
    #[arg(long, value_name = "EVENT", conflicts_with = "from")]
    at_event: Option<String>,
    /// Play one that does not verify, up to its first bad chunk
    #[arg(long)]
    up_to_damage: bool,
}

/// How fast a recording is played, and from where.
#[derive(Debug, Clone, Copy)]
struct Pace {
    speed: f64,
    longest: Option<Duration>,
    from_us: u64,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The session's id, or at least its last six digits
    id: String,
    /// In which format
    #[arg(long, value_enum, default_value_t = Format::AsciicastV2)]
    format: Format,
    /// With what was typed (masked where echo was off)
    #[arg(long)]
    input: bool,
    /// Write one that does not verify, up to its first bad chunk
    #[arg(long)]
    up_to_damage: bool,
    /// Write to this file, which must not exist
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// JSON frames, one per line
    Frames,
    /// asciicast v2
    AsciicastV2,
    /// asciicast v3
    AsciicastV3,
}

impl Sessions {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        let Self::Sessions(session) = self;
        match session {
            Session::List(list) => list.run(&client, out).await?,
            Session::Watch { id } => {
                let frames = client.lines(&path("/v1/sessions/{}/watch", &[&id])).await?;
                show(out, frames, None).await?;
            }
            Session::Play(play) => {
                let (id, from) = show::beginning(&client, &play).await?;
                let frames = recording(&client, &id, &play).await?;
                let from_us = u64::try_from(from.as_micros()).unwrap_or(u64::MAX);
                let pace = Pace { speed: play.speed, longest: play.max_idle, from_us };
                show(out, frames, Some(pace)).await?;
            }
            Session::Kill { id, reason } => {
                let path = path("/v1/sessions/{}/kill", &[&id]);
                client.tell(Method::POST, &path, Some(&ReasonBody { reason })).await?;
                let ended = serde_json::json!({"ended": id});
                out.either(&ended, |out| out.line(&format!("session {id} has been ended")))?;
            }
            Session::Show { id } => show::run(&client, out, &id).await?,
            Session::Export(export) => export.run(&client).await?,
            Session::Search(search) => return search.run(&client, out).await,
            Session::Verify(verify) => return verify.run(&client, out).await,
        }
        Ok(Outcome::Done)
    }
}

impl List {
    async fn run(self, client: &Client, out: Out) -> Result<(), Failure> {
        let query = SessionQuery { live: self.live, user: self.user, target: self.target };
        let most = self.limit.unwrap_or(DEFAULT_LIMIT);
        let found: Vec<SessionRow> = client.list(&with_query("/v1/sessions", &query), most).await?;
        out.either(&found, |out| {
            let now = now();
            let rows = found
                .iter()
                .map(|row| {
                    let lasted = row.closed.unwrap_or(now).since(row.opened);
                    let state = match (&row.end_reason, row.live) {
                        (_, true) => "live".to_owned(),
                        (Some(reason), _) => escape::line(reason),
                        (None, false) => "ended".to_owned(),
                    };
                    vec![
                        short(row.id),
                        row.user.to_string(),
                        match &row.login {
                            Some(login) => format!("{login}@{}", row.target),
                            None => row.target.to_string(),
                        },
                        row.source.clone(),
                        time(row.opened),
                        format_duration(lasted),
                        state,
                    ]
                })
                .collect();
            let head = ["id", "user", "target", "from", "opened", "lasted", "state"];
            out.table(&head, rows, "no sessions")
        })
    }
}

impl Export {
    async fn run(self, client: &Client) -> Result<(), Failure> {
        let format = match self.format {
            Format::Frames => RecordingFormat::Frames,
            Format::AsciicastV2 => RecordingFormat::AsciicastV2,
            Format::AsciicastV3 => RecordingFormat::AsciicastV3,
        };
        let query = RecordingWanted { format, input: self.input, up_to_damage: self.up_to_damage };
        let path = with_query(&path("/v1/sessions/{}/recording", &[&self.id]), &query);
        let Some(file_path) = &self.output else {
            return client.pieces(&path, write_out).await;
        };
        let failed = |error: std::io::Error| {
            Failure::because(format!("`{}` cannot be written", file_path.display()), &error)
        };
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file_path)
            .map_err(failed)?;
        let written = client.pieces(&path, |piece| file.write_all(piece).map_err(failed)).await;
        if written.is_err() {
            let _ = std::fs::remove_file(file_path);
        }
        written
    }
}

async fn recording(client: &Client, id: &str, play: &Play) -> Result<Lines, Failure> {
    let query = RecordingWanted {
        format: RecordingFormat::Frames,
        input: false,
        up_to_damage: play.up_to_damage,
    };
    Ok(client.lines(&with_query(&path("/v1/sessions/{}/recording", &[id]), &query)).await?)
}

/// Shows frames until they end or the viewer presses Ctrl-C, and puts the terminal back.
async fn show(out: Out, mut frames: Lines, pace: Option<Pace>) -> Result<(), Failure> {
    let mut screen = replay::Screen::default();
    let mut last_us = None;
    let shown = loop {
        let frame: FrameView = tokio::select! {
            frame = frames.next() => match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            },
            _ = tokio::signal::ctrl_c() => break Ok(()),
        };
        if let Some(Pace { speed, longest, from_us }) = pace {
            let since = last_us.unwrap_or(frame.at_us).max(from_us);
            let pause = replay::pause(since, frame.at_us, speed, longest);
            last_us = Some(frame.at_us);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = tokio::signal::ctrl_c() => break Ok(()),
            }
        }
        let written =
            if out.json { out.json_line(&frame) } else { write_out(&screen.show(&frame)) };
        if let Err(failure) = written {
            break Err(failure);
        }
    };
    if !out.json && std::io::stdout().is_terminal() {
        write_out(TerminalFilter::reset())?;
        write_out(b"\r\n")?;
    }
    shown
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.01..=10_000.0).contains(speed));
    speed.ok_or_else(|| "a speed is a number from 0.01 to 10000".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
