//! What can go wrong in the archive, sorted by what a caller does about it.

use std::fmt;

/// The result of everything the archive does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Each variant is something a caller acts on; [`Error::is_transient`] tells whether trying again can help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or the caller's scope does not reach it: the two look the same on purpose.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The caller's scope reaches it, but this is not the caller's to do.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// A legal hold or a retention lock forbids the change.
    #[error("recording is held or locked")]
    Held,
    /// The row was no longer in the state that the change expects: somebody else was first.
    #[error("{0} was changed by somebody else")]
    Conflict(&'static str),
    /// What was given cannot be accepted; the text says what and why.
    #[error("{0}")]
    Invalid(String),
    /// What is stored contradicts itself: a hash, a size, a row that does not convert.
    #[error("{table} {id}: {what}")]
    Integrity {
        /// The table of the row.
        table: &'static str,
        /// The row, or the object's key.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// A store's marker is absent or belongs to another catalogue: nothing may be written or removed there.
    #[error("store {store}: {what}")]
    Marker {
        /// The store's name.
        store: String,
        /// What was found instead.
        what: String,
    },
    /// No store of that name is configured.
    #[error("store \"{0}\" is not configured: add a [[stores]] section of that name")]
    UnknownStore(String),
    /// A store failed.
    #[error("store failed: {0}")]
    Store(#[source] object_store::Error),
    /// The catalogue's database failed.
    #[error("catalogue failed: {0}")]
    Catalogue(#[source] sqlx::Error),
    /// A migration of the catalogue failed.
    #[error("catalogue migration failed: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A local file failed.
    #[error("{context}: {source}")]
    Io {
        /// Verb and object: "read spool file".
        context: &'static str,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Can the same call succeed later, with nothing else changed?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(
                error,
                object_store::Error::NotFound { .. }
                    | object_store::Error::InvalidPath { .. }
                    | object_store::Error::NotSupported { .. }
                    | object_store::Error::NotImplemented { .. }
                    | object_store::Error::AlreadyExists { .. }
            ),
            Self::Catalogue(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_) => true,
                // 40001 and 40P01: PostgreSQL's serialisation failure and deadlock; 5 and 6: SQLite is busy or locked.
                sqlx::Error::Database(error) => {
                    matches!(error.code().as_deref(), Some("40001" | "40P01" | "57P01" | "5" | "6" | "517"))
                }
                _ => false,
            },
            Self::Io { .. } | Self::Marker { .. } => true,
            _ => false,
        }
    }

    /// Did a unique index refuse the row?
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Catalogue(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// A file operation's failure, with what was being done.
    pub(crate) fn io(context: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { context, source }
    }

    /// A row that does not convert.
    pub(crate) fn integrity(table: &'static str, id: impl fmt::Display, what: impl Into<String>) -> Self {
        Self::Integrity { table, id: id.to_string(), what: what.into() }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalogue(error)
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}
