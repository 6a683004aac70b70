//! Rows of any table as JSON, the same from both engines: numbers, texts, and bytes as an array of one text of
//! hexadecimal digits.

use serde_json::{Value as Json, json};

use crate::db::{Row, Value};
use crate::error::{Error, Result};
use crate::journal::{hex, unhex};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Bytes,
}

impl Kind {
    /// The kind of a column of that type, as a migration names it.
    pub(crate) fn of(declared: &str) -> Result<Self> {
        match declared.to_ascii_lowercase().as_str() {
            "bigint" => Ok(Self::Int),
            "text" => Ok(Self::Text),
            "bytea" => Ok(Self::Bytes),
            other => Err(Error::integrity("catalogue", "?", format!("has a column of the type {other}"))),
        }
    }
}

/// The row as an array of its values.
pub(crate) fn row_to_json(row: &Row) -> Result<Json> {
    let values = row.values()?.into_iter().map(|value| match value {
        Value::Int(Some(value)) => json!(value),
        Value::Text(Some(value)) => json!(value),
        Value::Bytes(Some(value)) => json!([hex(&value)]),
        Value::Int(None) | Value::Text(None) | Value::Bytes(None) => Json::Null,
    });
    Ok(Json::Array(values.collect()))
}

/// One value for a column of that kind.
pub(crate) fn value_from_json(json: &Json, kind: Kind) -> Result<Value> {
    let wrong = || Error::integrity("backup", "?", "has a value of another kind than its column");
    Ok(match (kind, json) {
        (Kind::Int, Json::Null) => Value::Int(None),
        (Kind::Text, Json::Null) => Value::Text(None),
        (Kind::Bytes, Json::Null) => Value::Bytes(None),
        (Kind::Int, Json::Number(number)) => Value::Int(Some(number.as_i64().ok_or_else(wrong)?)),
        (Kind::Text, Json::String(text)) => Value::Text(Some(text.clone())),
        (Kind::Bytes, Json::Array(one)) => match one.as_slice() {
            [Json::String(digits)] => Value::Bytes(Some(unhex(digits)?)),
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    })
}
