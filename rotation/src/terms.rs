//! Terms: how long each recording of a PBX is kept. Those that were changed for new recordings only still hold for what was
//! archived before.

use std::ops::Range;

use archive::{Candidate, Instant, PbxRules};
use jiff::tz::TimeZone;

use crate::due;

/// What was archived within some time, and how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// When it was archived.
    pub(crate) archived: Range<Instant>,
    /// For how many days.
    pub(crate) days: u32,
    /// What is retained from before this is due.
    pub(crate) retained_before: Instant,
}

/// The terms by which recordings of the PBX become due, the earliest first; what is kept for ever is under none.
pub(crate) fn terms_of(rules: &PbxRules, now: Instant, zone: &TimeZone) -> Vec<Term> {
    let former = rules.former.iter().map(|terms| (terms.archived_before, terms.days));
    let mut since = Instant::from_millis(i64::MIN);
    let mut terms = Vec::new();
    for (until, days) in former.chain([(Instant::from_millis(i64::MAX), rules.place.days)]) {
        if let Some(days) = days {
            let retained_before = due::retained_before(now, zone, days);
            terms.push(Term { archived: since..until, days, retained_before });
        }
        since = until;
    }
    terms
}

impl Term {
    /// What of it is old enough to have been archived before `archived_before`.
    pub(crate) fn archived_before(&self, archived_before: Instant) -> Range<Instant> {
        self.archived.start..self.archived.end.min(archived_before)
    }

    /// Is that recording due by it?
    pub(crate) fn is_due(&self, candidate: &Candidate) -> bool {
        self.archived.contains(&candidate.archived_at) && candidate.retain_from < self.retained_before
    }
}
