//! Of a witness' answer, the line that counts. Pure.

use portcullis_evidence::log::WitnessKey;
use portcullis_evidence::log::note::{Note, add_signatures};
use portcullis_evidence::log::trust::MAX_CLOCK_AHEAD_SECONDS;

/// Signature lines of one answer that are looked at.
const MAX_LINES: usize = 16;

/// The one line that is the witness' own cosignature of this checkpoint, of about `now` (seconds since
/// 1970); otherwise what is wrong with the answer.
pub(super) fn own_line(
    checkpoint: &[u8],
    lines: &str,
    key: &WitnessKey,
    now: u64,
) -> Result<String, &'static str> {
    let mut trouble = "no cosignature of its own";
    for line in lines.split_inclusive('\n').take(MAX_LINES) {
        let Ok(note) = add_signatures(checkpoint, line) else { continue };
        let Ok(note) = Note::parse(&note) else { continue };
        match key.cosigned_at(&note) {
            Ok(at) if at > now.saturating_add(MAX_CLOCK_AHEAD_SECONDS) => {
                trouble = "its time is in the future";
            }
            Ok(at) if at.saturating_add(MAX_CLOCK_AHEAD_SECONDS) < now => {
                trouble = "its time is long past";
            }
            Ok(_) => return Ok(line.to_owned()),
            Err(portcullis_evidence::log::NoteError::BadSignature { .. }) => {
                trouble = "its signature is false";
            }
            Err(_) => {}
        }
    }
    Err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_evidence::log::{Checkpoint, Cosigner, Hash, NoteSigner};

    const NOW: u64 = 1_795_000_000;

    fn checkpoint(size: u64) -> Vec<u8> {
        let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size, root: Hash([5; 32]) };
        checkpoint.sign(&signer).unwrap()
    }

    fn text(note: &[u8]) -> String {
        Note::parse(note).unwrap().text().to_owned()
    }

    #[test]
    fn a_cosignature_counts_within_the_clocks_allowance_and_not_beyond_it_either_way() {
        let witness = Cosigner::new("example.com/witness", &[2; 32]).unwrap();
        let (note, allowed) = (checkpoint(7), MAX_CLOCK_AHEAD_SECONDS);
        let said =
            |at: u64| own_line(&note, &witness.cosign(&text(&note), at), &witness.key(), NOW);
        for at in [NOW, NOW + allowed, NOW - allowed] {
            assert_eq!(said(at).unwrap(), witness.cosign(&text(&note), at), "{at}");
        }
        for at in [NOW + allowed + 1, NOW + 1_000_000, i64::MAX as u64] {
            assert_eq!(said(at), Err("its time is in the future"), "{at}");
        }
        for at in [NOW - allowed - 1, 1, 0] {
            assert_eq!(said(at), Err("its time is long past"), "{at}");
        }
    }

    #[test]
    fn only_its_own_line_over_this_checkpoint_counts_wherever_it_stands() {
        let witness = Cosigner::new("example.com/witness", &[2; 32]).unwrap();
        let other = Cosigner::new("example.com/other", &[3; 32]).unwrap();
        let note = checkpoint(7);
        let mine = witness.cosign(&text(&note), NOW);
        let another_checkpoint = witness.cosign(&text(&checkpoint(8)), NOW);
        let stranger = other.cosign(&text(&note), NOW);
        let said = |lines: &str| own_line(&note, lines, &witness.key(), NOW);
        assert_eq!(said(&format!("{stranger}{mine}")).as_deref(), Ok(mine.as_str()));
        assert_eq!(said(&stranger), Err("no cosignature of its own"));
        assert_eq!(said(&another_checkpoint), Err("its signature is false"));
        assert_eq!(said("what is this\n\n"), Err("no cosignature of its own"));
        let flood = stranger.repeat(MAX_LINES) + &mine;
        assert_eq!(said(&flood), Err("no cosignature of its own"), "beyond what is looked at");
    }
}
