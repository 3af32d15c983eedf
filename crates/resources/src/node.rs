//! A YAML document as a tree in which every value knows where it stands.
//!
//! In: the text of one document. Out: a [`Node`] or the one problem that made parsing stop. This
//! is the only module that reads YAML. It decides what YAML we accept: no anchors, no aliases, no
//! merge keys, no unknown tags, and bounded depth and size. Repeated fields stay in the tree, so that
//! their places can be told. It knows nothing of resources.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    DefaultMessageFormatter, DuplicateKeyPolicy, Location, MergeKeyPolicy, MessageFormatter,
    NonFiniteFloatPolicy, Spanned,
};

use crate::source::{Chunk, Position};

/// Deepest nesting of mappings and sequences; a resource needs seven.
const MAX_DEPTH: usize = 16;
/// Most scalars, sequences and mappings in one document.
const MAX_NODES: usize = 100_000;

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; YAML 1.1's `yes`, `no`, `on` and `off` are text.
    Bool(bool),
    /// A number, as it is spelled.
    Number(String),
    /// Text, quoted or plain.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written, repeated keys included.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: String,
}

/// Why a document is not a tree, and where.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) at: Position,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// Reads one document.
pub(crate) fn parse(chunk: Chunk<'_>) -> Result<Node, Malformed> {
    refuse_directive(chunk)?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: MAX_NODES * 3,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Raw>(chunk.text, options) {
        Ok(raw) => Ok(raw.placed(chunk)),
        Err(error) => Err(malformed(&error, chunk)),
    }
}

/// A directive could change the meaning of tags or the version of YAML. The line is `%` at its
/// beginning, before anything else of the document (YAML 1.2.2 section 6.8).
fn refuse_directive(chunk: Chunk<'_>) -> Result<(), Malformed> {
    let is_content = |(_, line): &(usize, &str)| !line.trim().is_empty() && !line.starts_with('#');
    match chunk.text.lines().enumerate().find(is_content) {
        Some((index, line)) if line.starts_with('%') => {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let line = chunk.lines_before.saturating_add(index).saturating_add(1);
            Err(Malformed {
                at: Position { line, column: 1, width: 1 },
                message: "directives are not used in resources".into(),
                suggestion: Some("remove the line; resources are YAML 1.2".into()),
            })
        }
        _ => Ok(()),
    }
}

fn malformed(error: &serde_saphyr::Error, chunk: Chunk<'_>) -> Malformed {
    let at = match error.location() {
        Some(location) if location != Location::UNKNOWN => place(location, chunk),
        _ => Position { line: chunk.lines_before.saturating_add(1), column: 1, width: 1 },
    };
    let (message, suggestion) = match error.without_snippet() {
        serde_saphyr::Error::Budget { breach, .. } => over_budget(breach),
        serde_saphyr::Error::AliasError { .. } | serde_saphyr::Error::UnknownAnchor { .. } => {
            no_aliases()
        }
        other => {
            let said = DefaultMessageFormatter.format_message(other);
            (format!("this is not the YAML of a resource: {}", crate::problem::cited(&said)), None)
        }
    };
    Malformed { at, message, suggestion }
}

fn no_aliases() -> (String, Option<String>) {
    let message = "anchors and aliases are not used in resources";
    (message.into(), Some("write the value out where it applies, in quotes if it is text".into()))
}

fn over_budget(breach: &serde_saphyr::budget::BudgetBreach) -> (String, Option<String>) {
    use serde_saphyr::budget::BudgetBreach as Breach;
    match breach {
        Breach::Aliases { .. } | Breach::Anchors { .. } | Breach::AliasAnchorRatio { .. } => {
            no_aliases()
        }
        Breach::Depth { .. } => (
            format!("this is nested more than {MAX_DEPTH} levels deep"),
            Some("check the indentation and the brackets".into()),
        ),
        _ => (
            format!("this document is too large; at most {MAX_NODES} values are allowed"),
            Some("split it into several resources".into()),
        ),
    }
}

fn place(location: Location, chunk: Chunk<'_>) -> Position {
    let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: clamp(location.line()).saturating_add(chunk.lines_before),
        column: clamp(location.column()).max(1),
        width: clamp(location.span().len()).max(1),
    }
}

/// What the deserialiser hands over: places still count from the beginning of the document.
struct Raw {
    at: Location,
    value: RawValue,
}

enum RawValue {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    /// With places that count from the beginning of the file, and numbers as spelled.
    fn placed(self, chunk: Chunk<'_>) -> Node {
        let mut at = place(self.at, chunk);
        let value = match self.value {
            RawValue::Null => {
                at.width = 1;
                Value::Null
            }
            RawValue::Bool(value) => Value::Bool(value),
            RawValue::Number(value) => Value::Number(spelled(self.at, chunk).unwrap_or(value)),
            RawValue::Text(value) => Value::Text(value),
            RawValue::List(list) => {
                at.width = 1;
                Value::List(list.into_iter().map(|item| item.placed(chunk)).collect())
            }
            RawValue::Map(entries) => {
                at.width = 1;
                let entry = |(key, value): (Spanned<String>, Self)| {
                    let at = place(key.referenced, chunk);
                    (Key { at, text: key.value }, value.placed(chunk))
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { at, value }
    }
}

/// The text of a scalar as it stands in the document.
fn spelled(at: Location, chunk: Chunk<'_>) -> Option<String> {
    let begin = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    let text = chunk.text.get(begin..begin.checked_add(length)?)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawValue>::deserialize(deserializer)?;
        Ok(Self { at: spanned.referenced, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawValue, E> {
        Ok(RawValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Node, Malformed> {
        parse(Chunk { lines_before: 10, text })
    }

    fn entries(node: &Node) -> &[(Key, Node)] {
        let Value::Map(entries) = &node.value else { panic!("not a map: {node:?}") };
        entries
    }

    #[test]
    fn every_key_and_value_knows_its_place_in_the_file() {
        let root = tree("a: 1\nlängs:\n  - x\n  - [yy, z]\n").unwrap();
        let (key, value) = &entries(&root)[1];
        assert_eq!(key.at, Position { line: 12, column: 1, width: 5 });
        let Value::List(items) = &value.value else { panic!() };
        assert_eq!(items[0].at, Position { line: 13, column: 5, width: 1 });
        let Value::List(inner) = &items[1].value else { panic!() };
        assert_eq!(inner[0].at, Position { line: 14, column: 6, width: 2 });
    }

    #[test]
    fn yaml_1_1_words_and_octals_are_text_and_numbers_keep_their_spelling() {
        let root = tree("[no, off, yes, 022, 1_000, true, 1.10, 0x16, .inf, ~]").unwrap();
        let Value::List(items) = &root.value else { panic!() };
        let shown: Vec<String> = items
            .iter()
            .map(|item| match &item.value {
                Value::Text(text) => format!("text {text}"),
                Value::Number(text) => format!("number {text}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "text no",
                "text off",
                "text yes",
                "text 022",
                "text 1_000",
                "Bool(true)",
                "number 1.10",
                "number 0x16",
                "number .inf",
                "Null"
            ]
        );
    }

    #[test]
    fn repeated_keys_and_merge_keys_are_kept_for_the_reader_to_refuse() {
        let root = tree("a: 1\na: 2\n<<: {b: 1}\n").unwrap();
        let keys: Vec<&str> = entries(&root).iter().map(|(key, _)| key.text.as_str()).collect();
        assert_eq!(keys, ["a", "a", "<<"]);
    }

    #[test]
    fn anchors_aliases_deep_nesting_and_unknown_tags_are_refused_where_they_stand() {
        let alias = tree("a: &x [1]\nb: *x\n").unwrap_err();
        assert!(alias.message.contains("anchors"), "{alias:?}");
        assert_eq!(alias.at.line, 11);
        assert!(tree("b: *x\n").unwrap_err().message.contains("anchors"));
        for open in ["[", "{a: "] {
            let deep = tree(&open.repeat(20_000)).unwrap_err();
            assert!(deep.message.contains("nested") || deep.message.contains("YAML"), "{deep:?}");
        }
        let block: String = (0..40).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(tree(&block).unwrap_err().message.contains("nested"));
        assert!(tree("a: !include /etc/passwd\n").is_err());
        assert!(tree("a: !env HOME\n").is_err());
    }

    #[test]
    fn a_directive_is_refused() {
        let error = tree("# c\n%YAML 1.1\n").unwrap_err();
        assert_eq!((error.at.line, error.message.contains("directives")), (12, true));
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = tree("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(error.at.line >= 11 && error.message.contains("YAML"), "{error:?}");
    }
}
