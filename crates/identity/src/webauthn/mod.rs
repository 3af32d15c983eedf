//! Passkeys and security keys: the relying party's part of WebAuthn Level 3.
//!
//! In flow a challenge of ours and what a browser answers; out flow the options a browser is given,
//! a [`Credential`] to keep, or what an [`Assertion`] proves. Which challenge is open, whose it is, and
//! that it is used once, is the caller's business; so is the order of signature counters.
//!
//! No attestation is asked for and none is believed: a key is trusted because its owner, signed in,
//! registered it, not because of who made it (section 6.5, attestation `none`).

mod authenticator_data;
mod cbor;
mod cose;
mod origin;
#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_domain::UserName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::login::PasskeyCheck;
use crate::random::{self, Random, RandomUnavailable};
use authenticator_data::AuthenticatorData;
use cose::{ALGORITHMS, Key};

pub use origin::{OriginError, RelyingParty};

/// How long a challenge is good, which is also how long browsers wait: within the five minutes of a
/// sign-in.
pub const CHALLENGE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(120);
/// Random bytes in a challenge (section 13.4.3 asks for at least 16).
pub const CHALLENGE_BYTES: usize = 32;
/// Bytes of the handle a person has in authenticators: random, so that it tells nobody who it is.
pub const USER_HANDLE_BYTES: usize = 32;
/// Largest part of a browser's answer, in bytes, decoded.
const MAX_PART_BYTES: usize = 16 * 1024;

/// Why a browser's answer proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebauthnError {
    /// It cannot be read.
    #[error("{0} in the browser's answer cannot be read; try again, or with another browser")]
    Malformed(&'static str),
    /// It is the answer to another kind of question.
    #[error("the browser answered another kind of question")]
    Type,
    /// The challenge is not the one that was given.
    #[error("the browser answered another challenge; try again")]
    Challenge,
    /// It was made for another site.
    #[error(
        "this was made on `{origin}`, and passkeys count on `{expected}` only; open the console there"
    )]
    Origin {
        /// Where.
        origin: String,
        /// Where it counts.
        expected: String,
    },
    /// It was made for another relying party.
    #[error("the authenticator signed for another site")]
    RelyingParty,
    /// Nobody touched the authenticator.
    #[error("nobody touched the authenticator")]
    NotPresent,
    /// The authenticator did not verify who was there.
    #[error("the authenticator did not verify who you are; set a PIN or a fingerprint on it")]
    NotVerified,
    /// The algorithm is none of those offered.
    #[error("the authenticator's algorithm is none of those offered; use another one")]
    Algorithm,
    /// The signature is wrong.
    #[error("the signature is not this credential's")]
    Signature,
    /// The credential belongs to somebody else, or to nobody.
    #[error("this credential is not registered for you")]
    Unknown,
}

impl From<cbor::CborError> for WebauthnError {
    fn from(_: cbor::CborError) -> Self {
        Self::Malformed("the CBOR")
    }
}

/// A challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge([u8; CHALLENGE_BYTES]);

impl Challenge {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomUnavailable> {
        random::bytes(random).map(Self)
    }

    /// What an open challenge is kept under: its SHA-256. Whoever reads the store cannot answer it.
    pub fn key(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// A handle for a person who has none yet.
pub fn new_user_handle(random: &mut dyn Random) -> Result<Vec<u8>, RandomUnavailable> {
    random::bytes::<USER_HANDLE_BYTES>(random).map(Vec::from)
}

/// What kind of credential is to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Signs in alone: the authenticator keeps it and verifies who is there.
    Passkey,
    /// A second factor beside a password or a key.
    SecurityKey,
}

/// A registered credential: what verifies later answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id, at most 1023 bytes.
    pub id: Vec<u8>,
    /// Its COSE key.
    pub public_key: Vec<u8>,
    /// How often it had signed; zero where it does not count.
    pub sign_count: u32,
    /// Whether the authenticator verified who registered it.
    pub user_verified: bool,
    /// Whether it may be on more than one device.
    pub backup_eligible: bool,
}

/// What an answer proves, once the signature counter is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion {
    /// Whether somebody was verified or only present.
    pub check: PasskeyCheck,
    /// How often the credential has signed; zero where it does not count.
    pub sign_count: u32,
}

/// A browser's answer to a registration: `PublicKeyCredential.toJSON()` (section 5.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationResponse {
    /// The credential's id, base64url.
    pub id: String,
    /// What the authenticator answered.
    pub response: AttestationResponse,
}

/// The inner part of a [`RegistrationResponse`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttestationResponse {
    /// JSON, base64url.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// CBOR, base64url.
    #[serde(rename = "attestationObject")]
    pub attestation_object: String,
}

/// A browser's answer to a sign-in: `PublicKeyCredential.toJSON()` (section 5.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    /// The credential's id, base64url.
    pub id: String,
    /// What the authenticator answered.
    pub response: AssertionResponse,
}

/// The inner part of an [`AuthenticationResponse`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertionResponse {
    /// JSON, base64url.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// Binary, base64url.
    pub authenticator_data: String,
    /// Binary, base64url.
    pub signature: String,
    /// Binary, base64url; where the authenticator knows it.
    #[serde(default)]
    pub user_handle: Option<String>,
}

impl RegistrationResponse {
    /// The challenge it claims to answer; to be looked up, not to be believed.
    pub fn challenge(&self) -> Result<Challenge, WebauthnError> {
        claimed_challenge(&self.response.client_data)
    }
}

impl AuthenticationResponse {
    /// The challenge it claims to answer; to be looked up, not to be believed.
    pub fn challenge(&self) -> Result<Challenge, WebauthnError> {
        claimed_challenge(&self.response.client_data)
    }

    /// The credential it claims to be signed with.
    pub fn credential_id(&self) -> Result<Vec<u8>, WebauthnError> {
        let id = decode(&self.id, "the credential's id")?;
        match id.len() {
            1..=authenticator_data::MAX_CREDENTIAL_ID_BYTES => Ok(id),
            _ => Err(WebauthnError::Malformed("the credential's id")),
        }
    }
}

impl RelyingParty {
    /// `PublicKeyCredentialCreationOptionsJSON` (section 5.1.8) for a person.
    pub fn creation_options(
        &self,
        user: &UserName,
        user_handle: &[u8],
        wanted: Wanted,
        known: &[Vec<u8>],
        challenge: &Challenge,
    ) -> Value {
        let algorithms = ALGORITHMS.map(|alg| json!({"type": "public-key", "alg": alg}));
        let (resident, verification) = match wanted {
            Wanted::Passkey => ("required", "required"),
            Wanted::SecurityKey => ("discouraged", "preferred"),
        };
        json!({
            "rp": {"id": self.id(), "name": "Portcullis"},
            "user": {
                "id": URL_SAFE_NO_PAD.encode(user_handle),
                "name": user.as_str(), "displayName": user.as_str(),
            },
            "challenge": challenge.text(),
            "pubKeyCredParams": algorithms,
            "timeout": CHALLENGE_LIFETIME.as_millis(),
            "excludeCredentials": descriptors(known),
            "authenticatorSelection": {
                "residentKey": resident,
                "requireResidentKey": wanted == Wanted::Passkey,
                "userVerification": verification,
            },
            "attestation": "none",
        })
    }

    /// `PublicKeyCredentialRequestOptionsJSON` (section 5.1.9). Without `known`, whoever has a
    /// passkey for this site may answer, and must be verified.
    pub fn request_options(&self, known: &[Vec<u8>], challenge: &Challenge) -> Value {
        let verification = if known.is_empty() { "required" } else { "preferred" };
        json!({
            "rpId": self.id(),
            "challenge": challenge.text(),
            "timeout": CHALLENGE_LIFETIME.as_millis(),
            "allowCredentials": descriptors(known),
            "userVerification": verification,
        })
    }

    /// Checks a registration (section 7.1). The caller has found the challenge open, and checks that
    /// the credential's id is registered nowhere.
    pub fn register(
        &self,
        response: &RegistrationResponse,
        wanted: Wanted,
        challenge: &Challenge,
    ) -> Result<Credential, WebauthnError> {
        let client_data = decode(&response.response.client_data, "the client data")?;
        self.check_client_data(&client_data, "webauthn.create", challenge)?;
        let object = decode(&response.response.attestation_object, "the attestation")?;
        let (map, rest) = cbor::read(&object)?;
        let bytes = map.named("authData").and_then(cbor::Item::bytes);
        let well_formed = rest.is_empty()
            && map.named("fmt").and_then(cbor::Item::text).is_some()
            && matches!(map.named("attStmt"), Some(cbor::Item::Map(_)));
        let bytes = bytes.filter(|_| well_formed);
        let data =
            AuthenticatorData::parse(bytes.ok_or(WebauthnError::Malformed("the attestation"))?)?;
        self.check_presence(&data, wanted == Wanted::Passkey)?;
        let new = data.attested.ok_or(WebauthnError::Malformed("the new credential"))?;
        if decode(&response.id, "the credential's id")? != new.credential_id {
            return Err(WebauthnError::Malformed("the credential's id"));
        }
        Ok(Credential {
            id: new.credential_id.to_vec(),
            public_key: new.public_key.to_vec(),
            sign_count: data.sign_count,
            user_verified: data.user_verified,
            backup_eligible: data.backup_eligible,
        })
    }

    /// Checks an answer by a registered credential (section 7.2). The caller has found the challenge
    /// open, and checks the signature counter.
    pub fn verify(
        &self,
        response: &AuthenticationResponse,
        public_key: &[u8],
        user_handle: &[u8],
        verified: bool,
        challenge: &Challenge,
    ) -> Result<Assertion, WebauthnError> {
        if let Some(handle) = &response.response.user_handle
            && verify_slices_are_equal(&decode(handle, "the user handle")?, user_handle).is_err()
        {
            return Err(WebauthnError::Unknown);
        }
        let client_data = decode(&response.response.client_data, "the client data")?;
        self.check_client_data(&client_data, "webauthn.get", challenge)?;
        let bytes = decode(&response.response.authenticator_data, "the authenticator data")?;
        let data = AuthenticatorData::parse(&bytes)?;
        self.check_presence(&data, verified)?;
        let signature = decode(&response.response.signature, "the signature")?;
        let message = [&bytes[..], &sha256(&client_data)].concat();
        if !Key::parse(public_key)?.verifies(&message, &signature) {
            return Err(WebauthnError::Signature);
        }
        let check = match data.user_verified {
            true => PasskeyCheck::Verified,
            false => PasskeyCheck::Present,
        };
        Ok(Assertion { check, sign_count: data.sign_count })
    }

    /// Sections 7.1 and 7.2, the steps about the client data.
    fn check_client_data(
        &self,
        bytes: &[u8],
        kind: &str,
        challenge: &Challenge,
    ) -> Result<(), WebauthnError> {
        let data = ClientData::parse(bytes)?;
        if data.kind != kind {
            return Err(WebauthnError::Type);
        }
        let answered = decode(&data.challenge, "the challenge")?;
        if verify_slices_are_equal(&answered, &challenge.0).is_err() {
            return Err(WebauthnError::Challenge);
        }
        // In a frame of another site it is that site that asks.
        if data.origin != self.origin() || data.cross_origin {
            let origin = data.origin.escape_debug().take(120).collect();
            return Err(WebauthnError::Origin { origin, expected: self.origin().to_owned() });
        }
        Ok(())
    }

    fn check_presence(
        &self,
        data: &AuthenticatorData<'_>,
        verified: bool,
    ) -> Result<(), WebauthnError> {
        if data.rp_id_hash != sha256(self.id().as_bytes()) {
            return Err(WebauthnError::RelyingParty);
        }
        match (data.user_present, data.user_verified || !verified) {
            (true, true) => Ok(()),
            (false, _) => Err(WebauthnError::NotPresent),
            (true, false) => Err(WebauthnError::NotVerified),
        }
    }
}

/// `CollectedClientData` (section 5.8.1). Browsers add members, on purpose.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

impl ClientData {
    fn parse(bytes: &[u8]) -> Result<Self, WebauthnError> {
        serde_json::from_slice(bytes).map_err(|_| WebauthnError::Malformed("the client data"))
    }
}

fn claimed_challenge(client_data: &str) -> Result<Challenge, WebauthnError> {
    let data = ClientData::parse(&decode(client_data, "the client data")?)?;
    let bytes = decode(&data.challenge, "the challenge")?;
    bytes.try_into().map(Challenge).map_err(|_| WebauthnError::Challenge)
}

fn descriptors(known: &[Vec<u8>]) -> Vec<Value> {
    let one = |id: &Vec<u8>| json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(id)});
    known.iter().map(one).collect()
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, WebauthnError> {
    if text.len() > MAX_PART_BYTES / 3 * 4 {
        return Err(WebauthnError::Malformed(what));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| WebauthnError::Malformed(what))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}
