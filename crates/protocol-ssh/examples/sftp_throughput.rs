//! How fast the SFTP observer goes: 1 GiB up and 1 GiB down in 32 KiB chunks, hashed on the way.
//!
//! In: nothing. Out: MB/s and how many slices were put out per chunk. Run it with
//! `cargo run --release --example sftp_throughput`.

use std::error::Error;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use portcullis_protocol_ssh::wire::sftp::{SftpObserver, SftpStep};

const TOTAL_BYTES: u64 = 1 << 30;
const CHUNK_BYTES: usize = 32 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    // OpenSSH's block without and with `limits@openssh.com`.
    for block_bytes in [32 * 1024, 255 * 1024] {
        upload(block_bytes)?;
        download(block_bytes)?;
    }
    Ok(())
}

fn upload(block_bytes: usize) -> Result<(), Box<dyn Error>> {
    let (mut observer, mut steps) = open(0x1a)?;
    let mut run = Tally::new("upload", block_bytes);
    let content = vec![0x5a; block_bytes];
    let mut wire = BytesMut::new();
    let (mut offset, mut id) = (0_u64, 1_u32);
    while offset < TOTAL_BYTES {
        wire.put_slice(&packet(6, id, |body| {
            put_string(body, b"h");
            body.put_u64(offset);
            put_string(body, &content);
        }));
        while wire.len() >= CHUNK_BYTES {
            let chunk = wire.split_to(CHUNK_BYTES).freeze();
            run.time(|| observer.from_client(chunk, &mut steps))?;
            run.count(&mut steps);
        }
        if id > 8 {
            // Each block is acknowledged, some blocks behind.
            let answer = status(id - 8, 0);
            run.time(|| observer.from_target(answer, &mut steps))?;
            steps.clear();
        }
        offset += u64::try_from(block_bytes)?;
        id += 1;
    }
    run.print();
    Ok(())
}

fn download(block_bytes: usize) -> Result<(), Box<dyn Error>> {
    let (mut observer, mut steps) = open(0x01)?;
    let mut run = Tally::new("download", block_bytes);
    let content = vec![0x5a; block_bytes];
    let mut wire = BytesMut::new();
    let (mut offset, mut id) = (0_u64, 1_u32);
    while offset < TOTAL_BYTES {
        let length = u32::try_from(block_bytes)?;
        let ask = packet(5, id, |body| {
            put_string(body, b"h");
            body.put_u64(offset);
            body.put_u32(length);
        });
        run.time(|| observer.from_client(ask, &mut steps))?;
        steps.clear();
        wire.put_slice(&packet(103, id, |body| put_string(body, &content)));
        while wire.len() >= CHUNK_BYTES {
            let chunk = wire.split_to(CHUNK_BYTES).freeze();
            run.time(|| observer.from_target(chunk, &mut steps))?;
            run.count(&mut steps);
        }
        offset += u64::try_from(block_bytes)?;
        id += 1;
    }
    run.print();
    Ok(())
}

/// A conversation with one file open under the handle `h`.
fn open(flags: u32) -> Result<(SftpObserver, Vec<SftpStep>), Box<dyn Error>> {
    let mut observer = SftpObserver::new();
    let mut steps = Vec::new();
    observer.from_client(packet(1, 3, |_| ()), &mut steps)?;
    observer.from_target(packet(2, 3, |_| ()), &mut steps)?;
    let open = packet(3, 0, |body| {
        put_string(body, b"/srv/big");
        body.put_u32(flags);
        body.put_u32(0);
    });
    observer.from_client(open, &mut steps)?;
    observer.allow(0);
    observer.from_target(packet(102, 0, |body| put_string(body, b"h")), &mut steps)?;
    steps.clear();
    Ok((observer, steps))
}

fn packet(kind: u8, id: u32, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut fields = BytesMut::new();
    body(&mut fields);
    let mut packet = BytesMut::with_capacity(fields.len() + 9);
    packet.put_u32(u32::try_from(fields.len() + 5).unwrap_or_default());
    packet.put_u8(kind);
    packet.put_u32(id);
    packet.put_slice(&fields);
    packet.freeze()
}

fn status(id: u32, code: u32) -> Bytes {
    packet(101, id, |body| {
        body.put_u32(code);
        put_string(body, b"");
        put_string(body, b"");
    })
}

fn put_string(body: &mut BytesMut, text: &[u8]) {
    body.put_u32(u32::try_from(text.len()).unwrap_or_default());
    body.put_slice(text);
}

/// Time spent in the observer alone, and what it put out.
struct Tally {
    name: &'static str,
    block_bytes: usize,
    spent_seconds: f64,
    chunks: u64,
    forwards: u64,
    bytes: usize,
}

impl Tally {
    fn new(name: &'static str, block_bytes: usize) -> Self {
        Self { name, block_bytes, spent_seconds: 0.0, chunks: 0, forwards: 0, bytes: 0 }
    }

    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = call();
        self.spent_seconds += begun.elapsed().as_secs_f64();
        result
    }

    fn count(&mut self, steps: &mut Vec<SftpStep>) {
        self.chunks += 1;
        for step in steps.drain(..) {
            if let SftpStep::Forward(bytes) = step {
                self.forwards += 1;
                self.bytes += bytes.len();
            }
        }
    }

    fn print(&self) {
        let megabytes = self.bytes / 1_000_000;
        let rate = megabytes as f64 / self.spent_seconds;
        let slices = self.forwards as f64 / self.chunks as f64;
        println!(
            "{:<8} {:>6} byte blocks: {megabytes} MB in {:.2} s, {rate:.0} MB/s, {slices:.2} slices per chunk",
            self.name, self.block_bytes, self.spent_seconds
        );
    }
}
