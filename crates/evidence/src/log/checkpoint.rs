//! Checkpoints (C2SP `tlog-checkpoint`): a log's size and root, as the text of a signed note.
//!
//! Pure. Flows in and out: note bytes.

use thiserror::Error;

use super::merkle::Hash;
use super::note::{Note, NoteError, NoteSigner, NoteVerifier};

/// What a log says of itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity; equal to the name of the key that signs.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// Why a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The note around it is malformed or not signed by the key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not origin, size and root.
    #[error("the checkpoint does not state origin, size and root hash")]
    Malformed,
    /// It is another log's.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    OtherLog {
        /// The verifier's name.
        expected: String,
        /// The origin in the checkpoint.
        found: String,
    },
}

impl Checkpoint {
    /// Signs the checkpoint; its origin must be the signer's name.
    ///
    /// # Errors
    /// [`CheckpointError::OtherLog`], [`CheckpointError::Note`].
    pub fn sign(&self, signer: &NoteSigner) -> Result<Vec<u8>, CheckpointError> {
        if self.origin != signer.name() {
            return Err(CheckpointError::OtherLog {
                expected: signer.name().into(),
                found: self.origin.clone(),
            });
        }
        Ok(signer.sign(&self.to_text())?.into_bytes())
    }

    /// Reads a checkpoint and checks its signature and origin.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &[u8], verifier: &NoteVerifier) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::from_text(verifier.open(&note)?)?;
        if checkpoint.origin != verifier.name() {
            return Err(CheckpointError::OtherLog {
                expected: verifier.name().into(),
                found: checkpoint.origin,
            });
        }
        Ok(checkpoint)
    }

    /// Reads a checkpoint without checking who signed it: only for finding one's way in a log
    /// whose signature is checked elsewhere.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`], [`CheckpointError::Note`].
    pub fn read_unverified(note: &[u8]) -> Result<Self, CheckpointError> {
        Note::parse(note)?;
        let text = std::str::from_utf8(note).map_err(|_| CheckpointError::Malformed)?;
        let end = text.rfind("\n\n").ok_or(CheckpointError::Malformed)?;
        Self::from_text(text.get(..=end).ok_or(CheckpointError::Malformed)?)
    }

    /// The note text: origin, size, root, each on a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads a note text. Extension lines are allowed, and ignored.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let parsed = line().zip(line()).zip(line()).and_then(|((origin, size), root)| {
            let parsed: u64 = size.parse().ok()?;
            Some(Self {
                origin: origin.into(),
                // No leading zeroes, no sign: one size has one spelling.
                size: Some(parsed).filter(|n| n.to_string() == size)?,
                root: Hash::from_base64(root)?,
            })
        });
        parsed
            .filter(|_| lines.all(|extension| !extension.is_empty()))
            .ok_or(CheckpointError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log".into(), size: 20_852_163, root: Hash([9; 32]) }
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let read = Checkpoint::from_text(text).unwrap();
        assert_eq!((read.size, read.to_text().as_str()), (20_852_163, text));
        assert!(Checkpoint::from_text(&format!("{text}extension\n")).is_ok());
    }

    #[test]
    fn a_signed_checkpoint_is_read_back_and_another_logs_is_refused() {
        let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
        let note = checkpoint().sign(&signer).unwrap();
        assert_eq!(Checkpoint::open(&note, &signer.verifier()), Ok(checkpoint()));
        assert_eq!(Checkpoint::read_unverified(&note), Ok(checkpoint()));
        // Signed by the key, but speaking for another origin.
        let note = signer
            .sign("example.com/other\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
            .unwrap();
        assert!(matches!(
            Checkpoint::open(note.as_bytes(), &signer.verifier()),
            Err(CheckpointError::OtherLog { .. })
        ));
    }

    #[test]
    fn other_spellings_are_refused() {
        let root = Hash([9; 32]).to_base64();
        for text in [
            String::new(),
            "a\n1\n".into(),
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            format!("a\n1\n{root}x\n"),
            format!("a\n1\n{root}\n\nx\n"),
            "a\n1\nAAAA\n".into(),
        ] {
            assert_eq!(Checkpoint::from_text(&text), Err(CheckpointError::Malformed), "{text:?}");
        }
    }
}
