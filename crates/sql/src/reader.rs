//! One statement, from its tokens to its analysis.
//!
//! In: tokens of a statement and the text they come from. Out: an [`Analysis`]. The words a
//! statement begins with decide what it is (`leading`), tokens give a floor (`floor`), the syntax
//! tree the names and a second opinion (`tree`); classes only ever add up.

use crate::class::{Class, ClassSet};
use crate::floor;
use crate::leading;
use crate::lexer::{Kind, Lexed};
use crate::limits::Limits;
use crate::modes::Modes;
use crate::span::Span;
use crate::statement::{Analysis, Misunderstanding, Reason};
use crate::tree::{self, Expected};

/// Deepest nesting of statements that hold statements: `explain`, `prepare`, a prepared text.
const DEEPEST: u8 = 4;

/// Reads statements of one text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) modes: &'a Modes,
    pub(crate) limits: &'a Limits,
    pub(crate) depth: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8], modes: &'a Modes, limits: &'a Limits) -> Self {
        Self { text, modes, limits, depth: 0 }
    }

    /// A reader for a statement within the statement; `None` when that is too deep.
    pub(crate) fn deeper(self) -> Option<Self> {
        (self.depth < DEEPEST).then_some(Self { depth: self.depth + 1, ..self })
    }

    /// The analysis of one statement.
    pub(crate) fn statement(self, span: Span<'_>, setting_hint: bool) -> Analysis {
        if exceeds(span, self.limits) {
            return Analysis::unknown(Misunderstanding::TooMuch);
        }
        let mut analysis = Analysis::default();
        floor::everywhere(span, self.modes, &mut analysis);
        if setting_hint {
            analysis.add(Reason::Keyword("a hint that sets a variable", Class::Confinement));
        }
        self.dispatch(span, &mut analysis);
        if analysis.classes.is_empty() {
            analysis.add(Reason::NotUnderstood(Misunderstanding::Unparsed));
        }
        analysis.changes_reading |= analysis.classes.contains(Class::Unknown);
        span.canonical().clone_into(&mut analysis.fingerprint);
        analysis
    }

    /// What the leading words say.
    pub(crate) fn dispatch(self, span: Span<'_>, analysis: &mut Analysis) {
        if self.modes.dialect.is_mysql_like() {
            leading::mysql::read(self, span, analysis);
        } else {
            leading::postgres::read(self, span, analysis);
        }
    }

    /// A statement within the statement: its classes are added, its kind is not.
    pub(crate) fn inner(self, span: Span<'_>, analysis: &mut Analysis) {
        let kind = analysis.kind;
        match self.deeper() {
            Some(reader) if !span.is_empty() => reader.dispatch(span, analysis),
            _ => analysis.add(Reason::NotUnderstood(Misunderstanding::Unparsed)),
        }
        analysis.kind = kind;
    }

    /// A statement that is explained and not run. It keeps its classes: the server asks for the
    /// same rights, and computes constants, functions included, while it plans.
    pub(crate) fn explained(self, span: Span<'_>, analysis: &mut Analysis) {
        self.inner(span, analysis);
        analysis.prepares = None;
        analysis.classes.insert(Class::Read);
        analysis.besides_execute.insert(Class::Read);
    }

    /// A query: read, and what it hides.
    pub(crate) fn query(self, span: Span<'_>, analysis: &mut Analysis) {
        analysis.classes.insert(Class::Read);
        self.parsed(span, Expected::Query, analysis);
    }

    /// A change of rows.
    pub(crate) fn change(self, span: Span<'_>, analysis: &mut Analysis) {
        analysis.classes.insert(Class::Write);
        self.parsed(span, Expected::Change, analysis);
    }

    fn parsed(self, span: Span<'_>, expected: Expected, analysis: &mut Analysis) {
        let text = for_parser(span);
        let canonical = text.as_str();
        let listed = tree::read(canonical, expected, self.modes, analysis);
        let listed = listed.unwrap_or_else(|why| {
            analysis.add(Reason::NotUnderstood(why));
            tree::Listed::new()
        });
        floor::in_query(span, self.modes, &listed, analysis);
    }

    /// A statement on objects, decided by its words; its tables are named when it can be parsed.
    pub(crate) fn definition(self, span: Span<'_>, classes: &[Class], analysis: &mut Analysis) {
        analysis.classes = analysis.classes.union(ClassSet::of(classes));
        let mut named = Analysis::default();
        if tree::read(span.canonical(), Expected::Definition, self.modes, &mut named).is_ok() {
            analysis.tables.append(&mut named.tables);
        }
    }

    /// Expressions outside a query: arguments of `CALL`, `EXECUTE`, values of `SET`. A query in
    /// them names tables that nobody tells.
    pub(crate) fn expressions(self, span: Span<'_>, analysis: &mut Analysis) {
        self.calls(span, analysis);
        if span.has("select") {
            analysis.add(Reason::NotUnderstood(Misunderstanding::Unparsed));
        }
    }

    /// What the tokens of a query show whose tables are told already.
    pub(crate) fn calls(self, span: Span<'_>, analysis: &mut Analysis) {
        floor::in_query(span, self.modes, &tree::Listed::new(), analysis);
    }
}

/// The canonical text with `select * from` in place of the command `table`, which the parser does
/// not know everywhere a query may stand.
pub(crate) fn for_parser(span: Span<'_>) -> String {
    let mut text = String::new();
    let mut start = 0;
    for place in 0..span.len() {
        let named = ["into", "temp", "temporary", "unlogged"];
        if span.is(place, "table") && !(place > 0 && span.is_one(place - 1, &named)) {
            text.push_str(span.between(start, place).canonical());
            text.push_str(" select * from ");
            start = place + 1;
        }
    }
    text.push_str(span.from(start).canonical());
    text
}

/// Whether a statement is nested or chained more than is looked at.
pub(crate) fn exceeds(span: Span<'_>, limits: &Limits) -> bool {
    let (mut depth, mut deepest, mut operators) = (0_usize, 0_usize, 0_usize);
    for place in 0..span.len() {
        match span.kind(place) {
            Some(Kind::Operator) => match span.text(place) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "," | "." => {}
                _ => operators += 1,
            },
            Some(Kind::Word) => match span.text(place).to_ascii_lowercase().as_str() {
                "case" => depth += 1,
                "end" => depth = depth.saturating_sub(1),
                "and" | "or" | "not" | "xor" | "union" | "intersect" | "except" | "join"
                | "collate" | "like" | "ilike" | "is" | "in" | "at" | "div" | "mod" | "regexp"
                | "rlike" | "interval" | "binary" | "prior" | "between" | "isnull" | "notnull"
                | "minus" | "explain" | "when" | "else" | "any" | "all" => operators += 1,
                _ => {}
            },
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > limits.depth || operators > limits.operators
}

/// Splits a lexed text into its statements.
pub(crate) fn statements(lexed: &Lexed) -> impl Iterator<Item = Span<'_>> {
    lexed
        .tokens
        .split(|token| token.kind == Kind::Semicolon)
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| Span::new(lexed, tokens))
}
