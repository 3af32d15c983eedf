//! The clock: grants, certificates and one-time codes hang on it.

use portcullis_domain::Timestamp;

use super::finding::Finding;

/// Before this the clock is certainly wrong: 2025-01-01, older than this program.
const EARLIEST: Timestamp = Timestamp::from_millis(1_735_689_600_000);
/// After this it probably is: 2100-01-01.
const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);

pub(super) fn check(now: Timestamp) -> Finding {
    if now < EARLIEST || now > LATEST {
        return Finding::problem(
            "clock",
            format!("it is {now} here"),
            "set the clock, and let chrony or systemd-timesyncd keep it",
        );
    }
    match synchronised() {
        Some(false) => Finding::notice(
            "clock",
            format!("{now}, and nothing keeps it right"),
            "install chrony or start systemd-timesyncd: one-time codes are refused at 60 s of difference",
        ),
        _ => Finding::good("clock", now.to_string()),
    }
}

/// What systemd says, where there is one.
fn synchronised() -> Option<bool> {
    if !std::path::Path::new("/run/systemd/timesync").exists() {
        return None;
    }
    Some(std::path::Path::new("/run/systemd/timesync/synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_clock_of_another_epoch_is_a_problem() {
        assert_eq!(check(Timestamp::from_millis(0)).state, State::Problem);
        assert_ne!(check(Timestamp::from_millis(1_795_000_000_000)).state, State::Problem);
    }
}
