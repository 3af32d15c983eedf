//! The ports: free, or held by this node already.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::finding::Finding;
use crate::client::Client;
use crate::config::Config;

/// Longest wait for whoever holds a port to say what it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// How every SSH server greets (RFC 4253 section 4.2).
const SSH_GREETING: &[u8] = b"SSH-2.0-";

pub(super) async fn ssh(config: &Config) -> Finding {
    const CHECK: &str = "ssh port";
    let address = config.ssh_listen;
    if let Some(finding) = free(CHECK, address).await {
        return finding;
    }
    match greeting(loopback(address)).await {
        Some(text) if text.contains("Portcullis") || text.contains("portcullis") => {
            Finding::good(CHECK, format!("{address} is held by a running gate"))
        }
        Some(text) => taken(CHECK, address, &format!("an SSH server, `{text}`")),
        None => taken(CHECK, address, "something else"),
    }
}

pub(super) async fn api(config: &Config) -> Finding {
    const CHECK: &str = "api port";
    let address = config.api_listen;
    if let Some(finding) = free(CHECK, address).await {
        return finding;
    }
    let Ok(node) = format!("http://{}", loopback(address)).parse() else {
        return taken(CHECK, address, "something else");
    };
    let client = Client::new(node, None);
    let healthy = tokio::time::timeout(PATIENCE, client.get_text("/healthz")).await;
    match healthy {
        Ok(Ok(_)) => Finding::good(CHECK, format!("{address} is held by a running node")),
        _ => taken(CHECK, address, "something that is not a healthy node"),
    }
}

async fn free(check: &'static str, address: SocketAddr) -> Option<Finding> {
    match TcpListener::bind(address).await {
        Ok(_) => Some(Finding::good(check, format!("{address} is free"))),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => None,
        Err(error) => Some(Finding::problem(
            check,
            format!("nobody can listen on {address}: {error}"),
            "choose an address of this machine, and a port above 1023 or the capability for it",
        )),
    }
}

fn taken(check: &'static str, address: SocketAddr, by: &str) -> Finding {
    let remedy = "stop it (`ss -ltnp` names it), or choose another port";
    Finding::problem(check, format!("{address} is held by {by}"), remedy)
}

fn loopback(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

/// The first line an SSH server sends.
pub(super) async fn greeting(address: SocketAddr) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        read_greeting(&mut stream).await
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

/// At most 255 bytes, as the protocol has it.
pub(super) async fn read_greeting(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 255 {
        if stream.read(&mut byte).await.ok()? == 0 || byte == [b'\n'] {
            break;
        }
        line.extend(byte);
    }
    line.starts_with(SSH_GREETING)
        .then(|| String::from_utf8_lossy(&line).trim_end().escape_debug().to_string())
}
