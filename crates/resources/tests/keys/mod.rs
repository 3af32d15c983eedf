//! Public keys for tests: right in shape, made of one repeated byte.

use base64::Engine as _;

/// An `ssh-ed25519` line without a comment.
pub(crate) fn ed25519(byte: u8) -> String {
    let kind = b"ssh-ed25519";
    let mut blob = Vec::new();
    for part in [kind.as_slice(), &[byte; 32]] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
}
