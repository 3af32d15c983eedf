//! The corpus of evasions: statements that hide what they do, and what each must be classed as.
//!
//! A file of `evasions/` is one family of tricks. A case begins with `>>> DIALECT[ MODE...]: CLASSES`
//! and ends before the next; `CLASSES` are those the text must have at least, with `=` before
//! them exactly those. Escapes `{00}` to `{ff}` stand for bytes a text file cannot show.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use portcullis_sql::{Charset, Class, ClassSet, Limits, Modes, classify};

#[test]
fn every_evasion_is_classed_as_what_it_does() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evasions");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut wrong) = (0, String::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let family = file.file_stem().unwrap().to_string_lossy().into_owned();
        for case in text.split(">>> ").skip(1) {
            cases += 1;
            check(&family, case, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases >= 200, "the corpus has shrunk to {cases} cases");
}

fn check(family: &str, case: &str, wrong: &mut String) {
    let (head, text) = case.split_once('\n').unwrap();
    let (modes, expected) = head.split_once(": ").unwrap();
    let text = bytes(text.strip_suffix('\n').unwrap_or(text));
    let found = classify(&text, &modes_of(modes), &Limits::STANDARD);
    let exactly = expected.strip_prefix('=');
    let set = classes_of(exactly.unwrap_or(expected));
    let right = match exactly {
        Some(_) => found.classes() == set,
        None => set.within(found.classes()),
    };
    if !right {
        let shown = String::from_utf8_lossy(&text);
        let reasons: Vec<_> = found.list.iter().flat_map(|s| s.analysis.reasons.clone()).collect();
        writeln!(
            wrong,
            "{family}: {head}\n    {shown}\n    found {} because {reasons:?}",
            found.classes()
        )
        .unwrap();
    }
}

fn classes_of(names: &str) -> ClassSet {
    let mut set = ClassSet::EMPTY;
    for name in names.trim().split('+').filter(|name| *name != "nothing") {
        set.insert(Class::from_name(name).unwrap_or_else(|| panic!("no class `{name}`")));
    }
    set
}

fn modes_of(words: &str) -> Modes {
    let mut words = words.split_whitespace();
    let mut modes = match words.next().unwrap() {
        "postgres" => Modes::postgres(),
        "mysql" => Modes::mysql(80_036),
        "mariadb" => Modes::mariadb(101_119),
        other => panic!("no dialect `{other}`"),
    };
    for word in words {
        match word {
            "backslashes" => modes.standard_conforming_strings = false,
            "ansi_quotes" => modes.ansi_quotes = true,
            "no_backslashes" => modes.no_backslash_escapes = true,
            "gbk" => modes.charset = Charset::from_name("gbk"),
            "latin1" => modes.charset = Charset::from_name("latin1"),
            "version_unknown" => modes.server_version = 0,
            other => panic!("no mode `{other}`"),
        }
    }
    modes
}

/// The text with `{xx}` made bytes.
fn bytes(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if *first == b'{' && after.get(2) == Some(&b'}') => {
                out.push(byte);
                rest = &after[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
