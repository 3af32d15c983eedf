//! Recordings: what was seen in a session, encrypted, compressed, and chained so that the log
//! can vouch for every chunk.
//!
//! Flows in: frames (output, input, resizes, markers, events) with their times. Flows out: a
//! file per session, the hash of each of its chunks, frames read back, asciicast exports. Never
//! knows who may read a recording, nor the key that wraps its key.
//!
//! INVARIANTS
//! - A chunk can be read only in its place: its session, its number and all chunks before it are
//!   authenticated with it.
//! - A crash leaves a prefix that can be read; the reader says that it is unfinished.
//! - After the first failed write nothing more is recorded, and every observation says so.
//! - An idle session holds no buffer, no compression context and no watchers.

pub mod asciicast;
mod compress;
mod format;
mod frame;
pub mod mask;
mod reader;
mod recorder;
mod seal;
pub mod text;
mod vouched;
mod writer;

pub use format::{MAX_HEADER_BYTES, MAX_SEALED_BYTES, RecordingMeta};
pub use frame::{Frame, FrameKind, MAX_CHUNK_BYTES, MAX_WHOLE_FRAME_BYTES};
pub use reader::{End, ReadError, RecordingReader};
pub use recorder::Recorder;
pub use seal::{KeyWrap, KeyWrapError, SESSION_KEY_BYTES, SessionKey};
pub use vouched::{Closing, Remains, Vouched, check, remains, verify};
pub use writer::{
    ChunkFile, ChunkReceipt, ChunkSync, CreateError, MAX_CHUNK_AGE, Push, RecordError,
    RecordingWriter, Summary,
};
