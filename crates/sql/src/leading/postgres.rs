//! PostgreSQL's statements by their leading words (the manual's "SQL Commands").

use super::{plain, settings, unparsed, unseen};
use crate::class::Class;
use crate::reader::Reader;
use crate::span::Span;
use crate::statement::{Analysis, Reason};

/// Words in a definition that change who may do what.
const OF_PRIVILEGES: [&str; 5] = ["owner", "grant", "authorization", "definer", "security"];

pub(crate) fn read(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    let word = if span.is_bare(0) { span.text(0) } else { "" };
    match word {
        "" if span.is_sign(0, "(") => query(reader, "select", span, analysis),
        "select" => query(reader, "select", span, analysis),
        "with" => query(reader, "with", span, analysis),
        "values" => query(reader, "values", span, analysis),
        "table" => query(reader, "table", span, analysis),
        "insert" => change(reader, "insert", span, analysis),
        "update" => change(reader, "update", span, analysis),
        "delete" => change(reader, "delete", span, analysis),
        "merge" => change(reader, "merge", span, analysis),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            transaction(span, analysis);
        }
        "set" => settings::postgres_set(span, analysis),
        "reset" => settings::postgres_reset(span, analysis),
        "show" => plain("show", &[Class::Read], analysis),
        "explain" => explain(reader, span, analysis),
        "prepare" => prepare(reader, span, analysis),
        "execute" => {
            analysis.kind = "execute";
            execute(reader, span, analysis);
        }
        "declare" => declare(reader, span, analysis),
        "copy" => copy(reader, span, analysis),
        "create" => create(reader, span, analysis),
        "alter" | "drop" => alter_or_drop(reader, span, analysis),
        "call" => {
            plain("call", &[Class::Procedure], analysis);
            reader.expressions(span.from(1), analysis);
        }
        "do" => {
            plain("do", &[Class::Procedure], analysis);
            unseen(analysis);
        }
        _ => rest(reader, word, span, analysis),
    }
}

fn query(reader: Reader<'_>, kind: &'static str, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = kind;
    reader.query(span, analysis);
}

fn change(reader: Reader<'_>, kind: &'static str, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = kind;
    reader.change(span, analysis);
}

/// Statements whose words say everything.
fn rest(reader: Reader<'_>, word: &str, span: Span<'_>, analysis: &mut Analysis) {
    match word {
        "fetch" => plain("fetch", &[Class::Read], analysis),
        "move" => plain("move", &[Class::Read], analysis),
        "close" => plain("close", &[Class::Session], analysis),
        "listen" => plain("listen", &[Class::Session], analysis),
        "unlisten" => plain("unlisten", &[Class::Session], analysis),
        "notify" => plain("notify", &[Class::Write], analysis),
        "deallocate" => plain("deallocate", &[Class::Session], analysis),
        "discard" if span.is_one(1, &["plans", "sequences", "temp", "temporary"]) => {
            plain("discard", &[Class::Session], analysis);
        }
        "discard" => {
            plain("discard", &[Class::Session, Class::Confinement], analysis);
            analysis.changes_reading = true;
        }
        "truncate" => {
            analysis.kind = "truncate";
            reader.definition(span, &[Class::Write], analysis);
        }
        "lock" => plain("lock", &[Class::Write], analysis),
        "vacuum" => plain("vacuum", &[Class::Ddl], analysis),
        "analyze" | "analyse" => plain("analyze", &[Class::Ddl], analysis),
        "reindex" => plain("reindex", &[Class::Ddl], analysis),
        "cluster" => plain("cluster", &[Class::Ddl], analysis),
        "repack" => plain("repack", &[Class::Ddl], analysis),
        "refresh" => plain("refresh", &[Class::Ddl, Class::Write], analysis),
        "comment" => plain("comment", &[Class::Ddl], analysis),
        "checkpoint" => plain("checkpoint", &[Class::Server], analysis),
        "load" => plain("load", &[Class::Server], analysis),
        "import" => plain("import", &[Class::Ddl, Class::Server], analysis),
        "grant" => plain("grant", &[Class::Privilege], analysis),
        "revoke" => plain("revoke", &[Class::Privilege], analysis),
        "reassign" => plain("reassign", &[Class::Privilege], analysis),
        "security" => plain("security label", &[Class::Privilege], analysis),
        _ => unparsed(analysis),
    }
}

fn transaction(span: Span<'_>, analysis: &mut Analysis) {
    let kind = match span.text(0) {
        "begin" => "begin",
        "start" => "start transaction",
        "commit" | "end" => "commit",
        "savepoint" => "savepoint",
        "release" => "release",
        _ => "rollback",
    };
    if kind == "start transaction" && !span.is(1, "transaction") {
        return unparsed(analysis);
    }
    plain(kind, &[Class::Transaction], analysis);
    if span.is(1, "prepared") {
        analysis.add(Reason::Keyword("prepared", Class::Write));
    }
    if span.has_all(&["read", "write"]) {
        analysis.add(Reason::Keyword("read write", Class::Confinement));
    }
}

fn explain(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "explain";
    let mut place = 1;
    let mut runs = false;
    if span.is_sign(1, "(") {
        let Some(end) = span.closing(1) else { return unparsed(analysis) };
        let options = span.between(2, end);
        // `explain (select 1)` explains the query in the brackets.
        if options.is_one(0, &["select", "with", "values", "table"]) || options.is_sign(0, "(") {
            return reader.explained(span.from(1), analysis);
        }
        runs = options.has("analyze") || options.has("analyse");
        place = end + 1;
    } else {
        while span.is_one(place, &["analyze", "analyse", "verbose"]) {
            runs |= !span.is(place, "verbose");
            place += 1;
        }
    }
    if runs {
        analysis.classes.insert(Class::Read);
        reader.inner(span.from(place), analysis);
    } else {
        reader.explained(span.from(place), analysis);
    }
}

fn prepare(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    if span.is(1, "transaction") {
        return plain("prepare transaction", &[Class::Transaction, Class::Write], analysis);
    }
    plain("prepare", &[Class::Session], analysis);
    let (Some(name), Some(begins)) = (span.name(1), span.outer(&["as"])) else {
        return unparsed(analysis);
    };
    reader.inner(span.from(begins + 1), analysis);
    analysis.prepares = Some(name);
}

fn execute(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.executes = span.name(1);
    reader.expressions(span.from(2), analysis);
    analysis.besides_execute = analysis.classes;
    analysis.add(Reason::Keyword("execute", Class::Procedure));
}

fn declare(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "declare";
    analysis.classes.insert(Class::Session);
    match span.from(2).outer(&["for"]) {
        Some(place) if span.has("cursor") => reader.inner(span.from(2).from(place + 1), analysis),
        _ => unparsed(analysis),
    }
}

/// `COPY table FROM|TO where` and `COPY (query) TO where`.
fn copy(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "copy";
    let direction = if span.is_sign(1, "(") {
        let Some(end) = span.closing(1) else { return unparsed(analysis) };
        reader.inner(span.between(2, end), analysis);
        end + 1
    } else {
        let Some(place) = span.outer(&["from", "to"]) else { return unparsed(analysis) };
        copied_table(span.between(1, place), span.is(place, "from"), analysis);
        place
    };
    let where_to = direction + 1;
    if span.is(direction, "from") {
        analysis.add(Reason::Keyword("copy from", Class::CopyIn));
        analysis.add(Reason::Keyword("copy from", Class::Write));
        reader.expressions(span.from(where_to), analysis);
    } else if span.is(direction, "to") {
        analysis.add(Reason::Keyword("copy to", Class::CopyOut));
        analysis.classes.insert(Class::Read);
    } else {
        return unparsed(analysis);
    }
    if !span.is_one(where_to, &["stdin", "stdout"]) {
        analysis.add(Reason::Keyword("copy with a file or program", Class::Server));
    }
}

fn copied_table(span: Span<'_>, changed: bool, analysis: &mut Analysis) {
    use crate::statement::{Access, TableUse};
    let start = usize::from(span.is(0, "binary"));
    let mut name = Vec::new();
    let mut place = start;
    while let Some(part) = span.name(place) {
        name.push(part);
        if !span.is_sign(place + 1, ".") {
            break;
        }
        place += 2;
    }
    let access = if changed { Access::Write } else { Access::Read };
    analysis.tables.push(TableUse { name, access });
}

/// What a definition is of: the first word that is not a modifier.
fn object<'a>(span: Span<'a>) -> &'a str {
    const MODIFIERS: [&str; 14] = [
        "or",
        "replace",
        "global",
        "local",
        "temp",
        "temporary",
        "unlogged",
        "if",
        "not",
        "exists",
        "unique",
        "constraint",
        "recursive",
        "default",
    ];
    (1..span.len().min(8))
        .find(|place| !span.is_one(*place, &MODIFIERS))
        .filter(|place| span.is_bare(*place))
        .map_or("", |place| span.text(place))
}

fn definition(reader: Reader<'_>, kind: &'static str, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = kind;
    let object = object(span);
    let classes: &[Class] = match object {
        "role" | "user" | "group" | "policy" | "owned" | "privileges" => {
            &[Class::Ddl, Class::Privilege]
        }
        "system" => &[Class::Server],
        "server" | "foreign" | "subscription" | "publication" | "extension" | "language"
        | "trusted" | "procedural" | "tablespace" | "database" | "event" | "access" => {
            &[Class::Ddl, Class::Server]
        }
        _ => &[Class::Ddl],
    };
    for class in classes {
        analysis.add(Reason::Keyword(kind, *class));
    }
    if (0..span.len()).any(|place| span.is_one(place, &OF_PRIVILEGES)) {
        analysis.add(Reason::Keyword("a right or an owner", Class::Privilege));
    }
    reader.definition(span, classes, analysis);
}

fn create(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    definition(reader, "create", span, analysis);
    let object = object(span);
    if !matches!(object, "table" | "materialized" | "view") {
        return;
    }
    // `create table ... as query` runs the query.
    if let Some(place) = span.outer(&["as"]) {
        if object == "table" {
            analysis.add(Reason::Keyword("create table as", Class::Write));
        }
        let mut query = span.from(place + 1);
        if let Some(end) = query.outer(&["with"]).filter(|end| *end > 0) {
            // `with [no] data`, `with check option` at the end are not the query's.
            let tail = query.from(end + 1);
            if tail.is_one(0, &["no", "data", "check", "cascaded", "local"]) {
                query = query.between(0, end);
            }
        }
        let queries = ["select", "with", "values", "table", "execute"];
        if query.is_one(0, &queries) || query.is_sign(0, "(") {
            reader.inner(query, analysis);
        } else {
            unparsed(analysis);
        }
    }
}

fn alter_or_drop(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    let kind = if span.is(0, "alter") { "alter" } else { "drop" };
    definition(reader, kind, span, analysis);
    if kind == "alter" && span.is(1, "default") {
        analysis.add(Reason::Keyword("alter default privileges", Class::Privilege));
    }
}
