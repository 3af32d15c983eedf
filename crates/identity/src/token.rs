//! API tokens: bearer secrets the gate issues at sign-in, stored only by their hash.
//!
//! In flows randomness or a presented text; out flow the token (shown once) and a [`TokenHash`].
//! Whose token it is, what it carries and when it ends is the store's business.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_domain::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::random::{self, Random, RandomUnavailable};

/// What every token begins with, so that scanners for leaked secrets recognise it.
pub const PREFIX: &str = "pct_";
/// Random bytes in a token.
pub const TOKEN_BYTES: usize = 32;

/// Length of the text form: the prefix and 32 bytes in unpadded base64url.
const TEXT_BYTES: usize = PREFIX.len() + 43;
const DOMAIN: &[u8] = b"portcullis api token v1\0";
const CSRF_DOMAIN: &[u8] = b"portcullis csrf token v1\0";

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token(Secret<[u8; TOKEN_BYTES]>);

/// A stored token: SHA-256 with domain separation; hexadecimal in text.
///
/// A token has 256 random bits, so a fast hash is enough, and looking it up by its hash tells a
/// prober nothing about the token.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

/// What a page says beside its cookie, so that no other page can act with the cookie alone: made of
/// the cookie's token, which no script can read, and told to pages of the same origin only.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct CsrfToken(TokenHash);

/// A text that is not a token. The text is not repeated: it may be nearly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not an API token; sign in with `portcullis login` to get one")]
pub struct ParseTokenError;

/// A text that is not a stored token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a stored API token; expected 64 hexadecimal digits")]
pub struct ParseTokenHashError;

impl Token {
    /// A new token.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomUnavailable> {
        Ok(Self(Secret::new(random::bytes(random)?)))
    }

    /// Reads the one text form a token has.
    pub fn parse(text: &str) -> Result<Self, ParseTokenError> {
        if text.len() != TEXT_BYTES {
            return Err(ParseTokenError);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(ParseTokenError)?;
        let decoded = Secret::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| ParseTokenError)?);
        let bytes: [u8; TOKEN_BYTES] =
            decoded.expose().as_slice().try_into().map_err(|_| ParseTokenError)?;
        Ok(Self(Secret::new(bytes)))
    }

    /// `pct_` and base64url: what the person keeps.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0.expose())))
    }

    /// What the store keeps and looks up by.
    pub fn hash(&self) -> TokenHash {
        self.digest(DOMAIN)
    }

    /// What pages say beside this token in a cookie.
    pub fn csrf(&self) -> CsrfToken {
        CsrfToken(self.digest(CSRF_DOMAIN))
    }

    fn digest(&self, domain: &[u8]) -> TokenHash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(domain);
        context.update(self.0.expose());
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        TokenHash(bytes)
    }
}

impl CsrfToken {
    /// Whether this text, of anybody, is it. Constant time.
    pub fn is(&self, text: &str) -> bool {
        text.parse::<TokenHash>().is_ok_and(|shown| shown == self.0)
    }

    /// Hexadecimal: what the page keeps in memory.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(self.0.to_string())
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

impl PartialEq for TokenHash {
    /// Constant time.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl TokenHash {
    /// The 32 bytes, for the store's key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl FromStr for TokenHash {
    type Err = ParseTokenHashError;
    fn from_str(text: &str) -> Result<Self, ParseTokenHashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseTokenHashError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = ParseTokenHashError;
    fn try_from(text: String) -> Result<Self, ParseTokenHashError> {
        text.parse()
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Broken, Counter};

    #[test]
    fn a_token_round_trips_through_its_text_and_hashes_alike() {
        let token = Token::generate(&mut Counter(3)).unwrap();
        let text = token.to_text();
        assert!(text.expose().starts_with("pct_") && text.expose().len() == 47);
        assert_eq!(Token::parse(text.expose()).unwrap().hash(), token.hash());
        assert_eq!(token.hash().to_string().parse::<TokenHash>().unwrap(), token.hash());
    }

    #[test]
    fn two_tokens_have_different_hashes_and_none_is_printed() {
        let mut random = Counter(3);
        let first = Token::generate(&mut random).unwrap();
        assert_ne!(first.hash(), Token::generate(&mut random).unwrap().hash());
        assert_eq!(format!("{first:?}"), "Token([secret])");
        assert!(Token::generate(&mut Broken).is_err());
    }

    #[test]
    fn what_a_page_says_belongs_to_one_token_and_is_not_its_hash() {
        let mut random = Counter(3);
        let (one, two) =
            (Token::generate(&mut random).unwrap(), Token::generate(&mut random).unwrap());
        let said = one.csrf().to_text();
        assert!(one.csrf().is(said.expose()) && !two.csrf().is(said.expose()));
        assert_ne!(*said.expose(), one.hash().to_string());
        for wrong in ["", "00", &said.expose()[1..], &format!("{}0", said.expose())] {
            assert!(!one.csrf().is(wrong), "{wrong}");
        }
        assert_eq!(format!("{:?}", one.csrf()), "CsrfToken(..)");
    }

    #[test]
    fn a_token_has_one_text_form_only() {
        let text = Token::generate(&mut Counter(3)).unwrap().to_text();
        let good = text.expose();
        // The last character carries four bits; the other two must be zero.
        for wrong in [
            format!("{good} "),
            format!("{good}="),
            good.replace("pct_", "PCT_"),
            good[4..].to_owned(),
            format!("{}+", &good[..46]),
            format!("{}_", &good[..46]),
        ] {
            assert!(Token::parse(&wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "(pct_)?.{0,60}") {
            let _ = Token::parse(&text);
            let _ = text.parse::<TokenHash>();
        }
    }
}
