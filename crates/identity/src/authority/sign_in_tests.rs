//! What a sign-in certificate must be: each test presents one that differs from a good one in one
//! respect.

use portcullis_domain::{Login, SessionId};
use proptest::prelude::*;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::certificate::{Builder, CertType};

use super::*;
use crate::authority::{TargetAuthority, TargetPermissions, TargetSession};
use crate::testing::{Counter, at, user};

#[test]
fn a_certificate_lets_its_user_in_with_the_factors_proved_at_sign_in() {
    let gate = gate();
    let proved = vec![
        Factor { kind: FactorKind::Password, at: at(-20) },
        Factor { kind: FactorKind::Totp, at: at(-10) },
    ];
    let certificate = issue(&gate, &proved, Duration::from_secs(3600));
    assert_eq!(certificate.key_id(), "portcullis:user:alice");
    assert!(certificate.critical_options().is_empty());
    let factors = check(&gate, &certificate).unwrap();
    assert_eq!(factors[0], Factor { kind: FactorKind::SshCertificate, at: at(0) });
    assert_eq!(factors[1..], proved);
}

#[test]
fn a_certificate_survives_the_file_the_client_keeps_it_in() {
    let gate = gate();
    let text = good(&gate).to_openssh().unwrap();
    let read = Certificate::from_openssh(&text).unwrap();
    assert!(check(&gate, &read).is_ok());
}

#[test]
fn a_certificate_of_a_rogue_authority_is_refused() {
    let rogue = SignInAuthority::generate(&mut Counter(66)).unwrap();
    let refused = check(&gate(), &good(&rogue)).unwrap_err();
    assert_eq!(refused, CertificateError::UnknownAuthority { authority: rogue.fingerprint() });
}

#[test]
fn a_certificate_signed_by_the_users_own_key_is_refused() {
    let own = private_key(5);
    let forged = draft(&own, |_| {}).sign(&own).unwrap();
    let refused = check(&gate(), &forged).unwrap_err();
    assert!(matches!(refused, CertificateError::UnknownAuthority { .. }), "{refused:?}");
}

#[test]
fn a_certificate_for_a_target_never_opens_the_gate_even_under_the_same_key() {
    let gate = gate();
    let same_key = TargetAuthority::from_openssh(&gate.to_openssh().unwrap()).unwrap();
    let session = TargetSession {
        user: &user("alice"),
        login: &Login::new("alice").unwrap(),
        session: SessionId::generate(at(0)),
        permissions: TargetPermissions::default(),
    };
    let lifetime = Duration::from_secs(120);
    let certificate =
        same_key.issue(&public_key(5), &session, at(0), lifetime, 7, &mut Counter(1)).unwrap();
    assert!(matches!(check(&gate, &certificate), Err(CertificateError::KeyId { .. })));
}

#[test]
fn a_host_certificate_is_refused() {
    refused(
        |b| {
            b.cert_type(CertType::Host).unwrap();
        },
        &CertificateError::NotUser,
    );
}

#[test]
fn a_certificate_without_principals_is_refused() {
    let key = private_key(5);
    let mut builder = bare(&key, at(-60), at(3600));
    builder.all_principals_valid().unwrap();
    let certificate = builder.sign(&gate().0.0).unwrap();
    assert_eq!(check(&gate(), &certificate), Err(CertificateError::NoPrincipals));
}

#[test]
fn a_certificate_of_another_principal_or_of_several_is_refused() {
    let gate = gate();
    let other = SignInTrust::check(&gate.trust(), &good(&gate), &user("bob"), at(1), &|_| false);
    assert_eq!(other, Err(CertificateError::Principal { claimed: user("bob") }));
    let expected = CertificateError::Principal { claimed: user("alice") };
    refused(
        |b| {
            b.valid_principal("bob").unwrap();
        },
        &expected,
    );
    for odd in ["Alice", "alice ", "*", ""] {
        let mut builder = bare(&private_key(5), at(-60), at(3600));
        builder.valid_principal(odd).unwrap();
        let certificate = builder.sign(&gate.0.0).unwrap();
        assert_eq!(check(&gate, &certificate), Err(expected.clone()), "{odd}");
    }
}

#[test]
fn a_certificate_is_valid_from_a_minute_before_its_issue_until_just_before_its_end() {
    let gate = gate();
    let certificate = good(&gate);
    let at_second =
        |second| gate.trust().check(&certificate, &user("alice"), at(second), &|_| false);
    assert_eq!(at_second(-61), Err(CertificateError::NotYetValid));
    assert!(at_second(-60).is_ok() && at_second(3599).is_ok());
    assert_eq!(at_second(3600), Err(CertificateError::Expired));
    let before_1970 = Timestamp::from_millis(-1);
    let early = gate.trust().check(&certificate, &user("alice"), before_1970, &|_| false);
    assert_eq!(early, Err(CertificateError::NotYetValid));
}

#[test]
fn a_certificate_of_more_than_twelve_hours_is_refused_and_never_issued() {
    let gate = gate();
    let mut builder = bare(&private_key(5), at(-60), at(12 * 3600 + 1));
    builder.valid_principal("alice").unwrap();
    let certificate = builder.sign(&gate.0.0).unwrap();
    assert_eq!(check(&gate, &certificate), Err(CertificateError::Lifetime));
    let forever = Builder::new([1; 32], public_key(5), 0, u64::MAX).map(|mut builder| {
        builder.valid_principal("alice").unwrap();
        builder.serial(1).unwrap().key_id("portcullis:user:alice").unwrap();
        builder.sign(&gate.0.0).unwrap()
    });
    assert_eq!(check(&gate, &forever.unwrap()), Err(CertificateError::Lifetime));
    for seconds in [0, 12 * 3600 + 1] {
        let lifetime = Duration::from_secs(seconds);
        let issued = try_issue(&gate, &[password()], lifetime, 7);
        assert!(matches!(issued, Err(IssueError::Lifetime { .. })), "{seconds}");
    }
    assert!(try_issue(&gate, &[password()], MAX_SIGN_IN_LIFETIME, 7).is_ok());
}

#[test]
fn every_critical_option_is_unknown_and_refused() {
    for option in ["force-command", "source-address", "verify-required", "new@example.com"] {
        let expected = CertificateError::CriticalOption(option.to_owned());
        refused(
            |b| {
                b.critical_option(option, "x").unwrap();
            },
            &expected,
        );
    }
}

#[test]
fn a_key_id_of_another_user_or_of_none_is_refused() {
    for key_id in ["", "alice", "portcullis:user:bob", "portcullis:user:alice2"] {
        let mut builder = unnamed(&private_key(5), at(-60), at(3600));
        builder.key_id(key_id).unwrap().valid_principal("alice").unwrap();
        builder.serial(1).unwrap();
        let certificate = builder.sign(&gate().0.0).unwrap();
        let expected = CertificateError::KeyId { claimed: user("alice") };
        assert_eq!(check(&gate(), &certificate), Err(expected), "{key_id}");
    }
}

#[test]
fn a_certificate_without_serial_or_with_a_revoked_one_is_refused() {
    let mut builder = unnamed(&private_key(5), at(-60), at(3600));
    builder.key_id("portcullis:user:alice").unwrap().valid_principal("alice").unwrap();
    let certificate = builder.sign(&gate().0.0).unwrap();
    assert_eq!(check(&gate(), &certificate), Err(CertificateError::Serial));

    let gate = gate();
    let revoked = |serial| serial == 7;
    let verdict = gate.trust().check(&good(&gate), &user("alice"), at(1), &revoked);
    assert_eq!(verdict, Err(CertificateError::Revoked(7)));
    for serial in [0, u64::MAX] {
        let issued = try_issue(&gate, &[password()], Duration::from_secs(60), serial);
        assert!(matches!(issued, Err(IssueError::Serial(_))));
    }
}

#[test]
fn factors_that_are_missing_damaged_or_impossible_are_refused() {
    let of = |kind: &str, second| format!(r#"[{{"kind":"{kind}","at":"{}"}}]"#, at(second));
    let many = serde_json::to_string(&vec![password(); 9]).unwrap();
    for text in [
        String::new(),
        "[]".to_owned(),
        "{".to_owned(),
        of("totp", 0),
        of("ssh_certificate", 0),
        of("wishful_thinking", 0),
        of("password", 1000),
        many,
        " ".repeat(5000),
    ] {
        let mut builder = without_factors(&private_key(5));
        builder.extension(FACTORS_EXTENSION, text.as_str()).unwrap();
        let certificate = builder.sign(&gate().0.0).unwrap();
        assert_eq!(check(&gate(), &certificate), Err(CertificateError::Factors), "{text}");
    }
    let certificate = without_factors(&private_key(5)).sign(&gate().0.0).unwrap();
    assert_eq!(check(&gate(), &certificate), Err(CertificateError::Factors));
}

#[test]
fn a_certificate_never_begets_a_certificate() {
    let gate = gate();
    let from_certificate = check(&gate, &good(&gate)).unwrap();
    let token = Factor { kind: FactorKind::Token, at: at(0) };
    let totp = Factor { kind: FactorKind::Totp, at: at(0) };
    let future = Factor { kind: FactorKind::Password, at: at(1) };
    for factors in [from_certificate, vec![password(), token], vec![totp], vec![future], vec![]] {
        let issued = try_issue(&gate, &factors, Duration::from_secs(60), 7);
        assert!(matches!(issued, Err(IssueError::NoOwnFactor)), "{factors:?}");
    }
}

#[test]
fn a_certificate_changed_in_any_byte_is_refused() {
    let gate = gate();
    let bytes = good(&gate).to_bytes().unwrap();
    let mut signature_caught = 0;
    for position in 0..bytes.len() {
        let mut tampered = bytes.clone();
        tampered[position] ^= 1;
        let Ok(certificate) = Certificate::from_bytes(&tampered) else { continue };
        let verdict = check(&gate, &certificate);
        assert!(verdict.is_err(), "byte {position}");
        signature_caught += usize::from(verdict == Err(CertificateError::Signature));
    }
    assert!(signature_caught > 200, "{signature_caught}");
}

#[test]
fn during_a_rotation_both_authorities_are_trusted() {
    let (old, new) = (gate(), SignInAuthority::generate(&mut Counter(2)).unwrap());
    let trust = new.trust().and(old.trust());
    for authority in [&old, &new] {
        assert!(trust.check(&good(authority), &user("alice"), at(1), &|_| false).is_ok());
    }
    let lines = [old.public_key_line().unwrap(), new.public_key_line().unwrap()];
    let read = SignInTrust::parse(lines.iter().map(String::as_str)).unwrap();
    assert_eq!(read, old.trust().and(new.trust()));
    let nobody = SignInTrust::parse([]).unwrap();
    assert!(nobody.check(&good(&old), &user("alice"), at(1), &|_| false).is_err());
}

#[test]
fn a_certificate_in_the_place_of_a_key_is_not_certified() {
    let gate = gate();
    let nested = PublicKey::from(KeyData::from(good(&gate)));
    let mut random = Counter(1);
    let lifetime = Duration::from_secs(60);
    let issued =
        gate.issue(&nested, &user("alice"), &[password()], at(0), lifetime, 7, &mut random);
    assert!(matches!(issued, Err(IssueError::KeyAlgorithm(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(portcullis_testkit::cases(64)))]
    #[test]
    fn no_bytes_are_a_good_certificate_by_chance(
        cut in 0_usize..400, noise in proptest::collection::vec(any::<u8>(), 0..64)
    ) {
        let gate = gate();
        let mut bytes = good(&gate).to_bytes().unwrap();
        bytes.truncate(cut.min(bytes.len() - 1));
        bytes.extend(noise);
        if let Ok(certificate) = Certificate::from_bytes(&bytes) {
            prop_assert!(check(&gate, &certificate).is_err());
        }
    }
}

fn gate() -> SignInAuthority {
    SignInAuthority::generate(&mut Counter(1)).unwrap()
}

fn private_key(seed: u64) -> PrivateKey {
    AuthorityKey::generate(&mut Counter(seed), "").unwrap().0
}

fn public_key(seed: u64) -> PublicKey {
    private_key(seed).public_key().clone()
}

fn password() -> Factor {
    Factor { kind: FactorKind::Password, at: at(0) }
}

fn try_issue(
    authority: &SignInAuthority,
    factors: &[Factor],
    lifetime: Duration,
    serial: u64,
) -> Result<Certificate, IssueError> {
    let (key, alice) = (public_key(5), user("alice"));
    authority.issue(&key, &alice, factors, at(0), lifetime, serial, &mut Counter(9))
}

fn issue(authority: &SignInAuthority, factors: &[Factor], lifetime: Duration) -> Certificate {
    try_issue(authority, factors, lifetime, 7).unwrap()
}

fn good(authority: &SignInAuthority) -> Certificate {
    issue(authority, &[password()], Duration::from_secs(3600))
}

fn check(
    gate: &SignInAuthority,
    certificate: &Certificate,
) -> Result<Vec<Factor>, CertificateError> {
    gate.trust().check(certificate, &user("alice"), at(1), &|_| false)
}

/// A certificate for alice as the gate would issue it, but for what `change` does to it, signed by
/// the gate: refused with `expected`.
fn refused(change: impl FnOnce(&mut Builder), expected: &CertificateError) {
    let certificate = draft(&private_key(5), change).sign(&gate().0.0).unwrap();
    assert_eq!(check(&gate(), &certificate).as_ref(), Err(expected));
}

fn draft(subject: &PrivateKey, change: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = bare(subject, at(-60), at(3600));
    builder.valid_principal("alice").unwrap();
    change(&mut builder);
    builder
}

fn bare(subject: &PrivateKey, after: Timestamp, before: Timestamp) -> Builder {
    let mut builder = unnamed(subject, after, before);
    builder.key_id("portcullis:user:alice").unwrap().serial(1).unwrap();
    builder
}

fn unnamed(subject: &PrivateKey, after: Timestamp, before: Timestamp) -> Builder {
    let mut builder = timed(subject, after, before);
    let factors = serde_json::to_string(&[password()]).unwrap();
    builder.extension(FACTORS_EXTENSION, factors).unwrap();
    builder
}

fn without_factors(subject: &PrivateKey) -> Builder {
    let mut builder = timed(subject, at(-60), at(3600));
    builder.key_id("portcullis:user:alice").unwrap().serial(1).unwrap();
    builder.valid_principal("alice").unwrap();
    builder
}

fn timed(subject: &PrivateKey, after: Timestamp, before: Timestamp) -> Builder {
    let key = subject.public_key().clone();
    Builder::new([1; 32], key, seconds(after).unwrap(), seconds(before).unwrap()).unwrap()
}
