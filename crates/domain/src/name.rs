//! Canonical names: parsed once at the border, compared byte for byte everywhere after.
//!
//! Resource names are lower case ASCII, so `Alice` and `alice` cannot be two people and no
//! control character, separator of the SSH user string (`:`, `@`) or path reaches anything that
//! prints, logs or compares. Logins are the target's own names and keep their case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest resource name, in bytes; a DNS label, so that `NAME.portcullis` is a valid host name.
pub const MAX_NAME_BYTES: usize = 63;
/// Longest login on a target, in bytes (`useradd` allows 32, network devices up to 64).
pub const MAX_LOGIN_BYTES: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a {what} name cannot be empty")]
    Empty {
        /// The kind of name, as a person says it.
        what: &'static str,
    },
    /// The text is longer than the bound.
    #[error("this {what} name is {length} bytes long; at most {max} are allowed")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// Length found, in bytes.
        length: usize,
        /// The bound, in bytes.
        max: usize,
    },
    /// The text has a character that is not allowed. The text itself is escaped.
    #[error("`{text}` is not a {what} name: {rule}")]
    Character {
        /// The kind of name.
        what: &'static str,
        /// The offending text with control characters escaped.
        text: String,
        /// What is allowed.
        rule: &'static str,
    },
}

const RESOURCE_RULE: &str =
    "use letters, digits, `-`, `_` and `.`, beginning with a letter or a digit";
const LOGIN_RULE: &str =
    "use letters, digits, `-`, `_`, `.` and `$`, beginning with a letter, a digit or `_`";

fn canonical_resource(what: &'static str, text: &str) -> Result<String, NameError> {
    bounded(what, text, MAX_NAME_BYTES)?;
    let lower = text.to_ascii_lowercase();
    let starts = lower.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = lower
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if starts && rest { Ok(lower) } else { Err(character(what, text, RESOURCE_RULE)) }
}

fn canonical_login(what: &'static str, text: &str) -> Result<String, NameError> {
    bounded(what, text, MAX_LOGIN_BYTES)?;
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$'));
    if starts && rest { Ok(text.to_owned()) } else { Err(character(what, text, LOGIN_RULE)) }
}

fn bounded(what: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, length: text.len(), max });
    }
    Ok(())
}

fn character(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Character { what, text: text.escape_debug().to_string(), rule }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $canonical:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Parses and canonicalises.
            pub fn new(text: &str) -> Result<Self, NameError> {
                $canonical($what, text).map(Self)
            }

            /// The canonical text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A person's or workload's name.
    UserName, "user", canonical_resource
);
name!(
    /// A group of users.
    GroupName, "group", canonical_resource
);
name!(
    /// A role.
    RoleName, "role", canonical_resource
);
name!(
    /// An environment, such as `production`.
    EnvironmentName, "environment", canonical_resource
);
name!(
    /// A target, such as `prod-web`. Also the first label of `prod-web.portcullis`.
    TargetName, "target", canonical_resource
);
name!(
    /// A raw Cedar policy resource.
    PolicyName, "policy", canonical_resource
);
name!(
    /// An account on a target, such as `root`. Case is kept: it is the target's name, not ours.
    Login, "login", canonical_login
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonicalised_to_lower_case_once() {
        assert_eq!(UserName::new("Alice").unwrap(), UserName::new("alice").unwrap());
    }

    #[test]
    fn separators_control_characters_and_non_ascii_are_refused_and_escaped() {
        for text in ["a:b", "a@b", "a\nb", "\u{1b}[31m", "ａlice", "-x", "a b", "a/b"] {
            let error = TargetName::new(text).unwrap_err().to_string();
            assert!(!error.contains('\n') && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_login_keeps_its_case() {
        assert_eq!(Login::new("Administrator").unwrap().as_str(), "Administrator");
    }

    #[test]
    fn an_overlong_name_is_refused_with_the_bound() {
        let error = RoleName::new(&"x".repeat(64)).unwrap_err();
        assert!(error.to_string().contains("at most 63"), "{error}");
    }
}
