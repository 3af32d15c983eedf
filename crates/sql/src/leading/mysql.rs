//! The statements of MySQL and MariaDB by their leading words (the manual's "SQL Statements").

use super::{plain, settings, unparsed, unseen};
use crate::class::Class;
use crate::lexer::Kind;
use crate::modes::Dialect;
use crate::reader::Reader;
use crate::span::Span;
use crate::statement::{Analysis, Reason};

pub(crate) fn read(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    let word = if span.is_bare(0) { span.text(0).to_ascii_lowercase() } else { String::new() };
    match word.as_str() {
        "" if span.is_sign(0, "(") => query(reader, "select", span, analysis),
        "select" => query(reader, "select", span, analysis),
        "with" => query(reader, "with", span, analysis),
        "values" => query(reader, "values", span, analysis),
        "table" => query(reader, "table", span, analysis),
        "insert" => change(reader, "insert", span, analysis),
        "replace" => change(reader, "replace", span, analysis),
        "update" => change(reader, "update", span, analysis),
        "delete" => change(reader, "delete", span, analysis),
        "begin" | "start" | "commit" | "rollback" | "savepoint" | "release" | "xa" => {
            transaction(span, analysis);
        }
        "set" => {
            let inner = settings::mysql_set(span, analysis);
            reader.expressions(span.from(1), analysis);
            if let Some(inner) = inner {
                reader.inner(inner, analysis);
            }
        }
        "show" => {
            plain("show", &[Class::Read], analysis);
            reader.expressions(span.from(1), analysis);
        }
        "explain" | "describe" | "desc" => explain(reader, span, analysis),
        "analyze" => analyze(reader, span, analysis),
        "prepare" => prepare(reader, span, analysis),
        "execute" => execute(reader, span, analysis),
        "call" => {
            plain("call", &[Class::Procedure], analysis);
            reader.expressions(span.from(1), analysis);
        }
        "do" => {
            plain("do", &[Class::Procedure], analysis);
            reader.expressions(span.from(1), analysis);
        }
        "handler" => {
            plain("handler", &[Class::Read], analysis);
            unparsed(analysis);
        }
        "create" | "alter" | "drop" | "rename" => definition(reader, &word, span, analysis),
        _ => rest(reader, &word, span, analysis),
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
        "load" => load(span, analysis),
        "use" => plain("use", &[Class::Session], analysis),
        "help" => plain("help", &[Class::Read], analysis),
        "deallocate" => plain("deallocate", &[Class::Session], analysis),
        "get" => plain("get diagnostics", &[Class::Session], analysis),
        "truncate" => {
            analysis.kind = "truncate";
            reader.definition(span, &[Class::Write, Class::Ddl], analysis);
        }
        "lock" if span.is_one(1, &["table", "tables"]) => plain("lock", &[Class::Write], analysis),
        "lock" => plain("lock", &[Class::Server], analysis),
        "unlock" => plain("unlock", &[Class::Write], analysis),
        "optimize" => plain("optimize", &[Class::Ddl], analysis),
        "repair" => plain("repair", &[Class::Ddl], analysis),
        "check" => plain("check", &[Class::Ddl], analysis),
        "checksum" => plain("checksum", &[Class::Ddl], analysis),
        "cache" => plain("cache", &[Class::Ddl], analysis),
        "grant" => plain("grant", &[Class::Privilege], analysis),
        "revoke" => plain("revoke", &[Class::Privilege], analysis),
        "flush" => plain("flush", &[Class::Server], analysis),
        "reset" => plain("reset", &[Class::Server], analysis),
        "purge" => plain("purge", &[Class::Server], analysis),
        "change" => plain("change", &[Class::Server], analysis),
        "stop" => plain("stop", &[Class::Server], analysis),
        "kill" => plain("kill", &[Class::Server], analysis),
        "shutdown" => plain("shutdown", &[Class::Server], analysis),
        "restart" => plain("restart", &[Class::Server], analysis),
        "install" => plain("install", &[Class::Server], analysis),
        "uninstall" => plain("uninstall", &[Class::Server], analysis),
        "clone" => plain("clone", &[Class::Server], analysis),
        "import" => plain("import", &[Class::Server], analysis),
        "backup" => plain("backup", &[Class::Server], analysis),
        "binlog" => plain("binlog", &[Class::Server, Class::Write], analysis),
        _ => unparsed(analysis),
    }
}

fn transaction(span: Span<'_>, analysis: &mut Analysis) {
    let kind = match span.text(0).to_ascii_lowercase().as_str() {
        // MariaDB's `begin not atomic` begins a block of statements.
        "begin" if span.len() == 1 || (span.len() == 2 && span.is(1, "work")) => "begin",
        "start" if span.is(1, "transaction") => "start transaction",
        "start" => return plain("start", &[Class::Server], analysis),
        "commit" => "commit",
        "rollback" => "rollback",
        "savepoint" => "savepoint",
        "release" if span.is(1, "savepoint") => "release savepoint",
        "xa" => {
            plain("xa", &[Class::Transaction, Class::Write], analysis);
            return;
        }
        _ => return unparsed(analysis),
    };
    plain(kind, &[Class::Transaction], analysis);
    if span.has_all(&["read", "write"]) {
        analysis.add(Reason::Keyword("read write", Class::Confinement));
    }
}

/// `EXPLAIN [ANALYZE] [FORMAT = x] statement`, `DESCRIBE table [column]`.
fn explain(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "explain";
    let begins = (1..span.len()).find(|place| {
        span.is_one(
            *place,
            &["select", "with", "values", "table", "insert", "replace", "update", "delete"],
        ) || span.is_sign(*place, "(")
    });
    let runs = span.is(1, "analyze");
    match begins {
        Some(place) if runs => {
            analysis.classes.insert(Class::Read);
            reader.inner(span.from(place), analysis);
        }
        Some(place) => reader.explained(span.from(place), analysis),
        None if span.is(1, "for") || runs => unparsed(analysis),
        None => analysis.classes.insert(Class::Read),
    }
}

/// MariaDB's `ANALYZE statement` runs the statement; `ANALYZE TABLE` collects statistics.
fn analyze(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    if span.is_one(1, &["table", "tables", "local", "no_write_to_binlog"]) {
        return plain("analyze", &[Class::Ddl], analysis);
    }
    analysis.kind = "analyze";
    if reader.modes.dialect != Dialect::MariaDb {
        return unparsed(analysis);
    }
    let format = if span.is(1, "format") && span.is_sign(2, "=") { 4 } else { 1 };
    analysis.classes.insert(Class::Read);
    reader.inner(span.from(format), analysis);
}

/// `PREPARE name FROM 'text'`: the text is classified here, where it is known.
fn prepare(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    plain("prepare", &[Class::Session], analysis);
    analysis.prepares = span.name(1);
    if span.is(2, "from") {
        prepared_text(reader, span.from(3), analysis);
    } else {
        unparsed(analysis);
    }
}

fn execute(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "execute";
    if span.is(1, "immediate") {
        return prepared_text(reader, span.from(2), analysis);
    }
    analysis.executes = span.name(1);
    reader.expressions(span.from(2), analysis);
    analysis.besides_execute = analysis.classes;
    analysis.add(Reason::Keyword("execute", Class::Procedure));
}

/// A literal that is a statement. Only a literal without escapes and without neighbours is read;
/// everything else is text that is elsewhere.
fn prepared_text(reader: Reader<'_>, span: Span<'_>, analysis: &mut Analysis) {
    analysis.own_text = true;
    let token = span.token(0).filter(|token| token.kind == Kind::Text && span.len() == 1);
    let raw = token.and_then(|token| reader.text.get(token.start as usize..token.end as usize));
    let inner = match raw {
        Some([quote @ (b'\'' | b'"'), text @ .., last]) if quote == last => text,
        _ => return unseen(analysis),
    };
    let quoted = raw.and_then(|raw| raw.first()).copied().unwrap_or_default();
    if inner.contains(&b'\\') || inner.contains(&quoted) {
        return unseen(analysis);
    }
    let Some(reader) = reader.deeper() else { return unseen(analysis) };
    let reader = Reader { text: inner, ..reader };
    for statement in crate::classify_within(reader, None).list {
        let inner = &statement.analysis;
        analysis.classes = analysis.classes.union(inner.classes);
        inner.reasons.iter().for_each(|reason| analysis.add(reason.clone()));
        analysis.tables.extend(inner.tables.iter().cloned());
        analysis.columns.extend(inner.columns.iter().cloned());
        analysis.changes_reading |= inner.changes_reading;
    }
}

/// `LOAD DATA [LOCAL] INFILE`, `LOAD XML`, `LOAD INDEX`.
fn load(span: Span<'_>, analysis: &mut Analysis) {
    if span.is(1, "index") {
        return plain("load index", &[Class::Ddl], analysis);
    }
    if !span.is_one(1, &["data", "xml"]) {
        return plain("load", &[Class::Server], analysis);
    }
    plain("load data", &[Class::CopyIn, Class::Write], analysis);
    let local = span.is(2, "local")
        || (span.is_one(2, &["low_priority", "concurrent"]) && span.is(3, "local"));
    if !local {
        analysis.add(Reason::Keyword("load data from the server's file", Class::Server));
    }
    // `set column = expression` may call anything; the parser does not know it.
    unparsed(analysis);
}

fn definition(reader: Reader<'_>, word: &str, span: Span<'_>, analysis: &mut Analysis) {
    let kind = match word {
        "create" => "create",
        "alter" => "alter",
        "drop" => "drop",
        _ => "rename",
    };
    if kind == "drop" && span.is(1, "prepare") {
        return plain("deallocate", &[Class::Session], analysis);
    }
    analysis.kind = kind;
    let head = span.between(1, span.len().min(8));
    let mut classes = vec![Class::Ddl];
    if head.has("user") || head.has("role") || span.has("definer") {
        classes.push(Class::Privilege);
    }
    let reaches = ["server", "instance", "soname", "tablespace", "undo", "logfile", "directory"];
    if (0..span.len()).any(|place| span.is_one(place, &reaches)) || head.has("database") {
        classes.push(Class::Server);
    }
    for class in &classes {
        analysis.add(Reason::Keyword(kind, *class));
    }
    reader.definition(span, &classes, analysis);
    let selects = (1..span.len())
        .find(|place| span.is_one(*place, &["select", "values"]) && !span.is_sign(*place + 1, "("));
    if kind == "create"
        && head.has("table")
        && let Some(place) = selects
    {
        analysis.add(Reason::Keyword("create table select", Class::Write));
        reader.calls(span.from(place), analysis);
    }
}
