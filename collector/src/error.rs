//! What ends a call to the collector as a whole. What is wrong with one recording ends in its row, not here.

use std::path::PathBuf;

/// Why the collector could not start, or could not collect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the configuration cannot be worked with.
    #[error("{0}")]
    Config(String),
    /// The landing zone cannot be used.
    #[error("landing zone {directory}: {failure}", directory = directory.display())]
    LandingZone {
        /// Where it is.
        directory: PathBuf,
        /// What failed.
        failure: std::io::Error,
    },
    /// There is no core server of that name.
    #[error("no core server is named \"{0}\"")]
    UnknownCoreServer(String),
    /// The core server is disabled: nothing is collected from it.
    #[error("core server \"{0}\" is disabled")]
    DisabledCoreServer(String),
    /// What the catalogue says of the core server cannot be worked with.
    #[error("core server \"{name}\": {what}")]
    Misconfigured {
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The core server's spool cannot be listed.
    #[error("core server \"{name}\": cannot list its spool: {failure}")]
    Spool {
        /// Its name.
        name: String,
        /// What failed.
        failure: std::io::Error,
    },
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] archive::Error),
}
