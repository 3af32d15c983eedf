//! Time-based one-time codes: RFC 6238 with SHA-1, 30 seconds, 6 digits, the set that every
//! authenticator application reads.
//!
//! In flow a secret, a typed code, `now` and the last step used; out flows a [`TotpCheck`]. One
//! code works once: the caller stores the accepted step before it acts on the verdict, with a
//! condition that the stored step is still lower, so that two sign-ins at the same moment cannot
//! both use one code.

use std::time::Duration;

use portcullis_domain::{Secret, Timestamp, UserName};
use thiserror::Error;
use totp_rs::{Algorithm, Builder, Totp};

use crate::random::{self, Random, RandomUnavailable};

/// Length of one step (RFC 6238, section 5.2).
pub const STEP: Duration = Duration::from_secs(STEP_SECONDS);
/// Steps accepted before and after the present one: clocks of telephones drift.
pub const SKEW_STEPS: u64 = 1;
/// Digits in a code.
pub const DIGITS: u8 = 6;
/// Bytes in a new secret: the length of the SHA-1 output (RFC 4226, section 4, requirement 6).
pub const SECRET_BYTES: usize = 20;
/// Longest secret that is read, in bytes.
pub const MAX_SECRET_BYTES: usize = 64;
/// Longest typed code that is looked at, in bytes, spaces included.
pub const MAX_CODE_BYTES: usize = 16;

const STEP_SECONDS: u64 = 30;
const MIN_SECRET_BYTES: usize = 16;

/// A text that is not a TOTP secret. The text is not repeated: it may be nearly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a TOTP secret; give 16 to {MAX_SECRET_BYTES} bytes in base32")]
pub struct SecretError;

/// What came of a typed code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum TotpCheck {
    /// It is right and unused; remember the step before letting anyone in.
    Accepted {
        /// The 30-second step the code belongs to.
        step: u64,
    },
    /// It was right, but it or a later one has been used already.
    Replayed,
    /// It is not a code of the accepted steps.
    Wrong,
}

/// The secret shared with an authenticator application.
#[derive(Debug, Clone)]
pub struct TotpSecret(Secret<Vec<u8>>);

impl TotpSecret {
    /// A new secret.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomUnavailable> {
        let bytes: [u8; SECRET_BYTES] = random::bytes(random)?;
        Ok(Self(Secret::new(bytes.to_vec())))
    }

    /// From the store's bytes; at least 128 bits (RFC 4226, section 4, requirement 6).
    pub fn from_bytes(bytes: Secret<Vec<u8>>) -> Result<Self, SecretError> {
        match bytes.expose().len() {
            MIN_SECRET_BYTES..=MAX_SECRET_BYTES => Ok(Self(bytes)),
            _ => Err(SecretError),
        }
    }

    /// From base32 without padding (RFC 4648), in either case, spaces allowed.
    pub fn from_base32(text: &Secret<String>) -> Result<Self, SecretError> {
        if text.expose().len() > 4 * MAX_SECRET_BYTES {
            return Err(SecretError);
        }
        let compact = Secret::new(
            text.expose()
                .chars()
                .filter(|c| !c.is_whitespace())
                .map(|c| c.to_ascii_uppercase())
                .collect::<String>(),
        );
        let secret = totp_rs::Secret::try_from_base32(compact.expose()).map_err(|_| SecretError)?;
        Self::from_bytes(Secret::new(secret.as_bytes().to_vec()))
    }

    /// The bytes, for the store to encrypt.
    pub fn to_bytes(&self) -> Secret<Vec<u8>> {
        self.0.clone()
    }

    /// What a person types into the application.
    pub fn to_base32(&self) -> Secret<String> {
        Secret::new(totp_rs::Secret::from(self.0.expose().as_slice()).to_base32())
    }

    /// The `otpauth://` URI an application scans. `issuer` is the name people know the gate by; a
    /// `:` in it is replaced, because the format uses it as a separator.
    pub fn otpauth_uri(&self, user: &UserName, issuer: &str) -> Secret<String> {
        let issuer: String = issuer.chars().filter(|c| !c.is_control()).take(64).collect();
        let totp = builder(self)
            .with_account_name(user.as_str())
            .with_issuer(Some(issuer.replace(':', " ")))
            .build_noncompliant();
        // A user name is never empty and has no `:`, the two things `to_url` refuses.
        Secret::new(totp.to_url().unwrap_or_default())
    }
}

/// Checks a typed code. Spaces in it are ignored; the time taken does not depend on the code.
///
/// `last_used_step` is what the last [`TotpCheck::Accepted`] said for this secret. A code of that
/// step or of an earlier one is [`TotpCheck::Replayed`].
pub fn check(
    secret: &TotpSecret,
    code: &Secret<String>,
    now: Timestamp,
    last_used_step: Option<u64>,
) -> TotpCheck {
    let Ok(seconds) = u64::try_from(now.as_seconds()) else { return TotpCheck::Wrong };
    if code.expose().len() > MAX_CODE_BYTES {
        return TotpCheck::Wrong;
    }
    let code = Secret::new(code.expose().replace(' ', ""));
    let totp = single_step(secret);
    let present = seconds / STEP_SECONDS;
    let steps = present.saturating_sub(SKEW_STEPS)..=present.saturating_add(SKEW_STEPS);
    // Every step is computed, also after a match; the latest match counts.
    let mut matched = None;
    for step in steps {
        if totp.check(code.expose(), step.saturating_mul(STEP_SECONDS)).is_some() {
            matched = Some(step);
        }
    }
    match (matched, last_used_step) {
        (None, _) => TotpCheck::Wrong,
        (Some(step), Some(last)) if step <= last => TotpCheck::Replayed,
        (Some(step), _) => TotpCheck::Accepted { step },
    }
}

/// The code an authenticator shows at `now`: for the demo, the tests and `portcullis doctor`.
pub fn current_code(secret: &TotpSecret, now: Timestamp) -> Secret<String> {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    Secret::new(single_step(secret).generate(seconds).to_string())
}

fn builder(secret: &TotpSecret) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_skew(0)
        .with_step_duration(STEP_SECONDS)
        .with_secret(secret.0.expose().as_slice())
}

/// Answers for exactly one step; [`check`] asks it about each accepted one.
fn single_step(secret: &TotpSecret) -> Totp {
    builder(secret).build_noncompliant()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Counter, at, user};

    #[test]
    fn the_codes_are_those_of_rfc_6238_appendix_b() {
        let secret = rfc_secret();
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let now = Timestamp::from_millis(seconds * 1000);
            assert_eq!(current_code(&secret, now).expose(), code, "{seconds}");
            let step = u64::try_from(seconds).unwrap() / 30;
            assert_eq!(check(&secret, &text(code), now, None), TotpCheck::Accepted { step });
        }
    }

    #[test]
    fn a_code_works_once() {
        let secret = TotpSecret::generate(&mut Counter(1)).unwrap();
        let code = current_code(&secret, at(0));
        let TotpCheck::Accepted { step } = check(&secret, &code, at(0), None) else { panic!() };
        assert_eq!(check(&secret, &code, at(1), Some(step)), TotpCheck::Replayed);
        let next = current_code(&secret, at(30));
        assert_eq!(
            check(&secret, &next, at(30), Some(step)),
            TotpCheck::Accepted { step: step + 1 }
        );
    }

    #[test]
    fn an_older_unused_code_is_refused_after_a_newer_one() {
        let secret = TotpSecret::generate(&mut Counter(1)).unwrap();
        let older = current_code(&secret, at(0));
        let newer = current_code(&secret, at(30));
        let TotpCheck::Accepted { step } = check(&secret, &newer, at(30), None) else { panic!() };
        assert_eq!(check(&secret, &older, at(30), Some(step)), TotpCheck::Replayed);
    }

    #[test]
    fn one_step_of_drift_is_accepted_either_way_and_two_are_not() {
        let secret = TotpSecret::generate(&mut Counter(1)).unwrap();
        for (drift, accepted) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            let verdict = check(&secret, &current_code(&secret, at(drift)), at(0), None);
            assert_eq!(matches!(verdict, TotpCheck::Accepted { .. }), accepted, "{drift}");
        }
    }

    #[test]
    fn codes_that_are_not_six_digits_are_wrong() {
        let secret = rfc_secret();
        let now = Timestamp::from_millis(59_000);
        for wrong in ["", "28708", "2870822", "+87082", "28708a", "２８７０８２", "287082\n"]
        {
            assert_eq!(check(&secret, &text(wrong), now, None), TotpCheck::Wrong, "{wrong}");
        }
        assert_eq!(check(&secret, &text("287 082"), now, None), TotpCheck::Accepted { step: 1 });
        assert_eq!(check(&secret, &text(&"1".repeat(9000)), now, None), TotpCheck::Wrong);
    }

    #[test]
    fn a_secret_round_trips_and_makes_a_uri_that_applications_read() {
        let secret = rfc_secret();
        let base32 = secret.to_base32();
        assert_eq!(base32.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let spaced = text("gezd gnbv gy3t qojq gezd gnbv gy3t qojq");
        let read = TotpSecret::from_base32(&spaced).unwrap();
        assert_eq!(read.to_bytes().expose(), secret.to_bytes().expose());
        assert_eq!(
            secret.otpauth_uri(&user("alice"), "Portcullis: demo").expose(),
            "otpauth://totp/Portcullis%20%20demo:alice\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portcullis%20%20demo"
        );
        assert!(!format!("{secret:?}").contains("1234"));
    }

    #[test]
    fn secrets_that_are_short_endless_or_not_base32_are_refused() {
        for wrong in ["", "GEZDGNBV", "not base32 at all!", &"A".repeat(5000)] {
            assert!(TotpSecret::from_base32(&text(wrong)).is_err(), "{wrong}");
        }
        assert!(TotpSecret::from_bytes(Secret::new(vec![1; 15])).is_err());
        assert!(TotpSecret::from_bytes(Secret::new(vec![1; 65])).is_err());
    }

    proptest! {
        #[test]
        fn any_text_and_any_time_is_checked_without_panic(code in ".*", millis: i64, last: Option<u64>) {
            let _ = check(&rfc_secret(), &text(&code), Timestamp::from_millis(millis), last);
            let _ = current_code(&rfc_secret(), Timestamp::from_millis(millis));
        }
    }

    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_bytes(Secret::new(b"12345678901234567890".to_vec())).unwrap()
    }

    fn text(code: &str) -> Secret<String> {
        Secret::new(code.to_owned())
    }
}
