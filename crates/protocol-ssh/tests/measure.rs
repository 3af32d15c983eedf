//! Figures of the room, printed: throughput, memory of idle sessions, growth with a stalled reader.
//! Run with `cargo test --release -p portcullis-protocol-ssh --test measure -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod gate;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_domain::ActionKind;
use portcullis_protocol_ssh::Options;
use portcullis_testkit::SshClient;

/// Bytes moved for a throughput figure.
const BYTES: u64 = 512 << 20;
/// Idle sessions held for the memory figure.
const IDLE: usize = 60;

#[test]
#[ignore = "prints figures; takes minutes"]
fn throughput_and_processor_time() {
    let gate = gate::start(&ActionKind::ALL, Options::default());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("random");
    let fill = format!("head -c {BYTES} /dev/urandom > {}", file.display());
    assert!(Command::new("sh").args(["-c", &fill]).status().unwrap().success());
    let read = format!("cat {}", file.display());
    let direct = SshClient::new(gate.target.port()).accept_any_host_key();
    let key = portcullis_testkit::UserKey::generate();
    gate.target.authorize_key(&key.public_line());
    let direct = direct.user(&portcullis_testkit::current_user()).identity(&key);
    for cipher in ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        for (name, client) in [("direct", &direct), ("gate", &gate.alice())] {
            let client = client.clone().option("Ciphers", cipher).timeout(Duration::from_secs(600));
            let (elapsed, cpu) = timed(|| pull(&client, &read));
            report(name, cipher, "down", elapsed, cpu);
            let (elapsed, cpu) = timed(|| push(&client, &file));
            report(name, cipher, "up", elapsed, cpu);
        }
    }
}

fn report(name: &str, cipher: &str, way: &str, elapsed: Duration, cpu: f64) {
    let mib = BYTES as f64 / f64::from(1 << 20);
    println!(
        "{name:>7} {cipher:<30} {way:<5} {:7.0} MiB/s, gate {:5.2} CPU-s/GiB",
        mib / elapsed.as_secs_f64(),
        cpu * 1024.0 / mib
    );
}

fn timed(work: impl FnOnce()) -> (Duration, f64) {
    let (begun, cpu) = (Instant::now(), processor_seconds());
    work();
    (begun.elapsed(), processor_seconds() - cpu)
}

fn pull(client: &SshClient, command: &str) {
    let (mut ssh, _files) = client.prepare("ssh", &[]);
    ssh.arg("gate").arg(command).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(ssh.status().unwrap().success());
}

fn push(client: &SshClient, file: &std::path::Path) {
    let (mut ssh, _files) = client.prepare("ssh", &[]);
    ssh.arg("gate").arg("cat > /dev/null").stdin(std::fs::File::open(file).unwrap());
    assert!(ssh.status().unwrap().success());
}

#[test]
#[ignore = "prints figures: sizes"]
fn sizes() {
    println!("server Msg {}", size_of::<russh::server::Msg>());
    println!("client Msg {}", size_of::<russh::client::Msg>());
    println!("ChannelMsg {}", size_of::<russh::ChannelMsg>());
    println!("server Session {}", size_of::<russh::server::Session>());
    println!("client Session {}", size_of::<russh::client::Session>());
}

#[test]
#[ignore = "prints figures; takes minutes"]
fn memory_of_idle_sessions_with_a_terminal() {
    let gate = gate::start(&ActionKind::ALL, Options::default());
    let mut first = shell(&gate);
    first.expect("mark-42", Duration::from_secs(20));
    let before = resident_kib();
    let mut shells: Vec<_> = Vec::new();
    for _ in 0..IDLE {
        let mut one = shell(&gate);
        one.expect("mark-42", Duration::from_secs(60));
        shells.push(one);
    }
    std::thread::sleep(Duration::from_secs(3));
    let each = (resident_kib() - before) as f64 / IDLE as f64;
    println!("idle recorded session with a terminal: {each:.0} KiB resident each");
}

fn shell(gate: &gate::Gate) -> portcullis_testkit::PtyClient {
    let mut shell = gate.alice().pty(&["-tt"], &["sh"]);
    shell.send_line("echo mark-$((40+2))");
    shell
}

#[test]
#[ignore = "prints figures; takes minutes"]
fn growth_with_a_reader_that_stalls() {
    let gate = gate::start(&ActionKind::ALL, Options::default());
    let _ = gate.alice().run(&["true"]);
    for (way, command) in [("client", "cat /dev/urandom"), ("target", "sleep 1000")] {
        let before = resident_kib();
        let mut clients = Vec::new();
        for _ in 0..4 {
            let (mut ssh, files) = gate.alice().prepare("ssh", &[]);
            ssh.arg("gate").arg(command).stdout(Stdio::piped());
            if way == "target" {
                ssh.stdin(std::fs::File::open("/dev/urandom").unwrap());
            } else {
                ssh.stdin(Stdio::null());
            }
            let mut child = ssh.spawn().unwrap();
            if way == "client" {
                let mut some = [0; 4096];
                child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
            }
            clients.push((child, files));
        }
        let mut worst = 0;
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(500));
            worst = worst.max(resident_kib().saturating_sub(before));
        }
        println!("stalled {way}: {} KiB growth per session at worst", worst / 4);
        for (mut child, _files) in clients {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time of this process (the gate and the test, not ssh and sshd), in seconds.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
