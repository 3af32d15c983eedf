//! The gate itself: closed, opened by two people, dropped and raised.

use std::time::{Duration, Instant};

use super::{Tour, field};
use crate::failure::Failure;

/// The target of the tour, and its environment.
pub(super) const TARGET: &str = "prod-web";
const ENVIRONMENT: &str = "production";
/// What `ssh` ends with where the gate refuses the channel, in place of a program's own status.
const REFUSED: i32 = 254;
/// How `ssh` asks for it; the address is in the person's `ssh_config`.
pub(super) const ADDRESS: &str = "alice:prod-web@portcullis-gate";
/// Longest time from a drop to the end of a session.
const DROP_LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for a session to be up.
pub(super) const SESSION_PATIENCE: Duration = Duration::from_secs(15);

/// Sign-in, refusal, request, refused self-approval, approval. Gives the request's id.
pub(super) async fn refused_asked_approved(tour: &mut Tour<'_>) -> Result<String, Failure> {
    tour.step("Three people sign in with a password and a one-time code")?;
    for name in ["alice", "bob", "carol"] {
        tour.typed(name, &format!("portcullis login {name}"))?;
    }
    let signed_in = [
        tour.alice.sign_in(&mut tour.codes).await?,
        tour.bob.sign_in(&mut tour.codes).await?,
        tour.carol.sign_in(&mut tour.codes).await?,
    ];
    for ended in &signed_in {
        tour.ended("signed in, with a certificate for ssh", ended, 0, "signed in as")?;
    }

    tour.step("Nobody has standing access to production")?;
    tour.typed("alice", &format!("ssh {ADDRESS}"))?;
    let ended = tour.alice.ssh(&[ADDRESS, "true"]).await?;
    tour.ended("refused, with the way to ask", &ended, REFUSED, "portcullis request")?;
    tour.typed("carol", &format!("portcullis why alice shell {TARGET}"))?;
    let ended = tour.carol.run(&["why", "alice", "shell", TARGET]).await?;
    tour.ended("and carol can see why", &ended, 0, "request")?;

    tour.step("Alice asks for an hour")?;
    let reason = "restart the queue, INC-42";
    tour.typed("alice", &format!("portcullis request {TARGET} --for 1h --reason \"{reason}\""))?;
    let ended =
        tour.alice.run(&["request", TARGET, "--for", "1h", "--reason", reason, "--json"]).await?;
    let id = field(&ended, "/id")?;
    tour.holds(&format!("request {id} is waiting"), ended.code == Some(0), &ended.text())?;

    tour.step("Nobody approves their own request")?;
    tour.typed("alice", &format!("portcullis approve {id}"))?;
    let ended = tour.alice.run(&["approve", &id]).await?;
    tour.ended("refused", &ended, 1, "")?;

    tour.step("Bob approves; the hour begins now")?;
    tour.typed("bob", "portcullis requests --open")?;
    let ended = tour.bob.run(&["requests", "--open"]).await?;
    tour.ended("bob sees who asks for what and why", &ended, 0, "INC-42")?;
    tour.typed("bob", &format!("portcullis approve {id}"))?;
    let ended = tour.bob.run(&["approve", &id]).await?;
    tour.ended("approved", &ended, 0, "has access to prod-web")?;
    Ok(id)
}

/// Drop with a session open, and the raise that takes two.
pub(super) async fn dropped_and_raised(tour: &mut Tour<'_>) -> Result<(), Failure> {
    tour.step("Something is wrong: bob drops production while alice works")?;
    tour.typed("alice", &format!("ssh {ADDRESS}"))?;
    let mut session = tour.alice.terminal(&mut tour.codes, &[ADDRESS]).await?;
    session.type_line("echo working-$((40+2))").await?;
    let up = session.shows("working-42", SESSION_PATIENCE).await;
    tour.holds("alice's second session runs", up, &session.shown())?;
    tour.typed("bob", "portcullis drop production --reason \"keys leaked\"")?;
    let ended = tour.bob.run(&["drop", ENVIRONMENT, "--reason", "keys leaked"]).await?;
    let answered = Instant::now();
    tour.ended("the gate is down", &ended, 0, "is down")?;
    let left = session.ends(Duration::from_secs(5)).await;
    let took = answered.elapsed();
    let shown = session.shown();
    tour.shown(shown.lines().find(|line| line.contains("portcullis:")).unwrap_or_default())?;
    let told = session.shown().contains("keys leaked");
    tour.holds(
        &format!("her session ended {} ms after the answer, and said why", took.as_millis()),
        left.is_some() && took < DROP_LIMIT && told,
        &session.shown(),
    )?;
    let ended = tour.alice.ssh(&[ADDRESS, "true"]).await?;
    tour.holds("she does not get in again", ended.code != Some(0), &ended.text())?;
    tour.typed("carol", &format!("portcullis why alice shell {TARGET} --second-factor"))?;
    let ended = tour.carol.run(&["why", "alice", "shell", TARGET, "--second-factor"]).await?;
    tour.ended("nor would a code help", &ended, 0, "keys leaked")?;

    tour.step("Raising the gate takes two people")?;
    for (name, text) in [("bob", "one more person"), ("carol", "is up again")] {
        tour.typed(name, "portcullis raise production --reason \"keys replaced\"")?;
        let arguments = ["raise", ENVIRONMENT, "--reason", "keys replaced"];
        let ended = match name {
            "bob" => tour.bob.run(&arguments).await?,
            _ => tour.carol.run(&arguments).await?,
        };
        tour.ended(&format!("{name}'s word is counted"), &ended, 0, text)?;
    }
    Ok(())
}
