//! A receiver that fails on purpose: octet-counted messages over plain TCP on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_connectors::sinks::SyslogSink;
use portcullis_connectors::sinks::syslog::SyslogOptions;
use portcullis_connectors::sinks::syslog::message::{Header, LOG_AUDIT};
use socket2::SockRef;

/// What it does with each connection, in turn; the last one for all that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Reads everything and ends.
    Good,
    /// Reads this many bytes, keeps them, and resets the connection.
    Cut(usize),
    /// Reads everything, keeps it, and resets: it dies before its acknowledgement leaves.
    KeepAndDie,
    /// Reads a little, and slowly.
    Slow,
    /// Reads nothing, ever.
    Silent,
    /// Talks back without end.
    Talkative,
}

/// The receiver; it stops listening when dropped.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
}

impl Hostile {
    /// A port nobody listens on, for the time being.
    pub(crate) fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub(crate) fn start(manners: &[Manner]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), manners)
    }

    pub(crate) fn start_at(address: SocketAddr, manners: &[Manner]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (received, over) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::new(AtomicBool::new(false)));
        let (keep, end, manners) = (received.clone(), over.clone(), manners.to_vec());
        std::thread::spawn(move || {
            for (place, stream) in listener.incoming().enumerate() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let manner = manners[place.min(manners.len() - 1)];
                let (keep, end) = (keep.clone(), end.clone());
                // Each connection by itself: a sender may not wait for the end of another.
                let handling =
                    std::thread::spawn(move || handle(stream.unwrap(), manner, &keep, &end));
                if !matches!(manner, Manner::Silent | Manner::Talkative) {
                    let _ = handling.join();
                }
            }
        });
        Self { address, received, over }
    }

    /// The JSON lines of whole messages it has kept.
    pub(crate) fn lines(&self) -> String {
        lines_of(&self.received.lock().unwrap())
    }

    pub(crate) fn sink(address: SocketAddr) -> Box<SyslogSink> {
        Box::new(SyslogSink::new(SyslogOptions {
            endpoint: address.to_string().parse().unwrap(),
            tls: None,
            close_notify: true,
            header: Header {
                facility: LOG_AUDIT,
                hostname: "test".into(),
                app_name: "portcullis".into(),
            },
        }))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn handle(mut stream: TcpStream, manner: Manner, keep: &Mutex<Vec<u8>>, over: &AtomicBool) {
    let mut read = Vec::new();
    match manner {
        Manner::Good => drop(stream.read_to_end(&mut read)),
        Manner::KeepAndDie => {
            let _ = stream.read_to_end(&mut read);
            reset(&stream);
        }
        Manner::Cut(bytes) => {
            read.resize(bytes, 0);
            let _ = stream.read_exact(&mut read);
            reset(&stream);
        }
        Manner::Slow => {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut some) {
                read.extend_from_slice(&some[..count]);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Manner::Silent => {
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Manner::Talkative => while stream.write_all(&[b'x'; 4096]).is_ok() {},
    }
    // Whole messages only: the rest of a cut one is what a receiver throws away.
    let whole = whole_bytes(&read);
    keep.lock().unwrap().extend_from_slice(&read[..whole]);
}

/// Makes the end of the connection a reset.
fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn next(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    Some((bytes.get(space + 1..space + 1 + length)?, space + 1 + length))
}

fn whole_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((_, length)) = next(&bytes[at..]) {
        at += length;
    }
    at
}

fn lines_of(mut bytes: &[u8]) -> String {
    let mut lines = String::new();
    while let Some((message, length)) = next(bytes) {
        let text = std::str::from_utf8(message).unwrap();
        lines.push_str(&text[text.find(" {").unwrap() + 1..]);
        lines.push('\n');
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty());
    lines
}
