//! The search index: whatever meets what is wanted is among the candidates, from memory and from
//! files alike; what is damaged, of another key or of another log is thrown away.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use std::fs;
use std::path::Path;

use portcullis_evidence::index::{
    Index, KEY_BYTES, Key, Look, PART_ENTRIES, Part, Terms, Wanted, fuzz_contents,
};
use portcullis_evidence::log::Hash;
use portcullis_evidence::log::merkle::sha256;
use proptest::prelude::*;
use zeroize::Zeroizing;

const USER: u8 = 1;
const TARGET: u8 = 2;
const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn scrambled(index: u64) -> u64 {
    (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn terms(index: u64) -> Terms {
    let user = PEOPLE[usize::try_from(scrambled(index) % 5).unwrap()];
    Terms {
        at_millis: i64::try_from(index * 10).unwrap(),
        keys: vec![
            Key::new(USER, user),
            Key::new(TARGET, &format!("web-{}", scrambled(index) % 997)),
        ],
        texts: vec![format!("invoice-{:08}", scrambled(index) % 50_000_000), user.to_owned()],
    }
}

fn part(first: u64, entries: u64) -> Part {
    let mut part = Part::begin(first);
    for index in first..first + entries {
        assert!(part.add(&entry(index), &terms(index)));
    }
    part
}

fn last_of(index: u64) -> Option<Hash> {
    Some(sha256(&[&entry(index)]))
}

fn key(byte: u8) -> Zeroizing<[u8; KEY_BYTES]> {
    Zeroizing::new([byte; KEY_BYTES])
}

fn open(directory: &Path, byte: u8) -> (Index, usize) {
    Index::open(directory, key(byte), last_of).unwrap()
}

fn found(index: &Index, first: u64, wanted: &Wanted) -> Vec<u64> {
    match index.look(first, wanted) {
        Look::Candidates { entries, .. } => entries,
        Look::Unknown => panic!("nothing is known of {first}"),
    }
}

/// What there is to find: (wanted, whether an entry meets it).
fn meets(wanted: &Wanted, terms: &Terms) -> bool {
    wanted.keys.iter().all(|any| any.iter().any(|key| terms.keys.contains(key)))
        && wanted.texts.iter().all(|text| terms.texts.iter().any(|have| have.contains(text)))
        && wanted.from.is_none_or(|from| terms.at_millis >= from)
        && wanted.to.is_none_or(|to| terms.at_millis < to)
}

fn questions() -> Vec<Wanted> {
    let person = |name| vec![Key::new(USER, name)];
    let text = |text: &str| Wanted { texts: vec![text.to_owned()], ..Wanted::default() };
    let rare = terms(PART_ENTRIES + 4711).texts[0].clone();
    vec![
        Wanted::default(),
        Wanted { keys: vec![person("alice")], ..Wanted::default() },
        Wanted { keys: vec![person("nobody")], ..Wanted::default() },
        Wanted {
            keys: vec![
                vec![Key::new(USER, "bob"), Key::new(USER, "erin")],
                vec![Key::new(TARGET, "web-17")],
            ],
            ..Wanted::default()
        },
        Wanted { from: Some(700_000), to: Some(700_500), ..Wanted::default() },
        text(&rare),
        text(&rare[5..12]),
        text("oi"),
        text("no such text"),
        Wanted { keys: vec![person("carol")], to: Some(20_000), ..text("invoice-") },
    ]
}

#[test]
fn whatever_meets_what_is_wanted_is_among_the_candidates_in_memory_and_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let (index, _) = open(directory.path(), 1);
    let in_memory = [part(0, PART_ENTRIES), part(PART_ENTRIES, PART_ENTRIES)];
    for part in &in_memory {
        index.put(part).unwrap();
    }
    let (again, thrown_away) = open(directory.path(), 1);
    assert_eq!((again.parts(), thrown_away), (2, 0));
    for wanted in questions() {
        for part in &in_memory {
            let range = part.first()..part.next();
            let expected: Vec<u64> =
                range.clone().filter(|index| meets(&wanted, &terms(*index))).collect();
            let from_file = found(&again, part.first(), &wanted);
            assert_eq!(from_file, part.candidates(&wanted), "{wanted:?}");
            assert!(
                expected.iter().all(|index| from_file.binary_search(index).is_ok()),
                "{wanted:?}"
            );
            // Exact but for texts, which are told by the block.
            if wanted.texts.is_empty() && wanted.from.is_none() {
                assert_eq!(from_file, expected, "{wanted:?}");
            }
            if wanted.texts.first().is_some_and(|text| text.len() > 12) {
                assert!(from_file.len() <= expected.len() * 256 + 512, "{wanted:?}");
            }
        }
    }
}

#[test]
fn the_newest_part_grows_and_closes_and_is_found_all_the_while() {
    let directory = tempfile::tempdir().unwrap();
    let (index, _) = open(directory.path(), 1);
    assert_eq!(index.missing(0, 2 * PART_ENTRIES + 5), Some(PART_ENTRIES));
    index.begin(Part::begin(0));
    let batch = |range: std::ops::Range<u64>| -> Vec<_> {
        range.map(|index| (entry(index), terms(index))).collect()
    };
    let wanted = Wanted { keys: vec![vec![Key::new(USER, "alice")]], ..Wanted::default() };
    index.extend(&batch(0..1000));
    assert_eq!(index.next(), Some(1000));
    let Look::Candidates { entries, end } = index.look(0, &wanted) else { panic!() };
    assert_eq!((end, entries.len()), (1000, part(0, 1000).candidates(&wanted).len()));
    index.close_full().unwrap();
    assert_eq!(index.next(), Some(1000), "it is not full");
    index.extend(&batch(1000..PART_ENTRIES));
    index.close_full().unwrap();
    assert_eq!((index.next(), index.parts()), (None, 1));
    assert_eq!(found(&index, 0, &wanted), part(0, PART_ENTRIES).candidates(&wanted));
    assert_eq!(index.missing(0, PART_ENTRIES), None);
}

#[test]
fn what_is_damaged_of_another_key_or_of_another_log_is_thrown_away_and_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("{:020}.part", 0));
    let (index, _) = open(directory.path(), 1);
    index.put(&part(0, PART_ENTRIES)).unwrap();
    let good = fs::read(&path).unwrap();
    let gone = |what: &str, byte: u8, last: fn(u64) -> Option<Hash>| {
        let (index, thrown_away) = Index::open(directory.path(), key(byte), last).unwrap();
        assert_eq!((index.parts(), thrown_away, path.exists()), (0, 1, false), "{what}");
        assert_eq!(index.missing(0, PART_ENTRIES), Some(0), "{what}");
        fs::write(&path, &good).unwrap();
    };
    gone("another key", 2, last_of);
    gone("another log", 1, |_| Some(Hash([7; 32])));
    gone("archived", 1, |_| None);
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    gone("torn", 1, last_of);
    fs::write(&path, b"").unwrap();
    gone("empty", 1, last_of);
    fs::write(directory.path().join("00000000000000065536.new"), b"half").unwrap();
    let (index, thrown_away) = open(directory.path(), 1);
    assert_eq!((index.parts(), thrown_away), (1, 0), "an unfinished file is no part");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    // Damage that shows only when the piece is read.
    let wanted = Wanted { texts: vec!["invoice".into()], ..Wanted::default() };
    let at = good.len() / 2;
    let mut flipped = good.clone();
    flipped[at..].iter_mut().for_each(|byte| *byte ^= 1);
    let contents = good.len() - 40_000;
    flipped[contents..].copy_from_slice(&good[contents..]);
    fs::write(&path, &flipped).unwrap();
    assert_eq!(index.look(0, &wanted), Look::Unknown);
    assert_eq!((index.missing(0, PART_ENTRIES), path.exists()), (Some(0), false));
    // Taken away under a running node.
    index.put(&part(0, PART_ENTRIES)).unwrap();
    assert!(matches!(index.look(0, &wanted), Look::Candidates { .. }));
    fs::remove_file(&path).unwrap();
    assert_eq!(index.look(0, &wanted), Look::Unknown);
    assert_eq!(index.missing(0, PART_ENTRIES), Some(0));
}

#[test]
fn a_part_of_a_pruned_log_passes_over_what_is_gone() {
    let mut part = Part::begin(0);
    for _ in 0..700 {
        assert!(part.pass());
    }
    for index in 700..1500 {
        assert!(part.add(&entry(index), &terms(index)));
    }
    let wanted = Wanted { from: Some(0), ..Wanted::default() };
    let found = part.candidates(&wanted);
    assert!(found.contains(&700) && !found.contains(&511), "a block of nothing has no time");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        fuzz_contents(&bytes);
    }
}
