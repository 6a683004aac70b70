//! The workers: so many recordings are transcoded at a time, each on a thread of its own and within its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use audio::Limits;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Config;

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The work panicked; the panic itself is in the log.
    Panicked,
    /// It took twice its time without looking at its limits. Its thread cannot be killed and keeps its place.
    Stuck,
    /// All was told to stop before its turn came.
    Stopped,
}

/// Places to transcode at. Who finds none waits, and with it its claim: no more is fetched than a lane may claim and
/// than fits into the landing zone.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) places: Arc<Semaphore>,
    timeout: Duration,
    shutdown_grace: Duration,
    limits: Limits,
}

impl Workers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.workers)),
            timeout: config.transcode_timeout,
            shutdown_grace: config.shutdown_grace,
            limits: Limits {
                longest: config.longest_recording,
                // What is no such word was refused before.
                ffmpeg: config.ffmpeg.parse().unwrap_or_default(),
                ..Limits::default()
            },
        }
    }

    /// Does `work` when there is a place for it. The limits that it is given end with its time, a while after `stop`, or
    /// when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        stop: &CancellationToken,
        work: impl FnOnce(&Limits) -> T + Send + 'static,
    ) -> Result<T, GivenUp> {
        // Nothing is begun once all is told to stop: what is at hand then has the time that there is for itself.
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(GivenUp::Stopped),
            place = Arc::clone(&self.places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let asked_to_end = EndsWhenDropped(Arc::default());
        let deadline = Some(Instant::now() + self.timeout);
        let limits = Limits { deadline, stop: Arc::clone(&asked_to_end.0), ..self.limits.clone() };
        let mut working = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&limits)
        });
        let mut stopping = std::pin::pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(self.shutdown_grace).await;
        });
        let mut stuck = std::pin::pin!(tokio::time::sleep(self.timeout.saturating_mul(2)));
        loop {
            tokio::select! {
                worked = &mut working => return worked.map_err(|_| GivenUp::Panicked),
                () = &mut stuck => return Err(GivenUp::Stuck),
                () = &mut stopping, if !asked_to_end.is_so() => asked_to_end.now(),
            }
        }
    }
}

/// Ends what is in work when the one who waits for it is gone.
struct EndsWhenDropped(Arc<AtomicBool>);

impl EndsWhenDropped {
    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for EndsWhenDropped {
    fn drop(&mut self) {
        self.now();
    }
}

#[cfg(test)]
mod tests;
