//! Where people use their passkeys: the console's origin, and the relying party id that follows.
//!
//! A passkey is bound to the host name for good, so the name is chosen once. Browsers offer WebAuthn
//! over TLS and on `localhost` only, and never for an address (WebAuthn Level 3, section 5.1.2).

use thiserror::Error;

/// Longest origin, in bytes.
const MAX_ORIGIN_BYTES: usize = 280;

/// A text that is not an origin where passkeys work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not the origin of a console; write `https://NAME`, or `http://localhost:PORT`"
)]
pub struct OriginError {
    text: String,
}

/// Whom people sign in to with a passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

impl RelyingParty {
    /// By the console's origin, as in a browser's address bar without a path.
    pub fn new(origin: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError { text: origin.escape_debug().take(80).collect() };
        let (secure, authority) = match origin.split_once("://") {
            Some(("https", authority)) => (true, authority),
            Some(("http", authority)) => (false, authority),
            _ => return Err(wrong()),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let usual = if secure { "443" } else { "80" };
        let port_is_canonical = port.is_none_or(|port| {
            port != usual && port.parse::<u16>().is_ok_and(|number| number.to_string() == port)
        });
        let named = is_host_name(host) && (secure || host == "localhost");
        if !named || !port_is_canonical || origin.len() > MAX_ORIGIN_BYTES {
            return Err(wrong());
        }
        Ok(Self { id: host.to_owned(), origin: origin.to_owned() })
    }

    /// A console on this machine, where no name is configured.
    pub fn localhost(port: u16) -> Self {
        let origin =
            if port == 80 { "http://localhost".into() } else { format!("http://localhost:{port}") };
        Self { id: "localhost".to_owned(), origin }
    }

    /// The relying party id: the host name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Lower case labels of letters, digits and hyphens, the last of which is no number.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or(host);
    host.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_browsers_let_use_passkeys_is_an_origin() {
        for (origin, id) in [
            ("https://gate.example.com", "gate.example.com"),
            ("https://gate.example.com:8443", "gate.example.com"),
            ("http://localhost:3022", "localhost"),
            ("https://localhost", "localhost"),
        ] {
            assert_eq!(RelyingParty::new(origin).unwrap().id(), id);
        }
        for wrong in [
            "",
            "gate.example.com",
            "http://gate.example.com",
            "https://gate.example.com/",
            "https://Gate.example.com",
            "https://gate.example.com:443",
            "https://gate.example.com:08443",
            "https://user@gate.example.com",
            "https://127.0.0.1",
            "http://127.0.0.1:3022",
            "https://[::1]",
            "https://-a.example",
            "https://a..example",
            "ftp://a.example",
        ] {
            assert!(RelyingParty::new(wrong).is_err(), "{wrong}");
        }
    }
}
