//! A server on loopback that sends back what it gets, and ways to speak to it.
//!
//! Must never know: what lies between it and its client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens on a port of its own for as long as the test process lives.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().unwrap();
                let mut writer = stream;
                let _ = std::io::copy(&mut reader, &mut writer);
            });
        }
    });
    port
}

/// A connection to 127.0.0.1:`port` with a limit on waiting.
pub(crate) fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Whether what is sent comes back.
pub(crate) fn answers(stream: &mut TcpStream) -> bool {
    let mut back = [0; 5];
    stream.write_all(b"ping\n").is_ok()
        && stream.read_exact(&mut back).is_ok()
        && &back == b"ping\n"
}

/// Asks the SOCKS proxy at `port` for 127.0.0.1:`destination` (RFC 1928) and speaks to it.
pub(crate) fn answers_through_socks(port: u16, destination: u16) -> bool {
    let Some(mut stream) = connect(port) else { return false };
    let mut greeting = [0; 2];
    let mut answer = [0; 10];
    let [high, low] = destination.to_be_bytes();
    stream.write_all(&[5, 1, 0]).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && stream.write_all(&[5, 1, 0, 1, 127, 0, 0, 1, high, low]).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer[1] == 0
        && answers(&mut stream)
}
