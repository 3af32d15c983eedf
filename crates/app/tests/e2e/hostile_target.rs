//! Hostile targets: whatever answers in place of an SSH server, the person gets a clear refusal in
//! bounded time, and it is in the log.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use portcullis_testkit::UserKey;

use crate::gate::{Plan, SOON, target_yaml};

/// The gate waits 10 s for a target, and 10 s to be let in.
const PATIENCE: Duration = Duration::from_secs(25);
/// What a hostile target may cost the node, in bytes.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

/// What a server does with a connection.
type Behaviour = fn(&mut TcpStream) -> std::io::Result<()>;

/// A server that does this with every connection, on a port of its own.
fn server(behave: Behaviour) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || behave(&mut stream));
        }
    });
    port
}

/// Sends the same bytes until nobody takes them any more.
fn for_ever(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
    }
}

fn garbage(stream: &mut TcpStream) -> std::io::Result<()> {
    let bytes: Vec<u8> = (0..65_536_u32).map(|i| ((i * 31) ^ (i >> 3)) as u8).collect();
    for_ever(stream, &bytes)
}

fn endless_banner(stream: &mut TcpStream) -> std::io::Result<()> {
    for_ever(stream, &b"welcome, please wait\r\n".repeat(512))
}

fn endless_line(stream: &mut TcpStream) -> std::io::Result<()> {
    for_ever(stream, &[b'x'; 16_384])
}

fn huge_length(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\x7f\xff\xff\xff\x04")?;
    for_ever(stream, &[0; 16_384])
}

fn silence(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn hangs_up(_: &mut TcpStream) -> std::io::Result<()> {
    Ok(())
}

fn escapes(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"SSH-1.0-\x1b]0;owned\x07\x1b[2J\r\n")?;
    silence(stream)
}

#[test]
fn targets_that_are_no_ssh_servers_are_refused_clearly_and_cheaply() {
    let behaviours: [(&str, Behaviour); 7] = [
        ("garbage", garbage),
        ("endless-banner", endless_banner),
        ("endless-line", endless_line),
        ("huge-length", huge_length),
        ("silence", silence),
        ("hangs-up", hangs_up),
        ("escapes", escapes),
    ];
    let mut plan = Plan::base();
    let key = UserKey::generate().public_line();
    let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    for (name, behave) in behaviours {
        plan.resources += &target_yaml(name, "open", "web", server(behave), &key);
    }
    let gate = plan.start();
    let mut shell = gate.client("alice", "web").pty(&[], &["sh"]);
    let before = gate.node.resident_bytes();
    std::thread::scope(|scope| {
        for (name, _) in behaviours {
            let gate = &gate;
            scope.spawn(move || {
                let begun = Instant::now();
                let ran = gate.client("alice", name).timeout(PATIENCE * 2).run(&["id"]);
                let ran = ran.assert_refused();
                assert!(begun.elapsed() < PATIENCE, "{name}: {:?}", begun.elapsed());
                let said = ran.stderr_text();
                assert!(said.contains("portcullis:") && said.contains(name), "{name}: {said:?}");
                assert!(!said.contains('\u{1b}'), "{name}: {said:?}");
            });
        }
    });
    for (name, _) in behaviours {
        let entry = gate.wait_for_entry(name, |entry| {
            entry.target() == name && !entry.succeeded() && entry.activity() == "connect"
        });
        assert!(!entry.why().is_empty(), "{}", entry.0);
    }
    let grown = gate.node.resident_bytes().saturating_sub(before);
    assert!(grown < MAX_GROWTH_BYTES, "{grown} bytes for hostile targets");
    shell.send_line("echo still-$((40+2))");
    shell.expect("still-42", SOON);
}

#[test]
fn a_changed_host_key_is_refused_and_a_finding() {
    let mut gate = Plan::base().start();
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
    gate.places.servers[0].rotate_host_key();
    let ran = gate.client("alice", "web").run(&["echo reached"]).assert_refused();
    assert_eq!(ran.stdout_text(), "");
    assert!(ran.stderr_text().contains("host key"), "{}", ran.describe());
    let finding = gate.wait_for_entry("the finding", |entry| entry.activity() == "finding");
    assert_eq!(finding.target(), "web");
    // Applying the new key is what an administrator does once they know why it changed.
    let key = gate.places.servers[0].host_key_line();
    gate.apply(&target_yaml("web", "open", "web", gate.port_of("web"), &key));
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
}
