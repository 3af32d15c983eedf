//! The control records of scp's sending side, one line each.
//!
//! In: a line without its newline. Out: the record, with its name checked for staying inside the
//! directory it is for. Knows nothing of the order records come in.

use thiserror::Error;

/// Longest control record or message, in bytes: a path and the fields before it.
pub(super) const MAX_LINE_BYTES: usize = 4096 + 64;

/// A record of the sending side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// `C`: a file of so many bytes follows.
    File { size: u64, name: &'a [u8] },
    /// `D`: what follows is in this directory.
    Directory { name: &'a [u8] },
    /// `E`: the directory ends.
    DirectoryEnd,
    /// `T`: times for what comes next.
    Times,
}

/// Why a record cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It begins with no letter of the protocol.
    #[error("it begins with none of `C`, `D`, `E`, `T`")]
    UnknownKind,
    /// The mode is not four octal digits.
    #[error("its mode is not four octal digits")]
    BadMode,
    /// The size is not a number within the range of a file's.
    #[error("its size is not a number of bytes")]
    BadSize,
    /// The name would lead out of the directory.
    #[error("its name is empty, `.`, `..` or contains a slash")]
    BadName,
    /// The times are not four numbers.
    #[error("its times are not four numbers")]
    BadTimes,
    /// Something follows where nothing may.
    #[error("it is longer than its fields")]
    TrailingBytes,
}

impl<'a> Record<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, RecordError> {
        let (kind, rest) = line.split_first().ok_or(RecordError::UnknownKind)?;
        match kind {
            b'C' => {
                let (size, name) = Self::entry(rest)?;
                Ok(Self::File { size, name })
            }
            b'D' => Self::entry(rest).map(|(_, name)| Self::Directory { name }),
            b'E' if rest.is_empty() => Ok(Self::DirectoryEnd),
            b'E' => Err(RecordError::TrailingBytes),
            b'T' => {
                let mut times = rest.split(|byte| *byte == b' ');
                let numbers = times.by_ref().take(4).filter(|time| number(time).is_some()).count();
                match (numbers, times.next()) {
                    (4, None) => Ok(Self::Times),
                    (4, Some(_)) => Err(RecordError::TrailingBytes),
                    _ => Err(RecordError::BadTimes),
                }
            }
            _ => Err(RecordError::UnknownKind),
        }
    }

    /// `mmmm size name`
    fn entry(rest: &'a [u8]) -> Result<(u64, &'a [u8]), RecordError> {
        let (mode, rest) = rest.split_at_checked(4).ok_or(RecordError::BadMode)?;
        if !mode.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
            return Err(RecordError::BadMode);
        }
        let rest = rest.strip_prefix(b" ").ok_or(RecordError::BadMode)?;
        let space = rest.iter().position(|byte| *byte == b' ').ok_or(RecordError::BadSize)?;
        let (size, name) = rest.split_at_checked(space).ok_or(RecordError::BadSize)?;
        let size = number(size).ok_or(RecordError::BadSize)?;
        let name = name.strip_prefix(b" ").ok_or(RecordError::BadSize)?;
        let leads_out = matches!(name, b"" | b"." | b"..");
        if leads_out || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(RecordError::BadName);
        }
        Ok((size, name))
    }
}

/// A decimal number a file's size or time can have (`off_t` is signed).
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_openssh_are_read() {
        let check = |line: &[u8], record| assert_eq!(Record::read(line), Ok(record));
        check(b"C0644 12 my file", Record::File { size: 12, name: b"my file" });
        check(b"D0755 0 etc", Record::Directory { name: b"etc" });
        check(b"E", Record::DirectoryEnd);
        check(b"T1700000000 0 1700000001 5", Record::Times);
    }

    #[test]
    fn records_that_lead_elsewhere_are_refused() {
        let check = |line: &[u8], error| assert_eq!(Record::read(line), Err(error), "{line:?}");
        check(b"", RecordError::UnknownKind);
        check(b"X", RecordError::UnknownKind);
        check(b"C644 1 a", RecordError::BadMode);
        check(b"C0688 1 a", RecordError::BadMode);
        check(b"C0644 -1 a", RecordError::BadSize);
        check(b"C0644 +1 a", RecordError::BadSize);
        check(b"C0644 1", RecordError::BadSize);
        check(b"C0644 9223372036854775808 a", RecordError::BadSize);
        check(b"C0644 99999999999999999999999 a", RecordError::BadSize);
        check(b"C0644 1 ", RecordError::BadName);
        check(b"C0644 1 ..", RecordError::BadName);
        check(b"C0644 1 ../a", RecordError::BadName);
        check(b"D0755 0 /etc", RecordError::BadName);
        check(b"D0755 0 .", RecordError::BadName);
        check(b"C0644 1 a\0b", RecordError::BadName);
        check(b"E1", RecordError::TrailingBytes);
        check(b"T1 2 3", RecordError::BadTimes);
        check(b"T1 2 3 x", RecordError::BadTimes);
        check(b"T1 2 3 4 5", RecordError::TrailingBytes);
    }
}
