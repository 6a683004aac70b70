//! What a statement gives back.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row as _, TypeInfo, ValueRef};

use super::{Kind, Value};
use crate::clock::Instant;
use crate::error::{Error, Result};

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn sqlite(rows: Vec<SqliteRow>) -> Vec<Self> {
        rows.into_iter().map(Self::Sqlite).collect()
    }

    pub(super) fn postgres(rows: Vec<PgRow>) -> Vec<Self> {
        rows.into_iter().map(Self::Postgres).collect()
    }

    /// The names of its columns, in their order.
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::Sqlite(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
            Self::Postgres(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
        }
    }

    /// Its values, whatever they are, in the columns' order. NULL is a number's.
    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        let count = match self {
            Self::Sqlite(row) => row.len(),
            Self::Postgres(row) => row.len(),
        };
        (0..count).map(|index| self.any_value(index)).collect()
    }

    fn any_value(&self, index: usize) -> Result<Value> {
        let (is_null, kind) = match self {
            Self::Sqlite(row) => {
                let raw = row.try_get_raw(index)?;
                (raw.is_null(), raw.type_info().name().to_owned())
            }
            Self::Postgres(row) => {
                let raw = row.try_get_raw(index)?;
                (raw.is_null(), raw.type_info().name().to_owned())
            }
        };
        macro_rules! take {
            ($what:ident) => {
                match self {
                    Self::Sqlite(row) => Value::$what(Some(row.try_get(index)?)),
                    Self::Postgres(row) => Value::$what(Some(row.try_get(index)?)),
                }
            };
        }
        Ok(match kind.as_str() {
            _ if is_null => Value::Int(None),
            "INTEGER" | "INT8" => take!(Int),
            "TEXT" => take!(Text),
            "BLOB" | "BYTEA" => take!(Bytes),
            other => return Err(Error::integrity("?", index, format!("is of the type {other}, which no column has"))),
        })
    }

    /// The column at that place, whatever it is called.
    pub(crate) fn value(&self, place: usize, kind: Kind) -> Result<Value> {
        Ok(match (self, kind) {
            (Self::Sqlite(row), Kind::Int) => Value::Int(row.try_get(place)?),
            (Self::Sqlite(row), Kind::Text) => Value::Text(row.try_get(place)?),
            (Self::Sqlite(row), Kind::Bytes) => Value::Bytes(row.try_get(place)?),
            (Self::Postgres(row), Kind::Int) => Value::Int(row.try_get(place)?),
            (Self::Postgres(row), Kind::Text) => Value::Text(row.try_get(place)?),
            (Self::Postgres(row), Kind::Bytes) => Value::Bytes(row.try_get(place)?),
        })
    }

    /// The named column as a `T`.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T> {
        T::read(self, column)
    }
}

/// A type that a column can be read as.
pub(crate) trait Column: Sized {
    fn read(row: &Row, column: &'static str) -> Result<Self>;
}

impl Column for Option<i64> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get(column)?,
            // A bare 1 in a statement is four bytes wide on PostgreSQL.
            Row::Postgres(row) if row.try_get_raw(column)?.type_info().name() == "INT4" => {
                row.try_get::<Option<i32>, _>(column)?.map(i64::from)
            }
            Row::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl Column for Option<String> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl Column for Option<Vec<u8>> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// The column's value, where NULL contradicts the schema.
fn required<T>(row: &Row, column: &'static str) -> Result<T>
where
    Option<T>: Column,
{
    row.get::<Option<T>>(column)?.ok_or_else(|| Error::integrity(column, "?", "is NULL"))
}

impl Column for i64 {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        required(row, column)
    }
}

impl Column for String {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        required(row, column)
    }
}

impl Column for Vec<u8> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        required(row, column)
    }
}

impl Column for u64 {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        let value: i64 = row.get(column)?;
        Self::try_from(value).map_err(|_| Error::integrity(column, value, "is negative"))
    }
}

impl Column for Option<u64> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        let value: Option<i64> = row.get(column)?;
        value.map(|value| u64::try_from(value).map_err(|_| Error::integrity(column, value, "is negative"))).transpose()
    }
}

impl Column for u32 {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        let value: i64 = row.get(column)?;
        Self::try_from(value).map_err(|_| Error::integrity(column, value, "does not fit"))
    }
}

impl Column for bool {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        Ok(row.get::<i64>(column)? != 0)
    }
}

impl Column for Instant {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        row.get(column).map(Self::from_millis)
    }
}

impl Column for Option<Instant> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        Ok(row.get::<Option<i64>>(column)?.map(Instant::from_millis))
    }
}
