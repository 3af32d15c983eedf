//! Witnesses as real processes beside a real node: what they cosign, what they refuse, and what is
//! said of those that lie or are gone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::evidence::{Person, alone, path};
use crate::gate::Gate;
use crate::http::Api;
use crate::node::{PROGRAM, portcullis};
use crate::plan::Plan;

/// Longest wait for what happens within seconds.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn checkpoints_are_cosigned_and_a_witness_that_is_gone_is_an_alert_until_it_is_back() {
    let mut gate = Plan::base().start();
    let witness_dir = gate.path("witness");
    let key = init(&witness_dir, "example.com/w1");
    let mut witness = Witness::start(&witness_dir, &log_key(&gate), 0);
    configure(&mut gate, "2s", 1, &[(witness.address, &key)]);
    let carol = Person::sign_in(&gate, "carol");
    let checkpoint = carol.json(&["audit", "checkpoint", "--json"]);
    assert_eq!(checkpoint["witness_keys"][0], key.as_str());
    assert!(checkpoint["checkpoint"].as_str().unwrap().contains("— example.com/w1 "));
    let dir = carol.file("export");
    let log = log_key(&gate);
    carol.json(&["audit", "export", path(&dir), "--json"]);
    let verify = ["audit", "verify", path(&dir), "--key", &log, "--witness", &key, "--json"];
    let (code, said) = alone(&verify);
    assert_eq!(
        (code, &said["cosigned"][0]["witness"]),
        (0, &Value::from("example.com/w1")),
        "{said}"
    );
    // A proof carries the cosignature too.
    let proof = carol.file("proof");
    carol.json(&["audit", "prove", "0", "-o", path(&proof), "--json"]);
    let check = ["audit", "check-proof", path(&proof), "--key", &log, "--witness", &key, "--json"];
    assert_eq!(alone(&check).0, 0);
    // One that never saw the log did not cosign it.
    let other = init(&gate.path("other"), "example.com/w2");
    let refused = [&verify[..7], &["--witness", &other, "--quorum", "2", "--json"]].concat();
    let (code, said) = alone(&refused);
    assert_eq!((code, &said["code"]), (5, &Value::from("quorum_missed")), "{said}");

    let port = witness.address.port();
    drop(witness);
    gate.wait_for_entry("stale", |entry| entry.detail("finding") == "cosignature_stale");
    gate.wait_for_entry("silent", |entry| entry.detail("finding") == "witness_silent");
    // Nobody is kept out for it.
    assert!(ready(&gate).starts_with("ready\n2 notices"), "{}", ready(&gate));
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
    witness = Witness::start(&witness_dir, &log, port);
    wait_for("the witness is back", || ready(&gate) == "ready\n");
    drop(witness);
}

#[test]
fn a_log_that_was_rolled_back_is_found_by_its_witness() {
    let mut gate = Plan::base().start();
    let witness_dir = gate.path("witness");
    let key = init(&witness_dir, "example.com/w1");
    let log = log_key(&gate);
    let witness = Witness::start(&witness_dir, &log, 0);
    gate.node.stop();
    let (now, then) = (gate.path("data/log"), gate.path("log-then"));
    copy(&now, &then);
    configure(&mut gate, "3s", 1, &[(witness.address, &key)]);
    for _ in 0..20 {
        // Each reading is an entry.
        gate.audit();
    }
    wait_for("all of it is cosigned", || cosigned(&witness_dir) > 20);
    gate.node.stop();
    fs::remove_dir_all(&now).unwrap();
    copy(&then, &now);
    gate.restart();
    let found = gate.wait_for_entry("the rollback", |entry| {
        ["log_rolled_back", "log_forked"].contains(&entry.detail("finding"))
    });
    assert_eq!(found.detail("witness"), "example.com/w1");
    drop(witness);
}

#[test]
fn witnesses_that_lie_hang_or_babble_are_ignored_and_named() {
    let mut gate = Plan::base().start();
    let log = log_key(&gate);
    let dir = gate.path("witness");
    let key = init(&dir, "example.com/good");
    let good = Witness::start(&dir, &log, 0);
    let keys: Vec<String> = ["lies", "hangs", "babbles", "closes"]
        .iter()
        .map(|name| init(&gate.path(name), &format!("example.com/{name}")))
        .collect();
    // In its own name and with its key's id, and never signed.
    let id = hex(keys[0].split('+').nth(1).unwrap());
    let line = STANDARD.encode([id, vec![0; 72]].concat());
    let lie = format!("\u{2014} example.com/lies {line}\n");
    let lies = listen(move |mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{lie}", lie.len());
        let _ = stream.read(&mut [0; 4096]);
    });
    let hangs = listen(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    let babbles = listen(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let closes = listen(drop);
    let all = [
        (lies, keys[0].as_str()),
        (hangs, &keys[1]),
        (babbles, &keys[2]),
        (closes, &keys[3]),
        (good.address, &key),
    ];
    configure(&mut gate, "1m", 1, &all);
    for (name, finding) in [
        ("lies", "witness_lied"),
        ("hangs", "witness_silent"),
        ("babbles", "witness_silent"),
        ("closes", "witness_silent"),
    ] {
        let name = format!("example.com/{name}");
        gate.wait_for_entry(&name, |entry| {
            entry.detail("witness") == name && entry.detail("finding") == finding
        });
    }
    // The gate does not wait for them, and the one that is honest is enough.
    let begun = Instant::now();
    let _ = gate.client("alice", "web").run(&["true"]).assert_success();
    assert!(begun.elapsed() < Duration::from_secs(10));
    wait_for("the good one cosigns", || gate.path("data/log/cosigned").exists());
    let note = fs::read_to_string(gate.path("data/log/cosigned")).unwrap();
    assert!(note.contains("— example.com/good ") && !note.contains("example.com/lies"), "{note}");
    assert!(gate.node.resident_bytes() < 512 << 20);
    drop(good);
}

#[test]
fn a_witness_bounds_and_refuses_what_it_does_not_know() {
    let gate = Plan::base().start();
    let dir = gate.path("witness");
    init(&dir, "example.com/w1");
    let witness = Witness::start(&dir, &log_key(&gate), 0);
    let api = Api::new(witness.address, None);
    assert_eq!(api.call("GET", "/add-checkpoint", None).0, 405);
    assert_eq!(api.call("GET", "/", None).0, 404);
    assert_eq!(api.call("POST", "/any/prefix/add-checkpoint", Some(&Value::from("x"))).0, 400);
    let huge = Value::from("x".repeat(200_000));
    let answered = api.try_call("POST", "/add-checkpoint", Some(&huge));
    assert!(answered.is_none_or(|(status, _)| status == 413));
    // A second process does not cosign beside the first, and a second key is not made.
    let second = portcullis(
        &["witness", "run", path(&dir), "--listen", "127.0.0.1:0", "--log", &log_key(&gate)],
        &[],
    );
    assert_eq!(second.status.code(), Some(1));
    let again = portcullis(&["witness", "init", path(&dir), "--name", "example.com/w1"], &[]);
    assert_eq!(again.status.code(), Some(1));
    drop(witness);
    fs::remove_file(dir.join("state.json")).unwrap();
    let forgetful = portcullis(&["witness", "run", path(&dir), "--log", &log_key(&gate)], &[]);
    assert_eq!(forgetful.status.code(), Some(1), "it would vouch for anything");
}

/// A running witness; dropped, it is killed.
struct Witness {
    child: Child,
    address: SocketAddr,
}

impl Witness {
    fn start(dir: &Path, log: &str, port: u16) -> Self {
        let ready = dir.join("ready");
        let _ = fs::remove_file(&ready);
        let child = Command::new(PROGRAM)
            .args(["witness", "run", path(dir), "--log", log])
            .args(["--listen", &format!("127.0.0.1:{port}"), "--ready-file", path(&ready)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut facts = Value::Null;
        wait_for("the witness", || {
            let text = fs::read(&ready).unwrap_or_default();
            facts = serde_json::from_slice(&text).unwrap_or_default();
            !facts.is_null()
        });
        let address = facts["witness"].as_str().unwrap().trim_start_matches("http://");
        Self { child, address: address.parse().unwrap() }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn init(dir: &Path, name: &str) -> String {
    let (code, said) = alone(&["witness", "init", path(dir), "--name", name, "--json"]);
    assert_eq!(code, 0, "{said}");
    said["key"].as_str().unwrap().to_owned()
}

fn log_key(gate: &Gate) -> String {
    gate.api("carol").get("/v1/audit/checkpoint")["vkey"].as_str().unwrap().to_owned()
}

/// Names the witnesses in the node's configuration and starts it with them.
fn configure(gate: &mut Gate, age: &str, quorum: usize, witnesses: &[(SocketAddr, &str)]) {
    gate.node.stop();
    let file = gate.path("portcullis.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    text += &format!("\n[audit]\nquorum = {quorum}\nmax_cosignature_age = \"{age}\"\n");
    for (address, key) in witnesses {
        text += &format!("\n[[audit.witness]]\nurl = \"http://{address}\"\nkey = \"{key}\"\n");
    }
    fs::write(&file, text).unwrap();
    gate.restart();
}

fn ready(gate: &Gate) -> String {
    Api::new(gate.node.api, None).call("GET", "/readyz", None).1
}

/// Entries a witness has cosigned of the one log it knows.
fn cosigned(dir: &Path) -> u64 {
    let (_, said) = alone(&["witness", "show", path(dir), "--json"]);
    said["logs"][0]["size"].as_u64().unwrap_or(0)
}

/// A listener that does the same with every connection, on a thread each.
fn listen(each: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = std::sync::Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                // What is left unread would reset the connection before the answer is read.
                let _ = stream.read(&mut [0; 65_536]);
                each(stream);
            });
        }
    });
    address
}

#[track_caller]
fn wait_for(what: &str, mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !until() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}
