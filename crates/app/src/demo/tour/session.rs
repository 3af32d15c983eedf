//! A session: the second factor, work, a watcher.

use super::gate::{ADDRESS, SESSION_PATIENCE};
use super::{Tour, field};
use crate::failure::Failure;

/// What alice does, and what the host makes of it: only a shell computes.
const TYPED: &str = "echo \"queue restarted by $USER: $((6*7))\"";
const MADE: &str = ": 42";
const TYPED_LATER: &str = "echo still-here-$((50+5))";
const MADE_LATER: &str = "still-here-55";

/// Session, watch, end. Gives the session's id.
pub(super) async fn proved_run_watched(tour: &mut Tour<'_>) -> Result<String, Failure> {
    tour.step("Development asks for nothing more: plain ssh, by host name, through the gate")?;
    let place = format!("{}@dev-web.portcullis", tour.stage.login());
    tour.typed("alice", &format!("ssh {place} 'echo $PORTCULLIS_HOST'"))?;
    let ended = tour.alice.ssh(&[&place, "echo $PORTCULLIS_HOST"]).await?;
    tour.ended("the command ran on dev-web", &ended, 0, "dev-web")?;

    tour.step("Production asks for a fresh one-time code")?;
    tour.typed("alice", &format!("ssh {ADDRESS}"))?;
    let ended = tour.alice.ssh(&[ADDRESS, "true"]).await?;
    tour.holds("without one, nobody gets in", ended.code != Some(0), &ended.text())?;
    let mut session = tour.alice.terminal(&mut tour.codes, &[ADDRESS]).await?;
    session.type_line(TYPED).await?;
    let works = session.shows(MADE, SESSION_PATIENCE).await;
    tour.holds("with one, the session runs", works, &session.shown())?;

    tour.step("Carol watches while it runs")?;
    tour.typed("carol", "portcullis sessions list --live")?;
    let arguments = ["sessions", "list", "--live", "--user", "alice", "--json"];
    let listed = tour.carol.run(&arguments).await?;
    let id = field(&listed, "/0/id")?;
    tour.typed("carol", &format!("portcullis sessions watch {id}"))?;
    let watching = tour.carol.start(&["sessions", "watch", &id])?;
    // Typed again until it is seen: the watch begins some moment after it was started.
    let mut seen = false;
    for _ in 0..20 {
        session.type_line(TYPED_LATER).await?;
        seen = watching.shows(MADE_LATER, std::time::Duration::from_millis(500)).await;
        if seen {
            break;
        }
    }
    let shown = watching.shown();
    tour.shown(shown.lines().last().unwrap_or_default())?;
    tour.holds("she sees what alice sees", seen, &shown)?;
    session.type_line("exit").await?;
    let left = session.ends(SESSION_PATIENCE).await;
    let clean = left.is_some_and(|status| status.success());
    tour.holds("alice leaves", clean, &session.shown())?;
    Ok(id)
}
