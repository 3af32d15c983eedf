//! What a value is, told by its content.
//!
//! In: a value's text. Out: the [`Content`] it is, for columns nobody named. A pattern alone is
//! not enough where a check digit exists: a card number passes Luhn's, an IBAN the remainder of 97.

/// Longest text that is looked at as one value, in bytes.
const LONGEST: usize = 320;

/// Whether a text is of one kind.
type Check = fn(&str) -> bool;

/// A kind of personal value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// `local@domain.tld` (RFC 5321, the usual part of it).
    Email,
    /// A payment card number of 13 to 19 digits (ISO/IEC 7812), Luhn's check digit right.
    CardNumber,
    /// An IBAN (ISO 13616), its check digits right.
    Iban,
    /// An international telephone number: `+` or `00`, then 8 to 15 digits (ITU-T E.164).
    Phone,
    /// A social security number of the United States, `123-45-6789`, of a range in use.
    UsSocialSecurity,
    /// An IPv4 or IPv6 address.
    IpAddress,
}

impl Content {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Email,
        Self::CardNumber,
        Self::Iban,
        Self::Phone,
        Self::UsSocialSecurity,
        Self::IpAddress,
    ];

    /// The name in terms and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::CardNumber => "card-number",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::UsSocialSecurity => "us-social-security",
            Self::IpAddress => "ip-address",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content| content.name() == name)
    }

    /// What a whole value is; white space around it does not matter.
    #[must_use]
    pub fn of(value: &str) -> Option<Self> {
        let value = value.trim();
        if value.is_empty() || value.len() > LONGEST {
            return None;
        }
        let checks: [(Self, Check); 6] = [
            (Self::Email, is_email),
            (Self::Iban, is_iban),
            (Self::CardNumber, is_card_number),
            (Self::UsSocialSecurity, is_us_social_security),
            (Self::Phone, is_phone),
            (Self::IpAddress, |value| value.parse::<std::net::IpAddr>().is_ok()),
        ];
        checks.into_iter().find(|(_, is_one)| is_one(value)).map(|(content, _)| content)
    }

    /// What stands anywhere in a longer text, word by word and across the blanks card numbers and
    /// IBANs are written with.
    #[must_use]
    pub fn within(text: &str) -> Option<Self> {
        let mut words = text
            .split([
                ' ', '\t', '\n', '\r', ',', ';', '"', '<', '>', '(', ')', '|', '=', '{', '}', '[',
                ']',
            ])
            .peekable();
        let mut run: Vec<&str> = Vec::new();
        while let Some(word) = words.next() {
            let word = word.trim_matches(['.', ':', '\'', '!', '?']);
            if let Some(content) = Self::of(word) {
                return Some(content);
            }
            let grouped = !word.is_empty()
                && word.len() <= 6
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
            if grouped {
                run.push(word);
            }
            if !grouped || words.peek().is_none() {
                if let Some(content) = of_run(&run) {
                    return Some(content);
                }
                run.clear();
            }
            if run.len() > MOST_GROUPS {
                if let Some(content) = of_run(&run) {
                    return Some(content);
                }
                run.remove(0);
            }
        }
        None
    }
}

/// Most groups one number is written in: an IBAN of 34 characters has nine.
const MOST_GROUPS: usize = 9;

/// Groups that are one number only together.
fn of_run(run: &[&str]) -> Option<Content> {
    (0..run.len()).find_map(|start| {
        (start + 2..=run.len()).find_map(|end| {
            let joined = run.get(start..end).unwrap_or_default().concat();
            Content::of(&joined).filter(|content| {
                matches!(content, Content::CardNumber | Content::Iban | Content::Phone)
            })
        })
    })
}

fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.rsplit_once('@') else { return false };
    let local_fits = (1..=64).contains(&local.len())
        && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
        && !local.starts_with('.')
        && !local.ends_with('.');
    let mut labels = 0;
    let domain_fits = domain.split('.').all(|label| {
        labels += 1;
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let top = domain.rsplit('.').next().unwrap_or_default();
    local_fits
        && domain_fits
        && labels >= 2
        && top.len() >= 2
        && !top.chars().all(|c| c.is_ascii_digit())
}

/// The characters without the separators such numbers are written with; `None` when there are
/// others.
fn digits_of(value: &str, separators: &str) -> Option<Vec<u32>> {
    value
        .chars()
        .filter(|character| !separators.contains(*character))
        .map(|character| character.to_digit(10))
        .collect()
}

fn is_card_number(value: &str) -> bool {
    let Some(digits) = digits_of(value, " -") else { return false };
    if !(13..=19).contains(&digits.len()) || digits.iter().all(|digit| *digit == 0) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = if place % 2 == 1 { digit * 2 } else { *digit };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_iban(value: &str) -> bool {
    let plain: Vec<char> = value.chars().filter(|c| *c != ' ' && *c != '-').collect();
    let [first, second, third, fourth, account @ ..] = plain.as_slice() else { return false };
    let fits = first.is_ascii_alphabetic()
        && second.is_ascii_alphabetic()
        && third.is_ascii_digit()
        && fourth.is_ascii_digit()
        && (11..=30).contains(&account.len())
        && account.iter().all(char::is_ascii_alphanumeric);
    if !fits {
        return false;
    }
    let remainder = account
        .iter()
        .chain([first, second, third, fourth])
        .filter_map(|character| character.to_digit(36))
        .fold(0, |remainder, digit| (remainder * if digit > 9 { 100 } else { 10 } + digit) % 97);
    remainder == 1
}

fn is_phone(value: &str) -> bool {
    let rest = value.strip_prefix('+').or_else(|| value.strip_prefix("00"));
    let Some(rest) = rest else { return false };
    let digits = digits_of(rest, " -./()");
    digits.is_some_and(|digits| {
        (8..=15).contains(&digits.len()) && digits.first().is_some_and(|first| *first != 0)
    })
}

fn is_us_social_security(value: &str) -> bool {
    let mut parts = value.split('-');
    let (Some(area), Some(group), Some(serial), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let digits =
        |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    digits(area, 3)
        && digits(group, 2)
        && digits(serial, 4)
        && !matches!(area, "000" | "666")
        && !area.starts_with('9')
        && group != "00"
        && serial != "0000"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_told_by_their_content_and_check_digits() {
        let cases = [
            ("anna.b+x@mail.example.com", Some(Content::Email)),
            ("anna@localhost", None),
            ("@example.com", None),
            ("a@b@example.com", None),
            ("4111 1111 1111 1111", Some(Content::CardNumber)),
            ("4111-1111-1111-1112", None),
            ("5500005555555559", Some(Content::CardNumber)),
            ("0000000000000000", None),
            ("DE89 3704 0044 0532 0130 00", Some(Content::Iban)),
            ("GB82WEST12345698765432", Some(Content::Iban)),
            ("gb82west12345698765432", Some(Content::Iban)),
            ("DE88 3704 0044 0532 0130 00", None),
            ("+49 (30) 901820-0", Some(Content::Phone)),
            ("0041 44 668 18 00", Some(Content::Phone)),
            ("12345678", None),
            ("078-05-1120", Some(Content::UsSocialSecurity)),
            ("000-05-1120", None),
            ("192.0.2.7", Some(Content::IpAddress)),
            ("2001:db8::1", Some(Content::IpAddress)),
            ("1.2.3", None),
            ("", None),
            ("2026-11-22", None),
        ];
        for (value, expected) in cases {
            assert_eq!(Content::of(value), expected, "{value}");
        }
    }

    #[test]
    fn values_are_found_within_longer_texts() {
        let cases = [
            ("please write to <anna@example.com>.", Some(Content::Email)),
            ("{\"iban\": \"DE89370400440532013000\"}", Some(Content::Iban)),
            ("pay to DE89 3704 0044 0532 0130 00 today", Some(Content::Iban)),
            ("card 4111 1111 1111 1111, thanks", Some(Content::CardNumber)),
            ("call +49 30 9018 2000 now", Some(Content::Phone)),
            ("nothing to see in 12 34 56", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Content::within(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_no_card_number_and_no_iban(place in 0_usize..16, by in 1_u32..10) {
            let wrong = |value: &str| -> String {
                let mut characters: Vec<char> = value.chars().collect();
                let place = characters.len() - 1 - place;
                let digit = characters[place].to_digit(10).unwrap();
                characters[place] = char::from_digit((digit + by) % 10, 10).unwrap();
                characters.into_iter().collect()
            };
            prop_assert_ne!(Content::of(&wrong("4111111111111111")), Some(Content::CardNumber));
            prop_assert_ne!(Content::of(&wrong("DE89370400440532013000")), Some(Content::Iban));
        }

        #[test]
        fn any_text_is_looked_at(text in "\\PC{0,400}") {
            let _content = (Content::of(&text), Content::within(&text));
        }
    }
}
