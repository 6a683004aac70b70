//! Scrubbing and its pace: everything is read again within so many days, never faster than so many bytes a second, by one
//! instance at a time.

use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, Lease, ScrubRound, Scrubbed, Store, StoreId};
use serde::Deserialize;
use tokio::time::Instant as Monotonic;
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(86_400);
/// Objects looked at between two pauses.
const BATCH: u32 = 64;
/// How long the lease lasts unless prolonged: longer than any batch takes.
const LEASE_LENGTH: Duration = Duration::from_secs(600);
/// How long to wait when nothing is due, or another instance is at it.
const IDLE: Duration = Duration::from_secs(60);

/// The `[scrub]` section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubConfig {
    /// Every object is read again within this time.
    #[serde(deserialize_with = "archive::units::duration")]
    pub within: Duration,
    /// How much is read in a second, at most, over all stores.
    #[serde(deserialize_with = "archive::units::bytes")]
    pub bytes_per_second: u64,
    /// Objects read at the same time.
    pub readers: u32,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { within: 30 * DAY, bytes_per_second: 20_000_000, readers: 4 }
    }
}

impl ScrubConfig {
    /// Looks whether the values can be used.
    ///
    /// # Errors
    /// The first key that cannot, and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        if self.within < DAY {
            return Err("within is too short for any store: make it \"1 day\" or more".to_owned());
        }
        if self.bytes_per_second == 0 {
            return Err("bytes_per_second must be more than nothing: make it \"1 MB\" or more".to_owned());
        }
        if self.readers == 0 {
            return Err("readers must be 1 or more".to_owned());
        }
        Ok(())
    }
}

/// Reads everything again and again, and settles what no recording owns.
#[derive(Debug)]
pub struct Scrub {
    archive: Arc<Archive>,
    config: ScrubConfig,
}

impl Scrub {
    /// Scrubbing of that archive. `config` must be [valid](ScrubConfig::validate).
    pub fn new(archive: Arc<Archive>, config: ScrubConfig) -> Self {
        Self { archive, config }
    }

    /// Scrubs until asked to stop; then the batch at hand is finished.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.archive.acquire_lease("scrub", LEASE_LENGTH).await {
                Ok(Some(lease)) => {
                    let scrubbed = self.scrub_once(&lease, &stop).await;
                    if let Err(error) = self.archive.release_lease(&lease).await {
                        tracing::warn!("failed to release the lease of scrubbing: {error}");
                    }
                    log(scrubbed);
                }
                Ok(None) => {}
                Err(error) => tracing::error!("failed to take the lease of scrubbing: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    /// Everything that is due in every store, once; a store that fails never stops the others. A look at an object is due when
    /// half of the time has passed: the other half is for stores that are slow, or away.
    pub(crate) async fn scrub_once(&self, lease: &Lease, stop: &CancellationToken) -> Scrubbed {
        let mut total = Scrubbed::default();
        for store in self.archive.stores().to_vec() {
            let name = store.name();
            if let Err(error) = self.scrub_store(store.id(), lease, stop, &mut total).await {
                tracing::error!(store = name, "failed to scrub store {name}: {error}");
            }
            if stop.is_cancelled() {
                break;
            }
            if let Err(error) = self.settle_orphans(&store).await {
                tracing::error!(store = name, "failed to settle the orphans of store {name}: {error}");
            }
        }
        total
    }

    async fn scrub_store(
        &self,
        store: StoreId,
        lease: &Lease,
        stop: &CancellationToken,
        total: &mut Scrubbed,
    ) -> archive::Result<()> {
        let due = self.archive.clock().now().minus(self.config.within / 2);
        let mut round = ScrubRound::through(store);
        while !round.is_over() && !stop.is_cancelled() {
            let began = Monotonic::now();
            match self.archive.acquire_lease(&lease.name, LEASE_LENGTH).await? {
                Some(now) if now.fence == lease.fence => {}
                _ => return Ok(()),
            }
            let scrubbed = self.archive.scrub_batch(&mut round, due, BATCH, self.config.readers as usize).await?;
            total.objects += scrubbed.objects;
            total.stored_bytes += scrubbed.stored_bytes;
            total.damaged += scrubbed.damaged;
            total.sound_again += scrubbed.sound_again;
            total.failed += scrubbed.failed;
            let pause = self.pace(scrubbed.stored_bytes).saturating_sub(began.elapsed());
            // A pause longer than the lease would be one without it.
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.min(LEASE_LENGTH / 2)) => {}
            }
        }
        Ok(())
    }

    /// How long so many bytes must take.
    fn pace(&self, stored_bytes: u64) -> Duration {
        Duration::from_secs_f64(stored_bytes as f64 / self.config.bytes_per_second as f64)
    }

    /// Once a day: a walk through all keys of a store costs more than it can find in an hour.
    async fn settle_orphans(&self, store: &Store) -> archive::Result<()> {
        let now = self.archive.clock().now();
        let last = self.archive.last_orphan_walk(store).await?;
        if last.is_some_and(|last| last > now.minus(DAY)) {
            return Ok(());
        }
        match self.archive.settle_orphans(store).await {
            Ok(orphans) if orphans.seen > 0 => {
                let name = store.name();
                tracing::warn!(
                    store = name,
                    "store {name} has {} objects that no recording owns; {} of them are in orphans/ now",
                    orphans.seen,
                    orphans.moved
                );
                Ok(())
            }
            // A restore that waits for its confirmation.
            Ok(_) | Err(archive::Error::Forbidden(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn log(scrubbed: Scrubbed) {
    let Scrubbed { objects, stored_bytes, damaged, sound_again, failed } = scrubbed;
    if damaged + failed > 0 {
        tracing::warn!("scrubbed {objects} objects, {stored_bytes} bytes: {damaged} damaged, {failed} not read");
    } else if objects > 0 {
        tracing::info!("scrubbed {objects} objects, {stored_bytes} bytes, {sound_again} sound again");
    }
}
