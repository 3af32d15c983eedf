//! What the TLS authority issues is what it takes, and nothing else is.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn authority() -> TlsAuthority {
    TlsAuthority::from_pem(&TlsAuthority::generate(NOW).unwrap()).unwrap()
}

fn alice() -> UserName {
    UserName::new("alice").unwrap()
}

fn certified(authority: &TlsAuthority, serial: u64) -> CertificateDer<'static> {
    let (_, public) = client_key().unwrap();
    let pem = authority.certify(&public, &alice(), NOW, HOUR, serial).unwrap();
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn a_certificate_says_whose_it_is_for_as_long_as_it_lasts() {
    let authority = authority();
    let certificate = certified(&authority, 42);
    let read = authority.check(&certificate, NOW).unwrap();
    assert_eq!(read, ClientCertificate { user: alice(), serial: 42 });
    assert!(authority.check(&certificate, NOW.plus(HOUR / 2)).is_ok());
    assert!(authority.check(&certificate, NOW.plus(HOUR * 2)).is_err());
    assert!(authority.check(&certificate, NOW.minus(HOUR)).is_err());
}

#[test]
fn every_serial_the_gate_gives_comes_back() {
    let authority = authority();
    for serial in [1, 255, 256, 1 << 32, i64::MAX as u64] {
        assert_eq!(authority.check(&certified(&authority, serial), NOW).unwrap().serial, serial);
    }
    assert_eq!(serial_of(&[]), None);
    assert_eq!(serial_of(&[0, 0]), None);
    assert_eq!(serial_of(&[1; 9]), None);
    assert_eq!(serial_of(&[0xff; 8]), None);
}

#[test]
fn another_authoritys_certificate_and_a_listeners_prove_nothing() {
    let (ours, other) = (authority(), authority());
    let foreign = certified(&other, 7);
    assert!(matches!(ours.check(&foreign, NOW), Err(TlsCertificateError::Untrusted(_))));
    let listener = ours.listener(&["gate.internal".into(), "127.0.0.1".into()], NOW, 8).unwrap();
    let shown = listener.chain.first().unwrap();
    assert!(matches!(ours.check(shown, NOW), Err(TlsCertificateError::Untrusted(_))));
    assert!(ours.check(ours.certificate(), NOW).is_err());
    assert!(ours.check(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]), NOW).is_err());
}

#[test]
fn a_certificate_lasts_at_most_twelve_hours_and_certifies_public_keys_only() {
    let authority = authority();
    let (private, public) = client_key().unwrap();
    let issue = |key: &str, lifetime| authority.certify(key, &alice(), NOW, lifetime, 1);
    assert!(matches!(issue(&public, HOUR * 13), Err(TlsAuthorityError::Lifetime(_))));
    assert!(matches!(issue(&public, Duration::ZERO), Err(TlsAuthorityError::Lifetime(_))));
    assert!(matches!(issue(private.expose(), HOUR), Err(TlsAuthorityError::Key)));
    assert!(matches!(issue("nonsense", HOUR), Err(TlsAuthorityError::Key)));
    assert_eq!(public_half(&private).unwrap(), public);
}

#[test]
fn an_authority_is_kept_as_text_and_hides_its_key_in_debug() {
    let kept = TlsAuthority::generate(NOW).unwrap();
    let (first, second) =
        (TlsAuthority::from_pem(&kept).unwrap(), TlsAuthority::from_pem(&kept).unwrap());
    assert!(second.check(&certified(&first, 3), NOW).is_ok());
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    assert!(
        kept.expose().contains(&first.certificate_pem().replace('\n', "\r\n"))
            || kept.expose().contains(&first.certificate_pem())
    );
    assert_eq!(format!("{first:?}"), "TlsAuthority { .. }");
    assert!(TlsAuthority::from_pem(&Secret::new("x".into())).is_err());
}
