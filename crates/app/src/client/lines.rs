//! Newline-delimited JSON as it comes in.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{Address, ClientError};

/// Longest line of a stream, in bytes: a frame of a recording with its base64, and room.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// The lines of a streamed answer.
#[derive(Debug)]
pub(crate) struct Lines {
    address: Address,
    body: Incoming,
    pending: Vec<u8>,
    /// Where the unread part of `pending` begins.
    start: usize,
}

impl Lines {
    pub(super) fn new(address: Address, body: Incoming) -> Self {
        Self { address, body, pending: Vec::new(), start: 0 }
    }

    /// The next line, decoded; `None` at the end. Cancel safe.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return decode(&self.address, &line).map(Some);
            }
            if self.pending.len() - self.start > MAX_LINE_BYTES {
                return Err(self.broken("a line of its answer is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending.drain(..self.start);
                        self.start = 0;
                        self.pending.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(self.broken(&error.to_string())),
                None => return self.last(),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let unread = self.pending.get(self.start..)?;
        let end = unread.iter().position(|&byte| byte == b'\n')?;
        let line = unread.get(..end)?.to_vec();
        self.start += end + 1;
        Some(line)
    }

    fn last<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        let rest = self.pending.get(self.start..).unwrap_or_default().to_vec();
        self.start = self.pending.len();
        if rest.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        decode(&self.address, &rest).map(Some)
    }

    fn broken(&self, why: &str) -> ClientError {
        ClientError::Broken { address: self.address.clone(), why: why.to_owned() }
    }
}

fn decode<T: DeserializeOwned>(address: &Address, line: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(line).map_err(|error| ClientError::Broken {
        address: address.clone(),
        why: format!("a line of its answer makes no sense to this program ({error})"),
    })
}
