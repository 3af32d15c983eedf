//! A software authenticator: answers WebAuthn options as a browser with a passkey would (WebAuthn
//! Level 3, sections 6.3.2 and 6.3.3), with ES256 and no attestation.
//!
//! Its fields can be set so that it misbehaves; what it then answers is signed all the same.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// An authenticator that holds one credential, with the browser it is used in.
pub struct Authenticator {
    key: EcdsaKeyPair,
    /// The id of its credential.
    pub credential_id: Vec<u8>,
    /// What it calls its owner, once registered.
    pub user_handle: Vec<u8>,
    /// The origin of the page the browser shows.
    pub origin: String,
    /// The relying party it signs for; `None`: whichever the options name.
    pub relying_party: Option<String>,
    /// Whether somebody touches it.
    pub present: bool,
    /// Whether it verifies who.
    pub verifies: bool,
    /// How often it has signed; it counts only where this is not zero.
    pub sign_count: u32,
    /// Whether the page is in a frame of another site.
    pub cross_origin: bool,
}

impl Authenticator {
    /// A new one in a browser that shows a page of `origin`.
    pub fn new(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let credential_id = digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec();
        Self {
            key,
            credential_id,
            user_handle: Vec::new(),
            origin: origin.to_owned(),
            relying_party: None,
            present: true,
            verifies: true,
            sign_count: 1,
            cross_origin: false,
        }
    }

    /// Answers `PublicKeyCredentialCreationOptionsJSON`.
    pub fn register(&mut self, options: &Value) -> Value {
        self.user_handle =
            URL_SAFE_NO_PAD.decode(text(options.pointer("/user/id").unwrap())).unwrap();
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.data(text(options.pointer("/rp/id").unwrap()), 0x40);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(self.cose_key());
        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(&data);
        json!({
            "id": self.id(), "rawId": self.id(), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
                "transports": ["internal"],
            },
        })
    }

    /// Answers `PublicKeyCredentialRequestOptionsJSON`.
    pub fn answer(&mut self, options: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", options);
        if self.sign_count > 0 {
            self.sign_count += 1;
        }
        let data = self.data(text(&options["rpId"]), 0);
        let message = [&data, digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": self.id(), "rawId": self.id(), "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
                "userHandle": URL_SAFE_NO_PAD.encode(&self.user_handle),
            },
        })
    }

    fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.credential_id)
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind, "challenge": options["challenge"], "origin": self.origin,
            "crossOrigin": self.cross_origin, "other_keys_can_be_added_here": "by browsers",
        });
        data.to_string().into_bytes()
    }

    fn data(&self, relying_party: &str, more: u8) -> Vec<u8> {
        let relying_party = self.relying_party.as_deref().unwrap_or(relying_party);
        let flags = more | u8::from(self.present) | u8::from(self.verifies) << 2;
        let mut data = digest(&SHA256, relying_party.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.sign_count.to_be_bytes());
        data
    }

    /// {1: 2, 3: -7, -1: 1, -2: x, -3: y}
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend(point.get(1..33).unwrap());
        key.extend(b"\x22\x58\x20");
        key.extend(point.get(33..65).unwrap());
        key
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("the options lack a text: {value}"))
}
