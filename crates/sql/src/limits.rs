//! How much of a text is looked at before it is called unknown.
//!
//! In: nothing. Out: [`Limits`]. A text over a limit is [`crate::Class::Unknown`], never cut.

/// Bounds on the work one text may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text in bytes.
    pub text_bytes: usize,
    /// Most statements in one text.
    pub statements: usize,
    /// Most tokens in one statement, after lists of literals are folded.
    pub tokens: usize,
    /// Deepest nesting of brackets and `CASE`.
    pub depth: usize,
    /// Most operators in one statement, `AND`, `OR`, `NOT`, `UNION` and joins included: each may
    /// make the syntax tree one level deeper.
    pub operators: usize,
}

impl Limits {
    /// What a gate uses.
    pub const STANDARD: Self =
        Self { text_bytes: 4 << 20, statements: 256, tokens: 40_000, depth: 48, operators: 1_500 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::STANDARD
    }
}
