//! The lexers and the classifier on random bytes, on soups of tricky fragments and on damaged good
//! statements; and at their limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use portcullis_sql::fuzzing::{fuzz_classify, fuzz_trace};
use portcullis_sql::{Class, ClassSet, Limits, Modes, classify};
use proptest::prelude::*;

/// Pieces between which quotes and comments begin and end.
const FRAGMENTS: [&str; 44] = [
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "$$",
    "$a$",
    "$1",
    "/*",
    "*/",
    "/*!50000 ",
    "/*!99999 ",
    "--",
    "-- ",
    "#",
    "\n",
    "\r",
    ";",
    " ",
    "E'",
    "e'",
    "U&'",
    "n'",
    "x'41'",
    "select ",
    "1",
    "a",
    "delete from t",
    "(",
    ")",
    ",",
    ".",
    "+",
    "-",
    "@",
    "::",
    "1e",
    "1.",
    "case ",
    "end ",
    "in (1, ",
    "\u{a0}",
    "::int",
    "with x as ",
];

/// Good statements to damage.
const SEEDS: [&str; 8] = [
    "select a, b.c, count(*) from t b join u on u.id = b.id where x in (1, 2) order by 1",
    "with d as (delete from t returning *) select * from d",
    "explain (analyze) insert into t (a) values ('x'), ($1) on conflict do nothing",
    "select E'a\\'b' , $x$ ' $x$, U&'\\0041' /* /* */ */ -- end\n from t",
    "prepare p (int) as select $1; execute p (1); set search_path = x",
    "select /*!50000 1, */ `a``b`, @x, \"s\" from t # end\n limit 1",
    "set names utf8mb4, sql_mode = 'STRICT_TRANS_TABLES'; select 1",
    "copy (select a from t) to stdout; copy t from program 'x'",
];

proptest! {
    #[test]
    fn any_bytes_are_classified(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_classify(&bytes);
    }

    #[test]
    fn any_soup_of_quotes_and_comments_is_classified(
        places in proptest::collection::vec(0..FRAGMENTS.len(), 0..24)
    ) {
        let text: String = places.iter().map(|place| FRAGMENTS[*place]).collect();
        fuzz_classify(text.as_bytes());
        fuzz_trace(text.as_bytes());
    }

    #[test]
    fn damaged_statements_are_classified(
        seed in 0..SEEDS.len(),
        cuts in proptest::collection::vec((0_usize..90, 0..FRAGMENTS.len(), any::<bool>()), 1..5)
    ) {
        let mut text = SEEDS[seed].to_owned();
        for (place, fragment, remove) in cuts {
            let place = (0..=place.min(text.len())).rev().find(|p| text.is_char_boundary(*p));
            let place = place.unwrap_or(0);
            if remove {
                text.truncate(place);
            }
            text.insert_str(place, FRAGMENTS[fragment]);
        }
        fuzz_classify(text.as_bytes());
        fuzz_trace(text.as_bytes());
    }

    /// A comment between tokens changes nothing.
    #[test]
    fn comments_and_white_space_do_not_change_the_fingerprint(
        seed in 0..2_usize, blanks in proptest::collection::vec(0..4_usize, 60)
    ) {
        let spaces = [" ", "\n\t", "/* ' */", " -- \"\n"];
        let plain = SEEDS[seed];
        let mut blanks = blanks.iter().cycle();
        let spaced: String = plain
            .split(' ')
            .flat_map(|word| [word, spaces[*blanks.next().unwrap()]])
            .collect();
        let of = |text: &str| classify(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD);
        prop_assert_eq!(&of(plain).list[0].analysis, &of(&spaced).list[0].analysis);
    }
}

#[test]
fn deep_and_long_texts_are_unknown_and_neither_slow_nor_deadly() {
    let many = 100_000;
    let texts = [
        "(".repeat(many),
        format!("select {}1{}", "(".repeat(many), ")".repeat(many)),
        format!("select {}", "-".repeat(many).replace("--", "- ")),
        format!("select {} true", "not ".repeat(many)),
        format!("select 1{}", " + 1".repeat(many)),
        format!("select 1 where true{}", " and true".repeat(many)),
        format!("select 1{}", " union all select 1".repeat(many)),
        format!("select {}", "case when 1 then ".repeat(many)),
        format!("select a{}", "[1]".repeat(many)),
        format!("select a{}", "::int".repeat(many)),
        format!("select * from {}t{}", "(".repeat(many), ")".repeat(many)),
        format!("select {}", "array[".repeat(many)),
        format!("select {}", "interval ".repeat(many)),
        "explain ".repeat(many),
        "prepare p as ".repeat(many),
        "copy (".repeat(many),
        "/*".repeat(many),
        ";".repeat(many) + "select 1" + &";select 1".repeat(many),
        format!("with {} select 1", "x as (select 1), ".repeat(many)),
        format!("select {} 1", "a, ".repeat(many)),
        "select 'x' ".repeat(many),
        "a".repeat(5 << 20),
    ];
    for text in &texts {
        for modes in [Modes::postgres(), Modes::mysql(80_036)] {
            let start = Instant::now();
            let found = classify(text.as_bytes(), &modes, &Limits::STANDARD);
            let shown = &text[..text.len().min(40)];
            assert!(found.classes().contains(Class::Unknown), "{shown}");
            assert!(start.elapsed() < Duration::from_secs(10), "{shown}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn what_is_just_within_the_limits_is_read_on_a_small_stack_and_in_time() {
    let Limits { depth, operators, .. } = Limits::STANDARD;
    let (depth, operators) = (depth - 2, operators - 4);
    let texts = [
        format!("select {}1{}", "(".repeat(depth), ")".repeat(depth)),
        format!("select {}1{}", "(select ".repeat(depth), ")".repeat(depth)),
        format!("{}select 1{}", "(".repeat(depth), ")".repeat(depth)),
        format!("select * from {}t{}", "(".repeat(depth), ")".repeat(depth)),
        format!("select * from {}t{}", "(select * from ".repeat(depth), ") x".repeat(depth)),
        format!("select 1{}", " + 1".repeat(operators)),
        format!("select 1 where true{}", " and true".repeat(operators)),
        format!("select 1{}", " union all select 1".repeat(operators / 2)),
        format!("select {}1{}", "case when 1=1 then ".repeat(depth), " end".repeat(depth)),
        format!("select {}1{}", "abs(".repeat(depth), ")".repeat(depth)),
        format!("select {}1", "- ".repeat(operators)),
        format!("select {}true", "not ".repeat(operators)),
        format!("select 1{}", "::int".repeat(operators)),
        format!("select {}1{}", "1 in (".repeat(depth), ")".repeat(depth)),
        format!("select {}1{}", "exists (select ".repeat(depth), ")".repeat(depth)),
    ];
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let slowest = thread
        .spawn(move || {
            let mut slowest = (Duration::ZERO, String::new());
            for text in texts {
                let start = Instant::now();
                let found = classify(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD);
                let shown = text[..text.len().min(40)].to_owned();
                let allowed = ClassSet::of(&[Class::Read, Class::Unknown]);
                assert!(found.classes().within(allowed), "{shown}: {}", found.classes());
                slowest = slowest.max((start.elapsed(), shown));
            }
            slowest
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(slowest.0 < Duration::from_secs(10), "{slowest:?}");
}
