//! The connection to the target: reach it, make sure who it is, prove who we are, and hear what it
//! opens by itself.
//!
//! In flow a live session's dialled stream and credential, out flow channels. The host key is
//! checked before anything of ours is sent. What the target opens on its own (agent, forwarded
//! connections) is passed on only where it was asked for; everything else is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use portcullis_domain::Target;
use portcullis_gateway::{ConnectError, EndReason, LiveSession, TargetCredential};
use russh::client::{self, AuthResult, ChannelOpenHandle, KeyboardInteractiveAuthResponse, Msg};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, Disconnect, MethodKind, SshId};
use serde_json::Value;
use tokio::time::timeout;

use crate::algorithms;
use crate::connection::Connection;
use crate::flow::{Flow, Gauges, Rule, Throttled};
use crate::options::{
    CHANNEL_MESSAGES, CONNECT_TIMEOUT, KEEPALIVE, MAX_PACKET_BYTES, TARGET_AUTH_TIMEOUT,
    TARGET_WINDOW_BYTES,
};

/// Rounds of keyboard-interactive questions of a target we answer with its password.
const MAX_PASSWORD_ROUNDS: usize = 4;

/// A connection to the target.
pub(crate) struct Back {
    /// To open channels with.
    pub(crate) handle: client::Handle<TargetHandler>,
    /// What waits for clients.
    pub(crate) gauges: Arc<Gauges>,
    /// What the target may open by itself.
    pub(crate) asked: Arc<Asked>,
}

/// What the client asked for that lets the target open channels.
#[derive(Default)]
pub(crate) struct Asked {
    refused: Mutex<Option<ConnectError>>,
    serving: AtomicBool,
    agent: AtomicUsize,
    listening: Mutex<Vec<(String, u32)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Asked {
    /// Agent forwarding was authorised for one channel: the target may open the agent until the
    /// last such channel is gone.
    pub(crate) fn lend_agent(self: &Arc<Self>) -> AgentLent {
        self.agent.fetch_add(1, Ordering::AcqRel);
        AgentLent(Arc::clone(self))
    }

    /// Listening on `port` was authorised.
    pub(crate) fn listen(&self, host: &str, port: u32) {
        lock(&self.listening).push((host.to_owned(), port));
    }

    /// Listening ended. Whether there was such a port.
    pub(crate) fn stop_listening(&self, host: &str, port: u32) -> bool {
        let mut listening = lock(&self.listening);
        let before = listening.len();
        listening.retain(|(h, p)| !(h == host && *p == port));
        listening.len() < before
    }

    /// How many ports are listened on.
    pub(crate) fn listening(&self) -> usize {
        lock(&self.listening).len()
    }

    fn listens_on(&self, port: u32) -> bool {
        lock(&self.listening).iter().any(|(_, p)| *p == port)
    }
}

/// Held by a channel with agent forwarding; dropped with it.
pub(crate) struct AgentLent(Arc<Asked>);

impl Drop for AgentLent {
    fn drop(&mut self) {
        self.0.agent.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Back {
    /// Connects and signs in; failures are audited. A `main` connection's end is the session's end.
    pub(crate) async fn connect(
        live: &LiveSession,
        connection: Weak<Connection>,
        main: bool,
    ) -> Result<Self, ConnectError> {
        let reached = Self::reach(live, connection, main).await;
        if let Err(error) = &reached {
            live.connect_failed(error).await;
        }
        reached
    }

    async fn reach(
        live: &LiveSession,
        connection: Weak<Connection>,
        main: bool,
    ) -> Result<Self, ConnectError> {
        let stream = live.dial().await?;
        let gauges = Gauges::new(Flow::new(Rule::Pause));
        let asked = Arc::new(Asked::default());
        let handler = TargetHandler {
            live: live.clone(),
            connection,
            gauges: Arc::clone(&gauges),
            asked: Arc::clone(&asked),
            main,
        };
        // Cut unless everything succeeds.
        let guard = Cut(Some(Arc::clone(gauges.flow())));
        let stream = Throttled::new(stream, Arc::clone(gauges.flow()));
        let connecting = Box::pin(client::connect_stream(config(live.target()), stream, handler));
        let mut handle = match timeout(CONNECT_TIMEOUT, connecting).await {
            Err(_) => return Err(protocol(live, "it did not complete the key exchange in time")),
            Ok(Err(error)) => {
                let refused = lock(&asked.refused).take();
                let why = || protocol(live, algorithms::why_failed(&error));
                return Err(refused.unwrap_or_else(why));
            }
            Ok(Ok(handle)) => handle,
        };
        let credential = live.credential().await?;
        let signing_in = Box::pin(sign_in(&mut handle, live, credential));
        match timeout(TARGET_AUTH_TIMEOUT, signing_in).await {
            Err(_) => return Err(protocol(live, "it did not accept the gate in time")),
            Ok(signed_in) => signed_in?,
        }
        asked.serving.store(true, Ordering::Release);
        let purpose = if main { "session" } else { "forwards" };
        live.connected(vec![("connection", Value::from(purpose))])
            .await
            .map_err(|error| protocol(live, error))?;
        guard.keep();
        Ok(Self { handle, gauges, asked })
    }

    /// Says goodbye, briefly, and cuts the connection.
    pub(crate) async fn leave(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _ = timeout(std::time::Duration::from_millis(100), goodbye).await;
        tokio::task::yield_now().await;
        self.gauges.flow().cut();
    }
}

/// Cuts a connection that did not come about.
struct Cut(Option<Arc<Flow>>);

impl Cut {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(flow) = &self.0 {
            flow.cut();
        }
    }
}

fn protocol(live: &LiveSession, reason: impl std::fmt::Display) -> ConnectError {
    ConnectError::Protocol {
        target: live.target().name.clone(),
        reason: reason.to_string().escape_debug().to_string(),
    }
}

fn config(target: &Target) -> Arc<client::Config> {
    Arc::new(client::Config {
        client_id: SshId::Standard("SSH-2.0-Portcullis".into()),
        limits: algorithms::rekeying(),
        window_size: TARGET_WINDOW_BYTES,
        maximum_packet_size: MAX_PACKET_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: algorithms::towards_target(
            target.ssh().map(|ssh| &ssh.legacy_algorithms),
            target.ssh().is_some_and(|ssh| !ssh.host_authorities.is_empty()),
        ),
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        // Judged by `Flow::peer_is_gone`: russh would also count the time we do not read.
        keepalive_max: 0,
        nodelay: true,
        ..client::Config::default()
    })
}

async fn sign_in(
    handle: &mut client::Handle<TargetHandler>,
    live: &LiveSession,
    credential: TargetCredential,
) -> Result<(), ConnectError> {
    let login = live.login().as_str();
    let result = match credential {
        TargetCredential::Certificate { key, certificate } => {
            handle.authenticate_openssh_cert(login, Arc::new(*key), *certificate).await
        }
        TargetCredential::Key(key) => {
            let ssh = live.target().ssh();
            let old = ssh.is_some_and(|ssh| ssh.legacy_algorithms.contains("ssh-rsa"));
            by_key(handle, login, Arc::new(*key), old).await
        }
        TargetCredential::Password(password) => by_password(handle, login, password.expose()).await,
    };
    match result {
        Ok(AuthResult::Success) => Ok(()),
        Ok(AuthResult::Failure { .. }) => Err(ConnectError::NotAccepted {
            target: live.target().name.clone(),
            login: login.to_owned(),
        }),
        Err(error) => Err(protocol(live, error)),
    }
}

/// An RSA key signs with SHA-2 (RFC 8332). With SHA-1 only where the target's options name `ssh-rsa`
/// (`old`): at once where the target does not say what it takes, as old devices do not, and otherwise
/// when SHA-2 was refused, because some announce more than they take.
async fn by_key(
    handle: &mut client::Handle<TargetHandler>,
    login: &str,
    key: Arc<PrivateKey>,
    old: bool,
) -> Result<AuthResult, russh::Error> {
    let announced = match key.algorithm().is_rsa() {
        true => handle.best_supported_rsa_hash().await?,
        false => Some(None),
    };
    let modern = announced.flatten().unwrap_or(HashAlg::Sha512);
    let first = if old && announced.flatten().is_none() { None } else { Some(modern) };
    let offered = PrivateKeyWithHashAlg::new(Arc::clone(&key), first);
    let result = handle.authenticate_publickey(login, offered).await?;
    if old && first.is_some() && matches!(result, AuthResult::Failure { .. }) {
        let offered = PrivateKeyWithHashAlg::new(key, None);
        return handle.authenticate_publickey(login, offered).await;
    }
    Ok(result)
}

/// `password`, then `keyboard-interactive` where the target prefers to ask.
async fn by_password(
    handle: &mut client::Handle<TargetHandler>,
    login: &str,
    password: &str,
) -> Result<AuthResult, russh::Error> {
    let first = handle.authenticate_password(login, password).await?;
    let AuthResult::Failure { remaining_methods, .. } = &first else { return Ok(first) };
    if !remaining_methods.contains(&MethodKind::KeyboardInteractive) {
        return Ok(first);
    }
    let mut asked = handle.authenticate_keyboard_interactive_start(login, None).await?;
    for _ in 0..MAX_PASSWORD_ROUNDS {
        match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => break,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answers = prompts
                    .iter()
                    .map(|prompt| if prompt.echo { String::new() } else { password.to_owned() })
                    .collect();
                asked = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(first)
}

/// What russh tells us about the target.
pub(crate) struct TargetHandler {
    live: LiveSession,
    connection: Weak<Connection>,
    gauges: Arc<Gauges>,
    asked: Arc<Asked>,
    main: bool,
}

impl client::Handler for TargetHandler {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let checked = self.live.check_host_key(offered.into());
        match checked {
            Ok(()) => Ok(true),
            Err(error) => {
                *lock(&self.asked.refused) = Some(error);
                Ok(false)
            }
        }
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _max_packet_size: u32,
        _window_size: u32,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        self.gauges.open(id);
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        self.gauges.came(channel, data.len());
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        _ext: u32,
        data: &[u8],
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        self.gauges.came(channel, data.len());
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        connected_address: &str,
        connected_port: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let Some(connection) = self.connection.upgrade() else { return Ok(()) };
        if self.asked.listens_on(connected_port) {
            let opened = crate::forward::Opened {
                address: connected_address.to_owned(),
                port: connected_port,
                originator: originator_address.to_owned(),
                originator_port,
            };
            self.gauges.open(channel.id());
            connection.forwarded_from_target(&self.live, &self.gauges, channel, reply, opened);
        }
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let Some(connection) = self.connection.upgrade() else { return Ok(()) };
        if self.asked.agent.load(Ordering::Acquire) > 0 {
            self.gauges.open(channel.id());
            connection.agent_from_target(&self.live, &self.gauges, channel, reply);
        }
        Ok(())
    }

    // INVARIANT: the rest of what a target may open is refused: dropping `reply` says no.
    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: client::DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        if self.main && self.asked.serving.load(Ordering::Acquire) {
            tracing::debug!(session = %self.live.id(), ?reason, "the target closed the connection");
            self.live.end(EndReason::TargetLeft);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_may_be_opened_until_the_last_channel_with_it_is_gone() {
        let asked = Arc::new(Asked::default());
        let open = || asked.agent.load(Ordering::Acquire) > 0;
        assert!(!open());
        let (first, second) = (asked.lend_agent(), asked.lend_agent());
        drop(first);
        assert!(open());
        drop(second);
        assert!(!open());
    }
}
