//! Recordings as evidence: whatever is done to one on the disk is found, with its first bad chunk.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_testkit::TempDir;
use serde_json::Value;

use crate::gate::{Gate, Plan, SOON};
use crate::node::portcullis;
use crate::recording::{export, output_of};

/// A person at the command line, signed in.
pub(crate) struct Desk<'a> {
    gate: &'a Gate,
    home: TempDir,
}

impl<'a> Desk<'a> {
    pub(crate) fn of(gate: &'a Gate, name: &str) -> Self {
        let desk = Self { gate, home: TempDir::new().unwrap() };
        let secrets = [("PORTCULLIS_PASSWORD", gate.person(name).password.clone())];
        let (code, text) = desk.with(&["login", name], &secrets, &gate.code(name));
        assert_eq!(code, Some(0), "{text}");
        desk
    }

    /// The exit code and everything said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.with(arguments, &[], "")
    }

    fn with(
        &self,
        arguments: &[&str],
        secrets: &[(&str, String)],
        code: &str,
    ) -> (Option<i32>, String) {
        let address = format!("http://{}", self.gate.node.api);
        let mut environment = vec![
            ("PORTCULLIS_HOME", self.home.path().to_str().unwrap()),
            ("PORTCULLIS_ADDRESS", address.as_str()),
            ("PORTCULLIS_CODE", code),
        ];
        environment.extend(secrets.iter().map(|(name, value)| (*name, value.as_str())));
        let output = portcullis(arguments, &environment);
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&both).into_owned())
    }
}

/// The file of a session's recording.
pub(crate) fn file_of(gate: &Gate, session: &str) -> PathBuf {
    gate.path(&format!("data/recordings/{session}.rec"))
}

/// Runs a command through the gate and returns its closed session.
pub(crate) fn session_of(gate: &Gate, target: &str, command: &str) -> String {
    let closed = |entries: &[crate::gate::Entry]| {
        entries.iter().filter(|entry| entry.activity() == "session.close").count()
    };
    let before = closed(&gate.audit());
    let _ = gate.client("alice", target).run(&[command]).assert_success();
    let deadline = std::time::Instant::now() + crate::gate::SOON;
    loop {
        let entries = gate.audit();
        if closed(&entries) > before {
            let last = entries.iter().rfind(|entry| entry.activity() == "session.close").unwrap();
            return last.detail("session").to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "the session was not closed");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Where each chunk begins, and the end of the file.
fn chunks(file: &[u8]) -> Vec<usize> {
    let length = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let mut places = vec![12 + length(8)];
    while *places.last().unwrap() < file.len() {
        let at = *places.last().unwrap();
        places.push(at + 12 + length(at));
    }
    places
}

#[test]
fn what_is_done_to_a_recording_is_found_and_its_first_bad_chunk_named() {
    let gate = Plan::base().start();
    let noise = "head -c 1500000 /dev/urandom | base64 -w 76";
    let (one, other) = (session_of(&gate, "web", noise), session_of(&gate, "web", noise));
    let closing = gate.wait_for_entry("the end", |entry| {
        entry.activity() == "session.close" && entry.detail("session") == one
    });
    let recording = &closing.event()["unmapped"]["recording"];
    let file = file_of(&gate, &one);
    let good = fs::read(&file).unwrap();
    let places = chunks(&good);
    let count = places.len() - 1;
    assert!(count > 5, "{count} chunks");
    assert_eq!(recording["chunks"], count, "{recording}");
    assert_eq!(recording["sha256"].as_str().unwrap().len(), 64);

    let desk = Desk::of(&gate, "carol");
    let verify = |arguments: &[&str]| {
        let arguments = [&["sessions", "verify", "--json"], arguments].concat();
        let (code, text) = desk.run(&arguments);
        let lines: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (code, lines, text)
    };
    let (code, lines, text) = verify(&[&one]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(lines[0]["recording"]["state"], "verified", "{text}");
    assert_eq!(lines[0]["recording"]["logged"], count - 1, "the end mark is in the closing entry");
    let (code, lines, text) = verify(&["--all"]);
    assert_eq!((code, lines.len()), (Some(0), 3), "{text}");
    assert_eq!((&lines[2]["done"]["checked"], &lines[2]["done"]["bad"]), (&2.into(), &0.into()));

    let check = |what: &str, bytes: Option<&[u8]>, state: &str, chunk: usize| {
        match bytes {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        for arguments in [[one.as_str()], ["--all"]] {
            let (code, lines, text) = verify(&arguments);
            assert_eq!(code, Some(1), "{what}: {text}");
            let found = lines.iter().map(|line| &line["recording"]);
            let found = found.into_iter().find(|found| found["session"] == one.as_str()).unwrap();
            assert_eq!(found["state"], state, "{what}: {text}");
            assert_eq!(found["first_bad_chunk"], chunk, "{what}: {text}");
        }
        let (code, text) = desk.run(&["sessions", "verify", &one]);
        assert!(code == Some(1) && text.contains(&format!("first bad chunk {chunk}")), "{text}");
        let (status, text) = export(&gate, &one, "frames");
        assert!(status >= 400, "{what}: it is played: {status}");
        let named = text.contains(&format!("chunk `{chunk}`"));
        assert!(named || bytes.is_none() || chunk == 0, "{what}: {text}");
    };
    let mut flipped = good.clone();
    flipped[places[2] + 500] ^= 4;
    check("a flipped bit", Some(&flipped), "damaged", 2);
    let dropped = [&good[..places[1]], &good[places[2]..]].concat();
    check("a dropped chunk", Some(&dropped), "damaged", 1);
    let chunk = |n: usize| &good[places[n]..places[n + 1]];
    let swapped = [&good[..places[1]], chunk(2), chunk(1), &good[places[3]..]].concat();
    check("swapped chunks", Some(&swapped), "damaged", 1);
    check("a chunk cut short", Some(&good[..places[3] + 100]), "damaged", 3);
    let without_last = &good[..places[count - 2]];
    check("without its last chunks", Some(without_last), "damaged", count - 2);
    let of_other = fs::read(file_of(&gate, &other)).unwrap();
    check("another session's", Some(&of_other), "damaged", 0);
    check("with something behind it", Some(&[good.as_slice(), b"x"].concat()), "damaged", count);
    check("deleted", None, "missing", 0);

    // What stands before the damage is still evidence.
    fs::write(&file, &flipped).unwrap();
    let path = format!("/v1/sessions/{one}/recording?up_to_damage=true");
    let mut answer = Vec::new();
    let mut stream = gate.api("carol").open("GET", &path, None);
    let whole = std::io::Read::read_to_end(&mut stream, &mut answer);
    let lines = String::from_utf8_lossy(&answer);
    let read = lines.rfind('\n').map_or("", |end| &lines[..end]);
    let output = output_of(read, "output");
    assert!(output.len() > 256 * 1024, "{} bytes, {whole:?}", output.len());
    assert!(output.len() < 3 * 256 * 1024, "more than what stands before the damage");
    fs::write(&file, &good).unwrap();
    assert_eq!(verify(&[&one]).0, Some(0));

    // Verifying is reading, and needs the right to.
    let path = format!("/v1/recordings/verify?session={one}");
    assert_eq!(gate.api("bob").call("POST", &path, None).0, 403);
    let verified = |entry: &crate::gate::Entry| {
        entry.activity() == "recording.read" && entry.detail("kind") == "verify"
    };
    assert!(gate.audit().iter().any(|entry| verified(entry) && entry.detail("session") == one));
}

#[test]
fn what_was_typed_and_what_was_on_the_screen_is_found_across_sessions() {
    let gate = Plan::base().start();
    let mut shell = gate.client("alice", "web").pty(&[], &["bash --norc"]);
    shell.send_line("PS1='$ '; printf 'in\\033[1mvoi\\033[0mce-%s\\n' 4711");
    shell.expect("-4711", SOON);
    shell.send_line("read -s -p 'Secret: ' secret; echo; echo length=${#secret}");
    shell.expect("Secret: ", SOON);
    std::thread::sleep(Duration::from_millis(300));
    shell.send_line("hunter2-correct-horse");
    shell.expect("length=21", SOON);
    let live = gate.wait_for_sessions(1)[0]["id"].as_str().unwrap().to_owned();
    let plain = session_of(&gate, "web", "echo first; echo another Invoice-4711 here");

    let search = |name: &str, query: &str| -> Vec<Value> {
        let path = format!("/v1/recordings/search?{query}");
        let (status, text) = gate.api(name).call("GET", &path, None);
        assert_eq!(status, 200, "{text}");
        let lines: Vec<Value> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.last().unwrap()["done"].is_object(), "{text}");
        lines
    };
    let matches = |query: &str| -> Vec<Value> {
        let lines = search("carol", query);
        lines.iter().map(|line| line["match"].clone()).filter(|found| !found.is_null()).collect()
    };
    // A live session and a closed one, the escapes within the word notwithstanding.
    let found = matches("text=invoice-4711&within=screen");
    let sessions: Vec<&str> =
        found.iter().map(|found| found["session"].as_str().unwrap()).collect();
    assert!(sessions.contains(&live.as_str()) && sessions.contains(&plain.as_str()), "{found:?}");
    let of_plain = found.iter().find(|found| found["session"] == plain.as_str()).unwrap();
    assert_eq!(of_plain["line"], "another Invoice-4711 here");
    assert!(of_plain["at_us"].as_u64() < Some(20_000_000), "{of_plain}");
    assert_eq!((&of_plain["user"], &of_plain["target"]), (&"alice".into(), &"web".into()));
    let typed = matches("text=length%3D&within=typed");
    assert_eq!((typed.len(), &typed[0]["kind"]), (1, &"typed".into()), "{typed:?}");
    let command = matches("text=echo+first&within=typed");
    assert_eq!((command.len(), &command[0]["kind"]), (1, &"command".into()), "{command:?}");
    assert!(matches("text=hunter2").is_empty(), "what was masked stays masked");
    assert!(matches("text=invoice-4711&user=bob").is_empty());
    assert!(matches("text=invoice-4711&to=2020-01-01T00:00:00Z").is_empty());
    assert!(matches("text=invoice-4711&environment=prod").is_empty());
    let limited = search("carol", "text=e&limit=2");
    assert_eq!(limited.last().unwrap()["done"]["limited"], true);

    // After its end the session is searched in its text, which is as secret as the recording.
    shell.send_line("exit");
    shell.wait_exit(SOON);
    gate.wait_for_sessions(0);
    let text = file_of(&gate, &live).with_extension("text");
    let deadline = std::time::Instant::now() + SOON;
    while !text.exists() {
        assert!(std::time::Instant::now() < deadline, "no text was made");
        std::thread::sleep(Duration::from_millis(200));
    }
    let bytes = fs::read(&text).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"length"), "it is not encrypted");
    let again = matches("text=invoice-4711&within=screen");
    assert!(again.iter().any(|found| found["session"] == live.as_str()), "{again:?}");
    // Thrown away or spoilt, it is made again.
    fs::write(&text, &bytes[..bytes.len() / 2]).unwrap();
    let _ = search("carol", "text=invoice-4711");
    assert_eq!(matches("text=invoice-4711&within=screen").len(), again.len());
    let desk = Desk::of(&gate, "carol");
    let (code, said) = desk.run(&["sessions", "search", "invoice-4711", "--screen"]);
    assert!(code == Some(0) && said.contains("another Invoice-4711 here"), "{said}");
    let (code, said) = desk.run(&["sessions", "play", &plain, "--from", "0:01"]);
    assert!(code == Some(0) && said.contains("Invoice-4711"), "{said}");

    // It needs the right, is in the log with what was asked, and leaves out what one may not read.
    assert_eq!(gate.api("bob").call("GET", "/v1/recordings/search?text=x", None).0, 403);
    gate.wait_for_entry("the search", |entry| {
        entry.detail("kind") == "search" && entry.detail("query").contains("invoice-4711")
    });
}

#[test]
fn only_the_readers_an_environment_names_read_its_recordings() {
    let gate = Plan::base().start();
    let session = session_of(&gate, "web", "echo for-readers-only");
    let watched = gate.client("alice", "web").spawn(&["sleep 60"]);
    let live = gate.wait_for_sessions(1)[0]["id"].as_str().unwrap().to_owned();
    let carol = gate.api("carol");
    let paths = [
        ("GET", format!("/v1/sessions/{session}/recording")),
        ("GET", format!("/v1/sessions/{session}/recording?format=asciicast-v2")),
        ("POST", format!("/v1/recordings/verify?session={session}")),
        ("GET", format!("/v1/sessions/{live}/watch")),
    ];
    let reads = || gate.audit().iter().filter(|e| e.activity() == "recording.read").count();
    for (method, path) in paths.iter().take(3) {
        let before = reads();
        assert_eq!(carol.call(method, path, None).0, 200, "{path}");
        assert_eq!(reads(), before + 1, "{path}: it is in the log");
    }
    gate.apply(
        "kind: Environment\nmetadata: {name: open}\nspec: {tier: development, recording: required, \
         recordings: {readers: [developers]}}\n",
    );
    for (method, path) in &paths {
        let before = reads();
        let (status, text) = carol.call(method, path, None);
        assert_eq!(status, 403, "{path}: {text}");
        assert!(text.contains("recordings.readers"), "{text}");
        assert_eq!(reads(), before + 1, "{path}: the refusal is in the log");
    }
    let (status, text) = carol.call("GET", "/v1/recordings/search?text=for-readers", None);
    assert!(status == 200 && !text.contains("for-readers-only"), "{text}");
    assert_eq!(carol.call("POST", "/v1/recordings/verify", None).0, 200);
    drop(watched);
}

#[test]
fn a_recording_whose_time_is_over_is_removed_and_said_to_be_and_a_hold_keeps_it() {
    let mut plan = Plan::base();
    plan.targets.push(("scratch".to_owned(), "brief", "web"));
    plan.people.push(("warden", "wardens"));
    plan.resources = "---\nkind: Environment\nmetadata: {name: brief}\nspec: {tier: development, \
         recording: required, recordings: {keep: 8s}}\n\
         ---\nkind: Group\nmetadata: {name: wardens}\nspec: {}\n\
         ---\nkind: Role\nmetadata: {name: warden}\nspec: {control: [hold_evidence]}\n\
         ---\nkind: RoleAssignment\nmetadata: {name: wardens}\nspec: {role: warden, groups: [wardens]}\n"
        .to_owned();
    let gate = plan.start();
    let held = session_of(&gate, "scratch", "echo held-for-the-case");
    let scope = serde_json::json!({"kind": "session", "name": held});
    let hold = serde_json::json!({"scope": scope, "reason": "case 17"});
    gate.api("warden").post("/v1/holds", &hold);
    let gone = session_of(&gate, "scratch", "echo soon-to-be-gone");
    let kept = session_of(&gate, "web", "echo kept-for-ever");
    let desk = Desk::of(&gate, "carol");
    let verify = |arguments: &[&str]| {
        let (code, text) = desk.run(&[&["sessions", "verify", "--json"], arguments].concat());
        let lines: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (code, lines, text)
    };
    let (code, text) = desk.run(&["sessions", "verify", &gone]);
    assert!(code == Some(0) && text.contains("verified"), "{text}");
    let copy = fs::read(file_of(&gate, &gone)).unwrap();
    let removed = gate.wait_for_entry("the removal", |entry| {
        entry.activity() == "recording.remove" && entry.detail("session") == gone
    });
    assert_eq!((removed.detail("cause"), removed.detail("environment")), ("retention", "brief"));
    let deadline = std::time::Instant::now() + SOON;
    let files = [file_of(&gate, &gone), file_of(&gate, &gone).with_extension("text")];
    while files.iter().any(|file| file.exists()) {
        assert!(std::time::Instant::now() < deadline, "the files were not removed");
        std::thread::sleep(Duration::from_millis(100));
    }
    let event = removed.event()["metadata"]["uid"].as_str().unwrap().to_owned();
    let says_removed = |what: &str| {
        for arguments in [[gone.as_str()], ["--all"]] {
            let (code, lines, text) = verify(&arguments);
            assert_eq!(code, Some(0), "{what}: {text}");
            let found = lines.iter().map(|line| &line["recording"]);
            let found = found.into_iter().find(|found| found["session"] == gone.as_str()).unwrap();
            assert_eq!(found["state"], "removed", "{what}: {text}");
            let why = found["why"].as_str().unwrap();
            assert!(why.starts_with("removed by retention at 2") && why.contains(&event), "{why}");
        }
    };
    says_removed("removed");
    let (status, text) = export(&gate, &gone, "frames");
    assert!(status == 404 && text.contains(&event), "{status} {text}");
    // Whoever kept a copy of the file, and runs the node, has nothing: half of its key is gone.
    fs::write(file_of(&gate, &gone), &copy).unwrap();
    says_removed("a copy put back");
    // What is held stays, and so does what no environment gives a time.
    std::thread::sleep(Duration::from_secs(6));
    let (_, lines, text) = verify(&["--all"]);
    for id in [&held, &kept] {
        let found = lines.iter().find(|line| line["recording"]["session"] == id.as_str());
        assert_eq!(found.unwrap()["recording"]["state"], "verified", "{text}");
    }
    let removals = gate.audit().iter().filter(|e| e.activity() == "recording.remove").count();
    assert_eq!(removals, 1);
    // Anybody else who deletes one is found out.
    fs::remove_file(file_of(&gate, &kept)).unwrap();
    assert_eq!(verify(&[&kept]).1[0]["recording"]["state"], "missing");
}
