//! Lists come in pages, newest first: a bound on every answer, and a cursor to go on from.

/// Entries in a page when the caller does not say.
pub const DEFAULT_PAGE: usize = 100;
/// Most entries in one page, whatever the caller says.
pub const MAX_PAGE: usize = 1000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// Only entries older than this one; `None` begins at the newest.
    pub before: Option<Id>,
    /// At most this many entries; more than [`MAX_PAGE`] is cut to it.
    pub limit: usize,
}

impl<Id> Default for Page<Id> {
    fn default() -> Self {
        Self { before: None, limit: DEFAULT_PAGE }
    }
}

impl<Id> Page<Id> {
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit.min(MAX_PAGE)).unwrap_or(i64::MAX)
    }
}
