//! Records 54 MB of what terminals show and prints how large the recording is and how fast it was
//! made, as JSON lines: one for each kind of output and one for all of it in turn.
//!
//! `cargo run --release -p portcullis-evidence --example recording_size -- [DIRECTORY]`
//!
//! The output is made, the same each time: a build with warnings, a recursive listing, a screen
//! redrawn twice a second, commits with their hashes; the source shown is this project's own.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::recording::{ChunkSync, FrameKind, Recorder, RecordingMeta};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Bytes of terminal output, as in the figure this is held against.
const BYTES: usize = 54_000_000;
/// What one read of a terminal gives at most.
const PIECE: usize = 4096;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let scratch = std::env::args().skip(1).find(|argument| argument != "--json");
    let scratch = scratch.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = scratch.join(format!("recording-size-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let done = measure(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    done
}

async fn measure(directory: &Path) -> Outcome<()> {
    let sources = sources()?;
    let kinds: [(&str, Kind); 5] = [
        ("build log", build),
        ("listing", listing),
        ("screen redraws", redraws),
        ("commits", commits),
        ("source", source),
    ];
    let mut all = String::new();
    for (name, kind) in kinds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut text = String::new();
        while text.len() < BYTES / kinds.len() {
            kind(&mut text, &mut random, &sources);
        }
        record(directory, name, &text).await?;
        all.push_str(&text);
    }
    let end = (0..=BYTES).rev().find(|at| all.is_char_boundary(*at)).unwrap_or(0);
    all.truncate(end);
    record(directory, "all", &all).await
}

async fn record(directory: &Path, name: &str, text: &str) -> Outcome<()> {
    let meta = RecordingMeta { session: name.into(), ..RecordingMeta::default() };
    let start = Instant::now();
    let path = directory.join(name);
    let recorder = Recorder::create(&path, &meta, &KnownKeys, ChunkSync::AtClose, start, None)?;
    for piece in text.as_bytes().chunks(PIECE) {
        recorder.observe(FrameKind::Output, 0, Instant::now(), piece).await?;
    }
    recorder.flush().await?;
    let seconds = start.elapsed().as_secs_f64();
    let summary = recorder.close().await?;
    println!(
        "{}",
        serde_json::json!({
            "output": name,
            "bytes": text.len(),
            "recorded": summary.bytes,
            "chunks": summary.chunks,
            "mb_per_second": (text.len() as f64 / seconds / 1e6).round(),
        })
    );
    Ok(())
}

type Kind = fn(&mut String, &mut Random, &[String]);

/// xorshift64*: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(words.len() as u64)).unwrap_or_default();
        words.get(at).copied().unwrap_or_default()
    }

    /// A size as files have: of every magnitude.
    fn size(&mut self) -> u64 {
        let magnitude = 4 + self.below(24);
        self.below(1 << magnitude)
    }

    /// A name of two or three words.
    fn name(&mut self, joint: &str) -> String {
        let mut name = self.of(WORDS).to_owned();
        for _ in 0..=self.below(2) {
            name = format!("{name}{joint}{}", self.of(WORDS));
        }
        name
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            let _ = write!(text, "{:016x}", self.next());
        }
        text.truncate(digits);
        text
    }
}

const WORDS: &[&str] = &[
    "account", "adapter", "archive", "audit", "batch", "billing", "buffer", "cache", "catalog",
    "channel", "checkout", "client", "cluster", "codec", "config", "core", "customer", "data",
    "device", "driver", "edge", "engine", "event", "export", "feature", "field", "filter", "frame",
    "gateway", "graph", "handler", "index", "input", "invoice", "item", "journal", "kernel", "key",
    "layer", "ledger", "lexer", "lock", "main", "map", "merge", "metric", "mirror", "model",
    "node", "object", "order", "output", "page", "parser", "payment", "pool", "proxy", "query",
    "queue", "record", "region", "report", "request", "route", "schema", "search", "session",
    "shard", "signal", "socket", "state", "store", "stream", "table", "target", "task", "tenant",
    "test", "token", "trace", "tree", "user", "vault", "vector", "view", "worker", "zone",
];

fn build(text: &mut String, random: &mut Random, _: &[String]) {
    let (module, line, column) = (random.name("_"), random.below(2000), random.below(100));
    let _ = match random.below(12) {
        0..=4 => write!(
            text,
            "\x1b[1m\x1b[32m   Compiling\x1b[0m {} v{}.{}.{} (/home/build/src/{})\r\n",
            random.name("-"),
            random.below(4),
            random.below(40),
            random.below(20),
            random.name("/")
        ),
        5..=7 => write!(
            text,
            "[{:>3}%] Building CXX object src/{}/CMakeFiles/{}.dir/{}.cpp.o\r\n",
            random.below(101),
            random.name("/"),
            random.of(WORDS),
            module
        ),
        8 | 9 => write!(
            text,
            "\x1b[1m\x1b[33mwarning\x1b[0m\x1b[1m: unused variable: `{0}`\x1b[0m\r\n  \x1b[34m--> \x1b[0msrc/{1}.rs:{line}:{column}\r\n   \x1b[34m|\x1b[0m\r\n\x1b[34m{line} |\x1b[0m     let {0} = {2}.{3}({4});\r\n   \x1b[34m|\x1b[0m         \x1b[33m^^^^^^\x1b[0m help: prefix it with an underscore: `_{0}`\r\n\r\n",
            module,
            random.name("/"),
            random.of(WORDS),
            random.name("_"),
            random.below(10_000)
        ),
        10 => write!(
            text,
            "test {}::{} ... \x1b[32mok\x1b[0m ({}.{:03}s)\r\n",
            random.name("::"),
            module,
            random.below(3),
            random.below(1000)
        ),
        _ => write!(
            text,
            "2026-03-{:02}T{:02}:{:02}:{:02}.{:06}Z \x1b[36mINFO\x1b[0m {}: {} took={}ms id={} bytes={}\r\n",
            1 + random.below(28),
            random.below(24),
            random.below(60),
            random.below(60),
            random.below(1_000_000),
            module,
            random.name(" "),
            random.below(4000),
            random.hex(32),
            random.below(1 << 24)
        ),
    };
}

fn listing(text: &mut String, random: &mut Random, _: &[String]) {
    let _ = write!(
        text,
        "\r\n./{}/{}:\r\ntotal {}\r\n",
        random.name("/"),
        random.name("-"),
        random.below(9000)
    );
    for _ in 0..3 + random.below(40) {
        let _ = write!(
            text,
            "{} {:>2} {:<8} {:<8} {:>9} {} {:>2} {:02}:{:02} {}.{}\r\n",
            random.of(&["drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx", "-rw-------"]),
            1 + random.below(12),
            random.of(&["root", "build", "www-data", "deploy"]),
            random.of(&["root", "build", "adm"]),
            random.size(),
            random.of(&["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct"]),
            1 + random.below(28),
            random.below(24),
            random.below(60),
            random.name("-"),
            random.of(&["rs", "c", "h", "so.6", "conf", "json", "log.gz", "py", "md", "o"])
        );
    }
}

fn redraws(text: &mut String, random: &mut Random, _: &[String]) {
    let _ = write!(
        text,
        "\x1b[H\x1b[Jtop - {:02}:{:02}:{:02} up 41 days,  load average: {}.{:02}, {}.{:02}, {}.{:02}\r\nTasks: {} total, {} running\r\n%Cpu(s): {:>2}.{} us, {:>2}.{} sy\r\n\r\n\x1b[7m    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND\x1b[0m\r\n",
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(4),
        random.below(100),
        random.below(4),
        random.below(100),
        random.below(4),
        random.below(100),
        200 + random.below(20),
        1 + random.below(4),
        random.below(100),
        random.below(10),
        random.below(100),
        random.below(10)
    );
    for row in 0..40u64 {
        let _ = write!(
            text,
            "{:>7} {:<8}  20   0 {:>7} {:>6} {:>6} {} {:>5}.{} {:>5}.{} {:>6}:{:02}.{:02} {}\x1b[K\r\n",
            1000 + row * 37 + random.below(3),
            random.of(&["root", "postgres", "www-data", "deploy"]),
            random.below(1 << 23),
            random.below(1 << 19),
            random.below(1 << 16),
            random.of(&["S", "S", "S", "R", "I"]),
            random.below(100),
            random.below(10),
            random.below(30),
            random.below(10),
            random.below(900),
            random.below(60),
            random.below(100),
            random.of(WORDS)
        );
    }
}

fn commits(text: &mut String, random: &mut Random, _: &[String]) {
    let _ = write!(
        text,
        "\x1b[33mcommit {}\x1b[0m\r\nAuthor: {} <{}@example.org>\r\nDate:   Mon Mar {} {:02}:{:02}:{:02} 2026 +0000\r\n\r\n    {}: {} and {}\r\n\r\n",
        random.hex(40),
        random.of(WORDS),
        random.of(WORDS),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.of(WORDS),
        random.name(" "),
        random.name(" ")
    );
    for _ in 0..random.below(8) {
        let _ = write!(
            text,
            " {}/{}.rs | {:>4} \x1b[32m{}\x1b[31m{}\x1b[0m\r\n",
            random.name("/"),
            random.name("_"),
            random.below(300),
            "+".repeat(usize::try_from(random.below(30)).unwrap_or_default()),
            "-".repeat(usize::try_from(random.below(20)).unwrap_or_default())
        );
    }
}

fn source(text: &mut String, random: &mut Random, sources: &[String]) {
    let at = usize::try_from(random.below(sources.len().max(1) as u64)).unwrap_or_default();
    let file = sources.get(at).map_or("", String::as_str);
    let _ = write!(text, "$ cat {}\r\n", random.name("/"));
    text.push_str(file);
}

/// The project's own source, as a terminal shows it.
fn sources() -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    while let Some(directory) = directories.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for path in entries {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(path)?.replace('\n', "\r\n"));
            }
        }
    }
    Ok(found)
}
