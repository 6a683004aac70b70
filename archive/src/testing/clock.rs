//! A clock that stands still until it is turned.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Instant};

/// A clock that stands still until it is turned.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Instant) -> Self {
        Self(AtomicI64::new(now.millis()))
    }

    /// Turns it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a duration that tests use"), Ordering::SeqCst);
    }

    /// Turns it to `now`, backwards too.
    pub fn set(&self, now: Instant) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.load(Ordering::SeqCst))
    }
}
