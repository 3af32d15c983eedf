//! Sign-ins: a browser's session, and the list of one's own.

use portcullis_domain::{FactorKind, SignInId, Timestamp, UserName};
use portcullis_gateway::Carrier;
use portcullis_identity::webauthn::AuthenticationResponse;
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/session`. `Debug` hides what must not be printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionBody {
    /// Who.
    pub user: String,
    /// Their password.
    pub password: String,
    /// A one-time or recovery code.
    #[serde(default)]
    pub code: Option<String>,
}

impl std::fmt::Debug for SessionBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionBody").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/session/passkey`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeySessionBody {
    /// What the browser answered to `POST /v1/login/passkey`.
    pub answer: AuthenticationResponse,
}

/// The sign-in a page acts with.
#[derive(Clone, Serialize, Deserialize)]
pub struct WebSessionView {
    /// Who.
    pub user: UserName,
    /// The sign-in.
    pub sign_in: SignInId,
    /// When it ends, however much it is used.
    pub expires: Timestamp,
    /// What the page sends as `x-portcullis-csrf` with everything that changes something; `null`
    /// for a program that sends its token in a header.
    pub csrf: Option<String>,
}

/// One of the caller's sign-ins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignInRow {
    /// Its id.
    pub id: SignInId,
    /// Whether a program (`bearer`) or a browser (`cookie`) holds it.
    pub carrier: Carrier,
    /// Whether it is the one this is asked with.
    pub current: bool,
    /// What the program calls itself; a claim.
    pub client: Option<String>,
    /// The address of whoever signed in.
    pub source: String,
    /// What was proved.
    pub factors: Vec<FactorKind>,
    /// Whether a certificate for `ssh` came with it.
    pub certificate: bool,
    /// When it began.
    pub issued: Timestamp,
    /// When it was last used, give or take a minute.
    pub seen: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
}
