//! The tour: the same story for people to paste and for the program to play.
//!
//! In: a stage. Out: what was typed, what was shown, and whether it is what must happen. A step that
//! goes otherwise ends the tour with what was seen, so that a test can run it.

mod evidence;
mod gate;
mod session;

use super::actor::{Actor, Ended};
use super::people::Codes;
use super::stage::Stage;
use crate::failure::Failure;
use crate::print::{Out, Tone, escape};

/// Most lines shown of one command's output.
const MAX_SHOWN_LINES: usize = 8;

/// A tour under way.
struct Tour<'a> {
    out: Out,
    stage: &'a Stage,
    codes: Codes,
    alice: Actor<'a>,
    bob: Actor<'a>,
    carol: Actor<'a>,
    step: usize,
}

/// Takes the tour.
pub(super) async fn take(out: Out, stage: &Stage) -> Result<(), Failure> {
    let started = std::time::Instant::now();
    let mut tour = Tour {
        out,
        stage,
        codes: Codes::default(),
        alice: Actor::new(stage, "alice")?,
        bob: Actor::new(stage, "bob")?,
        carol: Actor::new(stage, "carol")?,
        step: 0,
    };
    let asked = gate::refused_asked_approved(&mut tour).await?;
    let shown = session::proved_run_watched(&mut tour).await?;
    evidence::played_searched_verified(&mut tour, &shown).await?;
    gate::dropped_and_raised(&mut tour).await?;
    let seconds = started.elapsed().as_secs();
    let told = serde_json::json!({
        "steps": tour.step, "seconds": seconds, "request": asked, "session": shown,
    });
    out.either(&told, |out| {
        let text = format!("\nThe tour went as it must: {} steps in {seconds} s.", tour.step);
        out.line(&out.tone(Tone::Good, &text))
    })
}

impl Tour<'_> {
    /// Begins a step.
    fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.step += 1;
        let title = format!("\n{:>2}. {title}", self.step);
        self.say(&self.out.tone(Tone::Strong, &title))
    }

    /// Shows what somebody types.
    fn typed(&self, who: &str, command: &str) -> Result<(), Failure> {
        self.say(&format!("    {}", self.out.tone(Tone::Notice, &format!("{who}$ {command}"))))
    }

    /// Shows what came of it.
    fn shown(&self, text: &str) -> Result<(), Failure> {
        let useful: Vec<_> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        for line in useful.iter().take(MAX_SHOWN_LINES) {
            self.say(&format!("    {}", escape::line(line)))?;
        }
        if useful.len() > MAX_SHOWN_LINES {
            self.say(&format!("    ... {} more lines", useful.len() - MAX_SHOWN_LINES))?;
        }
        Ok(())
    }

    /// Holds what happened against what must.
    fn holds(&self, what: &str, holds: bool, seen: &str) -> Result<(), Failure> {
        if holds {
            return self.say(&format!("    {} {what}", self.out.tone(Tone::Good, "ok:")));
        }
        Err(Failure::Failed(format!(
            "step {} of the tour: this did not hold: {what}\nwhat was seen:\n{seen}",
            self.step
        )))
    }

    /// Types, shows and holds: the command must end with `code`.
    fn ended(&self, what: &str, ended: &Ended, code: i32, text: &str) -> Result<(), Failure> {
        self.shown(&ended.text())?;
        let holds = ended.code == Some(code) && ended.text().contains(text);
        self.holds(what, holds, &format!("exit {:?}\n{}", ended.code, ended.text()))
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.out.json { Ok(()) } else { self.out.line(text) }
    }
}

/// A field of a command's `--json` output.
fn field(ended: &Ended, pointer: &str) -> Result<String, Failure> {
    let value: Result<serde_json::Value, _> = serde_json::from_str(&ended.out);
    let found = value.ok().and_then(|value| value.pointer(pointer)?.as_str().map(str::to_owned));
    found.ok_or_else(|| {
        Failure::Failed(format!("`{pointer}` is not in what was printed:\n{}", ended.text()))
    })
}

/// The tour for people, to paste line by line.
pub(super) fn script(stage: &Stage) -> String {
    let (directory, login) = (stage.directory().display(), stage.login());
    format!(
        r#"  . {directory}/env
  alice login alice                # password $alice_password, code: `code alice`
  bob   login bob
  carol login carol
  # 1. refused: nobody has standing access to production
  alice_ssh alice:prod-web@portcullis-gate
  # 2. ask; approving one's own request is refused; bob approves
  alice request prod-web --for 1h --reason "restart the queue, INC-42"
  bob requests --open
  bob approve ID
  # 3. a session with a second factor (type the next code; each works once)
  alice_ssh alice:prod-web@portcullis-gate
  # 4. meanwhile: watch it
  carol sessions list --live
  carol sessions watch ID
  # 5. afterwards: play, export, search, verify
  carol sessions play ID --max-idle 1s
  carol sessions export ID -o session.cast
  carol audit search --user alice
  carol audit verify
  # 6. drop production with a session open, and raise it: that takes two
  bob drop production --reason "something is wrong"
  bob raise production --reason "over"; carol raise production --reason "over"
  # and: scp, sftp and plain host names
  alice_ssh {login}@dev-web.portcullis hostname"#
    )
}
