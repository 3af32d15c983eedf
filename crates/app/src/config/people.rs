//! `[console]` and `[identity]`: where people use passkeys, and how careful signing in is.

use std::net::SocketAddr;

use portcullis_gateway::SignInRules;
use portcullis_identity::webauthn::RelyingParty;
use serde::Deserialize;

use super::{Config, duration};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConsole {
    origin: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    new_factor_wait: Option<String>,
    step_up: Option<String>,
}

/// The rules people sign in by. Without an origin, the console is on this machine.
pub(super) fn rules(
    console: &RawConsole,
    identity: &RawIdentity,
    api_listen: SocketAddr,
) -> Result<SignInRules, (&'static str, String)> {
    let mut rules = SignInRules {
        relying_party: RelyingParty::localhost(api_listen.port()),
        ..SignInRules::default()
    };
    if let Some(origin) = &console.origin {
        let named = RelyingParty::new(origin);
        rules.relying_party = named.map_err(|error| ("console.origin", error.to_string()))?;
    }
    if let Some(text) = &identity.new_factor_wait {
        let wait = duration(text).map_err(|message| ("identity.new_factor_wait", message))?;
        rules.new_factor_wait = wait;
    }
    if let Some(text) = &identity.step_up {
        let fresh = duration(text).map_err(|message| ("identity.step_up", message))?;
        if fresh.is_zero() {
            let message = "nobody could decide anything; write something like `15m`";
            return Err(("identity.step_up", message.into()));
        }
        rules.step_up = fresh;
    }
    Ok(rules)
}

impl Config {
    /// Takes over the port that is listened on, where the console has no name of its own.
    pub(crate) fn listens_at(&mut self, api: SocketAddr) {
        if self.sign_in.relying_party == RelyingParty::localhost(self.api_listen.port()) {
            self.sign_in.relying_party = RelyingParty::localhost(api.port());
        }
    }
}
