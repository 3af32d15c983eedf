//! A disk that fills up.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_evidence::recording::ChunkFile;

/// A file on a disk that takes some writes and then is full.
pub(crate) struct Filling {
    left: AtomicUsize,
}

impl Filling {
    pub(crate) fn after(writes: usize) -> Self {
        Self { left: AtomicUsize::new(writes) }
    }
}

impl ChunkFile for Filling {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        let left =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
