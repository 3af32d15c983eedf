//! Users as declared in resources. Passwords and second factors live in the store, not here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::{GroupName, UserName};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their name.
    pub name: UserName,
    /// Name for people, at most 128 characters, no control characters.
    pub full_name: Option<String>,
    /// Groups they are in.
    pub groups: BTreeSet<GroupName>,
    /// SSH public keys in OpenSSH format they may sign in with.
    pub ssh_keys: Vec<String>,
    /// A disabled user can do nothing and loses live sessions.
    pub disabled: bool,
}
