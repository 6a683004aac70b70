//! Backups on a schedule, and the organisation journalled when it has changed.

use std::sync::Arc;
use std::time::Duration;

use archive::{Actor, Archive};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::schedule::{Ticks, check_schedule};

/// How often the organisation is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The `[backup]` section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The store that takes backups; without it, the first one.
    pub store: Option<String>,
    /// When the catalogue is backed up: a cron expression of six fields, in UTC.
    pub schedule: String,
    /// How many backups are kept.
    pub keep: u32,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self { store: None, schedule: "0 30 * * * *".to_owned(), keep: 48 }
    }
}

impl BackupConfig {
    /// Looks whether the values can be used.
    ///
    /// # Errors
    /// The first key that cannot, and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        check_schedule(&self.schedule)?;
        if self.keep < 2 {
            return Err("keep must be 2 or more: the newest backup may be the damaged one".to_owned());
        }
        Ok(())
    }
}

/// Backs the catalogue up by its schedule.
#[derive(Debug)]
pub struct Backups {
    archive: Arc<Archive>,
    config: BackupConfig,
}

impl Backups {
    /// Backups of that archive's catalogue. `config` must be [valid](BackupConfig::validate).
    pub fn new(archive: Arc<Archive>, config: BackupConfig) -> Self {
        Self { archive, config }
    }

    /// Backs up by the schedule until asked to stop; a backup at hand is given up then: what it has put, the next one removes.
    ///
    /// # Errors
    /// When the schedule cannot be followed. A backup that fails is logged, and the next one comes.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), Error> {
        let mut ticks = Ticks::start(&self.config.schedule, "backup.schedule").await?;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = ticks.next() => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.back_up() => {}
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if let Err(error) = self.archive.journal_organisation().await {
                        tracing::error!("failed to journal the organisation: {error}");
                    }
                }
            }
        }
        ticks.stop().await
    }

    async fn back_up(&self) {
        let actor = Actor::system("backup");
        match self.archive.back_up(&actor, self.config.store.as_deref(), self.config.keep).await {
            Ok(Some(backup)) => {
                let (id, store) = (backup.id, &backup.store);
                tracing::info!(backup.id = %id, "backed up {} rows to store {store} as {id}", backup.rows);
            }
            Ok(None) => tracing::debug!("another instance backs the catalogue up"),
            Err(error) => tracing::error!("failed to back up the catalogue: {error}"),
        }
    }
}
