//! The content of one open file as it goes by: counted, and hashed while it comes in order.
//!
//! In: pieces of content with their offsets. Out: byte counts and, when the whole file went by once
//! and in order, its SHA-256. Content is looked at in place; only what a target sends ahead of its
//! turn is copied, within [`MAX_AHEAD_BYTES`] for the whole conversation.

use std::collections::BTreeMap;

use aws_lc_rs::digest::Context;

use super::file_event;

/// Most content kept because it came ahead of its turn, in bytes per conversation. Beyond it the
/// digest of that file is given up.
pub(super) const MAX_AHEAD_BYTES: usize = 2 * 1024 * 1024;
/// What one kept piece costs beside its bytes.
const AHEAD_PIECE_COST: usize = 96;

/// Content the client writes.
pub(super) struct Writing {
    /// Bytes that went by.
    pub(super) bytes: u64,
    /// `None`: given up.
    context: Option<Context>,
    /// Bytes hashed so far, which is the offset the next ones must have.
    hashed: u64,
    /// How long the file is, where that is known: since it was opened empty or resized.
    size: Option<u64>,
}

impl Writing {
    /// `empty`: the file has no content yet. `append`: the target chooses the offsets.
    pub(super) fn new(empty: bool, append: bool) -> Self {
        Self {
            bytes: 0,
            context: (!append).then(file_event::sha256),
            hashed: 0,
            size: empty.then_some(0),
        }
    }

    /// Content for `offset` goes by.
    pub(super) fn write(&mut self, offset: u64, content: &[u8]) {
        let length = length(content);
        self.bytes = self.bytes.saturating_add(length);
        match (&mut self.context, self.hashed.checked_add(length)) {
            (Some(context), Some(end)) if offset == self.hashed => {
                context.update(content);
                self.hashed = end;
                self.size = self.size.map(|size| size.max(end));
            }
            _ => self.give_up(),
        }
    }

    /// The client sets the file's length.
    pub(super) fn resize(&mut self, size: u64) {
        if size < self.hashed {
            self.give_up();
        } else {
            self.size = Some(size);
        }
    }

    /// What was hashed is not what the file holds.
    pub(super) fn give_up(&mut self) {
        self.context = None;
    }

    /// The digest, when what was hashed is the whole file.
    pub(super) fn sha256(self) -> Option<String> {
        if self.size != Some(self.hashed) {
            return None;
        }
        self.context.map(file_event::hex)
    }
}

/// Content the target sends.
pub(super) struct Reading {
    /// Bytes that went by.
    pub(super) bytes: u64,
    /// `None`: given up.
    context: Option<Context>,
    /// Bytes hashed so far, which is the offset the next ones must have.
    hashed: u64,
    /// Pieces that came ahead of their turn, by offset.
    ahead: BTreeMap<u64, Vec<u8>>,
    /// Where the target said that the file ends: the lowest offset it had nothing at, and what it
    /// said when asked for the size.
    end: Option<u64>,
    size: Option<u64>,
}

impl Reading {
    /// `size`: what the target said before the file was opened.
    pub(super) fn new(size: Option<u64>) -> Self {
        Self {
            bytes: 0,
            context: Some(file_event::sha256()),
            hashed: 0,
            ahead: BTreeMap::new(),
            end: None,
            size,
        }
    }

    /// Content from `offset` goes by. `ahead_bytes` is what the conversation keeps.
    pub(super) fn read(&mut self, offset: u64, content: &[u8], ahead_bytes: &mut usize) {
        if content.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(length(content));
        if self.context.is_none() {
            return;
        }
        if offset > self.hashed {
            self.keep_ahead(offset, content, ahead_bytes);
        } else if offset < self.hashed || !self.hash(content) {
            self.give_up(ahead_bytes);
        } else {
            self.catch_up(ahead_bytes);
        }
    }

    /// The target has nothing at `offset`.
    pub(super) fn ends_by(&mut self, offset: u64) {
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
    }

    /// The target said how long the file is.
    pub(super) fn has_size(&mut self, size: u64) {
        self.size = Some(size);
    }

    /// What was hashed is not what the file holds.
    pub(super) fn give_up(&mut self, ahead_bytes: &mut usize) {
        self.context = None;
        for piece in std::mem::take(&mut self.ahead).into_values() {
            *ahead_bytes = ahead_bytes.saturating_sub(cost(&piece));
        }
    }

    /// The digest, when what was hashed is the whole file.
    pub(super) fn sha256(mut self, ahead_bytes: &mut usize) -> Option<String> {
        let whole = self.end == Some(self.hashed) || self.size == Some(self.hashed);
        if !whole || !self.ahead.is_empty() {
            self.give_up(ahead_bytes);
        }
        self.context.map(file_event::hex)
    }

    fn hash(&mut self, content: &[u8]) -> bool {
        let (Some(context), Some(end)) =
            (&mut self.context, self.hashed.checked_add(length(content)))
        else {
            return false;
        };
        context.update(content);
        self.hashed = end;
        true
    }

    fn keep_ahead(&mut self, offset: u64, content: &[u8], ahead_bytes: &mut usize) {
        let kept = ahead_bytes.saturating_add(cost(content));
        if kept > MAX_AHEAD_BYTES || self.ahead.contains_key(&offset) {
            self.give_up(ahead_bytes);
            return;
        }
        self.ahead.insert(offset, content.to_vec());
        *ahead_bytes = kept;
    }

    fn catch_up(&mut self, ahead_bytes: &mut usize) {
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() > self.hashed {
                return;
            }
            let (offset, piece) = first.remove_entry();
            *ahead_bytes = ahead_bytes.saturating_sub(cost(&piece));
            if offset < self.hashed || !self.hash(&piece) {
                self.give_up(ahead_bytes);
            }
        }
    }
}

fn cost(piece: &[u8]) -> usize {
    piece.len().saturating_add(AHEAD_PIECE_COST)
}

fn length(content: &[u8]) -> u64 {
    u64::try_from(content.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(content: &[u8]) -> Option<String> {
        let mut context = file_event::sha256();
        context.update(content);
        Some(file_event::hex(context))
    }

    #[test]
    fn writes_in_order_from_the_start_of_an_empty_file_give_its_digest() {
        let mut writing = Writing::new(true, false);
        writing.write(0, b"hello ");
        writing.write(6, b"world");
        assert_eq!(writing.bytes, 11);
        assert_eq!(writing.sha256(), digest_of(b"hello world"));
    }

    #[test]
    fn a_file_that_was_not_emptied_has_no_digest_until_it_is_cut_to_what_was_written() {
        let mut writing = Writing::new(false, false);
        writing.write(0, b"hello");
        assert_eq!(writing.sha256(), None);

        let mut writing = Writing::new(false, false);
        writing.write(0, b"hello");
        writing.resize(5);
        assert_eq!(writing.sha256(), digest_of(b"hello"));
    }

    #[test]
    fn writes_out_of_order_appended_cut_or_at_the_end_of_numbers_have_no_digest() {
        let mut skipped = Writing::new(true, false);
        skipped.write(3, b"x");
        assert_eq!(skipped.sha256(), None);

        let mut appended = Writing::new(true, true);
        appended.write(0, b"x");
        assert_eq!(appended.sha256(), None);

        let mut cut = Writing::new(true, false);
        cut.write(0, b"hello");
        cut.resize(2);
        assert_eq!(cut.sha256(), None);

        let mut far = Writing::new(true, false);
        far.write(u64::MAX, b"x");
        assert_eq!(far.sha256(), None);
    }

    #[test]
    fn reads_that_arrive_in_another_order_still_give_the_digest() {
        let mut kept = 0;
        let mut reading = Reading::new(None);
        reading.read(4, b"efgh", &mut kept);
        assert_eq!(kept, 4 + AHEAD_PIECE_COST);
        reading.read(0, b"ab", &mut kept);
        reading.read(2, b"cd", &mut kept);
        assert_eq!(kept, 0);
        reading.ends_by(9);
        reading.ends_by(8);
        assert_eq!(reading.sha256(&mut kept), digest_of(b"abcdefgh"));
    }

    #[test]
    fn a_read_that_stops_early_or_repeats_has_no_digest() {
        let mut kept = 0;
        let mut early = Reading::new(Some(10));
        early.read(0, b"abcd", &mut kept);
        assert_eq!(early.sha256(&mut kept), None);

        let mut repeated = Reading::new(Some(4));
        repeated.read(0, b"abcd", &mut kept);
        repeated.read(0, b"abcd", &mut kept);
        assert_eq!(repeated.sha256(&mut kept), None);

        let mut gap = Reading::new(Some(4));
        gap.read(0, b"ab", &mut kept);
        gap.read(3, b"d", &mut kept);
        gap.ends_by(2);
        assert_eq!(gap.sha256(&mut kept), None);
        assert_eq!(kept, 0);
    }

    #[test]
    fn content_too_far_ahead_gives_the_digest_up_and_frees_what_was_kept() {
        let mut kept = 0;
        let mut reading = Reading::new(None);
        for piece in 1..=MAX_AHEAD_BYTES as u64 {
            reading.read(piece, b"x", &mut kept);
            assert!(kept <= MAX_AHEAD_BYTES);
            if reading.context.is_none() {
                break;
            }
        }
        assert!(reading.context.is_none());
        assert_eq!(kept, 0);
    }
}
