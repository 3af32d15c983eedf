//! Recordings held against the log: whatever is done to a file, the first bad chunk is named.

use std::fs;
use std::time::Instant;

use portcullis_evidence::fuzzing::KnownKeys;
use portcullis_evidence::log::Hash;
use portcullis_evidence::recording::{ChunkSync, FrameKind};
use portcullis_evidence::recording::{
    Closing, End, Push, ReadError, RecordingMeta, RecordingReader, RecordingWriter, SessionKey,
    Vouched, check, remains, verify,
};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use crate::chunk_starts;

/// What someone with the file in their hands does to it.
#[derive(Debug, Clone)]
enum Mutation {
    Flip {
        at: Index,
        bit: u8,
    },
    Overwrite {
        at: Index,
        with: Vec<u8>,
    },
    Drop {
        chunk: Index,
    },
    Swap {
        one: Index,
        other: Index,
    },
    Repeat {
        chunk: Index,
    },
    Cut {
        at: Index,
    },
    CutLast {
        chunks: usize,
    },
    Append {
        bytes: Vec<u8>,
    },
    /// The same chunk of another session's recording.
    ChunkOfAnother {
        chunk: Index,
    },
    /// The whole file of another session.
    FileOfAnother,
    /// Recorded anew with other content, by someone who has the master key.
    Forged {
        from: Index,
    },
    /// Another session's file that claims, in its header, to be of this one.
    Relabelled,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    prop_oneof![
        (index(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        (index(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, with)| Mutation::Overwrite { at, with }),
        index().prop_map(|chunk| Mutation::Drop { chunk }),
        (index(), index()).prop_map(|(one, other)| Mutation::Swap { one, other }),
        index().prop_map(|chunk| Mutation::Repeat { chunk }),
        index().prop_map(|at| Mutation::Cut { at }),
        (1usize..4).prop_map(|chunks| Mutation::CutLast { chunks }),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| Mutation::Append { bytes }),
        index().prop_map(|chunk| Mutation::ChunkOfAnother { chunk }),
        Just(Mutation::FileOfAnother),
        index().prop_map(|from| Mutation::Forged { from }),
        Just(Mutation::Relabelled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: portcullis_testkit::cases(512), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_recording_goes_unnoticed(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        mutations in prop::collection::vec(mutation(), 1..3),
    ) {
        let dir = TempDir::new().unwrap();
        let (good, vouched) = recorded(&dir, "session-1", &pieces);
        let mut bad = good.clone();
        for mutation in &mutations {
            bad = mutated(&dir, &good, bad, &pieces, mutation);
        }
        prop_assume!(bad != good);
        let first = first_bad(&good, &bad);
        let path = dir.path().join("bad");
        fs::write(&path, &bad).unwrap();
        let found = read(&path, &vouched).unwrap_err();
        prop_assert_eq!(found.chunk(), Some(first), "with the key: {:?}", found);
        // Without the key what was sealed cannot be opened, and is still held against the log.
        let found = check(&path, &vouched).unwrap_err();
        prop_assert_eq!(found.chunk(), Some(first), "without: {:?}", found);
    }

    #[test]
    fn without_a_closing_entry_everything_logged_is_still_held_against_the_log(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        logged in any::<Index>(),
        mutation in mutation(),
    ) {
        let dir = TempDir::new().unwrap();
        let (good, mut vouched) = recorded(&dir, "session-1", &pieces);
        let logged = u32::try_from(logged.index(pieces.len() + 1)).unwrap();
        vouched.closing = None;
        vouched.chunks.retain(|index, _| *index < logged);
        let bad = mutated(&dir, &good, good.clone(), &pieces, &mutation);
        prop_assume!(bad != good);
        let first = first_bad(&good, &bad);
        let path = dir.path().join("bad");
        fs::write(&path, &bad).unwrap();
        let found = read(&path, &vouched);
        if first < logged {
            prop_assert_eq!(found.unwrap_err().chunk(), Some(first));
        } else if let Ok(end) = found {
            let chunks = match end {
                End::Finished(summary) => summary.chunks,
                End::Unfinished { chunks, .. } => chunks,
            };
            prop_assert!(chunks >= logged);
        }
    }
}

#[test]
fn what_a_crash_leaves_is_vouched_for_up_to_its_last_whole_chunk() {
    let dir = TempDir::new().unwrap();
    let (good, vouched) = recorded(&dir, "session-1", &[vec![1; 90], vec![2; 90], vec![3; 90]]);
    let starts = chunk_starts(&good);
    let path = dir.path().join("crashed");
    for (bytes, chunks, cut) in [(starts[0], 0, 0), (starts[2], 2, 0), (starts[2] + 7, 2, 7)] {
        fs::write(&path, &good[..bytes]).unwrap();
        let left = remains(&path).unwrap().unwrap();
        assert_eq!((left.closing.chunks, left.closing.cut_bytes), (chunks, cut));
        assert_eq!(left.bytes, (bytes as u64) - cut);
        // The entry that closes the session says so, and holds from then on.
        let closed = Vouched { closing: Some(left.closing), chunks: [].into(), ..vouched.clone() };
        assert!(
            matches!(read(&path, &closed), Ok(End::Unfinished { chunks: n, .. }) if n == chunks)
        );
        fs::write(&path, &good).unwrap();
        let found = read(&path, &closed).unwrap_err();
        assert!(matches!(found, ReadError::Trailing { index } if index == chunks), "{found:?}");
    }
    fs::write(&path, b"nothing of the kind").unwrap();
    assert_eq!(remains(&path).unwrap(), None);
}

fn recorded(dir: &TempDir, session: &str, pieces: &[Vec<u8>]) -> (Vec<u8>, Vouched) {
    let path = dir.path().join("recorded");
    let _ = fs::remove_file(&path);
    let start = Instant::now();
    let meta = RecordingMeta { session: session.into(), ..RecordingMeta::default() };
    let key = SessionKey::generate().unwrap();
    let mut writer =
        RecordingWriter::create(&path, &meta, key, &KnownKeys, ChunkSync::AtClose, start).unwrap();
    let mut chunks: Vec<Hash> = Vec::new();
    for piece in pieces {
        assert_eq!(writer.push(FrameKind::Output, 0, start, piece), Ok(Push::Buffered));
        chunks.extend(writer.flush().unwrap().map(|receipt| receipt.hash));
    }
    let (_, summary) = writer.close().unwrap();
    let vouched = Vouched {
        session: session.into(),
        chunks: (0..).zip(chunks).collect(),
        closing: Some(Closing { chunks: summary.chunks, head: summary.head, cut_bytes: 0 }),
    };
    (fs::read(&path).unwrap(), vouched)
}

fn read(path: &std::path::Path, vouched: &Vouched) -> Result<End, ReadError> {
    verify(RecordingReader::open(path, &KnownKeys)?, vouched.clone())
}

/// The chunk with the first byte that differs; a header stands for the first chunk.
fn first_bad(good: &[u8], bad: &[u8]) -> u32 {
    let same = good.iter().zip(bad).take_while(|(one, other)| one == other).count();
    let whole = chunk_starts(good).iter().filter(|start| **start <= same).count();
    let past_end = usize::from(same >= good.len());
    u32::try_from((whole + past_end).max(1) - 1).unwrap()
}

fn mutated(
    dir: &TempDir,
    good: &[u8],
    mut bad: Vec<u8>,
    pieces: &[Vec<u8>],
    mutation: &Mutation,
) -> Vec<u8> {
    let mut starts = chunk_starts(good);
    let count = starts.len();
    starts.push(good.len());
    let header = good[..starts[0]].to_vec();
    let mut chunks: Vec<Vec<u8>> =
        starts.windows(2).map(|place| good[place[0]..place[1]].to_vec()).collect();
    let other = |session: &str, pieces: &[Vec<u8>]| recorded(dir, session, pieces).0;
    match mutation {
        Mutation::Flip { at, bit } if !bad.is_empty() => {
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
        }
        Mutation::Overwrite { at, with } if !bad.is_empty() => {
            let at = at.index(bad.len());
            bad.splice(at..(at + with.len()).min(bad.len()), with.iter().copied());
        }
        Mutation::Cut { at } => bad.truncate(at.index(bad.len() + 1)),
        Mutation::CutLast { chunks } => bad.truncate(starts[count.saturating_sub(*chunks)]),
        Mutation::Append { bytes } => bad.extend(bytes),
        Mutation::FileOfAnother => return other("session-2", pieces),
        Mutation::Relabelled => {
            let mut file = other("session-2", pieces);
            let at = file.windows(9).position(|bytes| bytes == b"session-2").unwrap();
            file[at..at + 9].copy_from_slice(b"session-1");
            return file;
        }
        Mutation::Forged { from } => {
            let mut pieces = pieces.to_vec();
            let from = from.index(pieces.len());
            pieces[from][0] ^= 1;
            return other("session-1", &pieces);
        }
        Mutation::Drop { chunk } => {
            chunks.remove(chunk.index(count));
            return [header, chunks.concat()].concat();
        }
        Mutation::Swap { one, other } => {
            chunks.swap(one.index(count), other.index(count));
            return [header, chunks.concat()].concat();
        }
        Mutation::Repeat { chunk } => {
            let at = chunk.index(count);
            chunks.insert(at, chunks[at].clone());
            return [header, chunks.concat()].concat();
        }
        Mutation::ChunkOfAnother { chunk } => {
            let file = other("session-2", pieces);
            let mut places = chunk_starts(&file);
            places.push(file.len());
            let at = chunk.index(count);
            chunks[at] = file[places[at]..places[at + 1]].to_vec();
            return [header, chunks.concat()].concat();
        }
        Mutation::Flip { .. } | Mutation::Overwrite { .. } => {}
    }
    bad
}
