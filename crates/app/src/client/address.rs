//! Where a node's API is: `http://HOST:PORT`, loopback only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// Where a node's API is unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:3022";
const DEFAULT_PORT: u16 = 3022;

/// A loopback address of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// Why a text is no address of an API.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum AddressError {
    /// Not of this form.
    #[error("`{0}` is not an address of a node; write it like `{DEFAULT_ADDRESS}`")]
    Form(String),
    /// TLS is not spoken yet.
    #[error(
        "`{0}` asks for https, which the API does not speak; use `http://` on loopback, from elsewhere through `ssh -L 3022:127.0.0.1:3022 HOST`"
    )]
    Https(String),
    /// A password would travel in the clear.
    #[error(
        "`{0}` is not a loopback address, and the API is plain HTTP; reach it through `ssh -L 3022:127.0.0.1:3022 HOST`"
    )]
    NotLoopback(String),
}

impl Address {
    /// Host or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, with brackets around IPv6.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let shown = || text.escape_debug().take(120).collect::<String>();
        if text.starts_with("https://") {
            return Err(AddressError::Https(shown()));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(|| AddressError::Form(shown()))?,
            None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
        };
        let port = match port {
            "" => DEFAULT_PORT,
            given => given
                .strip_prefix(':')
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| AddressError::Form(shown()))?,
        };
        match host.parse::<IpAddr>() {
            _ if host == "localhost" => {}
            Ok(ip) if ip.is_loopback() => {}
            Ok(_) => return Err(AddressError::NotLoopback(shown())),
            Err(_) if host.is_empty() || host.contains(|c: char| !c.is_ascii_graphic()) => {
                return Err(AddressError::Form(shown()));
            }
            Err(_) => return Err(AddressError::NotLoopback(shown())),
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_read_in_every_form_and_written_in_one() {
        for (text, written) in [
            ("http://127.0.0.1:3022", "http://127.0.0.1:3022"),
            ("127.0.0.1", "http://127.0.0.1:3022"),
            ("localhost:9/", "http://localhost:9"),
            ("http://[::1]:4000", "http://[::1]:4000"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_way_to_go() {
        for (text, way) in [
            ("http://10.0.0.1:3022", "ssh -L"),
            ("gate.example", "ssh -L"),
            ("https://127.0.0.1", "http://"),
            ("http://127.0.0.1:port", "write it like"),
            ("http://", "write it like"),
            ("127.0.0.1\u{1b}:1", "write it like"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(way) && !error.contains('\u{1b}'), "{error}");
        }
    }
}
