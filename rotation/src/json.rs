//! How ids and instants are written in `--json` and in stored reports.

use std::fmt::Display;

use archive::Measure;
use serde::Serializer;

/// As its text: ids by their 26 letters, instants as RFC 3339 in UTC.
pub(crate) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// As its text, or null.
pub(crate) fn optional_text<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// `stored_bytes`, `audio_ms` or `recordings`.
pub(crate) fn measure<S: Serializer>(measure: &Measure, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match measure {
        Measure::Bytes => "stored_bytes",
        Measure::Audio => "audio_ms",
        Measure::Recordings => "recordings",
    })
}

/// RFC 3339 with the offset of the instant's own zone.
pub(crate) fn zoned<S: Serializer>(at: &jiff::Zoned, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.strftime("%Y-%m-%dT%H:%M:%S%:z"))
}
