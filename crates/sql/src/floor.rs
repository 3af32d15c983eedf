//! What a statement can do at least, told by its tokens alone.
//!
//! In: a statement's tokens and the names its syntax tree gave to column lists. Out: classes that
//! stay whatever the parser makes of the text: a parser that misreads a statement cannot make it
//! milder than this.

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::class::Class;
use crate::functions;
use crate::lexer::Kind;
use crate::modes::Modes;
use crate::span::Span;
use crate::statement::{Analysis, Reason};

/// Words before a bracket, or before a literal, that call nothing. A function of this name is
/// still seen by the syntax tree.
const NOT_CALLED: &str = "
    all and any array as asc between both by case check cluster conflict constraint cross cube
    default desc distinct do duplicate else end escape except exists fetch filter first for
    foreign from full group grouping groups having if ignore ilike in index inner insert intersect
    into is isnull join key lateral leading left like limit match matched materialized minus
    natural next not nothing notnull null nulls of offset on only operator or order ordinality outer over
    overlaps overlay partition passing placing preceding primary range recursive references regexp
    replace returning right rlike rollup row rows select separator set sets similar some symmetric
    then to trailing union unique update use using value values when where window with within
    without zone ties columns path nested empty error format div mod xor binary sounds interval date
    time timestamp straight_join high_priority sql_no_cache sql_cache sql_calc_found_rows
    sql_small_result bernoulli system repeatable sql_big_result sql_buffer_result distinctrow force keys fulltext local";

/// The classes beyond reading that tokens of any statement show.
pub(crate) fn everywhere(span: Span<'_>, modes: &Modes, analysis: &mut Analysis) {
    for place in 0..span.len() {
        if !matches!(span.kind(place), Some(Kind::Word | Kind::Quoted)) {
            continue;
        }
        let Some(name) = span.name(place) else { continue };
        let name = name.to_ascii_lowercase();
        if let Some(class) = functions::class_beyond_read(&name, modes)
            && is_named_as_function(span, place, modes)
        {
            analysis.add(Reason::Function(name, class));
        }
    }
}

/// A stricter function's name counts wherever it could be called. MySQL has no attribute
/// notation, so there only a bracket calls.
fn is_named_as_function(span: Span<'_>, place: usize, modes: &Modes) -> bool {
    if modes.dialect.is_mysql_like() {
        return span.is_sign(place + 1, "(");
    }
    true
}

/// The classes beyond reading that tokens of a query, or of a statement that runs one, show.
/// `listed` are names whose bracket holds columns: `with listed (a, b) as ...`.
pub(crate) fn in_query(
    span: Span<'_>,
    modes: &Modes,
    listed: &HashSet<String>,
    analysis: &mut Analysis,
) {
    let mysql = modes.dialect.is_mysql_like();
    for place in 0..span.len() {
        match span.kind(place) {
            Some(Kind::Word | Kind::Quoted) => {
                keywords(span, place, mysql, analysis);
                call(span, place, modes, listed, analysis);
                if !mysql {
                    typed(span, place, analysis);
                }
            }
            Some(Kind::Operator) => operator(span, place, modes, analysis),
            _ => {}
        }
    }
}

/// Keywords that change rows, or lock them, inside a query.
fn keywords(span: Span<'_>, place: usize, mysql: bool, analysis: &mut Analysis) {
    if !span.is_bare(place) {
        return;
    }
    let begins = place == 0
        || span.is_sign(place - 1, "(")
        || span.is_sign(place - 1, ")")
        || span.is_one(place - 1, &["then", "as", "materialized"]);
    for (keyword, shown) in
        [("insert", "insert"), ("update", "update"), ("delete", "delete"), ("merge", "merge")]
    {
        if begins && span.is(place, keyword) && !is_call_of(span, place, mysql) {
            analysis.add(Reason::Keyword(shown, Class::Write));
        }
    }
    if span.is(place, "for")
        && (span.is_one(place + 1, &["update", "share"])
            || span.are(place + 1, &["no", "key"])
            || span.are(place + 1, &["key", "share"]))
    {
        analysis.add(Reason::Keyword("for update", Class::Write));
    }
    if mysql && span.are(place, &["lock", "in", "share", "mode"]) {
        analysis.add(Reason::Keyword("lock in share mode", Class::Write));
    }
    if mysql && span.is_one(place, &["next", "previous"]) && span.are(place + 1, &["value", "for"])
    {
        analysis.add(Reason::Keyword("next value for", Class::Write));
    }
    if span.is(place, "into") {
        into(span, place, mysql, analysis);
    }
}

/// MySQL's `insert(...)` is a function of strings.
fn is_call_of(span: Span<'_>, place: usize, mysql: bool) -> bool {
    mysql && span.is(place, "insert") && span.is_sign(place + 1, "(")
}

fn into(span: Span<'_>, place: usize, mysql: bool, analysis: &mut Analysis) {
    let of_change =
        (1..=4.min(place)).any(|back| span.is_one(place - back, &["insert", "merge", "replace"]));
    if of_change {
        return;
    }
    if mysql && span.is_one(place + 1, &["outfile", "dumpfile"]) {
        analysis.add(Reason::Keyword("into outfile", Class::Server));
        analysis.add(Reason::Keyword("into outfile", Class::CopyOut));
    } else if mysql && span.kind(place + 1) == Some(Kind::Variable) {
        analysis.add(Reason::Keyword("into @variable", Class::Session));
    } else if mysql {
        // Only a routine has other variables; elsewhere the server refuses it.
        analysis.add(Reason::Keyword("into", Class::Procedure));
    } else {
        analysis.add(Reason::Keyword("select into", Class::Ddl));
        analysis.add(Reason::Keyword("select into", Class::Write));
    }
}

/// `name (`: a call, unless the word calls nothing or its bracket lists columns.
fn call(
    span: Span<'_>,
    place: usize,
    modes: &Modes,
    listed: &HashSet<String>,
    analysis: &mut Analysis,
) {
    let Some(name) = span.name(place) else { return };
    let behind_dot = place > 0 && span.is_sign(place - 1, ".");
    let attribute = behind_dot
        && place > 1
        && (span.is_sign(place - 2, ")")
            || span.is_sign(place - 2, "]")
            || span.kind(place - 2) == Some(Kind::Parameter));
    if !span.is_sign(place + 1, "(") && !attribute {
        return;
    }
    let is_keyword = !behind_dot && span.kind(place) == Some(Kind::Word) && is_not_called(&name);
    if is_keyword || listed.contains(&name) && !attribute {
        return;
    }
    let qualifier = if behind_dot && !attribute { span.name(place - 2) } else { None };
    reviewed(qualifier.as_deref(), &name, behind_dot && !attribute, modes, analysis);
}

/// Adds the class of a call by this name.
pub(crate) fn reviewed(
    qualifier: Option<&str>,
    name: &str,
    is_qualified: bool,
    modes: &Modes,
    analysis: &mut Analysis,
) {
    let mysql = modes.dialect.is_mysql_like();
    // PostgreSQL tells "Lower" from "lower", MySQL does not.
    let folded = if mysql { name.to_ascii_lowercase() } else { name.to_owned() };
    let known = functions::class_of(&folded, modes);
    let own_schema = !mysql && qualifier == Some("pg_catalog");
    match known {
        Some(class) if class != Class::Read => analysis.add(Reason::Function(folded, class)),
        Some(_) if !is_qualified || own_schema => {}
        _ => {
            let shown = match qualifier {
                Some(qualifier) => format!("{qualifier}.{name}"),
                None => name.to_owned(),
            };
            analysis.add(Reason::UnreviewedFunction(shown));
        }
    }
}

fn is_not_called(word: &str) -> bool {
    static WORDS: OnceLock<HashSet<&str>> = OnceLock::new();
    let words = WORDS.get_or_init(|| NOT_CALLED.split_whitespace().collect());
    words.contains(word.to_ascii_lowercase().as_str())
}

/// PostgreSQL's `name 'literal'` and `::name` run the input function of a type.
fn typed(span: Span<'_>, place: usize, analysis: &mut Analysis) {
    let converts = place > 0 && span.is_sign(place - 1, "::");
    let literal = span.kind(place + 1) == Some(Kind::Text);
    if !converts && !literal {
        return;
    }
    let Some(mut name) = span.name(place) else { return };
    if converts && name == "pg_catalog" && span.is_sign(place + 1, ".") {
        name = span.name(place + 2).unwrap_or_default();
    } else if converts && span.is_sign(place + 1, ".") {
        name = span.name(place + 2).map_or(name.clone(), |last| format!("{name}.{last}"));
    }
    let behind_dot = place > 0 && span.is_sign(place - 1, ".");
    let of_catalog = behind_dot && place > 1 && span.is(place - 2, "pg_catalog");
    let known = functions::is_postgres_type(&name) && (!behind_dot || of_catalog);
    let keyword = literal && !behind_dot && span.is_bare(place) && is_not_called(&name);
    let field = literal && is_field(span, place);
    if !known && !keyword && !field {
        analysis.add(Reason::UnreviewedType(name));
    }
}

/// `interval '1' day`, `timestamp with time zone '...'` and units end in words of their own.
fn is_field(span: Span<'_>, place: usize) -> bool {
    span.is_one(place, &["zone", "precision", "varying", "nfc", "nfd", "nfkc", "nfkd"])
}

fn operator(span: Span<'_>, place: usize, modes: &Modes, analysis: &mut Analysis) {
    let sign = span.text(place);
    if modes.dialect.is_mysql_like() {
        if sign == ":=" {
            analysis.add(Reason::Keyword(":=", Class::Session));
        }
        return;
    }
    let punctuation = matches!(sign, "(" | ")" | "[" | "]" | "," | "." | ":" | "::");
    if !punctuation && !functions::is_postgres_operator(sign) {
        analysis.add(Reason::UnreviewedOperator(sign.to_owned()));
    }
    // `operator(schema.+)` names any operator.
    if sign == "(" && place > 0 && span.is(place - 1, "operator") {
        let named = span.from(place).canonical();
        if !named.starts_with("(pg_catalog.") {
            analysis.add(Reason::UnreviewedOperator("operator(...)".to_owned()));
        }
    }
}
