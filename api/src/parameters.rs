//! The parameters of a query string: each taken by its name, and what is left over refused by its name.

use std::collections::BTreeMap;
use std::str::FromStr;

use archive::Instant;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use crate::problem::Problem;

/// The longest text that a parameter or field may be.
const MAX_TEXT: usize = 256;

/// The parameters not yet taken.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| Problem::bad_query())?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.contains_key(&name) {
                return Err(Problem::invalid(&name, "this parameter is given more than once"));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }
}

impl Parameters {
    /// A text without control characters.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.0.remove(name).map(|text| check_text(name, text)).transpose()
    }

    /// A telephone number. A `+` that was not encoded arrives as a space; no number begins with one.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let text = self.text(name)?;
        Ok(text.map(|text| text.strip_prefix(' ').map(|digits| format!("+{digits}")).unwrap_or(text)))
    }

    /// Something that reads itself from a text; `expected` says what it would have to be.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, expected: &'static str) -> Result<Option<T>, Problem> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|_| Problem::invalid(name, expected))).transpose()
    }

    /// An instant or a day.
    pub(crate) fn instant(&mut self, name: &str) -> Result<Option<Instant>, Problem> {
        self.text(name)?.map(|text| read_instant(name, &text)).transpose()
    }

    /// Seconds, with a fraction or without, as milliseconds.
    pub(crate) fn seconds_as_ms(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        const EXPECTED: &str = "a number of seconds, such as 30 or 0.5";
        let Some(seconds) = self.parsed::<f64>(name, EXPECTED)? else { return Ok(None) };
        // A thousand years of seconds: what is more is no duration, and would not fit.
        if (0.0..=3.2e10).contains(&seconds) {
            Ok(Some((seconds * 1000.0).round() as u64))
        } else {
            Err(Problem::invalid(name, EXPECTED))
        }
    }

    /// There must be nothing left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        self.0.keys().next().map_or(Ok(()), |name| Err(Problem::unknown(name)))
    }
}

/// For routes that take no parameters: refuses every one by its name.
#[derive(Debug)]
pub(crate) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Parameters::from_request_parts(parts, state).await?.finish()?;
        Ok(Self)
    }
}

/// A text that is neither empty nor too long and has no control characters (no database takes a NUL, and no log a
/// line break).
pub(crate) fn check_text(name: &str, text: String) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::invalid(name, "this is empty: give it a value or leave it out"));
    }
    if text.chars().count() > MAX_TEXT {
        return Err(Problem::invalid(name, format!("this is longer than {MAX_TEXT} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::invalid(name, "this has control characters in it"));
    }
    Ok(text)
}

/// An instant (RFC 3339), or a day, which means its first moment in UTC.
pub(crate) fn read_instant(name: &str, text: &str) -> Result<Instant, Problem> {
    // A `+` that was not encoded arrives as a space.
    let text = if text.contains(['T', 't']) { text.replace(' ', "+") } else { text.to_owned() };
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.into());
    }
    let midnight = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2026-11-21".len());
    midnight
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|start| start.timestamp().into())
        .ok_or_else(|| {
            Problem::invalid(name, "an instant such as 2026-11-21T08:00:00Z (RFC 3339), or a day such as 2026-11-21")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_in_every_form_that_is_documented() {
        let expected = 1_795_248_000_000;
        for text in ["2026-11-21T08:00:00Z", "2026-11-21T09:00:00+01:00", "2026-11-21T09:00:00 01:00"] {
            assert_eq!(read_instant("from", text).expect(text).millis(), expected, "{text}");
        }
        assert_eq!(read_instant("from", "2026-11-21").expect("day").millis(), expected - 8 * 3_600_000);
        for text in ["yesterday", "2026-13-01", "2026-11-21T08:00:00", "20261121", "", "2026-11-21 08:00"] {
            read_instant("from", text).expect_err(text);
        }
    }
}
