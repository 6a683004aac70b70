//! Conditional requests (RFC 9110 section 13): what the caller has already, and whether a range may be continued.

use archive::{Instant, Recording};
use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use axum::http::{HeaderMap, HeaderName};
use jiff::fmt::rfc2822;

use crate::range::{Wanted, wanted};

/// What tells one recording's audio from another's. Audio never changes in place, so both are strong.
#[derive(Debug)]
pub(crate) struct Validators {
    /// The entity tag, in its quotes: SHA-256 of the audio.
    pub(crate) etag: String,
    modified_s: i64,
}

/// What a request's conditions come to (section 13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as without conditions.
    Go,
    /// The caller has it already: 304.
    NotModified,
    /// It is not the one that the caller means: 412.
    Failed,
}

impl Validators {
    pub(crate) fn of(recording: &Recording) -> Self {
        let modified_s = recording.archived_at.millis().div_euclid(1000);
        Self { etag: format!("\"{}\"", recording.audio_sha256), modified_s }
    }

    /// The time of archiving as an HTTP date.
    pub(crate) fn last_modified(&self) -> Option<String> {
        let timestamp = Instant::from_millis(self.modified_s * 1000).timestamp();
        rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()
    }

    /// The order is that of section 13.2.2.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(IF_MATCH) {
            if !self.is_listed(headers, IF_MATCH, |tag| tag) {
                return Verdict::Failed;
            }
        } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|since| self.modified_s > since) {
            return Verdict::Failed;
        }
        let has_it = if headers.contains_key(IF_NONE_MATCH) {
            self.is_listed(headers, IF_NONE_MATCH, |tag| tag.strip_prefix("W/").unwrap_or(tag))
        } else {
            date(headers, IF_MODIFIED_SINCE).is_some_and(|since| self.modified_s <= since)
        };
        if has_it { Verdict::NotModified } else { Verdict::Go }
    }

    /// Is our tag, or `*`, in the header's list? `strip` makes the comparison weak.
    fn is_listed(&self, headers: &HeaderMap, name: HeaderName, strip: impl Fn(&str) -> &str) -> bool {
        headers
            .get_all(name)
            .iter()
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','))
            .any(|tag| tag.trim() == "*" || strip(tag.trim()) == self.etag)
    }

    /// Which bytes the request wants; a range whose `If-Range` names something else is ignored (section 14.2).
    pub(crate) fn wanted(&self, headers: &HeaderMap, size_bytes: u64) -> Wanted {
        let mut ranges = headers.get_all(RANGE).iter();
        let (Some(range), None) = (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) else {
            return Wanted::Whole;
        };
        let continues = headers.get(IF_RANGE).is_none_or(|validator| match validator.to_str() {
            // Weak tags never match here (section 13.1.5), and neither does a date that is not exactly ours.
            Ok(validator) if validator.contains('"') => validator.trim() == self.etag,
            _ => date(headers, IF_RANGE) == Some(self.modified_s),
        });
        if continues { wanted(range, size_bytes) } else { Wanted::Whole }
    }
}

/// The header as an HTTP date, in seconds since 1970; a date that cannot be read is ignored (section 13.1.3).
fn date(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sat, 21 Nov 2026 12:00:00 GMT";
    const EARLIER: &str = "Sat, 21 Nov 2026 11:59:59 GMT";

    fn validators() -> Validators {
        Validators { etag: "\"abc\"".to_owned(), modified_s: 1_795_262_400 }
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("header"))).collect()
    }

    #[test]
    fn the_date_is_written_as_http_wants_it() {
        assert_eq!(validators().last_modified().as_deref(), Some(DATE));
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_the_rfc() {
        for (pairs, verdict) in [
            (vec![], Verdict::Go),
            (vec![(IF_NONE_MATCH, "\"abc\"")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "W/\"abc\"")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "\"x\", \"abc\"")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "*")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "\"x\"")], Verdict::Go),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, DATE)], Verdict::Go),
            (vec![(IF_MODIFIED_SINCE, DATE)], Verdict::NotModified),
            (vec![(IF_MODIFIED_SINCE, EARLIER)], Verdict::Go),
            (vec![(IF_MODIFIED_SINCE, "the other day")], Verdict::Go),
            (vec![(IF_MATCH, "\"abc\"")], Verdict::Go),
            (vec![(IF_MATCH, "W/\"abc\"")], Verdict::Failed),
            (vec![(IF_MATCH, "\"x\"")], Verdict::Failed),
            (vec![(IF_UNMODIFIED_SINCE, EARLIER)], Verdict::Failed),
            (vec![(IF_UNMODIFIED_SINCE, DATE)], Verdict::Go),
        ] {
            assert_eq!(validators().judge(&headers(&pairs)), verdict, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_is_continued_only_of_the_very_same_audio() {
        let part = Wanted::Part { first: 5, last: 9 };
        for (if_range, expected) in [
            ("\"abc\"", part),
            ("W/\"abc\"", Wanted::Whole),
            ("\"x\"", Wanted::Whole),
            (DATE, part),
            (EARLIER, Wanted::Whole),
            ("nonsense", Wanted::Whole),
        ] {
            let headers = headers(&[(RANGE, "bytes=5-"), (IF_RANGE, if_range)]);
            assert_eq!(validators().wanted(&headers, 10), expected, "{if_range}");
        }
        assert_eq!(validators().wanted(&headers(&[(RANGE, "bytes=5-")]), 10), part);
    }
}
