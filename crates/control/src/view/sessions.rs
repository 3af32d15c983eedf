//! Sessions and recordings.

use portcullis_domain::{EnvironmentName, Login, SessionId, TargetName, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// A session in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub user: UserName,
    /// Where.
    pub target: TargetName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// As which account.
    pub login: Option<Login>,
    /// From where.
    pub source: String,
    /// Since when.
    pub opened: Timestamp,
    /// Until when, if it has ended.
    pub closed: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Whether it is live on this node.
    pub live: bool,
    /// Summary of its recording.
    pub recording: Option<serde_json::Value>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Only live ones.
    #[serde(default)]
    pub live: bool,
    /// Only this person's.
    #[serde(default)]
    pub user: Option<String>,
    /// Only to this target.
    #[serde(default)]
    pub target: Option<String>,
    /// At most this many (default 100, at most 1000).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// One frame of a watched or replayed session (newline-delimited JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrameView {
    /// Microseconds since the session began.
    pub at_us: u64,
    /// `output`, `error`, `input`, `resize`, `command`, `exit`, `note`, `lost`.
    pub kind: String,
    /// Channel within the session.
    pub channel: u32,
    /// Bytes, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// For resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cols: Option<u32>,
    /// For resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
}

/// A recording's format on export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingFormat {
    /// [`FrameView`]s.
    #[default]
    Frames,
    /// asciicast v2.
    AsciicastV2,
    /// asciicast v3.
    AsciicastV3,
}
