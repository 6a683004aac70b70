//! What can go wrong with a whole run. What goes wrong with one PBX or one object is in the run's report instead.

/// Why rotation could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalogue could not be asked.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The schedule cannot be followed; the text names the key and says what to write.
    #[error("{0}")]
    Schedule(String),
    /// The scheduler did not start.
    #[error("rotation's scheduler failed: {0}")]
    Scheduler(#[from] tokio_cron_scheduler::JobSchedulerError),
}

impl Error {
    /// Can the same call succeed later, with nothing else changed?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Archive(error) => error.is_transient(),
            Self::Schedule(_) | Self::Scheduler(_) => false,
        }
    }
}
