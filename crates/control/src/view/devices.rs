//! Signing in a machine without a browser.

use std::net::IpAddr;

use portcullis_domain::{Timestamp, UserCode};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/login/device`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceBody {
    /// An SSH public key (OpenSSH format) it would like certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// What a machine shows, and what it asks with.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceBegunView {
    /// Keep it: whoever has it gets the sign-in.
    pub device_code: String,
    /// Show it.
    pub user_code: UserCode,
    /// Where a person enters the code.
    pub verification_uri: String,
    /// Until when it waits.
    pub expires: Timestamp,
    /// How long to wait between two questions, in seconds.
    pub interval_seconds: u64,
}

/// Body of `POST /v1/login/device/token`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceTokenBody {
    /// As in [`DeviceBegunView`].
    pub device_code: String,
}

/// A machine that waits to be signed in. What it says of itself is not proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceView {
    /// What it shows.
    pub code: UserCode,
    /// What it is.
    pub device: String,
    /// Where it is.
    pub source: IpAddr,
    /// Whether it gets an SSH certificate, too.
    pub certifies_key: bool,
    /// When it began to wait.
    pub at: Timestamp,
    /// Until when it waits.
    pub expires: Timestamp,
}
