//! Which algorithms are spoken, towards clients and towards targets.
//!
//! Modern ones only (RFC 9142, OpenSSH defaults of 2024): ML-KEM hybrid and X25519 key exchange
//! with strict key exchange where the peer has it, AEAD ciphers, no compression (a decompression
//! bomb needs a decompressor). A target's options may add older ones, each by name.

use std::borrow::Cow;
use std::collections::BTreeSet;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{AlgorithmKind, Limits, Preferred, cipher, compression, kex, mac};

use crate::options::{REKEY_AGE, REKEY_BYTES};

/// How much of what a target offers is repeated to people.
const MAX_NAMED_CHARS: usize = 256;

/// RFC 9142 and OpenSSH `PROTOCOL` section 1.10 (strict key exchange).
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// AEAD first; AES-CTR with an encrypt-then-MAC for clients that have nothing else.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What clients are offered.
pub(crate) fn towards_clients() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Borrowed(KEYS),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// What a target is offered: the modern set, then exactly the `legacy` names that exist. With
/// `certified`, host certificates are asked for before bare keys.
pub(crate) fn towards_target(legacy: Option<&BTreeSet<String>>, certified: bool) -> Preferred {
    let mut offered = towards_clients();
    if certified {
        offered.host_key_certificates = Cow::Borrowed(KEYS);
    }
    for name in legacy.into_iter().flatten() {
        add_legacy(&mut offered, name);
    }
    offered
}

fn add_legacy(offered: &mut Preferred, name: &str) {
    if let Ok(name) = kex::Name::try_from(name) {
        // Before the extension names, which are not key exchanges.
        let at = offered.kex.iter().position(|known| KEX.get(3) == Some(known)).unwrap_or(0);
        offered.kex.to_mut().insert(at, name);
    } else if let Ok(name) = cipher::Name::try_from(name) {
        offered.cipher.to_mut().push(name);
    } else if let Ok(name) = mac::Name::try_from(name) {
        offered.mac.to_mut().push(name);
    } else if let Ok(algorithm) = Algorithm::new(name) {
        offered.key.to_mut().push(algorithm);
    } else {
        tracing::warn!(algorithm = %name.escape_debug(), "this legacy algorithm is not known and is not offered");
    }
}

/// Why the key exchange with a target failed, with what to do where it has only older algorithms.
pub(crate) fn why_failed(error: &russh::Error) -> String {
    let russh::Error::NoCommonAlgo { kind, theirs, .. } = error else { return error.to_string() };
    let what = match kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key algorithm",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "message authentication code",
        AlgorithmKind::Compression => "compression",
    };
    let offered: String = theirs.join(", ").chars().take(MAX_NAMED_CHARS).collect();
    format!(
        "it has no {what} the gate uses (it offers `{offered}`); where it cannot do better, an \
         administrator names an older one in the target's `legacy_algorithms`"
    )
}

/// When keys are renewed.
pub(crate) fn rekeying() -> Limits {
    Limits::new(REKEY_BYTES, REKEY_BYTES, REKEY_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_compressed_and_strict_key_exchange_is_offered() {
        for offered in [towards_clients(), towards_target(None, true)] {
            assert_eq!(offered.compression.as_ref(), &[compression::NONE]);
            assert!(offered.kex.contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER));
            assert!(offered.kex.contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT));
            assert_eq!(offered.kex.first(), Some(&kex::MLKEM768X25519_SHA256));
        }
    }

    #[test]
    fn old_algorithms_are_offered_only_where_named_and_after_the_modern_ones() {
        let plain = towards_target(None, false);
        assert!(!plain.kex.contains(&kex::DH_G14_SHA1));
        assert!(!plain.mac.contains(&mac::HMAC_SHA1));
        let legacy = ["diffie-hellman-group14-sha1", "hmac-sha1", "aes128-cbc", "nonsense"]
            .map(String::from)
            .into();
        let old = towards_target(Some(&legacy), false);
        assert!(old.kex.contains(&kex::DH_G14_SHA1));
        assert_eq!(old.kex.first(), Some(&kex::MLKEM768X25519_SHA256));
        assert_eq!(old.mac.last(), Some(&mac::HMAC_SHA1));
        assert_eq!(old.cipher.last(), Some(&cipher::AES_128_CBC));
    }
}
