//! The SSH user string: who signs in, and where to.
//!
//! `alice`, `alice:prod-web` or `alice:deploy@prod-web` (the client has already cut off the
//! gate's own host at the last `@`). In flows text from an unauthenticated peer, out flow
//! canonical names or an error that says which part is wrong. Whether any of them exists is not
//! known here, so no answer can depend on it.

use std::fmt;
use std::str::FromStr;

use portcullis_domain::name::{MAX_LOGIN_BYTES, MAX_NAME_BYTES, NameError};
use portcullis_domain::{Login, TargetName, UserName};
use thiserror::Error;

/// Longest user string, in bytes: the longest names and their two separators.
pub const MAX_SSH_USER_BYTES: usize = 2 * MAX_NAME_BYTES + MAX_LOGIN_BYTES + 2;

/// A parsed SSH user string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshUser {
    /// Who signs in.
    pub user: UserName,
    /// Where to, when named.
    pub target: Option<TargetName>,
    /// As which account there, when named. There is none without a target.
    pub login: Option<Login>,
}

/// Why a text is not an SSH user string.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SshUserError {
    /// Longer than any valid one.
    #[error(
        "the user is {0} bytes long; at most {MAX_SSH_USER_BYTES} are allowed: \
         `USER`, `USER:TARGET` or `USER:LOGIN@TARGET`"
    )]
    TooLong(usize),
    /// The part before `:` is not a user name.
    #[error("{0}; write `USER`, `USER:TARGET` or `USER:LOGIN@TARGET`")]
    User(NameError),
    /// The part between `:` and `@` is not a login.
    #[error("{0}; write `USER:LOGIN@TARGET`")]
    Login(NameError),
    /// The part after `:` or `@` is not a target name.
    #[error("{0}; write `USER:TARGET` or `USER:LOGIN@TARGET`")]
    Target(NameError),
}

impl FromStr for SshUser {
    type Err = SshUserError;

    fn from_str(text: &str) -> Result<Self, SshUserError> {
        if text.len() > MAX_SSH_USER_BYTES {
            return Err(SshUserError::TooLong(text.len()));
        }
        let (user, place) = match text.split_once(':') {
            Some((user, place)) => (user, Some(place)),
            None => (text, None),
        };
        let user = UserName::new(user).map_err(SshUserError::User)?;
        let Some(place) = place else { return Ok(Self { user, target: None, login: None }) };
        let (login, target) = match place.rsplit_once('@') {
            Some((login, target)) => (Some(login), target),
            None => (None, place),
        };
        let login = login.map(Login::new).transpose().map_err(SshUserError::Login)?;
        let target = TargetName::new(target).map_err(SshUserError::Target)?;
        Ok(Self { user, target: Some(target), login })
    }
}

impl fmt::Display for SshUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)?;
        match (&self.target, &self.login) {
            (Some(target), Some(login)) => write!(f, ":{login}@{target}"),
            (Some(target), None) => write!(f, ":{target}"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        check("alice", "alice", None, None);
        check("alice:prod-web", "alice", Some("prod-web"), None);
        check("alice:deploy@prod-web", "alice", Some("prod-web"), Some("deploy"));
    }

    #[test]
    fn names_are_canonical_and_logins_keep_their_case() {
        check("Alice:Admin@PROD-Web", "alice", Some("prod-web"), Some("Admin"));
    }

    #[test]
    fn each_wrong_part_is_named() {
        type Is = fn(&SshUserError) -> bool;
        let user: Is = |e| matches!(e, SshUserError::User(_));
        let login: Is = |e| matches!(e, SshUserError::Login(_));
        let target: Is = |e| matches!(e, SshUserError::Target(_));
        for (text, expected) in [
            ("", user),
            (":prod-web", user),
            ("alice@prod-web", user),
            ("al\u{1b}[2Jice", user),
            ("alice:", target),
            ("alice:prod:web", target),
            ("alice:root@", target),
            ("alice:../etc", target),
            ("alice:@prod-web", login),
            ("alice:a@b@prod-web", login),
            ("alice:-oProxyCommand=x@prod-web", login),
        ] {
            let error = text.parse::<SshUser>().unwrap_err();
            assert!(expected(&error), "{text:?}: {error:?}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }

    #[test]
    fn an_overlong_string_is_refused_by_its_length_alone() {
        let text = "a".repeat(1_000_000);
        assert_eq!(text.parse::<SshUser>(), Err(SshUserError::TooLong(1_000_000)));
        let longest = format!("{}:{}@{}", "u".repeat(63), "L".repeat(64), "t".repeat(63));
        assert_eq!(longest.len(), MAX_SSH_USER_BYTES);
        assert!(longest.parse::<SshUser>().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC*") {
            let _ = text.parse::<SshUser>();
        }

        #[test]
        fn what_is_read_is_written_and_read_again_the_same(
            text in "[a-zA-Z0-9][a-z0-9._-]{0,8}(:([A-Za-z0-9_][a-zA-Z0-9.$-]{0,8}@)?[a-z0-9][A-Z._-]{0,8})?"
        ) {
            let read: SshUser = text.parse().unwrap();
            prop_assert_eq!(read.to_string().parse::<SshUser>().unwrap(), read);
        }
    }

    fn check(text: &str, user: &str, target: Option<&str>, login: Option<&str>) {
        let read: SshUser = text.parse().unwrap();
        assert_eq!(read.user.as_str(), user);
        assert_eq!(read.target.as_ref().map(TargetName::as_str), target);
        assert_eq!(read.login.as_ref().map(Login::as_str), login);
    }
}
