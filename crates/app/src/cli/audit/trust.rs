//! Whom an offline verification believes, from the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use portcullis_control::entry_meaning;
use portcullis_evidence::log::tlog_proof::MAX_PROOF_BYTES;
use portcullis_evidence::log::{NoteVerifier, Trust, WitnessKey};

use crate::context::now;
use crate::failure::{Failure, chain};

/// Keys that were kept elsewhere.
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// The key that must have signed the checkpoint (C2SP vkey), from `audit checkpoint`
    #[arg(long, visible_alias = "vkey", value_name = "KEY")]
    pub(super) key: Option<String>,
    /// The key of a witness that must have cosigned it, from `witness`; may be repeated
    #[arg(long, value_name = "KEY", requires = "key")]
    pub(super) witness: Vec<String>,
    /// How many of these witnesses suffice (default: all)
    #[arg(long, value_name = "N", requires = "witness")]
    pub(super) quorum: Option<usize>,
}

impl TrustArgs {
    /// The trust these keys give; a key is needed.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let key = self.key.as_deref().ok_or_else(|| {
            Failure::Usage(
                "name the log's key with `--key`; `portcullis audit checkpoint` prints it".into(),
            )
        })?;
        let unusable = |what: &str, error: &dyn std::error::Error| {
            Failure::Usage(format!("{what} is unusable: {}", chain(error)))
        };
        let key =
            NoteVerifier::from_vkey(key).map_err(|error| unusable("the log's key", &error))?;
        let witnesses = self
            .witness
            .iter()
            .map(|key| {
                let shown: String = key.chars().take(80).collect();
                WitnessKey::from_vkey(key)
                    .map_err(|error| unusable(&format!("the witness key `{shown}`"), &error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let quorum = self.quorum.unwrap_or(witnesses.len());
        let seconds = u64::try_from(now().as_seconds()).unwrap_or(0);
        Trust::new(key)
            .with_witnesses(witnesses, quorum)
            .map(|trust| trust.at(seconds))
            .map_err(|error| unusable("the quorum", &error))
    }

    /// The same, with the log's key followed through handovers kept as files.
    pub(super) fn trust_through(&self, handovers: &[PathBuf]) -> Result<Trust, Failure> {
        let mut trust = self.trust()?;
        for path in handovers {
            let handover = read(path, MAX_PROOF_BYTES)?;
            trust.follow(&handover, &entry_meaning()).map_err(|error| {
                Failure::Disproved(format!(
                    "the handover `{}` is refused: {}",
                    path.display(),
                    chain(&error)
                ))
            })?;
        }
        Ok(trust)
    }
}

/// A file of at most so many bytes.
pub(super) fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| {
        Failure::because(format!("`{}` cannot be read", path.display()), &error)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > max_bytes {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
