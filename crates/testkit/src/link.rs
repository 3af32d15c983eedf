//! A network path to a server on 127.0.0.1 that can fall silent, as a real one does when a router
//! dies: connections stay open, new ones are accepted, and nothing gets through any more.
//!
//! Must never know: what is spoken over it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a silent path looks whether it may speak again.
const POLL: Duration = Duration::from_millis(10);
const BUFFER_BYTES: usize = 64 * 1024;

/// A path from a port of its own to a server; dropped, it is silent for good.
#[derive(Debug)]
pub struct Link {
    port: u16,
    silent: Arc<AtomicBool>,
}

impl Link {
    /// Opens a path to the server at 127.0.0.1:`port`.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            silent: Arc::new(AtomicBool::new(false)),
        };
        let silent = Arc::clone(&link.silent);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let silent = Arc::clone(&silent);
                std::thread::spawn(move || carry(&near, port, &silent));
            }
        });
        link
    }

    /// The port on 127.0.0.1 that leads to the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing gets through until [`Link::restore`]; nobody is told.
    pub fn cut(&self) {
        self.silent.store(true, Ordering::Release);
    }

    /// What was held back goes on.
    pub fn restore(&self) {
        self.silent.store(false, Ordering::Release);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

fn carry(near: &TcpStream, port: u16, silent: &Arc<AtomicBool>) {
    wait_while(silent);
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let (Ok(from), Ok(to)) = (near.try_clone(), far.try_clone()) else { return };
    let quiet = Arc::clone(silent);
    std::thread::spawn(move || pass(from, to, &quiet));
    let (Ok(from), Ok(to)) = (far.try_clone(), near.try_clone()) else { return };
    pass(from, to, silent);
}

fn pass(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        wait_while(silent);
        if buffer.get(..count).is_none_or(|bytes| to.write_all(bytes).is_err()) {
            break;
        }
    }
    // An end is news too, and does not get through either.
    wait_while(silent);
    let _ = to.shutdown(Shutdown::Write);
}

fn wait_while(silent: &AtomicBool) {
    while silent.load(Ordering::Acquire) {
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_path_says_nothing_and_a_restored_one_goes_on_where_it_was() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link::to(server.local_addr().unwrap().port());
        let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).unwrap();
        let (mut far, _) = server.accept().unwrap();
        let mut got = [0; 1];
        near.write_all(b"a").unwrap();
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"a");
        link.cut();
        near.write_all(b"b").unwrap();
        far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(far.read(&mut got).is_err(), "something got through");
        link.restore();
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"b");
    }
}
