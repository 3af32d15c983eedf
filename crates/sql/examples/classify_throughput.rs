//! Prints how many statements one core classifies in a second: statements of a usual mix with other
//! values each time, most of them remembered by fingerprint; and how many it reads anew.
//!
//! `cargo run --release -p portcullis-sql --example classify_throughput -- [SECONDS] [--json]`

use std::time::{Duration, Instant};

use portcullis_sql::{Classifier, Limits, Modes, classify};

/// Texts as clients send them, `{}` being a value that differs each time.
const MIX: [&str; 8] = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = {};",
    "UPDATE pgbench_accounts SET abalance = abalance + {} WHERE aid = {};",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({}, {}, {}, {}, CURRENT_TIMESTAMP);",
    "select o.id, o.placed, c.name from orders o join customers c on c.id = o.customer where o.id = {} and c.email like 'user{}@%' order by o.placed desc limit 20",
    "BEGIN",
    "with recent as (select customer, max(placed) as last from orders where placed > now() - interval '{} days' group by customer) select c.id, c.name, r.last from recent r join customers c on c.id = r.customer where c.id in ({}, {}, {}, {})",
    "select $1::int as one /* request {} */",
    "COMMIT",
];

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3);
    let texts: Vec<String> = (0..4_096_usize).map(text).collect();
    let bytes = texts.iter().map(String::len).sum::<usize>() as f64 / texts.len() as f64;
    let modes = Modes::postgres();
    let classifier = Classifier::default();
    let remembered = rate(seconds, &texts, |text| classifier.classify(text, &modes).list.len());
    let anew = rate(seconds, &texts, |text| classify(text, &modes, &Limits::STANDARD).list.len());
    if json {
        println!(
            "{{\"statements_per_s\": {remembered:.0}, \"anew_per_s\": {anew:.0}, \
             \"mean_bytes\": {bytes:.0}, \"fingerprints\": {}}}",
            classifier.remembered()
        );
    } else {
        println!("{remembered:.0} statements/s of {bytes:.0} bytes, {anew:.0}/s read anew");
    }
}

fn text(number: usize) -> String {
    let template = MIX.get(number % MIX.len()).copied().unwrap_or_default();
    let mut value = number.wrapping_mul(7_919) % 100_003;
    let mut parts = template.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        value = value * 31 % 100_003;
        text.push_str(&value.to_string());
        text.push_str(part);
    }
    text
}

fn rate(seconds: u64, texts: &[String], mut classify: impl FnMut(&[u8]) -> usize) -> f64 {
    let (start, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut statements = 0;
    while start.elapsed() < time {
        for text in texts {
            statements += classify(text.as_bytes());
        }
    }
    statements as f64 / start.elapsed().as_secs_f64()
}
