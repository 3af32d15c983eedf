//! `SET`, `RESET` and what a setting may do.
//!
//! In: the tokens of a `SET` or `RESET`. Out: classes. A setting that is not on the reviewed list
//! of those that change only the form of answers is [`Class::Confinement`].

use super::unparsed;
use crate::class::Class;
use crate::lexer::Kind;
use crate::modes::Charset;
use crate::span::Span;
use crate::statement::{Analysis, Reason};

/// PostgreSQL's settings that change how answers look, and nothing that confines a session.
const POSTGRES_FORM: [&str; 18] = [
    "application_name",
    "array_nulls",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "escape_string_warning",
    "extra_float_digits",
    "geqo",
    "gin_fuzzy_search_limit",
    "intervalstyle",
    "jit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "timezone",
    "xmlbinary",
    "xmloption",
];

/// The settings by which PostgreSQL reads texts.
const POSTGRES_READING: [&str; 3] =
    ["client_encoding", "standard_conforming_strings", "backslash_quote"];

/// `SET ...`
pub(super) fn postgres_set(span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "set";
    let mut place = 1;
    if span.is_one(1, &["session", "local"]) && !span.is_sign(2, "=") && !span.is(2, "to") {
        if span.are(1, &["session", "authorization"]) {
            return analysis.add(Reason::Keyword("set session authorization", Class::Privilege));
        }
        if span.are(1, &["session", "characteristics"]) {
            return transaction_modes(span, analysis);
        }
        place = 2;
    }
    if span.is(place, "role") || span.are(place, &["session", "authorization"]) {
        return analysis.add(Reason::Keyword("set role", Class::Privilege));
    }
    if span.is(place, "transaction") {
        return transaction_modes(span, analysis);
    }
    if span.is(place, "constraints") {
        return analysis.classes.insert(Class::Transaction);
    }
    if span.are(place, &["time", "zone"]) {
        return analysis.classes.insert(Class::Session);
    }
    if span.is(place, "names") {
        return postgres_value("client_encoding", span.from(place + 1), analysis);
    }
    if span.is(place, "schema") {
        return analysis.add(Reason::Setting("search_path".to_owned(), Class::Confinement));
    }
    let Some(name) = span.name(place) else { return unparsed(analysis) };
    let end = place + 1;
    if span.is_sign(end, "=") || span.is(end, "to") {
        postgres_value(&name.to_ascii_lowercase(), span.from(end + 1), analysis);
    } else {
        // `set extension.name = ...`, or `set xml option ...`.
        analysis.add(Reason::Setting(name, Class::Confinement));
    }
}

fn transaction_modes(span: Span<'_>, analysis: &mut Analysis) {
    analysis.classes.insert(Class::Transaction);
    if span.has_all(&["read", "write"]) {
        analysis.add(Reason::Keyword("read write", Class::Confinement));
    }
}

fn postgres_value(name: &str, value: Span<'_>, analysis: &mut Analysis) {
    if POSTGRES_READING.contains(&name) {
        return postgres_reading(name, value, analysis);
    }
    let class = if POSTGRES_FORM.contains(&name) { Class::Session } else { Class::Confinement };
    analysis.add(Reason::Setting(name.to_owned(), class));
}

/// A setting by which texts are read may be set to the value in which nothing can hide.
fn postgres_reading(name: &str, value: Span<'_>, analysis: &mut Analysis) {
    let shown = plain_value(value);
    let safe = match name {
        "client_encoding" => Charset::from_name(&shown) == Charset::Utf8,
        "standard_conforming_strings" => matches!(shown.as_str(), "on" | "true"),
        _ => false,
    };
    let class = if safe { Class::Session } else { Class::Confinement };
    analysis.add(Reason::Setting(name.to_owned(), class));
    analysis.changes_reading = true;
}

/// The one word or literal of a value, folded; empty for anything else. The lexer keeps simple
/// literals of a `SET` as they are.
fn plain_value(value: Span<'_>) -> String {
    if value.len() == 1 {
        let text = value.text(0).trim_matches(['\'', '"', '`']);
        return text.to_ascii_lowercase();
    }
    String::new()
}

/// `RESET ...`
pub(super) fn postgres_reset(span: Span<'_>, analysis: &mut Analysis) {
    analysis.kind = "reset";
    if span.is(1, "role") || span.are(1, &["session", "authorization"]) {
        return analysis.add(Reason::Keyword("reset role", Class::Privilege));
    }
    if span.are(1, &["time", "zone"]) {
        return analysis.classes.insert(Class::Session);
    }
    let name = span.name(1).unwrap_or_default().to_ascii_lowercase();
    if span.len() == 2 && POSTGRES_FORM.contains(&name.as_str()) {
        return analysis.add(Reason::Setting(name, Class::Session));
    }
    analysis.changes_reading = true;
    analysis.add(Reason::Setting(name, Class::Confinement));
}

/// MySQL's session variables that change how answers look, and nothing that confines a session.
const MYSQL_FORM: [&str; 22] = [
    "autocommit",
    "character_set_results",
    "collation_connection",
    "completion_type",
    "group_concat_max_len",
    "interactive_timeout",
    "lc_messages",
    "lc_time_names",
    "net_read_timeout",
    "net_write_timeout",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "sql_select_limit",
    "sql_warnings",
    "time_zone",
    "transaction_isolation",
    "tx_isolation",
    "wait_timeout",
    "session_track_schema",
];

/// Modes of MySQL's `sql_mode` that do not change how texts are read.
const MYSQL_MODES: [&str; 18] = [
    "allow_invalid_dates",
    "error_for_division_by_zero",
    "no_auto_create_user",
    "no_auto_value_on_zero",
    "no_dir_in_create",
    "no_engine_substitution",
    "no_field_options",
    "no_key_options",
    "no_table_options",
    "no_unsigned_subtraction",
    "no_zero_date",
    "no_zero_in_date",
    "only_full_group_by",
    "pad_char_to_full_length",
    "strict_all_tables",
    "strict_trans_tables",
    "time_truncate_fractional",
    "traditional",
];

/// `SET ...` of MySQL; hands back the statement of `SET STATEMENT ... FOR`, which is the rest.
pub(super) fn mysql_set<'a>(span: Span<'a>, analysis: &mut Analysis) -> Option<Span<'a>> {
    analysis.kind = "set";
    if span.is(1, "password") || span.is(1, "role") || span.are(1, &["default", "role"]) {
        analysis.add(Reason::Keyword("set role or password", Class::Privilege));
        return None;
    }
    if span.are(1, &["resource", "group"]) {
        analysis.add(Reason::Keyword("set resource group", Class::Server));
        return None;
    }
    if span.is(1, "statement") {
        analysis.add(Reason::Keyword("set statement", Class::Confinement));
        let place = span.outer(&["for"]);
        if place.is_none() {
            unparsed(analysis);
        }
        return place.map(|place| span.from(place + 1));
    }
    let scoped = usize::from(span.is_one(1, &["session", "local", "global"]));
    if span.is(1 + scoped, "transaction") {
        transaction_modes(span, analysis);
        if span.is(1, "global") {
            analysis.add(Reason::Keyword("set global", Class::Server));
        }
        return None;
    }
    for assignment in split(span.from(1)) {
        mysql_assignment(assignment, analysis);
    }
    None
}

/// The parts between outer commas.
fn split(span: Span<'_>) -> Vec<Span<'_>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for place in 0..span.len() {
        match span.text(place) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(span.between(start, place));
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(span.from(start));
    parts
}

fn mysql_assignment(span: Span<'_>, analysis: &mut Analysis) {
    if span.is(0, "names") || span.is(0, "charset") || span.are(0, &["character", "set"]) {
        let place = if span.is(0, "character") { 2 } else { 1 };
        return mysql_charset(span.between(place, place + 1), analysis);
    }
    let mut place = 0;
    if span.is_one(0, &["global", "persist", "persist_only"]) {
        return analysis.add(Reason::Keyword("set global", Class::Server));
    }
    if span.is_one(0, &["session", "local"]) {
        place = 1;
    }
    let name = match span.kind(place) {
        Some(Kind::Variable) if span.text(place).starts_with("@@") => {
            let text = span.text(place).trim_start_matches('@').to_ascii_lowercase();
            match text.split_once('.') {
                Some(("session" | "local", name)) => name.to_owned(),
                Some(_) => {
                    return analysis.add(Reason::Keyword("set global", Class::Server));
                }
                None => text,
            }
        }
        Some(Kind::Variable) => return analysis.add(Reason::Keyword("set @", Class::Session)),
        _ => match span.name(place) {
            Some(name) => name.to_ascii_lowercase(),
            None => return unparsed(analysis),
        },
    };
    if !span.is_sign(place + 1, "=") && !span.is_sign(place + 1, ":=") {
        return unparsed(analysis);
    }
    let value = span.from(place + 2);
    match name.as_str() {
        "character_set_client" | "character_set_connection" => mysql_charset(value, analysis),
        "sql_mode" => mysql_mode(value, analysis),
        _ => {
            let form = MYSQL_FORM.contains(&name.as_str());
            let class = if form { Class::Session } else { Class::Confinement };
            analysis.add(Reason::Setting(name, class));
        }
    }
}

fn mysql_charset(value: Span<'_>, analysis: &mut Analysis) {
    let known = Charset::from_name(&plain_value(value)) != Charset::Opaque;
    let class = if known { Class::Session } else { Class::Confinement };
    analysis.add(Reason::Setting("character_set_client".to_owned(), class));
    analysis.changes_reading = true;
}

/// A list of modes, or one added to what is: `concat(@@sql_mode, ',STRICT_TRANS_TABLES')`.
fn mysql_mode(value: Span<'_>, analysis: &mut Analysis) {
    let modes = if value.is(0, "concat") && value.is_sign(1, "(") && value.len() == 6 {
        plain_value(value.between(4, 5))
    } else {
        plain_value(value)
    };
    let literal = value.len() == 1 || value.len() == 6;
    let reviewed = literal
        && modes
            .split(',')
            .map(str::trim)
            .all(|mode| mode.is_empty() || MYSQL_MODES.contains(&mode));
    let class = if reviewed { Class::Session } else { Class::Confinement };
    analysis.add(Reason::Setting("sql_mode".to_owned(), class));
    analysis.changes_reading = true;
}
