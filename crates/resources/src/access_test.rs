//! `kind: AccessTest`: example requests, in files of their own beside the resources.
//!
//! In: files of tests. Out: the cases, each with its place, or every problem found. Names are not
//! looked up here: whoever runs a case knows what there is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::access_test::{AccessCase, DEFAULT_SOURCE, ExpectedTerms, Verdict};
use portcullis_domain::{Action, ActionKind, DatabaseAct, PolicyName, Recording};

use crate::decode::{DOCUMENT, MAX_DESCRIPTION_BYTES, METADATA};
use crate::located::Located;
use crate::node::{self, Node};
use crate::problem::{Problem, Problems};
use crate::reader::{Fields, Noted, Read, Reader};
use crate::source::{MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Position, Source};

/// What ends the name of a file of tests.
const TEST_SUFFIXES: [&str; 2] = [".test.yaml", ".test.yml"];
/// Most cases in one call.
const MAX_CASES: usize = 10_000;

pub(crate) const SPEC: &[&str] = &["description", "cases"];
pub(crate) const CASE: &[&str] = &[
    "name",
    "user",
    "second_factor",
    "source",
    "at",
    "grant",
    "ticket",
    "target",
    "login",
    "action",
    "object",
    "expect",
    "by",
    "terms",
];
pub(crate) const TERMS: &[&str] = &["recording", "login", "max_session", "idle_timeout"];

/// Whether a file of this name has tests and no resources.
pub fn is_test_file(name: &str) -> bool {
    TEST_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Reads files of tests, each a file name and its text.
///
/// # Errors
/// Every problem found, in the order of the files.
pub fn parse_access_tests<N: AsRef<str>, T: AsRef<str>>(
    files: &[(N, T)],
) -> Result<Vec<Located<AccessCase>>, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut cases = Vec::new();
    let total: usize = files.iter().map(|(_, text)| text.as_ref().len()).sum();
    let too_large = files.iter().any(|(_, text)| text.as_ref().len() > MAX_FILE_BYTES);
    if files.len() > MAX_FILES || total > MAX_TOTAL_BYTES || too_large {
        let message = format!(
            "there are {} files with {total} bytes; at most {MAX_FILES} files, {MAX_FILE_BYTES} bytes each and {MAX_TOTAL_BYTES} in all are allowed",
            files.len()
        );
        problems.push(|| Problem::of_file("", message, Some("run them in parts".into())));
        return Err(problems.into_vec());
    }
    let mut documents = 0;
    for (name, text) in files {
        let source = Arc::new(Source::new(name.as_ref(), text.as_ref()));
        for chunk in source.documents() {
            documents += 1;
            if documents > MAX_DOCUMENTS || cases.len() > MAX_CASES {
                let message =
                    format!("there are more than {MAX_DOCUMENTS} documents or {MAX_CASES} cases");
                let help = "run them in parts".into();
                problems.push(|| Problem::of_file(source.name(), message, Some(help)));
                return Err(problems.into_vec());
            }
            let root = match node::parse(chunk) {
                Ok(root) => root,
                Err(node::Malformed { at, message, suggestion }) => {
                    problems.push(|| Problem::at(&source, at, message, suggestion));
                    continue;
                }
            };
            let mut reader = Reader::new(&source, &mut problems);
            let found = document(&mut reader, &root).unwrap_or_default();
            let located = found
                .into_iter()
                .map(|(case, at)| Located::new(case, Arc::clone(&source), at, Default::default()));
            cases.extend(located);
        }
    }
    if problems.count() == 0 { Ok(cases) } else { Err(problems.into_vec()) }
}

fn document(reader: &mut Reader<'_>, root: &Node) -> Read<Vec<(AccessCase, Position)>> {
    let fields = reader.fields(root, "the document", DOCUMENT)?;
    let kind = fields.required(reader, "kind", "`kind: AccessTest`", |r, node| {
        r.one_of(node, "a kind of test", &[("AccessTest", ())])
    });
    let name = fields.required(reader, "metadata", "`metadata: {name: ...}`", |r, node| {
        let fields = r.fields(node, "`metadata`", METADATA)?;
        fields.required(r, "name", "`name:`", |r, node| r.parse::<PolicyName>(node))
    });
    let (Ok(()), Ok(name)) = (kind, name) else { return Err(Noted) };
    fields.required(reader, "spec", "`spec:` with `cases:`", |r, node| {
        let fields = r.fields(node, "the spec of an AccessTest", SPEC)?;
        let description =
            fields.optional(r, "description", |r, n| r.line(n, MAX_DESCRIPTION_BYTES));
        let cases = fields.required(r, "cases", "`cases:` with example requests", |r, node| {
            let items = r.items(node)?;
            if items.is_empty() {
                return Err(r.note(node.at, "a test without a case shows nothing", None));
            }
            let mut names = BTreeSet::new();
            let read: Vec<Read<(AccessCase, Position)>> = items
                .iter()
                .map(|item| {
                    let read = case(r, item, &name)?;
                    if !names.insert(read.name.clone()) {
                        let help = "say what each one shows";
                        let message = "two cases have the same name";
                        return Err(r.note(item.at, message, Some(help.into())));
                    }
                    Ok((read, item.at))
                })
                .collect();
            read.into_iter().collect::<Read<Vec<_>>>()
        });
        description?;
        cases
    })
}

fn case(reader: &mut Reader<'_>, node: &Node, test: &PolicyName) -> Read<AccessCase> {
    let fields = reader.fields(node, "a case", CASE)?;
    let name = fields.required(reader, "name", "`name:` with what it shows", |r, node| {
        r.line(node, MAX_DESCRIPTION_BYTES)
    });
    let user = fields.required(reader, "user", "`user:`", |r, n| r.parse(n));
    let age = fields.optional(reader, "second_factor", |r, n| r.duration(n, Duration::ZERO));
    let source = fields.optional(reader, "source", |r, n| r.parse::<IpAddr>(n));
    let at = fields.optional(reader, "at", |r, n| r.parse(n));
    let has_grant = fields.or_default(reader, "grant", |r, n| r.bool(n));
    let ticket = fields.optional(reader, "ticket", |r, n| r.line(n, MAX_DESCRIPTION_BYTES));
    let target = fields.required(reader, "target", "`target:`", |r, n| r.parse(n));
    let login = fields.optional(reader, "login", |r, n| r.parse(n));
    let action = action(reader, node, &fields);
    let expect = fields.required(
        reader,
        "expect",
        "`expect:` with `allow`, `step_up`, `request_access` or `deny`",
        |r, node| r.one_of(node, "an answer", &Verdict::ALL.map(|one| (one.as_str(), one))),
    );
    let by = fields.or_default(reader, "by", |r, node| {
        r.list(node, |r, node| r.line(node, MAX_DESCRIPTION_BYTES))
    });
    let terms = fields.or_default(reader, "terms", terms);
    let case = AccessCase {
        test: test.clone(),
        name: name?,
        user: user?,
        second_factor_age: age?,
        source: source?.unwrap_or(DEFAULT_SOURCE),
        at: at?,
        has_grant: has_grant?,
        ticket: ticket?,
        target: target?,
        login: login?,
        action: action?,
        expect: expect?,
        by: by?,
        terms: terms?,
    };
    if case.ticket.is_some() && !case.has_grant {
        let help = "add `grant: true`, or leave `ticket` out";
        let message = "only a grant has a ticket";
        return Err(reader.note(fields.place("ticket"), message, Some(help.into())));
    }
    if case.expect != Verdict::Allow && case.terms != ExpectedTerms::default() {
        let help = "leave `terms` out, or expect `allow`";
        let message = "only what is allowed has terms";
        return Err(reader.note(fields.place("terms"), message, Some(help.into())));
    }
    Ok(case)
}

fn action(reader: &mut Reader<'_>, node: &Node, fields: &Fields<'_>) -> Read<Action> {
    let words = ActionKind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = fields
        .required(reader, "action", "`action:`", |r, node| r.one_of(node, "an action", &words));
    let object = fields.optional(reader, "object", |r, node| r.text(node).map(str::to_owned));
    let (kind, object) = (kind?, object?);
    let (at, given) = (fields.place("object"), object.is_some());
    let text = object.unwrap_or_default();
    let none = |reader: &mut Reader<'_>, action| {
        if given {
            let message = format!("`{kind}` is about no command, path, destination or database");
            return Err(reader.note(at, message, Some("leave `object` out".into())));
        }
        Ok(action)
    };
    let destination = |reader: &mut Reader<'_>| {
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) => Ok((host.to_owned(), port)),
            None => {
                let at = if given { at } else { node.at };
                let help = "write `object: \"host:port\"`";
                Err(reader.note(at, "a forward needs its destination", Some(help.into())))
            }
        }
    };
    Ok(match kind {
        ActionKind::Shell => none(reader, Action::Shell)?,
        ActionKind::AgentForward => none(reader, Action::AgentForward)?,
        ActionKind::Exec => Action::Exec { command: text },
        ActionKind::Upload => Action::Upload { path: text },
        ActionKind::Download => Action::Download { path: text },
        ActionKind::Forward => {
            let (host, port) = destination(reader)?;
            Action::Forward { host, port }
        }
        ActionKind::RemoteForward => {
            let (host, port) = destination(reader)?;
            Action::RemoteForward { host, port }
        }
        database => Action::Database {
            act: database.database_act().unwrap_or(DatabaseAct::Unclassified),
            database: text,
        },
    })
}

fn terms(reader: &mut Reader<'_>, node: &Node) -> Read<ExpectedTerms> {
    let fields = reader.fields(node, "`terms`", TERMS)?;
    let recording = fields.optional(reader, "recording", |r, node| {
        let words = [
            ("off", Recording::Off),
            ("best_effort", Recording::BestEffort),
            ("required", Recording::Required),
        ];
        r.one_of(node, "a way of recording", &words)
    });
    let login = fields.optional(reader, "login", |r, n| r.parse(n));
    let most = |r: &mut Reader<'_>, n: &Node| r.duration(n, Duration::from_secs(1));
    let max_session = fields.optional(reader, "max_session", most);
    let idle_timeout = fields.optional(reader, "idle_timeout", most);
    Ok(ExpectedTerms {
        recording: recording?,
        login: login?,
        max_session: max_session?,
        idle_timeout: idle_timeout?,
    })
}

/// JSON Schema (draft 2020-12) of one document of tests, for editors.
pub fn access_test_schema() -> serde_json::Value {
    let text = |told: &str| serde_json::json!({"type": "string", "description": told});
    let words =
        |told: &str, words: &[&str]| serde_json::json!({"enum": words, "description": told});
    let object = |told: &str, properties: serde_json::Value, required: &[&str]| {
        serde_json::json!({
            "type": "object", "description": told, "additionalProperties": false,
            "properties": properties, "required": required,
        })
    };
    let terms = object(
        "Terms it must be allowed on.",
        serde_json::json!({
            "recording": words("Whether it is recorded.", &["off", "best_effort", "required"]),
            "login": text("The account on the target."),
            "max_session": text("Longest session, such as `8h`."),
            "idle_timeout": text("Longest silence, such as `15m`."),
        }),
        &[],
    );
    let verdicts = Verdict::ALL.map(Verdict::as_str);
    let kinds = ActionKind::ALL.map(ActionKind::as_str);
    let case = object(
        "One example request and the answer it must get.",
        serde_json::json!({
            "name": text("What it shows."),
            "user": text("Who asks."),
            "second_factor": text("How long ago they proved a second factor, such as `5m`; left out: not at all."),
            "source": text("The address they come from; left out: 203.0.113.7."),
            "at": {"type": "string", "format": "date-time", "description": "When; left out: when the test runs."},
            "grant": {"type": "boolean", "description": "Whether an approved grant for the target is in force then."},
            "ticket": text("The ticket of the grant."),
            "target": text("Where."),
            "login": text("As which account; left out: the only one possible."),
            "action": words("What.", &kinds),
            "object": text("The command, the path, or `host:port`."),
            "expect": words("The answer it must get.", &verdicts),
            "by": {"type": "array", "items": {"type": "string"}, "description": "Policies that must be among those that decide, such as `role:developer:allow:1`."},
            "terms": terms,
        }),
        &["name", "user", "target", "action", "expect"],
    );
    let mut schema = object(
        "Example requests with the answers they must get, run by `portcullis test`.",
        serde_json::json!({
            "kind": {"const": "AccessTest"},
            "metadata": object(
                "What the test is called.", serde_json::json!({"name": text("Its name.")}), &["name"]
            ),
            "spec": object(
                "The cases.",
                serde_json::json!({
                    "description": text("What it is about, in one line."),
                    "cases": {"type": "array", "items": case, "minItems": 1, "description": "Example requests."},
                }),
                &["cases"],
            ),
        }),
        &["kind", "metadata", "spec"],
    );
    if let Some(fields) = schema.as_object_mut() {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        fields.insert("$schema".into(), draft.into());
        fields.insert("title".into(), "Portcullis access test".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_fields_the_reader_reads() {
        let schema = access_test_schema();
        let fields = |at: &str| -> BTreeSet<String> {
            schema.pointer(at).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        let known = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let case = "/properties/spec/properties/cases/items/properties";
        assert_eq!(fields("/properties"), known(DOCUMENT));
        assert_eq!(fields("/properties/spec/properties"), known(SPEC));
        assert_eq!(fields(case), known(CASE));
        assert_eq!(fields(&format!("{case}/terms/properties")), known(TERMS));
    }

    #[test]
    fn what_is_wrong_with_a_case_is_said_with_its_line() {
        for (wrong, message) in [
            ("user: dana, target: web, action: dance, expect: allow", "is not an action"),
            (
                "user: dana, target: web, action: shell, object: ls, expect: deny",
                "about no command",
            ),
            ("user: dana, target: web, action: forward, expect: deny", "needs its destination"),
            (
                "user: dana, target: web, action: shell, expect: deny, terms: {login: x}",
                "has terms",
            ),
            ("user: dana, target: web, action: shell, expect: deny, ticket: X-1", "has a ticket"),
            ("user: dana, target: web, action: shell", "`expect` is missing"),
            ("user: dana, target: web, action: shell, expect: deny, color: red", "unknown field"),
        ] {
            let text = format!(
                "kind: AccessTest\nmetadata: {{name: t}}\nspec:\n  cases:\n    - {{name: one, {wrong}}}\n"
            );
            let problems = parse_access_tests(&[("a.test.yaml", text)]).unwrap_err();
            let first = problems.first().unwrap();
            assert!(first.message.contains(message), "{first}");
            assert_eq!((first.file.as_str(), first.line), ("a.test.yaml", 5), "{first}");
        }
    }

    #[test]
    fn a_case_has_what_was_left_out_by_default() {
        let text = "kind: AccessTest\nmetadata: {name: t}\nspec:\n  cases:\n    - {name: one, user: dana, target: web, action: shell, expect: request_access}\n";
        let cases = parse_access_tests(&[("a.test.yaml", text)]).unwrap();
        let case = &cases.first().unwrap().value;
        assert_eq!((case.source, case.has_grant, case.at), (DEFAULT_SOURCE, false, None));
        assert_eq!(case.expect, Verdict::RequestAccess);
    }
}
