//! Ports of the loopback interface: one nobody listens on, and waiting until somebody does.
//!
//! Must never know: what the port is for.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Below the range Linux takes the source ports of outgoing connections from (32768 on),
/// so that a port found free is not taken by a connection a moment later.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 20_000;
/// How long `wait_for_port` sleeps between attempts.
const RETRY: Duration = Duration::from_millis(10);

/// A port on 127.0.0.1 nobody listens on, never handed out twice by this process.
///
/// # Panics
/// When every port in the range is taken.
#[must_use]
pub fn free_port() -> u16 {
    static START: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes run side by side: each starts at its own random place.
    let start = *START.get_or_init(|| {
        let random = RandomState::new().build_hasher().finish();
        u32::try_from(random % u64::from(PORTS)).unwrap_or(0)
    });
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST_PORT + (start.wrapping_add(step)) % PORTS).unwrap();
        if TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST_PORT} and {}", FIRST_PORT + PORTS);
}

/// Whether something accepts connections on 127.0.0.1:`port` before `timeout` has passed.
#[must_use]
pub fn wait_for_port(port: u16, timeout: Duration) -> bool {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into();
    let deadline = Instant::now() + timeout;
    loop {
        if TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_distinct_and_can_be_bound() {
        let ports: Vec<u16> = (0..20).map(|_| free_port()).collect();
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), ports.len());
        TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
    }

    #[test]
    fn waiting_ends_when_somebody_listens_and_gives_up_when_nobody_does() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(wait_for_port(port, Duration::from_secs(5)));
        assert!(!wait_for_port(free_port(), Duration::from_millis(30)));
    }
}
