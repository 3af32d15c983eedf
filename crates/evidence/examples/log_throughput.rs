//! Prints how many events of 1 kB the log makes durable per second and how long each waits, and
//! how many megabytes per second a recorder takes.
//!
//! `cargo run --release -p portcullis-evidence --example log_throughput -- [APPENDERS] [SECONDS] [DIRECTORY] [--json]`;
//! with `--json` only the log, one JSON object.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::log::{Log, LogOptions, NoteSigner, verify_dir};
use portcullis_evidence::recording::{ChunkSync, FrameKind, Recorder, RecordingMeta};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut args = std::env::args().skip(1).filter(|argument| argument != "--json");
    let appenders: usize = args.next().map_or(Ok(1000), |arg| arg.parse())?;
    let seconds: u64 = args.next().map_or(Ok(5), |arg| arg.parse())?;
    let scratch = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = scratch.join(format!("log-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let time = Duration::from_secs(seconds);
    let done = if json {
        log(&directory.join("log"), appenders, time, true).await
    } else {
        measure(&directory, appenders, time).await
    };
    std::fs::remove_dir_all(&directory)?;
    done
}

async fn measure(directory: &Path, appenders: usize, time: Duration) -> Outcome<()> {
    log(&directory.join("log"), appenders, time, false).await?;
    let mut noise = vec![0; 32 * 1024];
    aws_lc_rs::rand::fill(&mut noise).map_err(|_| "no random numbers")?;
    recorder(&directory.join("random"), "random", &noise, 2 << 30).await?;
    let text: String = (0..400)
        .map(|n| format!("\x1b[32mok\x1b[0m   {n:>6} drwxr-xr-x  2 root root {:>8} Jan {:>2} 12:{:02} file-{n}\r\n", n * 7919 % 100_003, n % 31, n % 60))
        .collect();
    recorder(&directory.join("text"), "terminal text", text.as_bytes(), 1 << 30).await
}

async fn log(directory: &Path, appenders: usize, time: Duration, json: bool) -> Outcome<()> {
    let signer = NoteSigner::new("example.com/log", &[1; 32])?;
    let verifier = signer.verifier();
    let log = Log::open(directory, signer, LogOptions::default())?;
    let start = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..appenders {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while start.elapsed() < time {
                let mut entry = format!("{task}-{}", waits.len()).into_bytes();
                entry.resize(1000, b'.');
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
    let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
    let (rate, p50, p99) =
        (waits.len() as f64 / elapsed, at(50).as_secs_f64() * 1e3, at(99).as_secs_f64() * 1e3);
    let begun = Instant::now();
    log.close().await?;
    let closing = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let verified = verify_dir(directory, &verifier)?;
    let verifying = verified.size as f64 / begun.elapsed().as_secs_f64();
    if json {
        println!(
            "{{\"case\":\"log\",\"events_per_s\":{rate:.0},\"p50_ms\":{p50:.2},\
             \"p99_ms\":{p99:.2},\"verified_per_s\":{verifying:.0}}}"
        );
    } else {
        println!(
            "log: {appenders} appenders, {rate:.0} events/s durable, p50 {p50:.1} ms, p99 {p99:.1} ms; \
             closed in {closing:.2} s; {verifying:.0} entries/s verified"
        );
    }
    Ok(())
}

async fn recorder(path: &Path, name: &str, piece: &[u8], bytes: usize) -> Outcome<()> {
    let start = Instant::now();
    let meta = RecordingMeta { session: name.into(), ..RecordingMeta::default() };
    let recorder = Recorder::create(path, &meta, &KnownKeys, ChunkSync::AtClose, start, None)?;
    let mut taken = 0;
    while taken < bytes {
        recorder.observe(FrameKind::Output, 0, Instant::now(), piece).await?;
        taken += piece.len();
    }
    recorder.flush().await?;
    let seconds = start.elapsed().as_secs_f64();
    let summary = recorder.close().await?;
    println!(
        "recorder: {name}: {:.0} MB/s, {:.2} of its size",
        taken as f64 / seconds / 1e6,
        summary.bytes as f64 / taken as f64
    );
    Ok(())
}
