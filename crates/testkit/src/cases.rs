//! How many inputs a property is tried with: few in the tests, many in `make fuzz`.
//!
//! Must never know: what is tried.

/// `make fuzz` sets it to how many times the usual number.
const TIMES_VARIABLE: &str = "FUZZ_TIMES";

/// The number of cases for a property that is usually tried `usual` times.
///
/// # Panics
/// When the variable is not a number.
#[must_use]
pub fn cases(usual: u32) -> u32 {
    let times = std::env::var(TIMES_VARIABLE)
        .map_or(1, |text| text.parse().expect("FUZZ_TIMES is a whole number"));
    usual.saturating_mul(times)
}
