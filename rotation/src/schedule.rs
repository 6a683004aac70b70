//! The schedule: when runs happen.
//!
//! The scheduler only says that it is time; the runs are made here, one after the other. So they never overlap, a time
//! that comes while a run lasts is kept for after it, a panic is not swallowed, and nothing that the scheduler still
//! says after the stop is heard.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::report::{Outcome, Report};
use crate::rotate::Rotation;

impl Rotation {
    /// Makes a run at once and then by the schedule, and copies all the while, until asked to stop; then the batch and
    /// the recordings at hand are finished, the run recorded, and nothing more is done.
    ///
    /// # Errors
    /// When the schedule cannot be followed. A run that fails is logged, and the next one comes.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), Error> {
        self.config.validate().map_err(Error::Schedule)?;
        let copying = async {
            self.copy_until_stopped(&stop).await;
            Ok(())
        };
        tokio::try_join!(self.run_by_schedule(&stop), copying).map(|_| ())
    }

    async fn run_by_schedule(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut ticks = Ticks::start(&self.config.schedule, "rotation.schedule").await?;
        ticks.due.notify_one();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = ticks.next() => {}
            }
            match self.rotate(stop, &mut |_| ()).await {
                Ok(report) => log(&report),
                Err(error) => tracing::error!("failed to rotate: {error}"),
            }
        }
        ticks.stop().await
    }
}

/// The times of a schedule, as they come.
pub(crate) struct Ticks {
    scheduler: JobScheduler,
    due: Arc<Notify>,
}

impl Ticks {
    /// Begins to follow the schedule; `key` is what an error names.
    pub(crate) async fn start(schedule: &str, key: &str) -> Result<Self, Error> {
        let due = Arc::new(Notify::new());
        let mut scheduler = JobScheduler::new().await?;
        let tick = Arc::clone(&due);
        let job = Job::new_async(schedule, move |_, _| {
            tick.notify_one();
            Box::pin(std::future::ready(()))
        })?;
        let job = scheduler.add(job).await?;
        if scheduler.next_tick_for_job(job).await?.is_none() {
            return Err(Error::Schedule(format!("{key} \"{schedule}\" names a time that never comes")));
        }
        scheduler.start().await?;
        Ok(Self { scheduler, due })
    }

    /// Waits for the next time, or ends at once where one came meanwhile.
    pub(crate) async fn next(&mut self) {
        self.due.notified().await;
    }

    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        self.scheduler.shutdown().await?;
        Ok(())
    }
}

/// Looks whether a schedule can be followed.
///
/// # Errors
/// What to write instead.
pub(crate) fn check_schedule(schedule: &str) -> Result<(), String> {
    if Job::new_async(schedule, |_, _| Box::pin(std::future::ready(()))).is_err() {
        return Err(format!(
            "schedule \"{schedule}\" is not a cron expression of six fields (second minute hour day month weekday): \
             write it like \"0 */5 * * * *\""
        ));
    }
    Ok(())
}

fn log(report: &Report) {
    let Report { outcome, expired, purged, .. } = report;
    match (outcome, report.run) {
        (Outcome::Busy, _) => tracing::debug!("rotation: {outcome}"),
        (_, Some(run)) if report.is_clean() => {
            tracing::info!(run.id = %run, "rotated in run {run}: expired {expired}, purged {purged}, {outcome}");
        }
        (_, run) => {
            let failed = report.failures.len() + report.pbxs.iter().filter(|pbx| pbx.failure.is_some()).count();
            let objects = report.purge_failures;
            tracing::warn!(
                run.id = run.map(|run| run.to_string()),
                "rotated with {failed} failed steps and {objects} objects not removed: expired {expired}, purged \
                 {purged}, {outcome}"
            );
        }
    }
}
