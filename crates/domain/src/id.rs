//! Time-ordered identifiers (UUID version 7, RFC 9562), one type each so that they cannot be
//! mixed up. Written with a prefix: `req-0198...`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::time::Timestamp;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not an id of this kind; it begins with `{prefix}-`")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Uuid);

        impl $type {
            /// What the written form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id for an event at `now`; `random` makes it unique.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// A new id from the operating system's randomness.
            pub fn generate(now: Timestamp) -> Self {
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
                let at = uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos);
                Self(Uuid::new_v7(at))
            }

            /// The 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The last eight hexadecimal digits: enough for a person to point at one in a list.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text.get(24..).unwrap_or_default().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}-{}", $prefix, self.0.simple()))
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError { text: text.escape_debug().take(80).collect(), prefix: $prefix };
                let hex = text.strip_prefix(concat!($prefix, "-")).ok_or_else(wrong)?;
                Uuid::try_parse(hex).map(Self).map_err(|_| wrong())
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.to_string()
            }
        }
    };
}

id!(
    /// An access request.
    RequestId, "req"
);
id!(
    /// A grant.
    GrantId, "grt"
);
id!(
    /// A live or past session.
    SessionId, "ses"
);
id!(
    /// A lock.
    LockId, "lck"
);
id!(
    /// An evidence hold.
    HoldId, "hld"
);
id!(
    /// The pseudonym of a person in the audit log.
    SubjectId, "sub"
);
id!(
    /// An audit event.
    EventId, "evt"
);
id!(
    /// A change of resources that waits for a second person.
    ChangeId, "chg"
);
id!(
    /// A sign-in to Portcullis itself: a token or a cookie.
    SignInId, "sgn"
);
id!(
    /// A client that waits for its person to prove a second factor elsewhere.
    ConfirmationId, "cfm"
);
id!(
    /// A passkey or security key of somebody's.
    FactorId, "fct"
);

id!(
    /// The review of a use of a break-glass role.
    ReviewId, "rev"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let early = RequestId::generate(Timestamp::from_millis(1_000));
        let late = RequestId::generate(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse::<RequestId>().unwrap(), early);
        assert!(early.to_string().parse::<GrantId>().is_err());
    }
}
