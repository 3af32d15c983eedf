//! Lists come in pages.

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAsked {
    /// At most so many entries.
    pub limit: usize,
    /// The key of the entry before the page; `None` for the first page.
    pub after: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The entries. There may be fewer than asked for, even none, and more pages all the same:
    /// what the caller may not see is left out.
    pub items: Vec<T>,
    /// The key to go on after; `None` at the end.
    pub next: Option<String>,
}
