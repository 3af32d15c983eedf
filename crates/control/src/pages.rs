//! From the page somebody asks for to the page of the store, and back.

use std::fmt::Display;
use std::str::FromStr;

use portcullis_store::{MAX_PAGE, Page};

use crate::ControlError;
use crate::view::{PageAsked, Paged};

/// The store's page.
pub(crate) fn of_store<Id: FromStr>(asked: &PageAsked) -> Result<Page<Id>, ControlError> {
    let wrong = |_| ControlError::invalid("the cursor is not of this list; begin without one");
    let before = asked.after.as_deref().map(Id::from_str).transpose().map_err(wrong)?;
    Ok(Page { before, limit: asked.limit.clamp(1, MAX_PAGE) })
}

/// What the store found, made into what the caller may see. Whether there is more is a question of
/// what was found: a page may be empty and not the last.
pub(crate) fn paged<F, T, Id: Display>(
    found: Vec<F>,
    limit: usize,
    id: impl Fn(&F) -> Id,
    see: impl FnMut(F) -> Option<T>,
) -> Paged<T> {
    let next =
        (found.len() >= limit).then(|| found.last().map(|last| id(last).to_string())).flatten();
    Paged { items: found.into_iter().filter_map(see).collect(), next }
}
