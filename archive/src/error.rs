//! What can go wrong in the archive, sorted by what a caller does about it.

use std::fmt;

use crate::clock::Instant;
use crate::id::RecordingId;
use crate::stores::Trouble;

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
    /// Every copy of the recording's audio is damaged or missing. Whoever could repair it knows.
    #[error("recording {0}: no sound copy of its audio is left")]
    Damaged(RecordingId),
    /// The catalogue was moved to another database, then: nobody works on this one any more.
    #[error("this catalogue was moved to another database at {0}: set [database] url to that one")]
    Moved(Instant),
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
    /// A store cannot be used, or takes nothing new.
    #[error("store {store}: {what}")]
    StoreUnavailable {
        /// The store's name.
        store: String,
        /// What kind of trouble it is in.
        trouble: Trouble,
        /// Why, and what to do, in one line.
        what: String,
    },
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
                sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
                _ => false,
            },
            Self::Io { .. } | Self::Marker { .. } => true,
            Self::StoreUnavailable { trouble, .. } => *trouble != Trouble::Refused,
            _ => false,
        }
    }

    /// Is it a store that failed, and not the catalogue or what was asked?
    pub(crate) fn is_of_store(&self) -> bool {
        matches!(self, Self::Store(_) | Self::StoreUnavailable { .. } | Self::Marker { .. } | Self::Io { .. })
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

/// Is it the database's own trouble, and no fault of the statement? PostgreSQL's codes have five characters, the first two
/// of which are a class (connection, rolled back, out of disk or memory, locked, operator's doing, I/O); 25006 is a server
/// that only reads, as after a failover. SQLite's are numbers, whose lowest byte tells the kind.
fn passes(code: &str) -> bool {
    if code.len() == 5 {
        return code == "25006" || ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class));
    }
    // Busy, locked, no memory, read-only, interrupted, I/O, full, cannot open, locking protocol.
    code.parse::<u32>().is_ok_and(|code| [5, 6, 7, 8, 9, 10, 13, 14, 15].contains(&(code & 0xff)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_failover_and_a_restart_pass_and_a_wrong_statement_does_not() {
        for code in ["40001", "40P01", "08006", "25006", "53100", "53300", "57P01", "57P03", "58030"] {
            assert!(passes(code), "PostgreSQL {code}");
        }
        for code in ["5", "6", "13", "517", "778"] {
            assert!(passes(code), "SQLite {code}");
        }
        for code in ["23505", "22021", "42601", "1", "19", "20", "2067", "", "x"] {
            assert!(!passes(code), "{code}");
        }
    }
}
