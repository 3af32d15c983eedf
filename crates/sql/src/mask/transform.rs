//! What is put in the place of a masked value.
//!
//! In: a value as it stands in a result, text or binary, and a [`Mask`]. Out: the value that is
//! handed on. Pure: the key is given. A binary value that is not text stays of its type's width or
//! becomes null, so that no client reads a number out of letters.

use std::fmt;

use aws_lc_rs::hmac;

/// How a protected column is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Null.
    Null,
    /// A keyed hash, 16 hexadecimal digits: equal values stay equal, nothing else is told.
    Hash,
    /// The last `keep` letters and digits stay, the others become `*`; other characters stay.
    /// A value of twice `keep` or fewer letters and digits is masked whole.
    Partial {
        /// Letters and digits that stay.
        keep: usize,
    },
    /// Another value of the same shape: letters for letters, digits for digits, always the same
    /// for the same value and key. What checks digits (card numbers) may refuse it.
    Tokenised,
}

/// How a value is encoded in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Characters, of any type: PostgreSQL's format 0, MySQL's text protocol.
    Text,
    /// The bytes of a character type in a binary format: the same as its text.
    BinaryText,
    /// The bytes of any other type in a binary format.
    BinaryOther,
}

/// The key of hashes and tokens. One key for each target keeps its values apart from others'.
#[derive(Clone)]
pub struct MaskKey(hmac::Key);

impl MaskKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

/// Digits of a hash.
const HASH_DIGITS: usize = 16;
/// A value longer than this is masked as if it ended here, with its length in the hash.
pub const LONGEST_VALUE: usize = 64 << 10;

impl Mask {
    /// The value that is handed on; `None` is null. A null stays null: that there is no value is
    /// told.
    #[must_use]
    pub fn apply(self, value: Option<&[u8]>, encoding: Encoding, key: &MaskKey) -> Option<Vec<u8>> {
        let value = value?;
        let text = std::str::from_utf8(value).ok();
        match (self, encoding, text) {
            (Self::Null, _, _)
            | (_, Encoding::BinaryOther, _)
            | (Self::Partial { .. } | Self::Tokenised, _, None) => None,
            (Self::Hash, _, _) => Some(hash(value, key)),
            (Self::Partial { keep }, _, Some(text)) => Some(partial(text, keep)),
            (Self::Tokenised, _, Some(text)) => Some(token(text, key)),
        }
    }
}

/// HMAC-SHA256 with what it is for before the value, so that a token tells nothing of a hash.
fn tag(purpose: &[u8], value: &[u8], key: &MaskKey) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&key.0);
    context.update(purpose);
    context.update(value);
    context.sign()
}

fn hash(value: &[u8], key: &MaskKey) -> Vec<u8> {
    let tag = tag(b"hash\0", value, key);
    let mut digits = hex::encode(tag.as_ref());
    digits.truncate(HASH_DIGITS);
    digits.into_bytes()
}

fn partial(text: &str, keep: usize) -> Vec<u8> {
    let text = within(text);
    let count = text.chars().filter(|character| character.is_alphanumeric()).count();
    let shown = if count > keep.saturating_mul(2) { keep } else { 0 };
    let mut left = count - shown;
    text.chars()
        .map(|character| {
            if !character.is_alphanumeric() {
                return character;
            }
            if left > 0 {
                left -= 1;
                '*'
            } else {
                character
            }
        })
        .collect::<String>()
        .into_bytes()
}

/// A stream of bytes of the key and the value chooses a letter for each letter.
fn token(text: &str, key: &MaskKey) -> Vec<u8> {
    let seed = tag(b"token\0", text.as_bytes(), key);
    let text = within(text);
    let mut stream = Stream { key, seed, block: 0, bytes: Vec::new() };
    text.chars()
        .map(|character| match character {
            '0'..='9' => stream.one(b"0123456789"),
            'a'..='z' => stream.one(b"abcdefghijklmnopqrstuvwxyz"),
            'A'..='Z' => stream.one(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            other if other.is_alphanumeric() => stream.one(b"abcdefghijklmnopqrstuvwxyz"),
            other => other,
        })
        .collect::<String>()
        .into_bytes()
}

struct Stream<'a> {
    key: &'a MaskKey,
    seed: hmac::Tag,
    block: u32,
    bytes: Vec<u8>,
}

impl Stream<'_> {
    /// One of these characters. A byte that would favour some of them is left out.
    fn one(&mut self, of: &[u8]) -> char {
        let fair = 256 - 256 % of.len().max(1);
        loop {
            let byte = usize::from(self.byte());
            if byte < fair
                && let Some(chosen) = of.get(byte % of.len())
            {
                return char::from(*chosen);
            }
        }
    }

    fn byte(&mut self) -> u8 {
        if let Some(byte) = self.bytes.pop() {
            return byte;
        }
        let mut context = hmac::Context::with_key(&self.key.0);
        context.update(b"stream\0");
        context.update(self.seed.as_ref());
        context.update(&self.block.to_be_bytes());
        self.block += 1;
        self.bytes = context.sign().as_ref().to_vec();
        self.bytes.pop().unwrap_or_default()
    }
}

/// The part of a value that is looked at.
fn within(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> MaskKey {
        MaskKey::new(&[byte; 32])
    }

    fn masked(mask: Mask, value: &str) -> String {
        let value = mask.apply(Some(value.as_bytes()), Encoding::Text, &key(1));
        String::from_utf8(value.unwrap()).unwrap()
    }

    #[test]
    fn a_partial_mask_keeps_the_end_and_the_shape() {
        let mask = Mask::Partial { keep: 4 };
        assert_eq!(masked(mask, "4111 1111 1111 1234"), "**** **** **** 1234");
        assert_eq!(
            masked(mask, "anna@example.com"),
            "****@*******.com".replace("*******.com", "******e.com")
        );
        assert_eq!(masked(mask, "secret"), "******");
        assert_eq!(masked(mask, ""), "");
        assert_eq!(masked(Mask::Partial { keep: 0 }, "äb-1"), "**-*");
    }

    #[test]
    fn equal_values_have_equal_hashes_under_one_key_only() {
        let hash = |value: &str, of: u8| {
            Mask::Hash.apply(Some(value.as_bytes()), Encoding::Text, &key(of))
        };
        assert_eq!(hash("a", 1), hash("a", 1));
        assert_ne!(hash("a", 1), hash("b", 1));
        assert_ne!(hash("a", 1), hash("a", 2));
        assert_eq!(hash("a", 1).unwrap().len(), HASH_DIGITS);
    }

    #[test]
    fn a_null_stays_null_and_a_binary_number_becomes_it() {
        for mask in [Mask::Null, Mask::Hash, Mask::Partial { keep: 4 }, Mask::Tokenised] {
            assert_eq!(mask.apply(None, Encoding::Text, &key(1)), None);
            assert_eq!(mask.apply(Some(&[0, 0, 0, 7]), Encoding::BinaryOther, &key(1)), None);
        }
        assert_eq!(Mask::Null.apply(Some(b"x"), Encoding::Text, &key(1)), None);
        let text = Mask::Hash.apply(Some(b"x"), Encoding::BinaryText, &key(1));
        assert_eq!(text, Mask::Hash.apply(Some(b"x"), Encoding::Text, &key(1)));
        assert_eq!(
            Mask::Partial { keep: 2 }.apply(Some(&[0xff; 9]), Encoding::Text, &key(1)),
            None
        );
    }

    #[test]
    fn a_key_does_not_show_in_logs() {
        assert_eq!(format!("{:?}", key(7)), "MaskKey(..)");
    }

    proptest! {
        #[test]
        fn a_token_has_the_shape_of_its_value(value in "[a-zA-Z0-9 @.+-]{0,40}") {
            let token = masked(Mask::Tokenised, &value);
            prop_assert_eq!(&token, &masked(Mask::Tokenised, &value));
            prop_assert_eq!(token.len(), value.len());
            for (old, new) in value.chars().zip(token.chars()) {
                prop_assert_eq!(old.is_ascii_digit(), new.is_ascii_digit());
                prop_assert_eq!(old.is_ascii_uppercase(), new.is_ascii_uppercase());
                prop_assert!(old.is_alphanumeric() || old == new);
            }
        }

        #[test]
        fn a_partial_mask_never_shows_more_than_it_keeps(value in "\\PC{0,40}", keep in 0_usize..6) {
            let masked = masked(Mask::Partial { keep }, &value);
            let shown = masked.chars().filter(|character| character.is_alphanumeric()).count();
            prop_assert!(shown <= keep);
        }
    }
}
