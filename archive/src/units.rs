//! Sizes and durations as people write them in configuration: `64 MiB`, `10 GB`, `24 h`, `30 days`.

use std::time::Duration;

use crate::error::{Error, Result};

/// Reads a size: a number and `B`, `kB`, `MB`, `GB`, `TB` (thousands) or `KiB`, `MiB`, `GiB`, `TiB` (1,024s).
///
/// # Errors
/// [`Error::Invalid`] with the text that could not be read.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "B" => Some(1.0),
        "kB" | "KB" => Some(1e3),
        "MB" => Some(1e6),
        "GB" => Some(1e9),
        "TB" => Some(1e12),
        "KiB" => Some(1024.0),
        "MiB" => Some(1024.0 * 1024.0),
        "GiB" => Some(1024.0 * 1024.0 * 1024.0),
        "TiB" => Some(1024.0 * 1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    scaled(number, factor)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| Error::Invalid(format!("\"{text}\" is not a size: write it like \"500 MB\" or \"64 MiB\"")))
}

/// Reads a duration: a number and `ms`, `s`, `min`, `h`, `d` or the long words.
///
/// # Errors
/// [`Error::Invalid`] with the text that could not be read.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => Some(1.0),
        "s" | "sec" | "second" | "seconds" => Some(1e3),
        "m" | "min" | "minute" | "minutes" => Some(60e3),
        "h" | "hour" | "hours" => Some(3_600e3),
        "d" | "day" | "days" => Some(86_400e3),
        "w" | "week" | "weeks" => Some(7.0 * 86_400e3),
        "y" | "year" | "years" => Some(365.0 * 86_400e3),
        _ => None,
    };
    scaled(number, factor).map(|millis| Duration::from_millis(millis as u64)).ok_or_else(|| {
        Error::Invalid(format!("\"{text}\" is not a duration: write it like \"30 s\", \"24 h\" or \"7 days\""))
    })
}

/// For `#[serde(deserialize_with = "archive::units::duration")]`: a text such as `"30 s"`.
///
/// # Errors
/// What [`parse_duration`] says.
pub fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// For `#[serde(deserialize_with = "archive::units::bytes")]`: a text such as `"64 MiB"`.
///
/// # Errors
/// What [`parse_bytes`] says.
pub fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    parse_bytes(&text).map_err(serde::de::Error::custom)
}

/// For `#[serde(deserialize_with = "archive::units::optional_bytes")]`: a number of bytes, or a text such as `"64 MiB"`.
///
/// # Errors
/// What [`parse_bytes`] says.
pub fn optional_bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Bytes {
        Number(u64),
        Text(String),
    }
    Ok(match <Option<Bytes> as serde::Deserialize>::deserialize(deserializer)? {
        None => None,
        Some(Bytes::Number(bytes)) => Some(bytes),
        Some(Bytes::Text(text)) => Some(parse_bytes(&text).map_err(serde::de::Error::custom)?),
    })
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn scaled(number: &str, factor: Option<f64>) -> Option<f64> {
    let value = number.parse::<f64>().ok()? * factor?;
    // Beyond 2^53 a double no longer counts single bytes; no store or age comes near.
    (value.is_finite() && (0.0..9e15).contains(&value)).then_some(value.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_write_them() {
        for (text, bytes) in [("0", 0), ("500 MB", 500_000_000), ("64MiB", 67_108_864), ("1.5 kB", 1500)] {
            assert_eq!(parse_bytes(text).expect(text), bytes);
        }
        for (text, seconds) in [("30 s", 30), ("24h", 86_400), ("7 days", 604_800), ("0.5 min", 30)] {
            assert_eq!(parse_duration(text).expect(text), Duration::from_secs(seconds));
        }
        for text in ["", "MB", "-1 MB", "5 parsecs", "1e400 GB", "9999999999 TB"] {
            assert!(parse_bytes(text).is_err() && parse_duration(text).is_err(), "{text}");
        }
    }
}
