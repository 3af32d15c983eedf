//! Offsets within a session as people write them: `83`, `1:23`, `1:02:03.5`.

use std::time::Duration;

use portcullis_domain::Timestamp;

/// Hours, minutes and seconds of an offset, at most; a session of a year is longer than any.
const MAX_PART: u64 = 366 * 24 * 3600;

/// Reads an offset.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "an offset is seconds, `1:23` or `1:02:03.5`".to_owned();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds = 0u64;
    let parts: Vec<&str> = whole.split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    for (at, part) in parts.iter().enumerate() {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = part.parse().map_err(|_| wrong())?;
        if !digits || number > MAX_PART || (at > 0 && number >= 60) {
            return Err(wrong());
        }
        seconds = seconds * 60 + number;
    }
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 6;
    if !digits || (text.contains('.') && fraction.is_empty()) {
        return Err(wrong());
    }
    let micros: u64 = format!("{fraction:0<6}").parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Where to begin in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// So long after it began.
    Offset(Duration),
    /// At this time.
    Time(Timestamp),
}

/// Reads an offset or a time.
pub(super) fn from(text: &str) -> Result<From, String> {
    match text.parse() {
        Ok(time) => Ok(From::Time(time)),
        Err(_) => {
            parse(text).map(From::Offset).map_err(|why| format!("{why}, or a time in RFC 3339"))
        }
    }
}

/// Writes an offset: `1:23.4`, `1:02:03.5`.
pub(super) fn text(offset: Duration) -> String {
    let (seconds, tenths) = (offset.as_secs(), offset.subsec_millis() / 100);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}.{tenths}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{tenths}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_it_is_written_and_nothing_else_is() {
        for (given, millis, written) in [
            ("83", 83_000, "1:23.0"),
            ("1:23", 83_000, "1:23.0"),
            ("1:02:03.5", 3_723_500, "1:02:03.5"),
            ("0.25", 250, "0:00.2"),
            ("00:09", 9_000, "0:09.0"),
        ] {
            let read = parse(given).unwrap();
            assert_eq!((read, text(read)), (Duration::from_millis(millis), written.to_owned()));
        }
        for wrong in ["", "x", "-1", "1:60", "1:2:3:4", "1.", ".5", "1:", "+1", "99999999999999999"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
