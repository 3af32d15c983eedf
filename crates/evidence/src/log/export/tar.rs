//! Exports on their way over a connection: files in the ustar format (POSIX.1-1988), so that any
//! `tar` unpacks them too.
//!
//! Pure. Flows in: files, or pieces of an archive cut anywhere. Flows out: the other. The reader
//! takes regular files only and bounds each before it keeps a byte of it.

use std::io::{self, Write};

use super::{ExportSink, max_bytes};

/// Bytes of a header, and what contents are padded to.
const BLOCK: usize = 512;
/// Places of fields in a header.
const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const TIME: std::ops::Range<usize> = 136..148;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: std::ops::Range<usize> = 156..157;
const MAGIC: std::ops::Range<usize> = 257..265;

/// Writes an archive.
#[derive(Debug)]
pub struct TarWriter<W> {
    to: W,
}

impl<W: Write> TarWriter<W> {
    /// Into `to`.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes the end of the archive and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

impl<W: Write> ExportSink for TarWriter<W> {
    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let header = header(path, bytes.len())
            .ok_or_else(|| io::Error::other("a path is too long for the archive"))?;
        self.to.write_all(&header)?;
        self.to.write_all(bytes)?;
        self.to.write_all([0; BLOCK].split_at(padding(bytes.len())).0)
    }
}

fn header(path: &str, length: usize) -> Option<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |field: std::ops::Range<usize>, value: &[u8]| {
        let to = header.get_mut(field)?.get_mut(..value.len())?;
        to.copy_from_slice(value);
        Some(())
    };
    put(NAME, path.as_bytes())?;
    put(MODE, b"0000600\0")?;
    put(UID, b"0000000\0")?;
    put(GID, b"0000000\0")?;
    put(SIZE, format!("{length:011o}\0").as_bytes())?;
    put(TIME, b"00000000000\0")?;
    put(KIND, b"0")?;
    put(MAGIC, b"ustar\x0000")?;
    let sum = format!("{:06o}\0 ", checksum(&header));
    header.get_mut(SUM)?.copy_from_slice(sum.as_bytes());
    Some(header)
}

/// The sum of all bytes, those of the sum itself taken as spaces.
fn checksum(header: &[u8; BLOCK]) -> u32 {
    let bytes = header.iter().enumerate();
    bytes.map(|(at, byte)| u32::from(if SUM.contains(&at) { b' ' } else { *byte })).sum()
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(BLOCK) - length
}

/// Reads an archive in pieces and hands on its files.
#[derive(Debug, Default)]
pub struct TarReader {
    pending: Vec<u8>,
    /// Path and length of the file being read.
    file: Option<(String, usize)>,
    ended: bool,
}

impl TarReader {
    /// At the start of an archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece. Keeps at most the one file that is not complete yet.
    ///
    /// # Errors
    /// Those of the sink; what is not an archive of an export.
    pub fn push(&mut self, piece: &[u8], sink: &mut dyn ExportSink) -> io::Result<()> {
        self.pending.extend_from_slice(piece);
        let mut at = 0;
        while let Some(taken) = self.step(at, sink)? {
            at += taken;
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// Whether the archive was complete.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where it broke off.
    pub fn finish(self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the export broke off"))
    }

    /// Reads one header or one file from `at` on; `None` where there is not enough.
    fn step(&mut self, at: usize, sink: &mut dyn ExportSink) -> io::Result<Option<usize>> {
        let rest = self.pending.get(at..).unwrap_or_default();
        if self.ended {
            return Ok((!rest.is_empty()).then_some(rest.len()));
        }
        if let Some((path, length)) = &self.file {
            let whole = length + padding(*length);
            let Some(content) = rest.get(..whole) else { return Ok(None) };
            sink.file(path, content.get(..*length).unwrap_or_default())?;
            self.file = None;
            return Ok(Some(whole));
        }
        let Some(header) = rest.first_chunk::<BLOCK>() else { return Ok(None) };
        if header.iter().all(|byte| *byte == 0) {
            self.ended = true;
        } else {
            self.file = Some(parse(header).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "this is not the archive of an export")
            })?);
        }
        Ok(Some(BLOCK))
    }
}

/// Path and length of a regular file that belongs into an export.
fn parse(header: &[u8; BLOCK]) -> Option<(String, usize)> {
    let text = |field: std::ops::Range<usize>| {
        let bytes = header.get(field)?;
        std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
    };
    let number = |field| {
        let digits = text(field)?.trim_matches(' ');
        digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(())?;
        usize::from_str_radix(digits, 8).ok()
    };
    let sum = number(SUM)?;
    let path = text(NAME)?.to_owned();
    let length = number(SIZE)?;
    let fits = max_bytes(&path).is_some_and(|most| length <= most);
    let regular = matches!(header.get(KIND), Some(b"0" | b"\0"));
    (fits && regular && usize::try_from(checksum(header)) == Ok(sum)).then_some((path, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Files(Vec<(String, Vec<u8>)>);

    impl ExportSink for Files {
        fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
            self.0.push((path.into(), bytes.into()));
            Ok(())
        }
    }

    fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for (path, bytes) in files {
            tar.file(path, bytes).unwrap();
        }
        tar.finish().unwrap()
    }

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![
            ("manifest.json".into(), vec![b'x'; 700]),
            ("tile/0/000".into(), vec![7; 512]),
            ("tile/entries/x001/x234/067.p/112".into(), Vec::new()),
            ("checkpoint".into(), b"note".to_vec()),
        ]
    }

    #[test]
    fn a_tar_program_reads_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("export.tar");
        std::fs::write(&path, archive(&files())).unwrap();
        let listed = std::process::Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let names: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
        assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_an_export_has_not_is_refused() {
        let mut tar = archive(&[("../../etc/passwd".into(), vec![1])]);
        let refused = TarReader::new().push(&tar, &mut Files::default());
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        tar = archive(&files());
        // A symbolic link.
        tar[156] = b'2';
        assert!(TarReader::new().push(&tar, &mut Files::default()).is_err());
    }

    proptest! {
        #[test]
        fn an_archive_is_read_however_it_is_cut(cuts in prop::collection::vec(1usize..900, 1..9)) {
            let archive = archive(&files());
            let (mut reader, mut found) = (TarReader::new(), Files::default());
            let (mut rest, mut cuts) = (archive.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                reader.push(piece, &mut found).unwrap();
                rest = behind;
            }
            reader.finish().unwrap();
            prop_assert_eq!(found.0, files());
        }

        #[test]
        fn an_archive_that_breaks_off_is_not_complete(at: prop::sample::Index) {
            let archive = archive(&files());
            let cut = at.index(archive.len() - 2 * BLOCK);
            let (mut reader, mut found) = (TarReader::new(), Files::default());
            reader.push(&archive[..cut], &mut found).unwrap();
            prop_assert!(reader.finish().is_err());
        }
    }
}
