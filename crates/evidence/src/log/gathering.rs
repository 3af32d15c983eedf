//! Submissions gathered for one batch: as many as are there and fit together. Pure.

use super::segment::MAX_BATCH_ENTRIES;
use super::writer::Submission;

/// A batch that is being gathered.
pub(super) struct Gathering {
    batch: Vec<Submission>,
    entries: usize,
    bytes: usize,
    most_bytes: usize,
    /// Bytes that frame an entry where the batch goes.
    frame_bytes: usize,
}

impl Gathering {
    /// Begins with a submission, which fits by itself.
    pub(super) fn begin(first: Submission, most_bytes: usize, frame_bytes: usize) -> Self {
        let mut gathering =
            Self { batch: Vec::new(), entries: 0, bytes: 0, most_bytes, frame_bytes };
        gathering.push(first);
        gathering
    }

    /// Adds a submission; gives it back where it does not fit any more.
    pub(super) fn add(&mut self, submission: Submission) -> Option<Submission> {
        let entries = self.entries + submission.entries.len();
        let bytes = self.bytes + submission.bytes(self.frame_bytes);
        if entries > MAX_BATCH_ENTRIES || bytes > self.most_bytes {
            return Some(submission);
        }
        self.push(submission);
        None
    }

    /// What was gathered, in order.
    pub(super) fn batch(self) -> Vec<Submission> {
        self.batch
    }

    fn push(&mut self, submission: Submission) {
        self.entries += submission.entries.len();
        self.bytes += submission.bytes(self.frame_bytes);
        self.batch.push(submission);
    }
}
