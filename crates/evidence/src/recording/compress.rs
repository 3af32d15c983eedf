//! Compression of chunks: zstd, where it pays, with contexts that belong to no session.
//!
//! An idle session holds neither context nor buffer; the pools here are bounded and shared.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::{Compressor, Decompressor};

/// Level for chunks that fill up: a session that writes fast is not slowed. Level 1 takes 2 % more
/// room, level 5 less than half the speed (`examples/recording_size.rs`).
pub(super) const FAST: i32 = 3;
/// Level for chunks flushed because time is up: there is little of them.
pub(super) const SMALL: i32 = 6;

/// Contexts kept for reuse; one is about a megabyte.
const MAX_CONTEXTS: usize = 4;
/// Chunk buffers kept for reuse.
const MAX_BUFFERS: usize = 8;
/// Bytes tried before a chunk is compressed as a whole.
const SAMPLE_BYTES: usize = 8 * 1024;
/// Chunks below this are compressed without a sample.
const SAMPLED_FROM: usize = 64 * 1024;

static CONTEXTS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Appends the compressed form of `data` to `to`; `false`, with `to` unchanged, where that is
/// not clearly smaller.
pub(super) fn compress(data: &[u8], level: i32, to: &mut Vec<u8>) -> bool {
    let mut context = match take(&CONTEXTS) {
        Some(context) => context,
        None => match Compressor::new(level) {
            Ok(context) => context,
            // Without a context the chunk is stored as it is.
            Err(_) => return false,
        },
    };
    let start = to.len();
    let done = context.set_compression_level(level).is_ok()
        && promising(&mut context, data)
        && append(&mut context, data, to);
    put(&CONTEXTS, context, MAX_CONTEXTS);
    if !done || to.len() - start > data.len() - data.len() / 16 {
        to.truncate(start);
        return false;
    }
    true
}

/// Whether a sample from the middle shrinks: cipher text, images and archives do not.
fn promising(context: &mut Compressor<'_>, data: &[u8]) -> bool {
    if data.len() < SAMPLED_FROM {
        return true;
    }
    let from = data.len() / 2;
    let sample = data.get(from..from + SAMPLE_BYTES).unwrap_or(data);
    let mut out = Vec::new();
    append(context, sample, &mut out) && out.len() < sample.len() - sample.len() / 16
}

fn append(context: &mut Compressor<'_>, data: &[u8], to: &mut Vec<u8>) -> bool {
    let start = to.len();
    to.resize(start + zstd::zstd_safe::compress_bound(data.len()), 0);
    let Some(room) = to.get_mut(start..) else {
        return false;
    };
    match context.compress_to_buffer(data, room) {
        Ok(written) => {
            to.truncate(start + written);
            true
        }
        Err(_) => false,
    }
}

/// Decompresses exactly `length` bytes; `None` where there are fewer or more.
pub(super) fn decompress(data: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; length];
    let written = Decompressor::new().ok()?.decompress_to_buffer(data, out.as_mut_slice()).ok()?;
    (written == length).then_some(out)
}

/// An empty buffer with room for a whole chunk, from the pool where there is one.
pub(super) fn take_buffer(capacity: usize) -> Vec<u8> {
    match take(&BUFFERS) {
        Some(buffer) if buffer.capacity() >= capacity => buffer,
        _ => Vec::with_capacity(capacity),
    }
}

/// Returns a buffer that may be worth keeping. What it held was on its way to the disk sealed,
/// and is sealed by now.
pub(super) fn return_buffer(mut buffer: Vec<u8>, capacity: usize) {
    if buffer.capacity() >= capacity {
        buffer.clear();
        put(&BUFFERS, buffer, MAX_BUFFERS);
    }
}

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn put<T>(pool: &Mutex<Vec<T>>, item: T, limit: usize) {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.len() < limit {
        pool.push(item);
    }
}
