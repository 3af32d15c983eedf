//! Against a software authenticator: what is accepted, and that everything else is not.

use portcullis_testkit::Authenticator;
use serde_json::Value;

use super::*;
use crate::testing::{Counter, user};

const ORIGIN: &str = "https://gate.example.com";

fn site() -> RelyingParty {
    RelyingParty::new(ORIGIN).unwrap()
}

fn challenge(seed: u64) -> Challenge {
    Challenge::generate(&mut Counter(seed)).unwrap()
}

fn handle() -> Vec<u8> {
    new_user_handle(&mut Counter(9)).unwrap()
}

fn parsed<T: serde::de::DeserializeOwned>(answer: Value) -> T {
    serde_json::from_value(answer).unwrap()
}

fn registered(
    authenticator: &mut Authenticator,
    wanted: Wanted,
) -> Result<Credential, WebauthnError> {
    let challenge = challenge(1);
    let options = site().creation_options(&user("alice"), &handle(), wanted, &[], &challenge);
    let answer: RegistrationResponse = parsed(authenticator.register(&options));
    assert_eq!(answer.challenge().unwrap(), challenge);
    site().register(&answer, wanted, &challenge)
}

fn asserted(
    authenticator: &mut Authenticator,
    credential: &Credential,
    verified: bool,
) -> Result<Assertion, WebauthnError> {
    let challenge = challenge(2);
    let options = site().request_options(&[], &challenge);
    let answer: AuthenticationResponse = parsed(authenticator.answer(&options));
    assert_eq!(answer.credential_id().unwrap(), credential.id);
    site().verify(&answer, &credential.public_key, &handle(), verified, &challenge)
}

#[test]
fn a_passkey_is_registered_and_signs_in() {
    let mut authenticator = Authenticator::new(ORIGIN);
    let credential = registered(&mut authenticator, Wanted::Passkey).unwrap();
    assert!(credential.user_verified && credential.sign_count == 1);
    let assertion = asserted(&mut authenticator, &credential, true).unwrap();
    assert_eq!(assertion, Assertion { check: PasskeyCheck::Verified, sign_count: 2 });
    authenticator.verifies = false;
    let assertion = asserted(&mut authenticator, &credential, false).unwrap();
    assert_eq!(assertion.check.proves(), Some(portcullis_domain::FactorKind::SecurityKey));
}

#[test]
fn what_was_not_signed_here_by_somebody_there_is_refused() {
    type Spoil = fn(&mut Authenticator);
    let spoil: [(Spoil, WebauthnError); 5] = [
        (|a| a.present = false, WebauthnError::NotPresent),
        (|a| a.verifies = false, WebauthnError::NotVerified),
        (|a| a.relying_party = Some("evil.example".into()), WebauthnError::RelyingParty),
        (
            |a| a.origin = "https://gate.example.com.evil.example".into(),
            WebauthnError::Origin {
                origin: "https://gate.example.com.evil.example".into(),
                expected: ORIGIN.into(),
            },
        ),
        (
            |a| a.cross_origin = true,
            WebauthnError::Origin { origin: ORIGIN.into(), expected: ORIGIN.into() },
        ),
    ];
    for (spoil, expected) in spoil {
        let mut authenticator = Authenticator::new(ORIGIN);
        spoil(&mut authenticator);
        assert_eq!(registered(&mut authenticator, Wanted::Passkey), Err(expected.clone()));
        let mut authenticator = Authenticator::new(ORIGIN);
        let credential = registered(&mut authenticator, Wanted::Passkey).unwrap();
        spoil(&mut authenticator);
        assert_eq!(asserted(&mut authenticator, &credential, true), Err(expected));
    }
}

#[test]
fn an_answer_counts_for_its_challenge_key_and_owner_only() {
    let mut authenticator = Authenticator::new(ORIGIN);
    let credential = registered(&mut authenticator, Wanted::Passkey).unwrap();
    let options = site().request_options(&[], &challenge(3));
    let answer: AuthenticationResponse = parsed(authenticator.answer(&options));
    let check = |key: &[u8], handle: &[u8], challenge: &Challenge| {
        site().verify(&answer, key, handle, true, challenge).unwrap_err()
    };
    let (key, own) = (&credential.public_key[..], handle());
    assert_eq!(check(key, &own, &challenge(4)), WebauthnError::Challenge);
    assert_eq!(check(key, b"somebody else", &challenge(3)), WebauthnError::Unknown);
    let other = registered(&mut Authenticator::new(ORIGIN), Wanted::Passkey).unwrap();
    assert_eq!(check(&other.public_key, &own, &challenge(3)), WebauthnError::Signature);
    // A registration is no sign-in, and the other way round.
    let options = site().creation_options(&user("a"), &own, Wanted::Passkey, &[], &challenge(3));
    let mut registration = authenticator.register(&options);
    registration["response"]["authenticatorData"] = "AA".into();
    registration["response"]["signature"] = "AA".into();
    let wrong: AuthenticationResponse = parsed(registration);
    let refused = site().verify(&wrong, key, &own, true, &challenge(3));
    assert_eq!(refused, Err(WebauthnError::Type));
}

#[test]
fn every_flipped_bit_of_an_answer_is_noticed() {
    let mut authenticator = Authenticator::new(ORIGIN);
    let credential = registered(&mut authenticator, Wanted::Passkey).unwrap();
    let answer = authenticator.answer(&site().request_options(&[], &challenge(3)));
    for part in ["clientDataJSON", "authenticatorData", "signature"] {
        let bytes = URL_SAFE_NO_PAD.decode(answer["response"][part].as_str().unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut changed = answer.clone();
            changed["response"][part] = URL_SAFE_NO_PAD.encode(flipped).into();
            let changed: AuthenticationResponse = parsed(changed);
            let result =
                site().verify(&changed, &credential.public_key, &handle(), false, &challenge(3));
            assert!(result.is_err(), "{part} bit {bit}");
        }
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let good = registered(&mut Authenticator::new(ORIGIN), Wanted::Passkey).unwrap().public_key;
    assert!(Key::parse(&good).is_ok());
    let mut off_the_curve = good.clone();
    *off_the_curve.last_mut().unwrap() ^= 1;
    let mut other_algorithm = good.clone();
    other_algorithm[4] = 0x25; // -6
    for wrong in [&off_the_curve[..], &other_algorithm, &good[..good.len() - 1], b"\xa0"] {
        assert!(Key::parse(wrong).is_err());
    }
}

mod any_bytes {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn are_read_or_refused_without_panic(
            data in prop::collection::vec(any::<u8>(), 0..400), flags in any::<u8>(),
        ) {
            let _ = Key::parse(&data);
            let _ = AuthenticatorData::parse(&data);
            let mut framed = [&sha256(b"gate.example.com")[..], &[flags, 0, 0, 0, 0]].concat();
            framed.extend(&data);
            let _ = AuthenticatorData::parse(&framed);
        }

        #[test]
        fn prove_nothing(data in prop::collection::vec(any::<u8>(), 0..400)) {
            let credential = registered(&mut Authenticator::new(ORIGIN), Wanted::Passkey).unwrap();
            let mut answer = Authenticator::new(ORIGIN)
                .answer(&site().request_options(&[], &challenge(3)));
            answer["response"]["authenticatorData"] = URL_SAFE_NO_PAD.encode(&data).into();
            let answer: AuthenticationResponse = parsed(answer);
            let verified =
                site().verify(&answer, &credential.public_key, &handle(), false, &challenge(3));
            prop_assert!(verified.is_err());
        }
    }
}
