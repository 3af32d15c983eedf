//! Starting a program on the target: the channel, its environment, terminal and agent, the request.
//!
//! In flow what the client asked for, each part authorised and recorded before it is passed on;
//! out flows the channel of a running program. What passes through it afterwards is the relay's.

use std::sync::Arc;

use portcullis_domain::Action;
use portcullis_gateway::{LiveSession, Observation};
use russh::ChannelMsg;
use tokio::time::timeout;

use crate::back::AgentLent;
use crate::connection::{Connection, Open};
use crate::conversation::{Command, Preparation, Program, Terminal, accepts_environment};
use crate::flow::Counted;
use crate::options::TARGET_REPLY_TIMEOUT;
use crate::relay::{Far, Front};
use crate::tell::note;

/// A channel on the target whose program runs.
pub(crate) struct Started {
    pub(crate) far: Far,
    pub(crate) counted: Counted,
    /// The target may open the person's agent while this lives.
    pub(crate) agent: Option<AgentLent>,
}

/// Opens the channel on the target and starts the program. The error is what to tell the person.
pub(crate) async fn start(
    open: &Arc<Open>,
    connection: &Arc<Connection>,
    front: &Front,
    program: &Program,
    number: u32,
) -> Result<Started, String> {
    let Program { command, preparation } = program;
    record_start(&open.live, program, number).await.map_err(|error| error.to_string())?;
    if preparation.x11 {
        note(front, preparation, "X11 forwarding is not allowed through the gate").await;
    }
    let failed = |error: russh::Error| {
        format!("`{}` does not open a session: {error}", open.live.target().name)
    };
    let opening = timeout(TARGET_REPLY_TIMEOUT, open.back.handle.channel_open_session());
    let mut far = opening.await.map_err(|_| no_answer(open))?.map_err(failed)?;
    let counted = Counted::new(&open.back.gauges, far.id());
    let agent = prepare(open, connection, front, preparation, &far).await.map_err(failed)?;
    match command {
        Command::Shell => far.request_shell(true).await,
        Command::Exec(line) => far.exec(true, line.as_bytes()).await,
        Command::Subsystem(name) => far.request_subsystem(true, name.as_str()).await,
    }
    .map_err(failed)?;
    let begun = timeout(TARGET_REPLY_TIMEOUT, until_begun(&mut far, &counted));
    if begun.await.map_err(|_| no_answer(open))? {
        Ok(Started { far, counted, agent })
    } else {
        let _ = far.close().await;
        Err(format!("`{}` refused to start this", open.live.target().name))
    }
}

fn no_answer(open: &Open) -> String {
    format!("`{}` did not answer; try again later", open.live.target().name)
}

async fn record_start(
    live: &LiveSession,
    program: &Program,
    number: u32,
) -> Result<(), portcullis_gateway::RecordError> {
    if let Some(Terminal { columns, rows, .. }) = &program.preparation.terminal {
        let pty = Observation::Pty { channel: number, cols: *columns, rows: *rows };
        live.observe(pty).await?;
    }
    let text = match &program.command {
        Command::Shell => return Ok(()),
        Command::Exec(line) => line,
        Command::Subsystem(name) => name,
    };
    live.observe(Observation::Command { channel: number, text }).await
}

/// Environment, terminal and agent, in this order.
async fn prepare(
    open: &Arc<Open>,
    connection: &Arc<Connection>,
    front: &Front,
    preparation: &Preparation,
    far: &Far,
) -> Result<Option<AgentLent>, russh::Error> {
    let mut lent = None;
    let ssh = open.live.target().ssh();
    let accepted = ssh.map(|ssh| ssh.accept_env.as_slice()).unwrap_or_default();
    for (name, value) in &preparation.environment {
        if accepts_environment(accepted, name) {
            // What a program is given to run with is part of what ran.
            let text = format!("env {name}={value}");
            let observed = open.live.observe(Observation::Note { text: &text }).await;
            observed.map_err(|_| russh::Error::Disconnect)?;
            far.set_env(false, name.as_str(), value.as_str()).await?;
        }
    }
    if let Some(t) = &preparation.terminal {
        far.request_pty(false, &t.term, t.columns, t.rows, t.width, t.height, &t.modes).await?;
    }
    if preparation.agent {
        match open.live.authorize(Action::AgentForward).await {
            Ok(_) => {
                lent = Some(open.back.asked.lend_agent());
                far.agent_forward(false).await?;
            }
            Err(refused) => {
                let told = format!("agent forwarding refused: {}", refused.told());
                note(front, preparation, &told).await;
            }
        }
    }
    tracing::trace!(session = %open.live.id(), over = connection.over().is_cancelled(), "prepared");
    Ok(lent)
}

/// Waits for the answer to the program request.
///
/// What a target sends before it has answered belongs to no program and is dropped.
async fn until_begun(far: &mut Far, counted: &Counted) -> bool {
    loop {
        match far.wait().await {
            Some(ChannelMsg::Success) => return true,
            Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
            Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) => {
                counted.went(data.len());
            }
            Some(_) => {}
        }
    }
}
