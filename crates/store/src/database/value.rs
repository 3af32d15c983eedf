//! Values on their way into statements and out of rows.

use portcullis_domain::{
    ChangeId, ConfirmationId, EnvironmentName, FactorId, GrantId, HoldId, LockId, RequestId,
    ReviewId, RoleName, SessionId, SignInId, SubjectId, TargetName, Timestamp, UserName,
};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Column, Row as _, SqlStr, TypeInfo, ValueRef};

use crate::error::StoreError;

/// Longest text or byte string in one value, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// A parameter of a statement. The type is sent even when there is no value.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// Parameters in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        &[$($crate::database::Arg::from($value)),*]
    };
}
pub(crate) use args;

impl Arg {
    /// INVARIANT: both databases take the same values. PostgreSQL refuses NUL in a text and
    /// SQLite does not, so neither gets one; both get bounded sizes.
    fn check(&self) -> Result<(), StoreError> {
        let size = match self {
            Self::Int(_) | Self::Text(None) | Self::Bytes(None) => 0,
            Self::Text(Some(text)) if text.contains('\0') => {
                return Err(StoreError::invalid("a text", "it has a NUL character"));
            }
            Self::Text(Some(text)) => text.len(),
            Self::Bytes(Some(bytes)) => bytes.len(),
        };
        if size > MAX_VALUE_BYTES {
            let why = format!("it has {size} bytes, and at most {MAX_VALUE_BYTES} are allowed");
            return Err(StoreError::invalid("a value", why));
        }
        Ok(())
    }
}

macro_rules! bind {
    ($database:ty, $sql:expr, $arguments:expr) => {{
        let mut query = sqlx::query::<$database>($sql);
        for argument in $arguments {
            argument.check()?;
            query = match argument {
                Arg::Int(value) => query.bind(*value),
                Arg::Text(value) => query.bind(value.clone()),
                Arg::Bytes(value) => query.bind(value.clone()),
            };
        }
        Ok(query)
    }};
}

pub(crate) fn sqlite<'q>(
    sql: SqlStr,
    arguments: &[Arg],
) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
    bind!(Sqlite, sql, arguments)
}

pub(crate) fn postgres<'q>(
    sql: SqlStr,
    arguments: &[Arg],
) -> Result<Query<'q, Postgres, PgArguments>, StoreError> {
    bind!(Postgres, sql, arguments)
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_millis()))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_millis))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<&[u8]> for Arg {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<&[u8; 32]> for Arg {
    fn from(value: &[u8; 32]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

macro_rules! text_args {
    ($($type:ty),*) => {$(
        impl From<&$type> for Arg {
            fn from(value: &$type) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }
        impl From<Option<&$type>> for Arg {
            fn from(value: Option<&$type>) -> Self {
                Self::Text(value.map(ToString::to_string))
            }
        }
    )*};
}
text_args!(
    SignInId,
    SubjectId,
    UserName,
    TargetName,
    EnvironmentName,
    GrantId,
    ChangeId,
    ConfirmationId,
    FactorId,
    HoldId,
    LockId,
    RequestId,
    ReviewId,
    RoleName,
    SessionId
);

/// A value in a row.
#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row; columns by position.
#[derive(Debug)]
pub(crate) struct Row(Vec<Cell>);

impl Row {
    pub(crate) fn from_sqlite(row: &SqliteRow) -> Result<Self, StoreError> {
        let cell = |index: usize| {
            let raw = row.try_get_raw(index)?;
            if raw.is_null() {
                return Ok(Cell::Null);
            }
            let name = raw.type_info().name().to_owned();
            Ok(match name.as_str() {
                "TEXT" => Cell::Text(row.try_get_unchecked(index)?),
                "BLOB" => Cell::Bytes(row.try_get_unchecked(index)?),
                _ => Cell::Int(row.try_get_unchecked(index)?),
            })
        };
        (0..row.len()).map(cell).collect::<Result<_, sqlx::Error>>().map(Self).map_err(Into::into)
    }

    pub(crate) fn from_postgres(row: &PgRow) -> Result<Self, StoreError> {
        let cell = |index: usize| {
            if row.try_get_raw(index)?.is_null() {
                return Ok(Cell::Null);
            }
            Ok(match row.column(index).type_info().name() {
                "TEXT" => Cell::Text(row.try_get(index)?),
                "BYTEA" => Cell::Bytes(row.try_get(index)?),
                "INT4" => Cell::Int(row.try_get::<i32, _>(index)?.into()),
                _ => Cell::Int(row.try_get(index)?),
            })
        };
        (0..row.len()).map(cell).collect::<Result<_, sqlx::Error>>().map(Self).map_err(Into::into)
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.0.get(index) {
            Some(Cell::Int(value)) => Ok(*value),
            _ => Err(unexpected(index, "an integer")),
        }
    }

    pub(crate) fn optional_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        if matches!(self.0.get(index), Some(Cell::Null)) {
            return Ok(None);
        }
        self.int(index).map(Some)
    }

    pub(crate) fn count(&self, index: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(index)?).map_err(|error| StoreError::corrupt("number", error))
    }

    pub(crate) fn time(&self, index: usize) -> Result<Timestamp, StoreError> {
        self.int(index).map(Timestamp::from_millis)
    }

    pub(crate) fn optional_time(&self, index: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_int(index)?.map(Timestamp::from_millis))
    }

    pub(crate) fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.0.get(index) {
            Some(Cell::Text(value)) => Ok(value),
            _ => Err(unexpected(index, "a text")),
        }
    }

    pub(crate) fn optional_text(&self, index: usize) -> Result<Option<&str>, StoreError> {
        if matches!(self.0.get(index), Some(Cell::Null)) {
            return Ok(None);
        }
        self.text(index).map(Some)
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<&[u8], StoreError> {
        match self.0.get(index) {
            Some(Cell::Bytes(value)) => Ok(value),
            _ => Err(unexpected(index, "bytes")),
        }
    }

    /// A JSON document; `what` names it in the error.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        index: usize,
        what: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(self.text(index)?).map_err(|error| StoreError::corrupt(what, error))
    }

    /// A name or an id as text.
    pub(crate) fn parsed<T>(&self, index: usize, what: &str) -> Result<T, StoreError>
    where
        T: std::str::FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(index)?.parse().map_err(|error: T::Err| StoreError::corrupt(what, error))
    }
}

fn unexpected(index: usize, wanted: &str) -> StoreError {
    StoreError::corrupt("row", format!("column {index} is not {wanted}"))
}

/// A value as the JSON document a row holds.
pub(crate) fn document<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::invalid("a value", error.to_string()))
}
