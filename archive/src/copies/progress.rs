//! Progress: a copy may take as long as its bytes move, however many they are and however slow they may; one that stands
//! still is given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long no byte may move while nobody bids to wait.
pub(super) const LONGEST_STILL: Duration = Duration::from_secs(600);

/// When bytes moved last.
#[derive(Debug)]
pub(super) struct Progress {
    last: Mutex<Instant>,
    waiting: AtomicUsize,
}

impl Default for Progress {
    fn default() -> Self {
        Self { last: Mutex::new(Instant::now()), waiting: AtomicUsize::new(0) }
    }
}

impl Progress {
    /// Bytes have moved.
    pub(super) fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits as it was bidden to: that is no standing still.
    pub(super) async fn wait(&self, wait: impl Future<Output = ()>) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        wait.await;
        self.note();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns when nothing has moved for that long.
    pub(super) async fn stand_still(&self, longest: Duration) {
        loop {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if self.waiting.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(longest).await;
            } else if last.elapsed() >= longest {
                return;
            } else {
                tokio::time::sleep_until(last + longest).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_copy_may_take_hours_while_its_bytes_move_and_minutes_while_none_does() {
        let began = Instant::now();
        let progress = Progress::default();
        let work = async {
            for _ in 0..20 {
                sleep(9 * MINUTE).await;
                progress.note();
            }
            // A low rate bids to wait for long.
            progress.wait(sleep(120 * MINUTE)).await;
            sleep(9 * MINUTE).await;
            progress.note();
        };
        tokio::select! {
            () = work => {}
            () = progress.stand_still(LONGEST_STILL) => panic!("given up after {:?}", began.elapsed()),
        }
        progress.stand_still(LONGEST_STILL).await;
        assert_eq!(began.elapsed(), (20 * 9 + 120 + 9 + 10) * MINUTE);
    }
}
