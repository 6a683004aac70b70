//! Pace: how fast bytes may move between stores, so that copying leaves room for what cannot wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bound on the bytes that all its users move in a second, together.
#[derive(Debug)]
pub struct Pace {
    bytes_per_s: Option<u64>,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many bytes a second; `None`: as many as the stores take.
    pub fn new(bytes_per_s: Option<u64>) -> Self {
        Self { bytes_per_s: bytes_per_s.map(|bytes| bytes.max(1)), free_at: Mutex::new(None) }
    }

    /// Waits until `bytes` more may move.
    pub(crate) async fn take(&self, bytes: usize) {
        if let Some(at) = self.reserve(Instant::now(), bytes) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// When the bytes may move: after those that were asked for before. What was not used is not saved up.
    fn reserve(&self, now: Instant, bytes: usize) -> Option<Instant> {
        let bytes_per_s = self.bytes_per_s?;
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free_at.map_or(now, |free_at| free_at.max(now));
        *free_at = Some(at + Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64));
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_the_bytes_before_it_and_idleness_is_not_saved_up() {
        let (pace, start) = (Pace::new(Some(1000)), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.reserve(start, 500), Some(start));
        assert_eq!(pace.reserve(start, 2000), Some(after(500)));
        assert_eq!(pace.reserve(after(100), 1), Some(after(2500)));
        assert_eq!(pace.reserve(after(60_000), 1000), Some(after(60_000)));
        assert_eq!(pace.reserve(after(60_000), 1000), Some(after(61_000)));
        assert_eq!(Pace::new(None).reserve(start, 1), None);
    }
}
