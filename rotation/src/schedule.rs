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
        let due = Arc::new(Notify::new());
        let mut scheduler = JobScheduler::new().await?;
        let tick = Arc::clone(&due);
        let job = Job::new_async(self.config.schedule.as_str(), move |_, _| {
            tick.notify_one();
            Box::pin(std::future::ready(()))
        })?;
        let job = scheduler.add(job).await?;
        if scheduler.next_tick_for_job(job).await?.is_none() {
            let schedule = &self.config.schedule;
            return Err(Error::Schedule(format!("rotation.schedule \"{schedule}\" names a time that never comes")));
        }
        scheduler.start().await?;
        due.notify_one();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = due.notified() => {}
            }
            match self.rotate(stop, &mut |_| ()).await {
                Ok(report) => log(&report),
                Err(error) => tracing::error!("failed to rotate: {error}"),
            }
        }
        scheduler.shutdown().await?;
        Ok(())
    }
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
