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

/// How a recording is wanted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingWanted {
    /// In which format.
    #[serde(default)]
    pub format: RecordingFormat,
    /// With what was typed.
    #[serde(default)]
    pub input: bool,
    /// Whether one that does not verify is given up to its first bad chunk, where it breaks off.
    #[serde(default)]
    pub up_to_damage: bool,
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

/// What holding a recording against the audit log found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// It is what was recorded, from the first chunk to the mark of its end.
    Verified,
    /// It is what was recorded, as far as it goes: the node or the disk failed before its end.
    Unfinished,
    /// Its session is live; what there is so far is what was recorded.
    Live,
    /// A chunk was changed, dropped, swapped, put in or cut.
    Damaged,
    /// The log knows of it, and the file is not there.
    Missing,
    /// It was removed, as the log says.
    Removed,
    /// Another node has it.
    Elsewhere,
    /// The session was not recorded.
    NotRecorded,
}

impl RecordingState {
    /// Whether somebody must look into it.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Damaged | Self::Missing)
    }

    /// The name in JSON and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unfinished => "unfinished",
            Self::Live => "live",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Removed => "removed",
            Self::Elsewhere => "elsewhere",
            Self::NotRecorded => "not_recorded",
        }
    }
}

/// A recording held against the audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifiedRecording {
    /// The session.
    pub session: SessionId,
    /// What was found.
    pub state: RecordingState,
    /// Good chunks in the file, where all are good.
    pub chunks: u32,
    /// Chunks the log vouches for.
    pub vouched: u32,
    /// Of these, the chunks whose hashes were logged as they were written.
    pub logged: u32,
    /// The hash that stands for the whole file, from the session's closing entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_sha256: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// The first chunk that is not the one recorded, or is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bad_chunk: Option<u32>,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A line of the answer to `sessions verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLine {
    /// A recording.
    Recording(VerifiedRecording),
    /// That was all.
    Done {
        /// Sessions looked at.
        checked: u64,
        /// Recordings damaged or missing.
        bad: u64,
        /// Entries of the log they were held against.
        log_size: u64,
    },
    /// It could not be carried on.
    Failed {
        /// Why.
        why: String,
    },
}

/// What to look for in recordings, and in which.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextQuery {
    /// The text; upper and lower case are the same.
    pub text: String,
    /// Only in sessions of this person.
    #[serde(default)]
    pub user: Option<String>,
    /// Only to this target.
    #[serde(default)]
    pub target: Option<String>,
    /// Only in this environment.
    #[serde(default)]
    pub environment: Option<String>,
    /// Only lines begun at or after this.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Only lines begun before this.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// Only in what was typed or on the screen; both where neither is said.
    #[serde(default)]
    pub within: Option<TextWithin>,
    /// At most this many lines (default 1000, at most 10,000).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// Where text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextWithin {
    /// In what was typed, the commands of programs included.
    Typed,
    /// In what was on the screen.
    Screen,
}

/// A line that was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TextMatch {
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub user: UserName,
    /// To which target.
    pub target: TargetName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// Microseconds since the session began: `sessions play --from`.
    pub at_us: u64,
    /// When that was.
    pub at: Timestamp,
    /// Channel within the session.
    pub channel: u32,
    /// `screen`, `typed` or `command`.
    pub kind: String,
    /// The line.
    pub line: String,
}

/// A line of the answer to `sessions search`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchLine {
    /// A line that was found.
    Match(TextMatch),
    /// A recording that was not searched, or not to its end.
    Skipped {
        /// Of which session.
        session: SessionId,
        /// Why.
        why: String,
    },
    /// That was all.
    Done {
        /// Sessions searched.
        searched: u64,
        /// Lines found.
        found: u64,
        /// Whether there may be more: the limit was reached.
        limited: bool,
    },
    /// It could not be carried on.
    Failed {
        /// Why.
        why: String,
    },
}
