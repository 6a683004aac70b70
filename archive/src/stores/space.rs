//! Room on a disk: how much there is, and how long it lasts at the rate of the last days.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::Result;

use super::Store;

/// How far the rate looks back.
const RATE_DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;
/// How long a disk has to say how much room it has.
const SAYS_WITHIN: Duration = Duration::from_secs(5);

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes that may be written.
    pub(super) free_bytes: u64,
    /// Bytes that it has in all.
    pub(super) total_bytes: u64,
}

impl Space {
    /// Asks the file system of the directory.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let found = rustix::fs::statvfs(directory).ok()?;
        Some(Self { free_bytes: found.f_bavail * found.f_frsize, total_bytes: found.f_blocks * found.f_frsize })
    }
}

/// What a disk said of its room when it last answered. Whoever wants to know reads that: asking itself may hang for ever
/// (a dead file server's disk), and is nobody's business but the watch's.
#[derive(Debug, Default)]
pub(super) struct Room {
    last: Mutex<Option<Space>>,
    /// Somebody asks now. Only an answer ends that, so that a disk that hangs costs one thread and no more.
    asking: AtomicBool,
}

impl Room {
    pub(super) fn last(&self) -> Option<Space> {
        *self.last.lock().expect("nobody panics while holding it")
    }

    /// Asks, beside everything else, and waits a little for the answer. What cannot be asked is no reason to stop: whatever
    /// is wrong there shows when something is put.
    pub(super) async fn ask(self: &Arc<Self>, ask: impl FnOnce() -> Option<Space> + Send + 'static) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let room = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            if let Some(space) = ask() {
                *room.last.lock().expect("nobody panics while holding it") = Some(space);
            }
            room.asking.store(false, Ordering::Release);
        });
        let _ = tokio::time::timeout(SAYS_WITHIN, asked).await;
    }
}

impl Store {
    /// Asks a disk how much room it has.
    pub(crate) async fn ask_for_room(&self) {
        if let Some(directory) = self.directory.clone() {
            self.health.room.ask(move || Space::of(&directory)).await;
        }
    }
}

/// How many days `free_bytes` last when there were `free_before` at `before`; `None` while it does not get less, or when
/// too little time has passed to tell.
fn days_left(free_bytes: u64, now: Instant, free_before: u64, before: Instant) -> Option<f64> {
    let days = (now.millis() - before.millis()) as f64 / DAY_MS as f64;
    let used = free_before.checked_sub(free_bytes).filter(|used| *used > 0)? as f64;
    (days >= 0.5).then(|| free_bytes as f64 / (used / days))
}

impl Archive {
    /// Notes once a day how much room the store has, and reckons from the last days how long it lasts: a straight line
    /// from the oldest note of a week, with all that was removed in between.
    pub(crate) async fn note_space(&self, store: &Store) -> Result<()> {
        let Some(space) = store.room() else { return Ok(()) };
        let now = self.clock.now();
        let day = now.millis().div_euclid(DAY_MS);
        self.db
            .execute(
                "INSERT INTO store_space (store_id, day, noted_at, free_bytes)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (store_id, day) DO NOTHING",
                params![store.id(), day, now, space.free_bytes],
            )
            .await?;
        self.db
            .execute(
                "DELETE FROM store_space WHERE store_id = $1 AND (day < $2 OR day > $3)",
                params![store.id(), day - RATE_DAYS, day],
            )
            .await?;
        let oldest = self
            .db
            .fetch_optional(
                "SELECT noted_at, free_bytes FROM store_space WHERE store_id = $1 ORDER BY day LIMIT 1",
                params![store.id()],
            )
            .await?;
        let Some(oldest) = oldest else { return Ok(()) };
        let left = space.free_bytes.saturating_sub(store.low_bytes(space));
        let before = oldest.get::<u64>("free_bytes")?.saturating_sub(store.low_bytes(space));
        let days = days_left(left, now, before, oldest.get("noted_at")?);
        *store.health.days_until_full.lock().expect("nobody panics while holding it") = days;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_asked_once_and_keeps_nobody_waiting() {
        let room = Arc::new(Room::default());
        let (before, after) = (Space { free_bytes: 2, total_bytes: 3 }, Space { free_bytes: 1, total_bytes: 3 });
        room.ask(move || Some(before)).await;
        let (answer, waits) = std::sync::mpsc::channel::<Space>();
        tokio::join!(room.ask(move || waits.recv().ok()), tokio::time::advance(SAYS_WITHIN * 2));
        assert_eq!(room.last(), Some(before), "what it said last is known meanwhile");
        room.ask(|| panic!("it is asked while it still hangs")).await;
        answer.send(after).unwrap();
        while room.last() != Some(after) || room.asking.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        room.ask(move || Some(before)).await;
        assert_eq!(room.last(), Some(before), "once it has answered it is asked again");
    }

    #[test]
    fn a_disk_is_full_when_the_rate_of_the_last_days_says_so() {
        let at = |hours: i64| Instant::from_millis(hours * 3_600_000);
        assert_eq!(days_left(400, at(96), 800, at(0)), Some(4.0));
        assert_eq!(days_left(900, at(96), 800, at(0)), None, "it gets more");
        assert_eq!(days_left(400, at(6), 800, at(0)), None, "a quarter of a day says nothing");
        assert_eq!(days_left(0, at(48), 800, at(0)), Some(0.0));
    }
}
