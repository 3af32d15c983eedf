//! Reads typed values out of a document's tree and notes every problem instead of stopping at
//! the first.
//!
//! In: [`Node`]s. Out: values, or [`Noted`], which says that the problem is already on the list.
//! Knows YAML's types and how to word a mistake; knows no kind of resource.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use portcullis_domain::parse_duration;

use crate::node::{Node, Value};
use crate::problem::{Problem, Problems, is_deceptive, quoted};
use crate::references::Link;
use crate::source::{Position, Source};
use crate::suggest::did_you_mean;

/// Most items in one list.
const MAX_ITEMS: usize = 10_000;

/// The problem was noted; there is no value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted;

/// A value, or the knowledge that its problem was noted.
pub(crate) type Read<T> = Result<T, Noted>;

/// Reads one document.
pub(crate) struct Reader<'s> {
    source: &'s Source,
    problems: &'s mut Problems,
    /// Where each thing that other resources may collide with, or that must exist, is written.
    places: BTreeMap<Link, Position>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, problems: &'s mut Problems) -> Self {
        Self { source, problems, places: BTreeMap::new() }
    }

    pub(crate) fn into_places(self) -> BTreeMap<Link, Position> {
        self.places
    }

    /// How many problems there are so far.
    pub(crate) fn count(&self) -> usize {
        self.problems.count()
    }

    /// Notes a problem.
    pub(crate) fn note(
        &mut self,
        at: Position,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) -> Noted {
        self.problems.push(|| Problem::at(self.source, at, message.into(), suggestion));
        Noted
    }

    /// Notes a problem with what may be a secret put into the file by mistake: the line is not
    /// repeated.
    pub(crate) fn note_unshown(
        &mut self,
        at: Position,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) -> Noted {
        self.problems.push(|| Problem {
            snippet: String::new(),
            ..Problem::at(self.source, at, message.into(), suggestion)
        });
        Noted
    }

    /// Remembers where a link is written; the first place counts.
    pub(crate) fn mark(&mut self, link: Link, at: Position) {
        self.places.entry(link).or_insert(at);
    }

    /// A mapping with these fields and no others, none of them twice.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        owner: &'static str,
        known: &[&'static str],
    ) -> Read<Fields<'n>> {
        let entries = self.map(node, owner)?;
        let mut found: BTreeMap<&str, &Node> = BTreeMap::new();
        for (key, value) in entries {
            let name = key.text.as_str();
            if !known.contains(&name) {
                let suggestion = if name == "<<" {
                    Some("merge keys are not used in resources; write the fields out".into())
                } else {
                    self.suggest(name, known.iter().copied())
                        .or_else(|| Some(format!("the fields are {}", listed(known))))
                };
                self.note(
                    key.at,
                    format!("unknown field `{}` in {owner}", quoted(name)),
                    suggestion,
                );
            } else if found.insert(name, value).is_some() {
                self.note(
                    key.at,
                    format!("`{name}` is given twice in {owner}"),
                    Some("keep one of the two".into()),
                );
            }
        }
        Ok(Fields { owner, at: node.at, found })
    }

    /// A mapping with free keys, such as labels.
    pub(crate) fn map<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
    ) -> Read<&'n [(crate::node::Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong_type(node, &format!("{what} with its fields"), None)),
        }
    }

    /// Text. A number or a boolean is not text: it may not mean what it looks like.
    pub(crate) fn text<'n>(&mut self, node: &'n Node) -> Read<&'n str> {
        match &node.value {
            Value::Text(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => {
                let help = "put it in quotes if it is meant as text";
                Err(self.wrong_type(node, "text", Some(help.into())))
            }
            _ => Err(self.wrong_type(node, "text", None)),
        }
    }

    /// One line of free text for people: no control characters, nothing that hides or reorders
    /// text. Line breaks at the end, as block scalars have them, are dropped.
    pub(crate) fn line(&mut self, node: &Node, max_bytes: usize) -> Read<String> {
        let text = self.text(node)?.trim_end_matches('\n');
        if text.len() > max_bytes {
            let message =
                format!("this is {} bytes long; at most {max_bytes} are allowed", text.len());
            return Err(self.note(node.at, message, None));
        }
        if let Some(c) = text.chars().find(|c| is_deceptive(*c)) {
            let message = format!("this text has the character {}, which is not printed", named(c));
            let help = "write it on one line, without control characters";
            return Err(self.note(node.at, message, Some(help.into())));
        }
        Ok(text.to_owned())
    }

    /// Text that a type can read, such as a name.
    pub(crate) fn parse<T>(&mut self, node: &Node) -> Read<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.text(node)?;
        text.parse().map_err(|error: T::Err| self.note(node.at, error.to_string(), None))
    }

    /// One word out of a fixed list.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Read<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Value::Text(text) = &node.value else {
            return Err(self.wrong_type(node, &format!("one of {}", listed(&names)), None));
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Ok(*value);
        }
        let suggestion = self
            .suggest(text, names.iter().copied())
            .or_else(|| Some(format!("write one of {}", listed(&names))));
        Err(self.note(node.at, format!("`{}` is not {what}", quoted(text)), suggestion))
    }

    /// `true` or `false`.
    pub(crate) fn bool(&mut self, node: &Node) -> Read<bool> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.wrong_type(node, "`true` or `false`", None)),
        }
    }

    /// A whole number in decimal digits, within bounds.
    pub(crate) fn number(&mut self, node: &Node, least: u32, most: u32) -> Read<u32> {
        let what = format!("a whole number from {least} to {most}");
        let Value::Number(spelled) = &node.value else {
            let help = matches!(&node.value, Value::Text(_))
                .then(|| "write it in decimal digits, without quotes and leading zeros".into());
            return Err(self.wrong_type(node, &what, help));
        };
        let plain = spelled.bytes().all(|b| b.is_ascii_digit());
        match spelled.parse::<u32>() {
            Ok(value) if plain && (least..=most).contains(&value) => Ok(value),
            _ => Err(self.note(node.at, format!("`{}` is not {what}", quoted(spelled)), None)),
        }
    }

    /// A duration; `least` refuses a zero where it would mean nothing.
    pub(crate) fn duration(&mut self, node: &Node, least: Duration) -> Read<Duration> {
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Number(spelled) => {
                let message = format!("`{}` is a number, not a duration", quoted(spelled));
                let help = "write it with its unit, like `90s`, `15m`, `8h` or `1d`";
                return Err(self.note(node.at, message, Some(help.into())));
            }
            _ => return Err(self.wrong_type(node, "a duration", None)),
        };
        match parse_duration(text) {
            Ok(duration) if duration >= least => Ok(duration),
            Ok(_) => Err(self.note(node.at, "this duration cannot be zero", None)),
            Err(error) => Err(self.note(node.at, crate::problem::cited(&error.to_string()), None)),
        }
    }

    /// A list in its order, in which nothing stands twice.
    pub(crate) fn list<T: Ord + Clone>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Read<T>,
    ) -> Read<Vec<T>> {
        let items = self.items(node)?;
        let mut seen = BTreeSet::new();
        let mut list = Vec::new();
        let mut outcome = Ok(());
        for item in items {
            match read(self, item) {
                Ok(value) if seen.insert(value.clone()) => list.push(value),
                Ok(_) => {
                    outcome = Err(self.note(
                        item.at,
                        "this is listed twice",
                        Some("remove one of the two".into()),
                    ));
                }
                Err(Noted) => outcome = Err(Noted),
            }
        }
        outcome.map(|()| list)
    }

    /// A list whose order says nothing.
    pub(crate) fn set<T: Ord + Clone>(
        &mut self,
        node: &Node,
        read: impl FnMut(&mut Self, &Node) -> Read<T>,
    ) -> Read<BTreeSet<T>> {
        self.list(node, read).map(BTreeSet::from_iter)
    }

    /// The items of a list, at most [`MAX_ITEMS`].
    pub(crate) fn items<'n>(&mut self, node: &'n Node) -> Read<&'n [Node]> {
        match &node.value {
            Value::List(items) if items.len() > MAX_ITEMS => {
                let message =
                    format!("this list has {} items; at most {MAX_ITEMS} are allowed", items.len());
                Err(self.note(node.at, message, None))
            }
            Value::List(items) => Ok(items),
            Value::Text(text) => {
                let help = format!("write it as a list: `[{}]`", quoted(text));
                Err(self.wrong_type(node, "a list", Some(help)))
            }
            _ => Err(self.wrong_type(node, "a list", None)),
        }
    }

    /// "did you mean", unless the problem would not be kept anyway.
    fn suggest<'c>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<String> {
        if self.problems.room() { did_you_mean(word, candidates) } else { None }
    }

    fn wrong_type(&mut self, node: &Node, expected: &str, help: Option<String>) -> Noted {
        let found = match &node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Number(spelled) => format!("the number `{}`", quoted(spelled)),
            Value::Text(text) => format!("the text `{}`", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        let help = match node.value {
            Value::Null => Some("give it a value or remove the field".into()),
            _ => help,
        };
        self.note(node.at, format!("expected {expected}, found {found}"), help)
    }
}

/// The fields of one mapping.
pub(crate) struct Fields<'n> {
    owner: &'static str,
    at: Position,
    found: BTreeMap<&'n str, &'n Node>,
}

impl<'n> Fields<'n> {
    /// A field that must be there; `hint` says what to write.
    pub(crate) fn required<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &'static str,
        hint: &str,
        read: impl FnOnce(&mut Reader<'_>, &'n Node) -> Read<T>,
    ) -> Read<T> {
        match self.found.get(name) {
            Some(node) => read(reader, node),
            None => Err(reader.note(
                self.at,
                format!("`{name}` is missing in {}", self.owner),
                Some(format!("add {hint}")),
            )),
        }
    }

    /// A field that may be left out.
    pub(crate) fn optional<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &'n Node) -> Read<T>,
    ) -> Read<Option<T>> {
        self.found.get(name).map(|node| read(reader, node)).transpose()
    }

    /// A field that may be left out and then is the empty list or the like.
    pub(crate) fn or_default<T: Default>(
        &self,
        reader: &mut Reader<'_>,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &'n Node) -> Read<T>,
    ) -> Read<T> {
        self.optional(reader, name, read).map(Option::unwrap_or_default)
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.found.contains_key(name)
    }

    /// Where the field's value is, or the mapping itself where the field is missing.
    pub(crate) fn place(&self, name: &str) -> Position {
        self.found.get(name).map_or(self.at, |node| node.at)
    }
}

/// Words as a sentence lists them: `a`, `b` and `c`.
pub(crate) fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [only] => format!("`{only}`"),
        [rest @ .., last] => {
            let rest: Vec<String> = rest.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", rest.join(", "))
        }
    }
}

/// A character that cannot be shown, by its code point.
fn named(c: char) -> String {
    match c {
        '\n' => "line feed".into(),
        '\t' => "tab".into(),
        '\r' => "carriage return".into(),
        c => format!("U+{:04X}", u32::from(c)),
    }
}
