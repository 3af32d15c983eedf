//! A place in a text that cannot leave it.
//!
//! In: bytes. Out: bytes and slices. A text holds no NUL byte (`lex` has checked), so 0 stands
//! for its end.

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The place, in bytes.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The byte here; 0 at the end.
    pub(super) fn here(&self) -> u8 {
        self.ahead(0)
    }

    /// The byte `distance` further; 0 after the end.
    pub(super) fn ahead(&self, distance: usize) -> u8 {
        self.text.get(self.at.saturating_add(distance)).copied().unwrap_or(0)
    }

    /// Whether the text is read.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Goes on, at most to the end.
    pub(super) fn skip(&mut self, distance: usize) {
        self.at = self.at.saturating_add(distance).min(self.text.len());
    }

    /// Goes to a place.
    pub(super) fn go_to(&mut self, place: usize) {
        self.at = place.min(self.text.len());
    }

    /// Goes on while the bytes are such.
    pub(super) fn skip_while(&mut self, is_such: impl Fn(u8) -> bool) {
        while !self.is_done() && is_such(self.here()) {
            self.at += 1;
        }
    }

    /// Goes to the next of these bytes, or to the end; whether one was found.
    pub(super) fn find(&mut self, one: u8, other: u8) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match memchr::memchr2(one, other, rest) {
            Some(distance) => {
                self.at += distance;
                true
            }
            None => {
                self.at = self.text.len();
                false
            }
        }
    }

    /// Goes behind the next `needle`; whether there was one.
    pub(super) fn find_text(&mut self, needle: &[u8]) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match memchr::memmem::find(rest, needle) {
            Some(distance) => {
                self.at += distance + needle.len();
                true
            }
            None => false,
        }
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Whether the text goes on with these bytes.
    pub(super) fn starts_with(&self, what: &[u8]) -> bool {
        self.text.get(self.at..).unwrap_or_default().starts_with(what)
    }
}
