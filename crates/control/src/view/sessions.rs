//! Sessions and recordings.

use portcullis_domain::{
    EnvironmentName, EventId, GrantId, HoldId, Login, SessionId, TargetName, Timestamp, UserName,
};
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

/// All there is to know of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionView {
    /// As in a list.
    #[serde(flatten)]
    pub session: SessionRow,
    /// Which room it ran in, such as `ssh`.
    pub protocol: String,
    /// The node that carried it and has its recording.
    pub node: String,
    /// Under which grant, where one was needed.
    pub grant: Option<GrantId>,
    /// A hold on its evidence, for those who may see holds.
    pub held: Option<HoldId>,
    /// That its recording was removed.
    pub removal: Option<RemovalView>,
    /// Bytes of the recording's file, where this node has it.
    pub file_bytes: Option<u64>,
    /// On which terms it was opened. This and what follows is from the log, for those who may read it.
    pub terms: Option<serde_json::Value>,
    /// Chunks of the recording, as logged.
    pub chunks: Option<Vec<ChunkView>>,
    /// What happened, oldest first.
    pub events: Option<Vec<SessionEvent>>,
    /// Whether there is more: only the latest 10,000 entries of the log are read.
    pub limited: bool,
}

/// That a recording was removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemovalView {
    /// When.
    pub at: Timestamp,
    /// The entry of the log that says so.
    pub event: EventId,
}

/// A chunk of a recording, as the log has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChunkView {
    /// Its number, from 0.
    pub chunk: u32,
    /// Its hash, hexadecimal.
    pub sha256: String,
    /// Bytes in the file.
    pub bytes: u64,
    /// From when, in microseconds since the session began.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// The entry of the log.
    pub entry: u64,
}

/// Something that happened in a session or to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionEvent {
    /// The entry of the log.
    pub entry: u64,
    /// The event's id: `sessions play --at-event`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// Microseconds since the session began; 0 for what came before.
    pub at_us: u64,
    /// What, such as `channel`.
    pub activity: String,
    /// `success`, `refused` or `failed`.
    pub outcome: String,
    /// Whose doing it was, where that is known.
    pub by: Option<String>,
    /// More about it.
    pub what: String,
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
