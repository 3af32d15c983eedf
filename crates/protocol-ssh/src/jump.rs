//! Jump connections: what `ssh LOGIN@TARGET.portcullis` makes of the gate (ProxyJump).
//!
//! The outer connection proves who someone is and reaches nothing. Each `direct-tcpip` to
//! `NAME.portcullis` is met by the gate itself, which serves SSH inside it: the inner connection is
//! authorised and recorded like any other.

use std::sync::Arc;

use portcullis_domain::TargetName;
use portcullis_gateway::Authenticated;
use portcullis_gateway::HOST_SUFFIX;
use russh::ChannelOpenFailure;
use russh::server::ChannelOpenHandle;
use tokio::sync::Semaphore;

use crate::flow::Gauges;
use crate::metered::Metered;
use crate::options::MAX_JUMPS;
use crate::relay;
use crate::serve::{Room, attend};
use crate::sign_in::{Door, StepUp};

/// What a connection without a target can do.
pub(crate) struct Jump {
    room: Arc<Room>,
    who: Option<Authenticated>,
    places: Arc<Semaphore>,
}

impl Jump {
    /// For somebody who has not signed in yet.
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self { room, who: None, places: Arc::new(Semaphore::new(MAX_JUMPS)) }
    }

    /// Somebody signed in.
    pub(crate) fn of(mut self, who: Authenticated) -> Self {
        self.who = Some(who);
        self
    }

    /// Meets a jump to `target`. Whether that exists is told by the inner connection.
    pub(crate) async fn begin(
        &self,
        gauges: &Arc<Gauges>,
        channel: relay::Front,
        reply: ChannelOpenHandle,
        target: TargetName,
    ) {
        let Some(who) = self.who.clone() else {
            return reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        let id = channel.id();
        let gauge = gauges.open_stream(id);
        let gauges = Arc::clone(gauges);
        let room = Arc::clone(&self.room);
        reply.accept().await;
        let stream = Metered::new(channel.into_stream(), gauge);
        let door = Door::Inner(StepUp::new(room.gateway.clone(), who, target));
        let tasks = room.tasks.clone();
        tasks.spawn(async move {
            attend(room, stream, door, None, None).await;
            gauges.close(id);
            drop(place);
        });
    }
}

/// The target a jump destination names.
pub(crate) fn jump_target(host: &str) -> Option<TargetName> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    TargetName::new(host.strip_suffix(HOST_SUFFIX)?).ok()
}
