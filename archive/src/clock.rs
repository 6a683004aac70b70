//! Time. Everything asks a [`Clock`] for it, so that a test can turn it and nothing expires because a machine's
//! clock jumped unnoticed. Leases alone use the database's clock: see [`crate::lease`].

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970 UTC, as the catalogue keeps every instant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Instant(i64);

impl Instant {
    /// The instant that many milliseconds after 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant and `duration`, stopping at the end of time.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant less `duration`, stopping at the beginning of time.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The same instant for jiff; instants beyond jiff's years are clamped.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl From<jiff::Timestamp> for Instant {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Instant;
}

/// The machine's clock. With the `testing` feature, `FONOTECA_CLOCK_AHEAD_MS` sets it ahead, so that a test of the whole
/// program need not wait for a grace period.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everybody else asks")]
    fn now(&self) -> Instant {
        let now = Instant::from(jiff::Timestamp::now());
        #[cfg(feature = "testing")]
        if let Some(ahead) = std::env::var("FONOTECA_CLOCK_AHEAD_MS").ok().and_then(|ahead| ahead.parse().ok()) {
            return now.plus(std::time::Duration::from_millis(ahead));
        }
        now
    }
}
