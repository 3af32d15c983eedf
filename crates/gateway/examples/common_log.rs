//! Prints how many events of 1 kB several nodes make durable per second in one log, on one
//! PostgreSQL whose commits wait for the disk.
//!
//! `cargo run --release -p portcullis-gateway --example common_log -- [NODES] [APPENDERS] [SECONDS] [--json]`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_domain::Timestamp;
use portcullis_evidence::log::{Log, LogOptions, NoteSigner};
use portcullis_gateway::CommonSequence;
use portcullis_store::{LogSequence, MasterKey, Store};
use portcullis_testkit::{PostgresServer, TempDir};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Bytes of an event.
const EVENT_BYTES: usize = 1000;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let nodes: usize = numbers.next().unwrap_or(2).max(1);
    let appenders: usize = numbers.next().unwrap_or(1000);
    let seconds: usize = numbers.next().unwrap_or(5);
    let server = tokio::task::spawn_blocking(PostgresServer::start_durable).await?;
    let url = server.url();
    let _store =
        Store::open(&url, MasterKey::from_bytes([1; 32]), Timestamp::from_millis(0)).await?;
    let mut logs = Vec::new();
    for _ in 0..nodes {
        let directory = TempDir::new()?;
        let sequence = Arc::new(CommonSequence::new(LogSequence::open(&url).await?));
        let signer = NoteSigner::new("example.com/common", &[1; 32])?;
        let options = LogOptions::default();
        let log = Log::open_shared(directory.path(), signer, options, sequence).await?;
        logs.push((log, directory));
    }
    let (waits, elapsed) =
        append(&logs, appenders, Duration::from_secs(u64::try_from(seconds)?)).await?;
    let at = |share: usize| {
        waits.get(waits.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let (rate, p50, p99) = (waits.len() as f64 / elapsed, at(50), at(99));
    let begun = Instant::now();
    for (log, _) in &logs {
        log.caught_up().await?;
    }
    let behind = begun.elapsed().as_secs_f64() * 1e3;
    let sizes: Vec<u64> = logs.iter().map(|(log, _)| log.size()).collect();
    if sizes.iter().any(|size| *size != waits.len() as u64) {
        return Err(
            format!("{} events were answered, the nodes have {sizes:?}", waits.len()).into()
        );
    }
    if json {
        println!(
            "{{\"case\":\"common_log\",\"nodes\":{nodes},\"events_per_s\":{rate:.0},\
             \"p50_ms\":{p50:.2},\"p99_ms\":{p99:.2}}}"
        );
    } else {
        println!(
            "{nodes} nodes, {appenders} appenders: {rate:.0} events/s durable, p50 {p50:.1} ms, \
             p99 {p99:.1} ms; every node had them all {behind:.0} ms later"
        );
    }
    for (log, _) in &logs {
        log.close().await?;
    }
    Ok(())
}

/// Appends at all nodes; how long each append took, shortest first, and how long it all took.
async fn append(
    logs: &[(Log, TempDir)],
    appenders: usize,
    time: Duration,
) -> Outcome<(Vec<Duration>, f64)> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (task, (log, _)) in (0..appenders).zip(logs.iter().cycle()) {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while start.elapsed() < time {
                let mut entry = format!("{task}-{}", waits.len()).into_bytes();
                entry.resize(EVENT_BYTES, b'.');
                let begun = Instant::now();
                log.append(entry).await?;
                waits.push(begun.elapsed());
            }
            Outcome::Ok(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    Ok((waits, elapsed))
}
