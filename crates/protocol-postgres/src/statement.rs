//! What a text is to the gate: the acts it must be allowed for, and what the record says of it.
//!
//! In: the bytes of a statement and the server's modes. Out: a [`Known`]. Values of literals go
//! into the session's own recording only, and not even there for statements that set passwords.

use std::sync::Arc;

use aws_lc_rs::digest;
use portcullis_domain::DatabaseAct;
use portcullis_sql::{Class, ClassSet, Classifier, Modes, Prepared};
use serde_json::{Value as Json, json};

use crate::options::{RECORDED_TEXT_BYTES, RECORDED_VALUE_BYTES, RECORDED_VALUES};
use crate::wire::message::Value;

/// Largest event, in bytes; a frame of the recording holds 64 KiB.
const MAX_EVENT_BYTES: usize = 60 * 1024;
/// Text of a statement whose event would be larger, in bytes.
const SHORT_TEXT_BYTES: usize = 4 * 1024;
/// Tables of one statement in the record.
const RECORDED_TABLES: usize = 32;

/// A text that was classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// What must be allowed, each by itself; never empty.
    pub(crate) acts: Vec<DatabaseAct>,
    /// Its classes, in the words of the classification.
    pub(crate) classes: String,
    /// Leading words of its statements.
    pub(crate) kind: String,
    /// Why it is more than its leading words say, for the refusal.
    pub(crate) reasons: Vec<(Option<DatabaseAct>, String)>,
    /// Its tables, as written.
    pub(crate) tables: Vec<String>,
    /// What the recording has of its text.
    pub(crate) text: String,
    /// The text without literals.
    pub(crate) fingerprint: String,
    /// Bytes of the whole text.
    pub(crate) bytes: usize,
    /// Whether texts after it may be read differently.
    pub(crate) changes_reading: bool,
    /// Its class set, for names it is prepared under.
    pub(crate) set: ClassSet,
}

impl Known {
    /// Classifies a text.
    pub(crate) fn read(
        classifier: &Classifier,
        text: &[u8],
        modes: &Modes,
        prepared: &mut Prepared,
    ) -> Arc<Self> {
        let statements = classifier.classify(text, modes);
        let mut set = ClassSet::EMPTY;
        let mut known = Self::nothing(text.len());
        for statement in &statements.list {
            let analysis = &statement.analysis;
            set = set.union(prepared.classes(analysis));
            prepared.observe(analysis);
            push_word(&mut known.kind, analysis.kind, "; ");
            push_word(&mut known.fingerprint, &analysis.fingerprint, "; ");
            let reasons = analysis.reasons.iter();
            known.reasons.extend(reasons.map(|why| (Some(act_of(why.class())), why.to_string())));
            let tables = analysis.tables.iter().map(|table| table.name.join("."));
            known.tables.extend(tables.take(RECORDED_TABLES));
        }
        known.tables.sort();
        known.tables.dedup();
        known.tables.truncate(RECORDED_TABLES);
        known.set = set;
        known.acts = acts_of(set);
        known.classes = set.to_string();
        let may_change = [Class::Procedure, Class::Confinement, Class::Server, Class::Unknown];
        known.changes_reading =
            statements.changes_reading() || may_change.iter().any(|class| set.contains(*class));
        // `ALTER ROLE ... PASSWORD '...'`: the recording has no use for the password.
        let silent = set.contains(Class::Privilege) && !known.fingerprint.is_empty();
        known.text = if silent { cut(known.fingerprint.as_bytes()) } else { cut(text) };
        known.fingerprint.truncate(floor(&known.fingerprint, RECORDED_TEXT_BYTES));
        Arc::new(known)
    }

    /// The protocol's own function call, which names a function by its number.
    pub(crate) fn function_call(body: &[u8]) -> Arc<Self> {
        let oid = body.first_chunk::<4>().map_or(0, |oid| u32::from_be_bytes(*oid));
        Arc::new(Self {
            acts: vec![DatabaseAct::Call],
            classes: Class::Procedure.name().to_owned(),
            kind: "function call".to_owned(),
            text: format!("function call of oid {oid}"),
            set: ClassSet::from(Class::Procedure),
            changes_reading: true,
            ..Self::nothing(body.len())
        })
    }

    /// A command of a replication connection, which is not SQL.
    pub(crate) fn replication(text: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            acts: vec![DatabaseAct::Replicate],
            classes: "replication".to_owned(),
            kind: "replication".to_owned(),
            text: cut(text),
            ..Self::nothing(text.len())
        })
    }

    /// A text that came before it is known how the server reads it.
    pub(crate) fn unread(text: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            acts: vec![DatabaseAct::Unclassified],
            classes: Class::Unknown.name().to_owned(),
            kind: "unread".to_owned(),
            reasons: vec![(
                Some(DatabaseAct::Unclassified),
                "it came before the answer to a statement that may change how it is read".into(),
            )],
            text: cut(text),
            changes_reading: true,
            set: ClassSet::from(Class::Unknown),
            ..Self::nothing(text.len())
        })
    }

    /// A prepared statement the gate has not seen prepared by a message of its own.
    pub(crate) fn by_name(name: &[u8]) -> Arc<Self> {
        let name = String::from_utf8_lossy(name).escape_debug().to_string();
        let text = format!("prepared statement `{name}`");
        Arc::new(Self { kind: "execute".to_owned(), text, ..Self::nothing(0) })
    }

    fn nothing(bytes: usize) -> Self {
        Self {
            acts: vec![DatabaseAct::Connect],
            classes: String::new(),
            kind: String::new(),
            reasons: Vec::new(),
            tables: Vec::new(),
            text: String::new(),
            fingerprint: String::new(),
            bytes,
            changes_reading: false,
            set: ClassSet::EMPTY,
        }
    }

    /// Whether it may leave something changed.
    pub(crate) fn changes(&self) -> bool {
        self.acts.iter().any(|act| act.changes())
    }

    /// The reason it is this act, if the classification gave one.
    pub(crate) fn reason_for(&self, act: DatabaseAct) -> Option<&str> {
        let found = self.reasons.iter().find(|(of, _)| *of == Some(act));
        found.map(|(_, why)| why.as_str())
    }

    /// The event that it begins.
    pub(crate) fn begins(&self, id: u64, values: Option<&Json>) -> String {
        let mut event = json!({
            "id": id, "text": self.text, "bytes": self.bytes, "kind": self.kind,
            "classes": self.classes, "tables": self.tables,
        });
        if let (Some(values), Some(map)) = (values, event.as_object_mut()) {
            map.insert("parameters".to_owned(), values.clone());
        }
        let whole = json!({ "statement": &event }).to_string();
        if whole.len() <= MAX_EVENT_BYTES {
            return whole;
        }
        // Escaped, a text may be several times as long.
        let begin = self.text.get(..floor(&self.text, SHORT_TEXT_BYTES)).unwrap_or_default();
        let short = json!({
            "id": id, "text": begin, "bytes": self.bytes, "cut": true, "kind": cut_word(&self.kind),
            "classes": self.classes,
        });
        json!({ "statement": short }).to_string()
    }
}

/// The act each class is.
const fn act_of(class: Class) -> DatabaseAct {
    match class {
        Class::Transaction | Class::Session => DatabaseAct::Connect,
        Class::Read => DatabaseAct::Read,
        Class::CopyOut => DatabaseAct::CopyOut,
        Class::CopyIn => DatabaseAct::CopyIn,
        Class::Write => DatabaseAct::Write,
        Class::Procedure => DatabaseAct::Call,
        Class::Ddl => DatabaseAct::Ddl,
        Class::Confinement => DatabaseAct::Session,
        Class::Privilege => DatabaseAct::Privilege,
        Class::Server => DatabaseAct::Server,
        Class::Unknown => DatabaseAct::Unclassified,
    }
}

fn acts_of(set: ClassSet) -> Vec<DatabaseAct> {
    let mut acts: Vec<_> = set.iter().map(act_of).collect();
    acts.sort();
    acts.dedup();
    if acts.is_empty() {
        acts.push(DatabaseAct::Connect);
    }
    acts
}

/// Values of parameters as the recording has them.
pub(crate) fn recorded_values(values: &[Value<'_>], count: usize) -> Json {
    let shown = values.iter().take(RECORDED_VALUES).map(|value| match value.bytes {
        None => Json::Null,
        Some(bytes) if value.binary => json!({"binary": hex(bytes), "bytes": bytes.len()}),
        Some(bytes) if bytes.len() <= RECORDED_VALUE_BYTES => {
            Json::from(String::from_utf8_lossy(bytes).into_owned())
        }
        Some(bytes) => {
            let begin = String::from_utf8_lossy(bytes.get(..RECORDED_VALUE_BYTES).unwrap_or(bytes));
            json!({"begin": begin, "bytes": bytes.len()})
        }
    });
    let mut all: Vec<Json> = shown.collect();
    if count > all.len() {
        all.push(json!({"more": count - all.len()}));
    }
    Json::from(all)
}

fn hex(bytes: &[u8]) -> String {
    let bytes = bytes.get(..RECORDED_VALUE_BYTES / 2).unwrap_or(bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text as the recording has it: whole, or its beginning and the hash of all of it.
fn cut(text: &[u8]) -> String {
    match text.get(..RECORDED_TEXT_BYTES) {
        Some(begin) if text.len() > RECORDED_TEXT_BYTES => {
            let hash = digest::digest(&digest::SHA256, text);
            let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}… (sha256 of all {hash})", String::from_utf8_lossy(begin))
        }
        _ => String::from_utf8_lossy(text).into_owned(),
    }
}

fn push_word(all: &mut String, word: &str, between: &str) {
    if !all.is_empty() {
        all.push_str(between);
    }
    all.push_str(word);
}

fn cut_word(text: &str) -> &str {
    text.get(..floor(text, 256)).unwrap_or_default()
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Arc<Known> {
        let classifier = Classifier::default();
        Known::read(&classifier, text.as_bytes(), &Modes::postgres(), &mut Prepared::default())
    }

    #[test]
    fn a_text_is_every_act_of_every_statement_in_it() {
        use DatabaseAct::{Connect, CopyOut, Ddl, Read, Unclassified, Write};
        assert_eq!(read("select 1; insert into t values (1)").acts, [Read, Write]);
        assert_eq!(read("begin").acts, [Connect]);
        assert_eq!(read("  -- nothing").acts, [Connect]);
        assert!(read("drop table t").acts.contains(&Ddl));
        assert!(read("copy t to stdout").acts.contains(&CopyOut));
        assert!(read("'").acts.contains(&Unclassified));
    }

    #[test]
    fn the_recording_has_no_password_of_a_role() {
        let known = read("alter role app password 'hunter2'");
        assert!(!known.begins(1, None).contains("hunter2"), "{known:?}");
        assert!(known.changes());
    }

    #[test]
    fn a_long_text_is_recorded_by_its_beginning_and_its_hash() {
        let text = format!("select '{}'", "x".repeat(100_000));
        let control = format!("select '{}'", "\u{1}".repeat(30_000));
        assert!(read(&control).begins(1, None).len() < 64 * 1024);
        let event = read(&text).begins(1, None);
        assert!(event.len() < 60_000 && event.contains("sha256"), "{}", event.len());
    }
}
