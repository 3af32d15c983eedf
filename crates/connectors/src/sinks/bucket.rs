//! One object of JSON lines for each batch, in an S3-compatible bucket.
//!
//! The key is `PREFIX/YYYY/MM/DD/FIRST-LAST.jsonl`: the day of the first event and the indices of
//! the first and last line. A batch delivered again has the same key and the same bytes.

use futures::future::BoxFuture;
use portcullis_domain::Timestamp;

use super::{DeliverError, Kind, Sink};
use crate::export::Batch;
use crate::s3::{Bucket, BucketError, Condition};

/// Puts objects.
pub struct BucketSink {
    bucket: Bucket,
}

impl BucketSink {
    /// A sink for this bucket.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    async fn put(&self, batch: &Batch) -> Result<(), DeliverError> {
        let put = self.bucket.put(&key(batch), batch.lines(), &Condition::Always).await;
        put.map(drop).map_err(|error| match error {
            BucketError::Refused { status: 413, .. } => {
                DeliverError::TooLarge { why: error.to_string() }
            }
            BucketError::Http(error) => DeliverError::unreachable(error),
            other => DeliverError::Refused { why: other.to_string(), retry_after: None },
        })
    }
}

impl Sink for BucketSink {
    fn kind(&self) -> Kind {
        Kind::S3
    }

    fn destination(&self) -> String {
        self.bucket.name()
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a Batch,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        Box::pin(self.put(batch))
    }
}

fn key(batch: &Batch) -> String {
    let (first, last) = batch.span().unwrap_or((batch.first, batch.next));
    let millis = batch.entries.first().and_then(|entry| Some(entry.event.as_ref()?.time_millis));
    let at = jiff::Timestamp::from_millisecond(millis.unwrap_or(0)).unwrap_or_default();
    format!("{}/{first:020}-{last:020}.jsonl", at.strftime("%Y/%m/%d"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::entry::for_receiver;

    #[test]
    fn a_key_says_which_day_and_which_entries() {
        let mut batch = Batch::begin(3);
        for index in [5, 9] {
            batch.entries.push(for_receiver("log", index, br#"{"time":1795000000000}"#));
        }
        let wanted = "2026/11/18/00000000000000000005-00000000000000000009.jsonl";
        assert_eq!(key(&batch), wanted);
    }
}
