//! Prints how long searches of an audit log of many events take, how long it takes to open the proof
//! of one, and how many entries a second are verified.
//!
//! `cargo run --release -p portcullis-control --example audit_search -- [EVENTS] [DIRECTORY] [--json]`:
//! writes EVENTS (a million unless said) through the auditor, sealed as in service, has them indexed,
//! and asks. Ten million take about 8 GB of disk. What the directory has from an earlier run is used
//! again.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_control::view::{AuditQuery, LoginBody, ResourceFile};
use portcullis_control::{
    Authenticated, BootstrapUser, Control, EntryRef, Settings, SolverSettings, prove,
};
use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{Secret, SessionId, TargetName, UserName};
use portcullis_evidence::log::{Log, LogOptions, NoteSigner, verify_dir};
use portcullis_gateway::{Clock, Gateway, Hasher, Parts, SystemClock};
use portcullis_identity::authority::{SignInAuthority, TargetAuthority, TlsAuthority};
use portcullis_identity::password::{Parameters, Passwords};
use portcullis_identity::random::OsRandom;
use portcullis_store::{MasterKey, Store};
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const AT_ONCE: u64 = 500;
const WRITERS: u64 = 4;
const PEOPLE: u64 = 200;
const TARGETS: u64 = 1000;
const PASSWORD: &str = "correct horse battery staple";
const RESOURCES: &str = "kind: Role\nmetadata: {name: auditor}\nspec: {control: [read_audit]}\n---\n\
    kind: RoleAssignment\nmetadata: {name: auditor}\nspec: {role: auditor, users: [auditor]}\n---\n\
    kind: User\nmetadata: {name: auditor}\nspec: {groups: []}\n";

#[tokio::main]
async fn main() -> Result<()> {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut args = std::env::args().skip(1).filter(|argument| argument != "--json");
    let events: u64 = args.next().map_or(Ok(1_000_000), |arg| arg.parse())?;
    let kept = args.next().map(PathBuf::from);
    let scratch = std::env::temp_dir().join(format!("audit-search-{}", std::process::id()));
    let directory = kept.clone().unwrap_or_else(|| scratch.clone());
    std::fs::create_dir_all(directory.join("recordings"))?;
    let done = measure(&directory, events, json).await;
    if kept.is_none() {
        std::fs::remove_dir_all(scratch)?;
    }
    done
}

async fn measure(directory: &Path, events: u64, json: bool) -> Result<()> {
    let control = control(directory).await?;
    let who = sign_in(&control).await?;
    let log = control.gateway().auditor().log().clone();
    let begun = Instant::now();
    let mut writers = Vec::new();
    let missing = events.saturating_sub(log.size());
    for writer in 0..WRITERS {
        let control = control.clone();
        writers.push(tokio::spawn(async move {
            for begin in (writer * AT_ONCE..missing).step_by((WRITERS * AT_ONCE) as usize) {
                let batch = (begin..begin + AT_ONCE).map(event).collect::<Result<Vec<_>>>()?;
                control.gateway().auditor().write_all(batch).await?;
            }
            Result::Ok(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    let written = begun.elapsed().as_secs_f64();
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let reconciling = tokio::spawn({
        let (control, stop) = (control.clone(), stop.clone());
        async move { control.reconcile(stop).await }
    });
    while !control.index_is_whole()? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let indexed = begun.elapsed().as_secs_f64();
    say(json, "written", "s", written);
    say(json, "indexed", "s", indexed);
    searches(&control, &who, json).await?;
    proofs(&control, json).await?;
    stop.cancel();
    reconciling.await?;
    log.close().await?;
    let begun = Instant::now();
    let verified = verify_dir(&directory.join("log"), log.verifier())?;
    say(json, "verified", "entries/s", verified.size as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// The query of a round, over a log of so many entries.
type Question = fn(u64, u64) -> AuditQuery;

/// Each question several times, about another person, target or word every time.
async fn searches(control: &Control, who: &Authenticated, json: bool) -> Result<()> {
    let questions: [(&str, Question); 7] = [
        ("person", |n, _| AuditQuery { user: Some(person(n)), ..AuditQuery::default() }),
        ("target, outcome", |n, _| AuditQuery {
            target: Some(target(n)),
            outcome: Some("refused".into()),
            ..AuditQuery::default()
        }),
        ("person, target, action", |n, _| AuditQuery {
            user: Some(person(n)),
            target: Some(target(n * 7)),
            action: Some("exec".into()),
            ..AuditQuery::default()
        }),
        ("rare text", |n, size| AuditQuery {
            text: Some(format!("ticket-{:09}", scrambled(n * 991 % size))),
            ..AuditQuery::default()
        }),
        ("text that is not there", |n, _| AuditQuery {
            text: Some(format!("nothing like this {n}")),
            ..AuditQuery::default()
        }),
        ("person, text", |n, _| AuditQuery {
            user: Some(person(n)),
            text: Some("restore".into()),
            ..AuditQuery::default()
        }),
        ("nobody", |n, _| AuditQuery { user: Some(format!("no-{n}")), ..AuditQuery::default() }),
    ];
    let size = control.gateway().auditor().log().size();
    for (name, question) in questions {
        let mut waits = Vec::new();
        for round in 0..15 {
            let begun = Instant::now();
            control.audit_search(who, question(round * 13 + 5, size)).await?;
            waits.push(begun.elapsed());
        }
        waits.sort_unstable();
        let milliseconds = |at: usize| waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
        say(json, &format!("search: {name}, median"), "ms", milliseconds(7));
        say(json, &format!("search: {name}, slowest"), "ms", milliseconds(14));
    }
    Ok(())
}

async fn proofs(control: &Control, json: bool) -> Result<()> {
    let log = control.gateway().auditor().log();
    let reader = log.reader();
    let waits = tokio::task::spawn_blocking(move || -> Result<Vec<Duration>> {
        let note = reader.checkpoint_note()?;
        let size = reader.checkpoint()?.size;
        let mut waits = Vec::new();
        for round in 0..50 {
            let entry = reader.entry(scrambled(round) % size)?;
            let event: serde_json::Value = serde_json::from_slice(&entry)?;
            let id = event.pointer("/metadata/uid").and_then(serde_json::Value::as_str);
            let which: EntryRef = id.unwrap_or_default().parse()?;
            let begun = Instant::now();
            prove(&reader, note.clone(), &which)?;
            waits.push(begun.elapsed());
        }
        waits.sort_unstable();
        Ok(waits)
    });
    let waits = waits.await??;
    let milliseconds = |at: usize| waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    say(json, "proof of an event, median", "ms", milliseconds(25));
    say(json, "proof of an event, slowest", "ms", milliseconds(49));
    Ok(())
}

fn say(json: bool, what: &str, unit: &str, value: f64) {
    match json {
        true => println!("{{\"case\":\"{what}\",\"unit\":\"{unit}\",\"value\":{value:.3}}}"),
        false => println!("{what}: {value:.1} {unit}"),
    }
}

fn scrambled(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34
}

fn person(n: u64) -> String {
    format!("person-{:03}", scrambled(n) % PEOPLE)
}

fn target(n: u64) -> String {
    format!("web-{:04}", scrambled(n * 3 + 1) % TARGETS)
}

/// Event number `n`: a command in a session, every ninth one refused.
fn event(n: u64) -> Result<Event> {
    let at = SystemClock::new().now();
    let user: UserName = person(n).parse()?;
    let target: TargetName = target(n).parse()?;
    let words = ["restore", "deploy", "look at", "restart", "measure"];
    let word = words.get((scrambled(n) % 5) as usize).unwrap_or(&"");
    let event = Event::new(Activity::Channel, at)
        .user(&user)
        .target(&target)
        .environment(&"production".parse()?)
        .session(SessionId::generate(at))
        .source("192.0.2.7".parse()?)
        .detail("action", if n.is_multiple_of(2) { "shell" } else { "exec" })
        .detail("command", format!("{word} the service of ticket-{:09}", scrambled(n)));
    Ok(match n % 9 {
        0 => event.outcome(Outcome::Refused("no grant".into())),
        _ => event,
    })
}

async fn sign_in(control: &Control) -> Result<Authenticated> {
    let source = "127.0.0.1".parse()?;
    let body = serde_json::json!({"user": "auditor", "password": PASSWORD});
    let body: LoginBody = serde_json::from_value(body)?;
    let view = control.login(body, source, None).await?;
    Ok(control.caller(&view.token, source).await?)
}

async fn control(directory: &Path) -> Result<Control> {
    let clock = SystemClock::new();
    let now = clock.now();
    let url = format!("sqlite://{}", directory.join("portcullis.db").display());
    let store = Store::open(&url, MasterKey::from_bytes([7; 32]), now).await?;
    let signer = NoteSigner::new("gate.example/log", &[7; 32])?;
    let at = directory.join("log");
    let opened = tokio::task::spawn_blocking(move || Log::open(&at, signer, LogOptions::default()));
    let cheap = Parameters { memory_kib: 8, iterations: 1, lanes: 1 };
    let gateway = Gateway::start(Parts {
        recording_keys: store.key_wrap("recordings", now).await?,
        store,
        log: opened.await??,
        clock: Arc::new(clock),
        sign_in_authority: SignInAuthority::generate(&mut OsRandom)?,
        target_authority: TargetAuthority::generate(&mut OsRandom)?,
        tls_authority: TlsAuthority::from_pem(&TlsAuthority::generate(now)?)?,
        recordings: directory.join("recordings"),
        hasher: Hasher::start(Arc::new(Passwords::new(cheap)?))?,
        node: "measured".into(),
        connections_per_person: portcullis_gateway::CONNECTIONS_PER_PERSON,
    })
    .await?;
    let settings = Settings {
        ssh_address: "127.0.0.1:2222".into(),
        postgres_address: None,
        gate_host_key: String::new(),
        log_directory: directory.join("log"),
        sign_in_lifetime: Duration::from_secs(3600 * 12),
        sign_in_idle: Duration::from_secs(3600 * 12),
        solver: SolverSettings::default(),
    };
    let control = Control::new(gateway, settings);
    if control.gateway().snapshot().facts.users.is_empty() {
        let files = vec![ResourceFile { name: "all.yaml".into(), text: RESOURCES.into() }];
        let password = Secret::new(PASSWORD.into());
        let user = BootstrapUser { name: "auditor".parse()?, password, totp_secret: None };
        control.bootstrap(&"auditor".parse()?, files, vec![user]).await?;
    }
    Ok(control)
}
