//! The addresses of names, as the gate's own resolver sees them.
//!
//! Flows in: host names and addresses. Flows out: what each resolves to. A resolver that is slow or
//! silent costs a bounded time and leaves names unresolved; it decides nothing here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;

/// Longest wait for all names of one question.
const PATIENCE: Duration = Duration::from_secs(3);
/// Names asked for at the same time.
const AT_ONCE: usize = 16;
/// Most names one question resolves; what is beyond is judged by its text alone.
const MAX_NAMES: usize = 1024;
/// Most addresses taken of one name.
const MAX_ADDRESSES: usize = 32;

/// Every address of every name, with the name; an address is its own address.
pub(crate) async fn addresses_of(names: BTreeSet<String>) -> Vec<(String, IpAddr)> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let asked = stream::iter(names.into_iter().take(MAX_NAMES))
        .map(|name| async move {
            let found = tokio::time::timeout_at(deadline, resolve(&name)).await;
            found.unwrap_or_default().into_iter().map(move |ip| (name.clone(), ip)).collect()
        })
        .buffer_unordered(AT_ONCE);
    let found: Vec<Vec<(String, IpAddr)>> = asked.collect().await;
    found.into_iter().flatten().collect()
}

async fn resolve(name: &str) -> Vec<IpAddr> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return vec![address];
    }
    if name.is_empty() {
        return Vec::new();
    }
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => found.take(MAX_ADDRESSES).map(|socket| socket.ip().to_canonical()).collect(),
        Err(_) => Vec::new(),
    }
}
