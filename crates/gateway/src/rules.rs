//! How people sign in to this installation, as the operator has configured it.

use std::time::Duration;

use portcullis_identity::webauthn::RelyingParty;

/// Where the console is unless something else is configured.
const LOCAL_CONSOLE_PORT: u16 = 3022;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRules {
    /// Where people use passkeys: the console's origin.
    pub relying_party: RelyingParty,
    /// How long a person stays out of production after their second factors changed, unless a second
    /// person confirms the change.
    pub new_factor_wait: Duration,
    /// How old a second factor may be for deciding about others.
    pub step_up: Duration,
}

impl Default for SignInRules {
    fn default() -> Self {
        Self {
            relying_party: RelyingParty::localhost(LOCAL_CONSOLE_PORT),
            new_factor_wait: Duration::from_secs(24 * 3600),
            step_up: Duration::from_secs(15 * 60),
        }
    }
}
