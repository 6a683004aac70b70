//! Deciding: which recordings of one PBX go, in which order, by which rule. First by days, then by quota what is still
//! too much.
//!
//! A plan and a run are this same code. What differs is [`Act`], what becomes of a batch once it is decided: it is
//! shown, or it expires. Batches are small, so that other writers get their turn, and memory does not grow with the
//! number of recordings.

use std::collections::HashSet;
use std::time::Duration;

use archive::{Archive, Candidate, Expired, ExpiryReason, Instant, PbxPlace, RecordingId};
use jiff::tz::TimeZone;

use crate::due;
use crate::figures::{Figures, PbxFigures};
use crate::plan::{PlannedExpiry, Rule};
use crate::pulse::{Halt, Pulse};

/// Recordings in one batch, and so in one transaction. Tests meet its borders with a few recordings.
const BATCH: u32 = if cfg!(test) { 3 } else { 500 };

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is shown, and nothing changes.
    Show,
    /// It expires; after this grace period it may be purged.
    Expire { grace: Duration },
}

/// Whoever wants to see each recording that goes, or would.
pub(crate) type Visit<'a> = &'a mut (dyn FnMut(&PlannedExpiry) + Send);

/// The deciding over one PBX.
pub(crate) struct Decider<'a> {
    archive: &'a Archive,
    place: &'a PbxPlace,
    act: Act,
    zone: TimeZone,
    now: Instant,
    /// What was archived at or after this is too young to go.
    archived_before: Instant,
    /// The last recording looked at. Rule after rule and batch after batch go on behind it, so none is decided twice.
    after: Option<(Instant, RecordingId)>,
    /// Bytes that were decided on but are still there, because they were only shown.
    shown_bytes: u64,
}

impl<'a> Decider<'a> {
    /// # Errors
    /// When the tenant's zone is not known: its days cannot be told, and guessing would let some go too early.
    pub(crate) fn new(
        archive: &'a Archive,
        place: &'a PbxPlace,
        act: Act,
        min_age: Duration,
    ) -> Result<Self, archive::Error> {
        let zone = TimeZone::get(&place.time_zone)
            .map_err(|_| archive::Error::Invalid(format!("time zone \"{}\" is not known", place.time_zone)))?;
        let now = archive.clock().now();
        let archived_before = now.minus(min_age);
        Ok(Self { archive, place, act, zone, now, archived_before, after: None, shown_bytes: 0 })
    }

    /// Decides, batch by batch, and acts on each.
    pub(crate) async fn run(
        mut self,
        pulse: &mut Pulse<'_>,
        figures: &mut PbxFigures,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        if let Some(days) = self.place.days {
            self.by_days(days, pulse, figures, visit).await?;
        }
        if let Some(quota_bytes) = self.place.quota_bytes {
            self.by_quota(quota_bytes, pulse, figures, visit).await?;
        }
        Ok(())
    }

    async fn by_days(
        &mut self,
        days: u32,
        pulse: &mut Pulse<'_>,
        figures: &mut PbxFigures,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        let retained_before = due::retained_before(self.now, &self.zone, days);
        loop {
            pulse.beat().await?;
            let candidates = self.next_candidates(retained_before).await?;
            let Some(last) = candidates.last() else { break };
            self.after = Some((last.retain_from, last.id));
            let batch: Vec<PlannedExpiry> =
                candidates.iter().map(|candidate| self.planned(candidate, Rule::Days { days })).collect();
            figures.by_days.add(self.act_on(&batch, None, visit).await?);
        }
        figures.kept_back = self.archive.count_kept_back(self.place.pbx, retained_before).await?;
        Ok(())
    }

    async fn by_quota(
        &mut self,
        quota_bytes: u64,
        pulse: &mut Pulse<'_>,
        figures: &mut PbxFigures,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        let end = Instant::from_millis(i64::MAX);
        let mut used = self.used_bytes().await?;
        while used > quota_bytes {
            pulse.beat().await?;
            let candidates = self.next_candidates(end).await?;
            let (over, seen) = due::over_quota(&candidates, used, quota_bytes);
            let Some(last) = candidates[..seen].last() else { break };
            self.after = Some((last.retain_from, last.id));
            let batch: Vec<PlannedExpiry> = over
                .iter()
                .map(|it| self.planned(&it.candidate, Rule::Quota { quota_bytes, exceeded_by: it.exceeded_by }))
                .collect();
            figures.by_quota.add(self.act_on(&batch, Some(quota_bytes), visit).await?);
            // Asked again: some may have been held since they were listed, or others have come.
            used = self.used_bytes().await?;
        }
        figures.over_quota_by = used.saturating_sub(quota_bytes);
        if figures.over_quota_by > 0 {
            figures.kept_back = self.archive.count_kept_back(self.place.pbx, end).await?;
        }
        Ok(())
    }

    async fn next_candidates(&self, retained_before: Instant) -> archive::Result<Vec<Candidate>> {
        self.archive.list_expirable(self.place.pbx, retained_before, self.archived_before, self.after, BATCH).await
    }

    /// What counts to the quota, less what a plan has shown as going.
    async fn used_bytes(&self) -> archive::Result<u64> {
        Ok(self.archive.quota_bytes_used(self.place.pbx).await?.saturating_sub(self.shown_bytes))
    }

    fn planned(&self, candidate: &Candidate, rule: Rule) -> PlannedExpiry {
        PlannedExpiry {
            recording: candidate.id,
            pbx: self.place.pbx,
            pbx_code: self.place.code.clone(),
            started_at: candidate.started_at.timestamp().to_zoned(self.zone.clone()),
            stored_bytes: candidate.stored_bytes,
            rule,
        }
    }

    /// Shows the batch or lets it expire, and tells what really went, or would.
    async fn act_on(
        &mut self,
        batch: &[PlannedExpiry],
        quota_bytes: Option<u64>,
        visit: Visit<'_>,
    ) -> archive::Result<Figures> {
        match self.act {
            Act::Show => {
                batch.iter().for_each(visit);
                let stored_bytes = batch.iter().map(|it| it.stored_bytes).sum();
                self.shown_bytes += stored_bytes;
                Ok(Figures { recordings: batch.len() as u64, stored_bytes })
            }
            Act::Expire { grace } => {
                let expired = self.expire(batch, quota_bytes, grace).await?;
                let gone: HashSet<RecordingId> = expired.ids.into_iter().collect();
                for it in batch.iter().filter(|it| gone.contains(&it.recording)) {
                    let (id, pbx) = (it.recording, it.pbx);
                    tracing::info!(recording.id = %id, pbx.id = %pbx, "expired recording {id}: {}", it.rule);
                    visit(it);
                }
                Ok(Figures { recordings: expired.recordings, stored_bytes: expired.stored_bytes })
            }
        }
    }

    async fn expire(
        &self,
        batch: &[PlannedExpiry],
        quota_bytes: Option<u64>,
        grace: Duration,
    ) -> archive::Result<Expired> {
        let PbxPlace { tenant, pbx, .. } = *self.place;
        let ids: Vec<RecordingId> = batch.iter().map(|it| it.recording).collect();
        let archived_before = self.archived_before;
        match quota_bytes {
            None => self.archive.expire(tenant, pbx, &ids, archived_before, ExpiryReason::Days, grace).await,
            Some(quota) => self.archive.expire_over_quota(tenant, pbx, &ids, archived_before, quota, grace).await,
        }
    }
}
