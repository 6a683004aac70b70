//! The copier: brings copies where they belong, all the time and beside the runs of rotation.
//!
//! What waits stands in the catalogue, and is claimed recording by recording, so any number of instances work on it and
//! one that is killed loses nothing. So many recordings at a time and so many bytes a second as the configuration says; each
//! worker goes on by itself, so that one whose copy is slow keeps none of the others waiting.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive::{Archive, CopyOutcome, CopyReason, CopyRound, Pace};
use futures_util::future::{join_all, try_join_all};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::rotate::Rotation;

/// How long a round lasts: what failed in it is asked again in the next one.
const ROUND: Duration = Duration::from_secs(30);

/// What the copier did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CopyFigures {
    /// Recordings that have the copies now that their tier names.
    pub copied: u64,
    /// Recordings that have moved to other stores.
    pub moved: u64,
    /// Recordings of which a damaged or lost copy was replaced.
    pub repaired: u64,
    /// Bytes put into stores for all of these.
    pub stored_bytes: u64,
    /// Recordings that wait for a store; they are tried again.
    pub waiting: u64,
    /// Recordings of which no sound copy is left.
    pub lost: u64,
}

impl CopyFigures {
    fn add(&mut self, other: &Self) {
        self.copied += other.copied;
        self.moved += other.moved;
        self.repaired += other.repaired;
        self.stored_bytes += other.stored_bytes;
        self.waiting += other.waiting;
        self.lost += other.lost;
    }

    /// Did everything that was tried succeed?
    pub fn is_clean(&self) -> bool {
        self.waiting == 0 && self.lost == 0
    }

    fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    fn count(&mut self, made: &archive::Copied) {
        self.stored_bytes += made.stored_bytes;
        let why = made.why.as_str();
        metrics::counter!("fonoteca_copied_bytes_total", "why" => why).increment(made.stored_bytes);
        match (&made.outcome, made.why) {
            (CopyOutcome::Done, why) => {
                metrics::counter!("fonoteca_copied_recordings_total", "why" => why.as_str()).increment(1);
                *match why {
                    CopyReason::Move => &mut self.moved,
                    CopyReason::Copy => &mut self.copied,
                    CopyReason::Repair | CopyReason::Lost => &mut self.repaired,
                } += 1;
            }
            (CopyOutcome::Waiting(store), _) => {
                metrics::counter!("fonoteca_copy_failures_total", "store" => store.clone()).increment(1);
                self.waiting += 1;
            }
            (CopyOutcome::Lost, _) => self.lost += 1,
            (CopyOutcome::Gone, _) => {}
        }
    }
}

/// One line: `copied 3, moved 2, repaired 0 recordings (5000 bytes), 1 waits for a store`.
impl fmt::Display for CopyFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copied, moved, repaired, stored_bytes, waiting, lost } = self;
        write!(f, "copied {copied}, moved {moved}, repaired {repaired} recordings ({stored_bytes} bytes)")?;
        if *waiting > 0 {
            write!(f, ", {waiting} wait for a store")?;
        }
        if *lost > 0 {
            write!(f, ", {lost} have no sound copy left")?;
        }
        Ok(())
    }
}

/// The round that the workers are in. Whoever comes when it is over begins the next one; the others finish what they
/// have at hand in the one before.
struct Rounds<'a> {
    archive: &'a Archive,
    pace: &'a Pace,
    now: Mutex<Option<Arc<Round<'a>>>>,
}

struct Round<'a> {
    round: CopyRound<'a>,
    begun_at: Instant,
    /// Somebody has found work in it.
    has_worked: AtomicBool,
}

impl<'a> Rounds<'a> {
    fn new(archive: &'a Archive, pace: &'a Pace) -> Self {
        Self { archive, pace, now: Mutex::default() }
    }

    async fn younger_than(&self, age: Duration) -> Result<Arc<Round<'a>>, Error> {
        self.that(|round| round.begun_at.elapsed() < age).await
    }

    async fn after(&self, over: &Arc<Round<'a>>) -> Result<Arc<Round<'a>>, Error> {
        self.that(|round| !Arc::ptr_eq(round, over)).await
    }

    /// The round that is on if it will do, else a new one.
    async fn that(&self, will_do: impl Fn(&Arc<Round<'a>>) -> bool) -> Result<Arc<Round<'a>>, Error> {
        let mut now = self.now.lock().await;
        if let Some(round) = now.as_ref().filter(|round| will_do(round)) {
            return Ok(Arc::clone(round));
        }
        let round = self.archive.begin_copy_round(self.pace).await?;
        let round = Arc::new(Round { round, begun_at: Instant::now(), has_worked: AtomicBool::new(false) });
        *now = Some(Arc::clone(&round));
        Ok(round)
    }
}

impl Rotation {
    /// Makes the copies that wait, until nothing more is due: what a run of rotation by hand ends with.
    ///
    /// # Errors
    /// When the catalogue cannot be asked.
    pub async fn copy_what_waits(&self) -> Result<CopyFigures, Error> {
        self.archive.release_own_copy_claims().await?;
        self.copy_until_idle(&Pace::new(self.config.copy_rate), &CancellationToken::new()).await
    }

    /// Makes copies as they come to wait, until asked to stop; then what is at hand is finished.
    pub(crate) async fn copy_until_stopped(&self, stop: &CancellationToken) {
        let pace = Pace::new(self.config.copy_rate);
        if let Err(error) = self.archive.release_own_copy_claims().await {
            tracing::warn!("failed to take up the copying that was begun: {error}");
        }
        let rounds = Rounds::new(&self.archive, &pace);
        let workers = (0..self.config.copy_workers.max(1)).map(|_| async {
            while !stop.is_cancelled() {
                match self.copy_in(&rounds, stop).await {
                    Ok(figures) if figures.is_idle() => {}
                    Ok(figures) if figures.is_clean() => tracing::info!("{figures}"),
                    Ok(figures) => tracing::warn!("{figures}"),
                    Err(error) => tracing::error!("failed to copy: {error}"),
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(self.config.copy_interval) => {}
                }
            }
        });
        join_all(workers).await;
    }

    async fn copy_until_idle(&self, pace: &Pace, stop: &CancellationToken) -> Result<CopyFigures, Error> {
        let rounds = Rounds::new(&self.archive, pace);
        let workers = (0..self.config.copy_workers.max(1)).map(|_| self.copy_in(&rounds, stop));
        let mut figures = CopyFigures::default();
        try_join_all(workers).await?.iter().for_each(|made| figures.add(made));
        Ok(figures)
    }

    /// One worker: a recording after the other, until a round that nobody has found work in.
    async fn copy_in(&self, rounds: &Rounds<'_>, stop: &CancellationToken) -> Result<CopyFigures, Error> {
        let mut figures = CopyFigures::default();
        let mut round = rounds.younger_than(self.config.copy_interval).await?;
        while !stop.is_cancelled() {
            let Some(claim) = self.archive.claim_copy(&round.round).await? else {
                if !round.has_worked.load(Ordering::Acquire) {
                    break;
                }
                round = rounds.after(&round).await?;
                continue;
            };
            round.has_worked.store(true, Ordering::Release);
            // The futures of an upload are large, and a worker needs one at a time.
            match Box::pin(self.archive.make_copies(&claim, &round.round)).await {
                Ok(made) => figures.count(&made),
                Err(error) if error.is_transient() => return Err(error.into()),
                // It is tried again when its claim is over, and keeps none of the others waiting.
                Err(error) => {
                    let id = claim.recording;
                    tracing::error!(recording.id = %id, "failed to copy recording {id}: {error}");
                    figures.waiting += 1;
                }
            }
            round = rounds.younger_than(ROUND).await?;
        }
        Ok(figures)
    }
}
