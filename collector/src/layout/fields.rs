//! What the groups of a pattern caught, as words, numbers and times. Nothing here trusts what a path says.

use std::time::Duration;

use archive::{Direction, Instant, Leg};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use regex::Captures;

use super::is_digits;

/// The longest text that is kept of a field: what a file system allows in a name.
const MAX_CHARS: usize = 255;
/// Uniqueids before 2001 and after 2100 are something else that looks like one.
const PLAUSIBLE_EPOCH: std::ops::Range<i64> = 978_307_200..4_102_444_800;

/// The named groups of one path.
pub(super) struct Fields<'a> {
    captures: &'a Captures<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(captures: &'a Captures<'a>) -> Self {
        Self { captures }
    }

    fn raw(&self, group: &str) -> Option<&'a str> {
        self.captures.name(group).map(|found| found.as_str()).filter(|text| !text.is_empty())
    }

    /// The group's text, percent escapes undone once; nothing where it is absent.
    pub(super) fn text(&self, group: &str) -> String {
        self.raw(group).map(|text| clean(&unescape(text))).unwrap_or_default()
    }

    /// Which side of the call. On a core server `in` is what it received, that is what the caller said.
    pub(super) fn leg(&self) -> Leg {
        match self.raw("leg").unwrap_or_default().to_ascii_lowercase().as_str() {
            "in" | "r" | "rx" | "read" | "caller" => Leg::Caller,
            "out" | "t" | "tx" | "write" | "callee" => Leg::Callee,
            _ => Leg::Mixed,
        }
    }

    /// Which way the call went. Queues and ring groups do not say: an outside number that calls one comes in.
    pub(super) fn direction(&self, caller: &str) -> Direction {
        match self.raw("direction").unwrap_or_default().to_ascii_lowercase().as_str() {
            "in" | "inbound" | "incoming" | "i" => Direction::In,
            "out" | "outbound" | "outgoing" | "o" => Direction::Out,
            "internal" | "int" | "exten" | "local" | "page" | "intercom" => Direction::Internal,
            "q" | "queue" | "rg" | "g" | "group" => {
                let number = caller.trim_start_matches('+');
                match number.len() {
                    _ if !is_digits(number) => Direction::Unknown,
                    1..=5 => Direction::Internal,
                    _ => Direction::In,
                }
            }
            _ => Direction::Unknown,
        }
    }

    /// When the call began: by date and time, else by the epoch (its own group's, or the uniqueid's), else by the day.
    pub(super) fn started_at(&self, zone: &TimeZone, now: Instant) -> Option<Instant> {
        let date = self.date();
        if let (Some(date), Some(time)) = (date, self.time()) {
            return instant(date.to_datetime(time), zone);
        }
        self.epoch().or_else(|| {
            let end = instant(date?.tomorrow().ok()?.to_datetime(Time::midnight()), zone)?;
            Some(end.minus(Duration::from_secs(1)).min(now))
        })
    }

    fn date(&self) -> Option<Date> {
        if let Some(date) = self.raw("date") {
            let digits = digits_of(date);
            return (digits.len() == 8).then(|| new_date(&digits[..4], &digits[4..6], &digits[6..]))?;
        }
        new_date(self.raw("year")?, self.raw("month")?, self.raw("day")?)
    }

    fn time(&self) -> Option<Time> {
        if let Some(time) = self.raw("time") {
            let digits = digits_of(time);
            return match digits.len() {
                4 => new_time(&digits[..2], &digits[2..], "0"),
                6 => new_time(&digits[..2], &digits[2..4], &digits[4..]),
                _ => None,
            };
        }
        new_time(self.raw("hour")?, self.raw("minute")?, self.raw("second").unwrap_or("0"))
    }

    fn epoch(&self) -> Option<Instant> {
        let text = match self.raw("epoch") {
            Some(epoch) => epoch,
            None => {
                let (seconds, counter) = self.raw("uniqueid")?.rsplit_once('.')?;
                is_digits(counter).then(|| seconds.rsplit('-').next().unwrap_or(seconds))?
            }
        };
        let whole = text.split('.').next().unwrap_or(text);
        let number: i64 = is_digits(whole).then(|| whole.parse().ok())??;
        // Thirteen digits are milliseconds.
        let millis = if whole.len() == 13 { number } else { number.checked_mul(1000)? };
        PLAUSIBLE_EPOCH.contains(&(millis / 1000)).then(|| Instant::from_millis(millis))
    }
}

/// The text without what no field may contain: control characters (a database or a header would choke on them), and
/// more than a name can hold.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

/// Undoes percent escapes, once: `%2540` is `%40`, not `@`. What is no escape stays.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn new_date(year: &str, month: &str, day: &str) -> Option<Date> {
    Date::new(year.parse().ok()?, month_number(month)?, day.parse().ok()?).ok()
}

/// `08`, `Aug` or `August`: strftime's %b and %B in the C locale.
fn month_number(month: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    if is_digits(month) {
        return month.parse().ok();
    }
    let month = month.to_ascii_lowercase();
    let at = MONTHS.iter().position(|name| month.len() >= 3 && name.starts_with(&month))?;
    i8::try_from(at + 1).ok()
}

fn new_time(hour: &str, minute: &str, second: &str) -> Option<Time> {
    Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

/// A local time as an instant. In an hour that the clocks repeat it is the earlier; one that they skip is shifted by as
/// much as they are.
fn instant(local: DateTime, zone: &TimeZone) -> Option<Instant> {
    zone.to_ambiguous_timestamp(local).compatible().ok().map(Instant::from)
}
