//! The rules by which a recording is due: pure, so that each boundary is a line in a table.
//!
//! By **days**: a recording is due when its `retain_from` is strictly earlier than now less N calendar days in the
//! tenant's zone, at the same time of day. A day across a change of daylight saving time is one day, whether it has 23,
//! 24 or 25 hours; a time of day that the change skipped is moved on by what was skipped, one that comes twice means
//! the first.
//!
//! By **quota**: while the live recordings of a PBX have more stored bytes than its quota, the oldest that may go is
//! due, and then the next; the one that brings them to the quota or under it is the last.

use archive::Instant;
use jiff::Span;
use jiff::tz::TimeZone;

/// The instant before which recordings are due that are kept for `days` days.
pub(crate) fn retained_before(now: Instant, zone: &TimeZone, days: u32) -> Instant {
    // Where the calendar ends nothing is that old.
    let never = Instant::from_millis(i64::MIN);
    let Ok(days) = Span::new().try_days(days) else { return never };
    let Ok(before) = now.timestamp().to_zoned(zone.clone()).checked_sub(days) else { return never };
    Instant::from(before.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_calendar_days_in_the_tenants_zone() {
        let table = [
            // (zone, now, days, due before)
            ("UTC", "2026-11-21T12:00:00Z", 30, "2026-10-22T12:00:00Z"),
            ("UTC", "2026-11-21T12:00:00Z", 0, "2026-11-21T12:00:00Z"),
            ("UTC", "2024-03-30T00:00:00Z", 30, "2024-02-29T00:00:00Z"),
            // Berlin leaves summer time on 2026-10-25: that day has 25 hours.
            ("Europe/Berlin", "2026-10-25T11:00:00Z", 1, "2026-10-24T10:00:00Z"),
            ("Europe/Berlin", "2026-11-21T12:00:00Z", 30, "2026-10-22T11:00:00Z"),
            ("Europe/Berlin", "2026-11-21T12:00:00Z", 20, "2026-11-01T12:00:00Z"),
            // New York enters summer time on 2026-03-08: that day has 23 hours.
            ("America/New_York", "2026-03-08T16:00:00Z", 1, "2026-03-07T17:00:00Z"),
            // 02:30 was skipped on 2026-03-08: half past three it is.
            ("America/New_York", "2026-03-09T06:30:00Z", 1, "2026-03-08T07:30:00Z"),
            // 01:30 came twice on 2026-11-01: the first, in summer time.
            ("America/New_York", "2026-11-02T06:30:00Z", 1, "2026-11-01T05:30:00Z"),
            // Half an hour's summer time; and a zone that skipped a whole day, 2011-12-30.
            ("Australia/Lord_Howe", "2026-04-05T12:00:00Z", 1, "2026-04-04T11:30:00Z"),
            ("Pacific/Apia", "2011-12-31T12:00:00Z", 2, "2011-12-30T12:00:00Z"),
        ];
        for (zone, now, days, before) in table {
            let tz = TimeZone::get(zone).expect(zone);
            let at = |text: &str| Instant::from(text.parse::<jiff::Timestamp>().expect(text));
            assert_eq!(retained_before(at(now), &tz, days), at(before), "{zone} {now} less {days} days");
        }
    }

    #[test]
    fn nothing_is_older_than_the_calendar() {
        let now = Instant::from_millis(1_795_262_400_000);
        for days in [4_500_000, 7_304_485, u32::MAX] {
            assert_eq!(retained_before(now, &TimeZone::UTC, days), Instant::from_millis(i64::MIN));
        }
    }
}
