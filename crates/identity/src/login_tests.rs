//! The sign-in state machine, by example and against a model.

use proptest::prelude::*;

use super::*;
use crate::recovery::RecoveryHash;
use crate::testing::{at, user};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_password_alone_completes_where_no_second_factor_is_due() {
    let done = begin(None).input(&user("alice"), right_password(), at(5));
    let proved = complete(done);
    assert_eq!(proved.authentication().user, user("alice"));
    assert_eq!(
        proved.into_authentication().factors,
        [Factor { kind: FactorKind::Password, at: at(5) }]
    );
}

#[test]
fn a_second_factor_is_asked_for_after_the_first_and_then_completes() {
    let sign_in = begin(Some(HOUR));
    assert!(matches!(sign_in.next(), Ask::First { methods } if methods.len() == 4));
    let sign_in = sign_in.input(&user("alice"), Input::SshKey(SignatureCheck::Valid), at(1));
    assert_eq!(sign_in.next(), Ask::SecondFactor);
    let proved = complete(sign_in.input(&user("alice"), right_code(), at(9)));
    assert_eq!(proved.authentication().second_factor_at(), Some(at(9)));
}

#[test]
fn a_recovery_code_is_a_second_factor() {
    let used: RecoveryHash = "00".repeat(32).parse().unwrap();
    let accepted = Input::Recovery(RecoveryCheck::Accepted { used });
    let sign_in = begin(Some(HOUR)).input(&user("alice"), right_password(), at(1));
    let _ = complete(sign_in.input(&user("alice"), accepted, at(2)));
}

#[test]
fn a_certificates_second_factor_counts_while_it_is_fresh_and_no_longer() {
    let certificate = |second| {
        Input::Certificate(Ok(vec![
            Factor { kind: FactorKind::SshCertificate, at: at(second) },
            Factor { kind: FactorKind::Password, at: at(second) },
            Factor { kind: FactorKind::Totp, at: at(second) },
        ]))
    };
    let fresh = begin(Some(HOUR)).input(&user("alice"), certificate(-3600), at(0));
    let _ = complete(fresh);
    let stale = begin(Some(HOUR)).input(&user("alice"), certificate(-3601), at(0));
    assert_eq!(stale.next(), Ask::SecondFactor);
    let _ = complete(stale.input(&user("alice"), right_code(), at(1)));
}

#[test]
fn a_factor_from_the_future_proves_nothing() {
    let factors = vec![
        Factor { kind: FactorKind::SshCertificate, at: at(0) },
        Factor { kind: FactorKind::Totp, at: at(1_000_000) },
    ];
    let sign_in = begin(Some(HOUR)).input(&user("alice"), Input::Certificate(Ok(factors)), at(0));
    assert!(matches!(sign_in, SignIn::Begun(_)));
}

#[test]
fn another_user_in_mid_way_kills_the_sign_in_for_good() {
    for stage in 0..3 {
        let mut sign_in = begin(Some(HOUR));
        if stage > 0 {
            sign_in = sign_in.input(&user("alice"), right_password(), at(1));
        }
        if stage > 1 {
            sign_in = sign_in.input(&user("alice"), right_code(), at(1));
        }
        let dead = sign_in.input(&user("root"), right_code(), at(2));
        let SignIn::Failed(failed) = &dead else { panic!("{dead:?}") };
        assert!(matches!(failed.reason(), Failure::IdentityChanged { .. }));
        assert_eq!(failed.user(), &user("alice"));
        let still = dead.input(&user("alice"), right_password(), at(3));
        assert!(matches!(still, SignIn::Failed(_)) && still.next() == Ask::Nothing);
    }
}

#[test]
fn six_wrong_answers_end_it_and_five_do_not() {
    let wrong = || Input::Password(PasswordCheck::Wrong);
    let mut sign_in = begin(None);
    for _ in 0..5 {
        sign_in = sign_in.input(&user("alice"), wrong(), at(1));
        assert!(matches!(sign_in, SignIn::Begun(_)));
    }
    let SignIn::Failed(failed) = sign_in.input(&user("alice"), wrong(), at(1)) else { panic!() };
    assert_eq!(failed.reason(), &Failure::TooManyFailures);
}

#[test]
fn failures_of_both_stages_count_together() {
    let mut sign_in = begin(Some(HOUR));
    for _ in 0..5 {
        sign_in = sign_in.input(&user("alice"), Input::SshKey(SignatureCheck::Invalid), at(1));
    }
    sign_in = sign_in.input(&user("alice"), right_password(), at(1));
    let sign_in = sign_in.input(&user("alice"), Input::Totp(TotpCheck::Replayed), at(1));
    assert!(matches!(sign_in, SignIn::Failed(_)));
}

#[test]
fn a_second_factor_before_the_first_or_anything_after_the_end_kills_it() {
    let early = begin(Some(HOUR)).input(&user("alice"), right_code(), at(1));
    let SignIn::Failed(failed) = early else { panic!() };
    assert_eq!(failed.reason(), &Failure::OutOfOrder);
    let done = begin(None).input(&user("alice"), right_password(), at(1));
    let late = done.input(&user("alice"), right_password(), at(2));
    assert!(matches!(late, SignIn::Failed(_)));
}

#[test]
fn a_sign_in_that_takes_too_long_or_whose_clock_jumps_back_is_over() {
    for second in [301, -61] {
        let sign_in = begin(None).input(&user("alice"), right_password(), at(second));
        let SignIn::Failed(failed) = sign_in else { panic!("{second}") };
        assert_eq!(failed.reason(), &Failure::TimedOut);
    }
}

#[test]
fn a_first_factor_that_is_not_accepted_here_is_a_failure() {
    let requirement = Requirement { first: vec![FactorKind::SshKey], second_factor_max_age: None };
    let sign_in = SignIn::begin(user("alice"), source(), requirement, at(0));
    let sign_in = sign_in.input(&user("alice"), right_password(), at(1));
    assert!(matches!(sign_in, SignIn::Begun(_)));
    let _ = complete(sign_in.input(&user("alice"), Input::SshKey(SignatureCheck::Valid), at(2)));
}

#[test]
fn a_certificate_or_token_that_carries_no_factor_of_its_own_kind_proves_nothing() {
    let password = vec![Factor { kind: FactorKind::Password, at: at(0) }];
    let empty = Input::Certificate(Ok(Vec::new()));
    let sign_in = begin(None).input(&user("alice"), empty, at(1));
    let token = Input::Token(TokenCheck::Accepted { factors: password });
    let sign_in = sign_in.input(&user("alice"), token, at(1));
    assert!(matches!(sign_in, SignIn::Begun(_)));
}

#[test]
fn stepping_up_asks_for_a_fresh_second_factor_and_for_nothing_else() {
    let proved = complete(begin(None).input(&user("alice"), right_password(), at(1)));
    let sign_in = SignIn::step_up(proved, HOUR, at(4000));
    assert_eq!(sign_in.next(), Ask::SecondFactor);
    let sign_in = sign_in.input(&user("alice"), right_password(), at(4001));
    assert_eq!(sign_in.next(), Ask::SecondFactor);
    let proved = complete(sign_in.input(&user("alice"), right_code(), at(4002)));
    assert_eq!(proved.authentication().factors.len(), 2);
    let _ = complete(SignIn::step_up(proved, HOUR, at(4003)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(portcullis_testkit::cases(2000)))]

    /// Against a model that keeps only what was proved for alice, and when.
    #[test]
    fn no_sequence_completes_without_what_is_required(
        max_age in proptest::option::of(0_u64..200),
        steps in proptest::collection::vec((any_user(), any_input(), 0_i64..60), 0..12),
    ) {
        let max_age = max_age.map(Duration::from_secs);
        let mut sign_in = begin(max_age);
        let (mut second, mut first_proved, mut freshest) = (0, false, None);
        let (mut mixed, mut failures) = (false, 0);
        for (who, input, gap) in steps {
            second += gap;
            let verified = verified(&input);
            mixed |= who != user("alice");
            failures += u32::from(verified.is_none());
            for factor in verified.unwrap_or_default() {
                if factor.kind.is_second() {
                    freshest = freshest.max(Some(factor.at));
                } else {
                    first_proved = true;
                }
            }
            if matches!(input, Input::Totp(TotpCheck::Accepted { .. })) {
                freshest = Some(at(second));
            }
            sign_in = sign_in.input(&who, input, at(second));
            if let SignIn::Complete(proved) = &sign_in {
                prop_assert!(first_proved && !mixed);
                prop_assert!(failures < MAX_FAILURES && second <= 300);
                prop_assert_eq!(&proved.authentication().user, &user("alice"));
                if let Some(max_age) = max_age {
                    let age = at(second).since(freshest.unwrap());
                    prop_assert!(age <= max_age, "{age:?} old, {max_age:?} allowed");
                }
            }
            if mixed {
                prop_assert!(matches!(sign_in, SignIn::Failed(_)));
            }
        }
    }
}

/// What an input proves in itself, second by second relative to the start.
fn verified(input: &Input) -> Option<Vec<Factor>> {
    match input {
        Input::Password(PasswordCheck::Correct) | Input::SshKey(SignatureCheck::Valid) => {
            Some(vec![Factor { kind: FactorKind::Password, at: at(0) }])
        }
        Input::Certificate(Ok(factors)) => Some(factors.clone()),
        Input::Totp(TotpCheck::Accepted { .. }) => Some(Vec::new()),
        _ => None,
    }
}

fn any_user() -> impl Strategy<Value = UserName> {
    prop_oneof![12 => Just(user("alice")), 1 => Just(user("bob"))]
}

fn any_input() -> impl Strategy<Value = Input> {
    let certificate = (-300_i64..1).prop_map(|second| {
        Input::Certificate(Ok(vec![
            Factor { kind: FactorKind::SshCertificate, at: at(second) },
            Factor { kind: FactorKind::Totp, at: at(second) },
        ]))
    });
    prop_oneof![
        Just(right_password()),
        Just(Input::Password(PasswordCheck::Wrong)),
        Just(Input::SshKey(SignatureCheck::Valid)),
        Just(Input::SshKey(SignatureCheck::Invalid)),
        certificate,
        Just(Input::Certificate(Err(CertificateError::Signature))),
        Just(Input::Token(TokenCheck::Refused)),
        Just(right_code()),
        Just(Input::Totp(TotpCheck::Replayed)),
        Just(Input::Totp(TotpCheck::Wrong)),
        Just(Input::Recovery(RecoveryCheck::Wrong)),
    ]
}

fn begin(second_factor_max_age: Option<Duration>) -> SignIn {
    use FactorKind::{Password, SshCertificate, SshKey, Token};
    let first = vec![SshCertificate, SshKey, Password, Token];
    let requirement = Requirement { first, second_factor_max_age };
    SignIn::begin(user("alice"), source(), requirement, at(0))
}

fn source() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn right_password() -> Input {
    Input::Password(PasswordCheck::Correct)
}

fn right_code() -> Input {
    Input::Totp(TotpCheck::Accepted { step: 1 })
}

fn complete(sign_in: SignIn) -> Proved {
    match sign_in {
        SignIn::Complete(proved) => proved,
        other => panic!("not complete: {other:?}"),
    }
}
