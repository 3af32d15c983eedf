//! What russh tells us about a client, on one connection.
//!
//! Callbacks are short: sign-in goes to [`crate::sign_in`], requests to a
//! [`Conversation`](crate::conversation::Conversation) and are answered at once; whatever takes
//! time runs as a task. Nothing happens before sign-in is complete: until then there is no
//! [`Connection`] to do it with.
//!
//! What a callback awaits is boxed where it is deep: russh keeps room for the deepest of them in every
//! connection's task, for as long as that lives.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_domain::Secret;
use portcullis_gateway::{Gateway, HOST_SUFFIX};
use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::connection::{Connection, Destination};
use crate::conversation::{Answer, Conversation, Request, Terminal, Wanted};
use crate::flow::Gauges;
use crate::forward::Opened;
use crate::jump::{Jump, jump_target};
use crate::options::CLIENT_WINDOW_BYTES;
use crate::relay::{self, USAGE_STATUS};
use crate::sign_in::{Arrived, Door, FrontError};

/// What sign-in led to, told to the task that accompanies the connection.
pub(crate) enum Arrival {
    /// A target was named.
    Target(Arc<Connection>),
    /// None was: only jumps go on from here.
    Jump,
}

/// Where the client is.
enum Place {
    Lobby,
    Target(Arc<Connection>),
    Jump(Jump),
}

/// A session channel on which no program runs yet.
struct Talk {
    front: relay::Front,
    conversation: Conversation,
    place: OwnedSemaphorePermit,
}

/// The handler of one client connection.
pub(crate) struct Front {
    gateway: Gateway,
    banner: String,
    door: Door,
    place: Place,
    jump: Option<Jump>,
    gauges: Arc<Gauges>,
    talks: HashMap<ChannelId, Talk>,
    sessions: Arc<Semaphore>,
    arrived: Option<oneshot::Sender<Arrival>>,
}

impl Front {
    /// `jump` is what a connection without a target may become; `None` inside a jump.
    pub(crate) fn new(
        gateway: Gateway,
        banner: String,
        door: Door,
        jump: Option<Jump>,
        gauges: Arc<Gauges>,
        arrived: oneshot::Sender<Arrival>,
    ) -> Self {
        Self {
            gateway,
            banner,
            door,
            place: Place::Lobby,
            jump,
            gauges,
            talks: HashMap::new(),
            sessions: Arc::new(Semaphore::new(crate::options::MAX_SESSION_CHANNELS)),
            arrived: Some(arrived),
        }
    }

    fn arrive(&mut self, arrived: Arrived, session: &Session) -> Option<Arrival> {
        let Arrived { who, target, login } = arrived;
        match target {
            Some(target) => {
                let client = String::from_utf8_lossy(session.remote_sshid()).into_owned();
                let destination = Destination { who, target, login, client };
                let connection = Connection::new(
                    self.gateway.clone(),
                    destination,
                    session.handle(),
                    Arc::clone(&self.gauges),
                );
                self.place = Place::Target(Arc::clone(&connection));
                Some(Arrival::Target(connection))
            }
            None => {
                let jump = self.jump.take()?;
                self.place = Place::Jump(jump.of(who));
                Some(Arrival::Jump)
            }
        }
    }

    /// Answers a request on a session channel.
    fn ask(
        &mut self,
        channel: ChannelId,
        request: Request,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        let Some(talk) = self.talks.get_mut(&channel) else {
            // A program runs there already.
            return Ok(session.channel_failure(channel)?);
        };
        match talk.conversation.answer(request) {
            Answer::Accept => session.channel_success(channel)?,
            Answer::Refuse => session.channel_failure(channel)?,
            Answer::Close => self.hang_up(channel, session)?,
            Answer::Authorize(wanted) => {
                session.channel_success(channel)?;
                if let Some(talk) = self.talks.remove(&channel) {
                    self.run(talk, wanted);
                }
            }
        }
        Ok(())
    }

    fn run(&self, talk: Talk, wanted: Wanted) {
        let Talk { front, place, .. } = talk;
        match &self.place {
            Place::Target(connection) => {
                let work = relay::run(Arc::clone(connection), front, wanted, place);
                connection.spawn(Box::pin(work));
            }
            Place::Jump(_) | Place::Lobby => {
                let gauges = Arc::clone(&self.gauges);
                tokio::spawn(async move {
                    let _place = place;
                    let has_terminal = wanted.preparation().terminal.is_some();
                    let told = "name a target: `ssh USER:TARGET@GATE`, or `ssh LOGIN@TARGET.portcullis` \
                                with the generated ssh_config";
                    crate::tell::refuse(&front, told, has_terminal, USAGE_STATUS).await;
                    gauges.close(front.id());
                });
            }
        }
    }

    fn hang_up(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), FrontError> {
        self.talks.remove(&channel);
        self.gauges.close(channel);
        Ok(session.close(channel)?)
    }

    /// Anything sent before a program runs counts as a request, so that it is bounded.
    fn came(
        &mut self,
        channel: ChannelId,
        bytes: usize,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.gauges.came(channel, bytes);
        if let Some(talk) = self.talks.get_mut(&channel)
            && talk.conversation.answer(Request::Other) == Answer::Close
        {
            self.hang_up(channel, session)?;
        }
        Ok(())
    }
}

impl Handler for Front {
    type Error = FrontError;

    async fn authentication_banner(&mut self) -> Result<Option<String>, FrontError> {
        Ok((!self.banner.is_empty()).then(|| self.banner.clone()))
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, FrontError> {
        Ok(Box::pin(self.door.none(user)).await?)
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, FrontError> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, FrontError> {
        Ok(Box::pin(self.door.key(user, key.public_key)).await?)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, FrontError> {
        Ok(Box::pin(self.door.certificate(user, certificate)).await?)
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, FrontError> {
        Ok(Box::pin(self.door.password(user, Secret::new(password.to_owned()))).await?)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, FrontError> {
        Ok(Box::pin(self.door.interactive(user, response)).await?)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), FrontError> {
        // INVARIANT: the only way out of the lobby, and only with an `Authenticated` in hand.
        let arrived = self.door.finish().ok_or(FrontError::SignIn)?;
        let arrival = self.arrive(arrived, session).ok_or(FrontError::SignIn)?;
        if let Some(told) = self.arrived.take() {
            let _ = told.send(arrival);
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), FrontError> {
        let place = match &self.place {
            Place::Lobby => None,
            Place::Target(connection) => connection.session_place(),
            Place::Jump(_) => Arc::clone(&self.sessions).try_acquire_owned().ok(),
        };
        let Some(place) = place else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let id = channel.id();
        self.gauges.open(id);
        let conversation = Conversation::default();
        self.talks.insert(id, Talk { front: channel, conversation, place });
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), FrontError> {
        match &self.place {
            Place::Lobby => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
            Place::Target(connection) => {
                self.gauges.open(channel.id());
                let to = Opened {
                    address: host_to_connect.to_owned(),
                    port: port_to_connect,
                    originator: originator_address.to_owned(),
                    originator_port,
                };
                connection.forward_to(channel, reply, to);
            }
            Place::Jump(jump) => match jump_target(host_to_connect) {
                Some(target) => jump.begin(&self.gauges, channel, reply, target).await,
                None => {
                    let reason = format!(
                        "only targets (NAME{HOST_SUFFIX}) can be reached from here; name a target in \
                         the user (USER:TARGET) to forward through it"
                    );
                    let code = ChannelOpenFailure::AdministrativelyProhibited.code();
                    reply.reject(ChannelOpenFailure::Other { code, reason }).await;
                }
            },
        }
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _max_packet_size: u32,
        _window_size: u32,
        _session: &mut Session,
    ) -> Result<(), FrontError> {
        self.gauges.open(id);
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), FrontError> {
        if self.talks.remove(&channel).is_some() {
            self.gauges.close(channel);
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.came(channel, data.len(), session)
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        _code: u32,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.came(channel, data.len(), session)
    }

    async fn window_adjusted(
        &mut self,
        _channel: ChannelId,
        _new_size: u32,
        _session: &mut Session,
    ) -> Result<(), FrontError> {
        self.gauges.flow().room_was_made();
        Ok(())
    }

    fn adjust_window(&mut self, _channel: ChannelId, _current: u32) -> u32 {
        self.gauges.flow().next_window(CLIENT_WINDOW_BYTES)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        col_width: u32,
        row_height: u32,
        pix_width: u32,
        pix_height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), FrontError> {
        let terminal = Terminal {
            term: term.to_owned(),
            columns: col_width,
            rows: row_height,
            width: pix_width,
            height: pix_height,
            modes: modes.to_vec(),
        };
        self.ask(channel, Request::Terminal(terminal), session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _x11_auth_protocol: &str,
        _x11_auth_cookie: &str,
        _x11_screen_number: u32,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.ask(channel, Request::X11, session)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        variable_name: &str,
        variable_value: &str,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        let (name, value) = (variable_name.to_owned(), variable_value.to_owned());
        self.ask(channel, Request::Environment { name, value }, session)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.ask(channel, Request::Shell, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.ask(channel, Request::Exec(data.to_vec()), session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.ask(channel, Request::Subsystem(name.to_owned()), session)
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<bool, FrontError> {
        // Authorised when the program is; a refusal is said there.
        Ok(self
            .talks
            .get_mut(&channel)
            .is_some_and(|talk| talk.conversation.answer(Request::Agent) == Answer::Accept))
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        // A running program hears of it through its channel.
        self.came(channel, 0, session)
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        _signal: Sig,
        session: &mut Session,
    ) -> Result<(), FrontError> {
        self.came(channel, 0, session)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _session: &mut Session,
    ) -> Result<bool, FrontError> {
        let Place::Target(connection) = &self.place else { return Ok(false) };
        let listening = Box::pin(connection.listen(address, *port)).await;
        if let Some(chosen) = listening {
            *port = chosen;
        }
        Ok(listening.is_some())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, FrontError> {
        let Place::Target(connection) = &self.place else { return Ok(false) };
        Ok(connection.stop_listening(address, port).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_names_a_target_by_its_host_name() {
        assert_eq!(jump_target("Prod-Web.portcullis.").unwrap().as_str(), "prod-web");
        for other in ["prod-web", "portcullis", ".portcullis", "a b.portcullis", "10.0.0.1"] {
            assert!(jump_target(other).is_none(), "{other}");
        }
    }
}
