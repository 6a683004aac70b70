//! What a round of collecting came to.

use std::fmt;

use crate::work::Ended;

/// What a round of collecting came to, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Finished files that were new to the catalogue.
    pub discovered: u64,
    /// Recordings archived.
    pub archived: u64,
    /// Sources whose recording was there already.
    pub duplicates: u64,
    /// Sources whose recording was purged before, and does not come back.
    pub refused: u64,
    /// Sources that cannot be archived, and say why.
    pub quarantined: u64,
    /// Attempts that failed; their sources are tried again later.
    pub failed: u64,
    /// Files left alone because their recording is not finished.
    pub left_in_progress: u64,
    /// Sources removed from their core servers, or moved aside.
    pub removed: u64,
    /// Core servers whose spool could not be listed, or that are misconfigured.
    pub unreachable: u64,
}

impl Collected {
    pub(crate) fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Archived => self.archived += 1,
            Ended::Duplicate => self.duplicates += 1,
            Ended::Refused => self.refused += 1,
            Ended::Quarantined => self.quarantined += 1,
            Ended::Retried => self.failed += 1,
            Ended::Unspooled | Ended::Lost => {}
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.discovered += other.discovered;
        self.archived += other.archived;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.quarantined += other.quarantined;
        self.failed += other.failed;
        self.left_in_progress += other.left_in_progress;
        self.removed += other.removed;
        self.unreachable += other.unreachable;
    }
}

impl fmt::Display for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} discovered, {} archived, {} duplicates, {} refused, {} quarantined, {} failed, {} left in progress, \
             {} removed, {} core servers unreachable",
            self.discovered,
            self.archived,
            self.duplicates,
            self.refused,
            self.quarantined,
            self.failed,
            self.left_in_progress,
            self.removed,
            self.unreachable
        )
    }
}
