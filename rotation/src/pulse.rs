//! The pulse of a run: taken before every batch, it says whether the run may go on. A run ends between batches when it
//! is asked to stop, when its lease is lost, and when the clock cannot be believed.

use std::time::Duration;

use archive::{Archive, Lease};
use tokio::time::Instant as Monotonic;
use tokio_util::sync::CancellationToken;

use crate::clock_guard::ClockGuard;
use crate::report::Outcome;

/// Only one run works on a catalogue at a time.
const LEASE: &str = "rotation";
/// How long the lease lasts unless prolonged: longer than any batch takes, also with a store that answers slowly.
const LEASE_LENGTH: Duration = Duration::from_secs(120);
/// How old the lease may become before it is prolonged. Tests see it prolonged before every batch.
const PROLONG_AFTER: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 20 });

/// Why work ends before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The whole run ends.
    Run(Outcome),
    /// The whole run ends: the catalogue does not answer.
    Catalogue(archive::Error),
    /// This step ends; the others go on.
    Step(archive::Error),
}

/// What an archive's method fails with ends the step that called it.
impl From<archive::Error> for Halt {
    fn from(error: archive::Error) -> Self {
        Self::Step(error)
    }
}

/// The right to run, held by this instance.
#[derive(Debug)]
pub(crate) struct RunLease {
    lease: Lease,
    prolonged_at: Monotonic,
}

impl RunLease {
    /// Takes the lease; `None` while another instance has it.
    pub(crate) async fn take(archive: &Archive) -> archive::Result<Option<Self>> {
        let lease = archive.acquire_lease(LEASE, LEASE_LENGTH).await?;
        Ok(lease.map(|lease| Self { lease, prolonged_at: Monotonic::now() }))
    }

    pub(crate) async fn prolong(&mut self, archive: &Archive) -> Result<(), Halt> {
        if self.prolonged_at.elapsed() < PROLONG_AFTER {
            return Ok(());
        }
        match archive.acquire_lease(LEASE, LEASE_LENGTH).await.map_err(Halt::Catalogue)? {
            Some(lease) if lease.fence == self.lease.fence => {
                self.prolonged_at = Monotonic::now();
                Ok(())
            }
            _ => Err(Halt::Run(Outcome::LeaseLost)),
        }
    }

    /// Gives it up; where that fails it ends by itself.
    pub(crate) async fn release(self, archive: &Archive) {
        if let Err(error) = archive.release_lease(&self.lease).await {
            tracing::warn!("failed to release the lease of rotation: {error}");
        }
    }
}

/// Says before every batch whether the run may go on. A plan has no lease: it changes nothing.
#[derive(Debug)]
pub(crate) struct Pulse<'a> {
    pub(crate) archive: &'a Archive,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) clock: ClockGuard,
    pub(crate) lease: Option<&'a mut RunLease>,
}

impl Pulse<'_> {
    /// May the run go on?
    pub(crate) async fn beat(&mut self) -> Result<(), Halt> {
        if self.stop.is_cancelled() {
            return Err(Halt::Run(Outcome::Stopped));
        }
        self.check_clock()?;
        match &mut self.lease {
            Some(lease) => lease.prolong(self.archive).await,
            None => Ok(()),
        }
    }

    pub(crate) fn check_clock(&mut self) -> Result<(), Halt> {
        self.clock.check(self.archive.clock().now()).map_err(|why| Halt::Run(Outcome::ClockRefused(why)))
    }
}
