//! `sessions verify`: recordings held against the audit log.

use clap::Args;
use hyper::Method;
use portcullis_control::view::{RecordingState, VerifiedRecording, VerifyLine};
use serde::Serialize;

use crate::client::{Client, with_query};
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape};

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The session's id, or at least its last six digits
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// Every session the audit log knows of
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct VerifyQuery {
    session: Option<String>,
}

impl Verify {
    pub(super) async fn run(self, client: &Client, out: Out) -> Result<Outcome, Failure> {
        let query = VerifyQuery { session: self.id };
        let path = with_query("/v1/recordings/verify", &query);
        let mut lines = client.lines_of(Method::POST, &path).await?;
        while let Some(line) = lines.next::<VerifyLine>().await? {
            match (&line, out.json) {
                (VerifyLine::Failed { why }, _) => return Err(Failure::Failed(why.clone())),
                (_, true) => out.json_line(&line)?,
                (VerifyLine::Recording(found), false) => out.line(&described(out, found))?,
                (VerifyLine::Done { checked, bad, log_size }, false) => {
                    out.line(&format!(
                        "{checked} sessions checked against {log_size} entries of the log, {bad} bad"
                    ))?;
                }
            }
            if let VerifyLine::Done { bad, .. } = line {
                return Ok(if bad == 0 { Outcome::Done } else { Outcome::Problems });
            }
        }
        Err(Failure::Failed("the answer broke off: not everything was verified".into()))
    }
}

fn described(out: Out, found: &VerifiedRecording) -> String {
    let tone = match found.state {
        RecordingState::Verified => Tone::Good,
        RecordingState::Damaged | RecordingState::Missing => Tone::Bad,
        RecordingState::Unfinished => Tone::Notice,
        _ => Tone::Faint,
    };
    let mut text = format!("{}  {}", found.session, out.tone(tone, found.state.as_str()));
    match found.first_bad_chunk {
        Some(chunk) => text += &format!("  first bad chunk {chunk} of {}", found.vouched),
        None if found.chunks > 0 => text += &format!("  {} chunks", found.chunks),
        None => {}
    }
    if let Some(why) = &found.why {
        text += &format!("  {}", escape::line(why));
    }
    text
}
