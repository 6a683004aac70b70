//! Deciding: which recordings go, in which order, by which rule. First each PBX by its days and then by its own quotas;
//! then each tenant by its quotas, then each reseller by its own, taking from those that keep more than their share.
//!
//! A plan and a run are this same code. What differs is [`Act`], what becomes of a batch once it is decided: it is
//! shown, or it expires. Batches are small, so that other writers get their turn, and memory does not grow with the
//! number of recordings.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use archive::{
    Archive, Bound, Candidate, ExpiryReason, Instant, Kept, Level, LevelLimits, PbxId, PbxRules, RecordingId, Rules,
};
use jiff::tz::TimeZone;

use crate::figures::{Figures, LevelFigures, PbxFigures};
use crate::plan::{PlannedExpiry, Rule};
use crate::pulse::{Halt, Pulse};
use crate::terms::{Term, terms_of};

mod quotas;

/// Recordings in one batch, and so in one transaction. Tests meet its borders with a few recordings.
const BATCH: u32 = if cfg!(test) { 3 } else { 500 };
const EVER: Instant = Instant::from_millis(i64::MAX);
const NEVER: Instant = Instant::from_millis(i64::MIN);

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

/// A PBX that is decided on, and what was decided.
struct Subject {
    rules: PbxRules,
    /// `None`: its days cannot be told, and guessing would let some go too early.
    zone: Option<TimeZone>,
    terms: Vec<Term>,
    figures: PbxFigures,
    /// What was decided on but is still there, because it was only shown.
    shown: Kept,
    /// Which of it by a quota: another quota must not show it again.
    shown_by_quota: HashSet<RecordingId>,
}

/// The deciding over all PBXs.
pub(crate) struct Decider<'a> {
    archive: &'a Archive,
    act: Act,
    /// What was archived at or after this is too young to go.
    archived_before: Instant,
    subjects: Vec<Subject>,
    /// Of a plan: what each PBX kept when it began. The PBXs belong where the plan's rules say, which may be elsewhere than
    /// where the catalogue has them.
    kept_at_first: HashMap<PbxId, Kept>,
    levels: Vec<LevelLimits>,
    level_figures: Vec<LevelFigures>,
}

impl<'a> Decider<'a> {
    pub(crate) fn new(archive: &'a Archive, rules: Rules, act: Act, min_age: Duration) -> Self {
        let now = archive.clock().now();
        let subjects = rules.pbxs.into_iter().map(|rules| {
            let zone = TimeZone::get(&rules.place.time_zone).ok();
            let terms = zone.as_ref().map_or_else(Vec::new, |zone| terms_of(&rules, now, zone));
            let mut figures = PbxFigures::of(&rules.place);
            if zone.is_none() {
                figures.failure = Some(format!("time zone \"{}\" is not known", rules.place.time_zone));
            }
            Subject { rules, zone, terms, figures, shown: Kept::default(), shown_by_quota: HashSet::new() }
        });
        Self {
            archive,
            act,
            archived_before: now.minus(min_age),
            subjects: subjects.collect(),
            kept_at_first: HashMap::new(),
            levels: rules.levels,
            level_figures: Vec::new(),
        }
    }

    /// Decides, batch by batch, and acts on each. One PBX or level that fails never stops the others.
    pub(crate) async fn run(&mut self, pulse: &mut Pulse<'_>, visit: Visit<'_>) -> Result<(), Halt> {
        if self.act == Act::Show {
            self.kept_at_first = self.archive.list_kept_by(None).await.map_err(Halt::Catalogue)?;
        }
        for subject in 0..self.subjects.len() {
            pulse.beat().await?;
            let decided = self.pbx(subject, pulse, visit).await;
            if let Err(error) = step(decided)? {
                let pbx = self.subjects[subject].rules.place.pbx;
                tracing::error!(pbx.id = %pbx, "failed to rotate PBX {pbx}: {error}");
                self.subjects[subject].figures.failure = Some(error.to_string());
            }
        }
        for level in self.levels.clone() {
            pulse.beat().await?;
            let mut figures = LevelFigures::of(&level);
            let decided = self.level(&level, &mut figures, pulse, visit).await;
            let decided = step(decided);
            if let Ok(Err(error)) = &decided {
                tracing::error!("failed to rotate {} {}: {error}", figures.level, figures.id);
                figures.failure = Some(error.to_string());
            }
            self.level_figures.push(figures);
            let _ = decided?;
        }
        Ok(())
    }

    /// What went, or would, by PBX and by level, where there is anything to tell.
    pub(crate) fn finish(self) -> (Vec<PbxFigures>, Vec<LevelFigures>) {
        let pbxs = self.subjects.into_iter().map(|subject| subject.figures);
        let levels = self.level_figures.into_iter();
        (pbxs.filter(PbxFigures::is_worth_a_line).collect(), levels.filter(LevelFigures::is_worth_a_line).collect())
    }

    async fn pbx(&mut self, subject: usize, pulse: &mut Pulse<'_>, visit: Visit<'_>) -> Result<(), Halt> {
        if self.subjects[subject].zone.is_none() {
            return Ok(());
        }
        for term in self.subjects[subject].terms.clone() {
            self.by_days(subject, &term, pulse, visit).await?;
        }
        self.by_own_quotas(subject, pulse, visit).await
    }

    async fn by_days(
        &mut self,
        subject: usize,
        term: &Term,
        pulse: &mut Pulse<'_>,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        let pbx = self.subjects[subject].rules.place.pbx;
        let archived = term.archived_before(self.archived_before);
        let mut after = None;
        loop {
            pulse.beat().await?;
            let archived = archived.clone();
            let candidates = self.archive.list_expirable(pbx, term.retained_before, archived, after, BATCH).await?;
            let Some(last) = candidates.last() else { break };
            after = Some((last.retain_from, last.id));
            let rule = Rule::Days { days: term.days };
            let planned = candidates.iter().map(|it| self.planned(subject, it, rule.clone())).collect();
            let figures = self.act_on(subject, planned, ExpiryReason::Days, &[], visit).await?;
            self.subjects[subject].figures.by_days.add(figures);
        }
        let kept_back = self.archive.count_kept_back(pbx, term.retained_before, term.archived.clone()).await?;
        self.subjects[subject].figures.kept_back += kept_back;
        Ok(())
    }

    /// What counts to a level's quotas, less what a plan has shown as going.
    async fn kept(&self, level: Level) -> archive::Result<Kept> {
        if self.act != Act::Show {
            return self.archive.kept_by(level).await;
        }
        let mut kept = Kept::default();
        for subject in self.subjects.iter().filter(|subject| belongs(subject, level)) {
            kept.add(self.shown_kept(subject));
        }
        Ok(kept)
    }

    /// What a plan has left a PBX.
    fn shown_kept(&self, subject: &Subject) -> Kept {
        let mut kept = self.kept_at_first.get(&subject.rules.place.pbx).copied().unwrap_or_default();
        kept.remove(subject.shown);
        kept
    }

    fn planned(&self, subject: usize, candidate: &Candidate, rule: Rule) -> PlannedExpiry {
        let Subject { rules, zone, .. } = &self.subjects[subject];
        PlannedExpiry {
            recording: candidate.id,
            pbx: rules.place.pbx,
            pbx_code: rules.place.code.clone(),
            started_at: candidate.started_at.timestamp().to_zoned(zone.clone().unwrap_or(TimeZone::UTC)),
            stored_bytes: candidate.kept.stored_bytes,
            audio_ms: candidate.kept.audio_ms,
            rule,
        }
    }

    /// Shows the batch or lets it expire, and tells what really went, or would.
    async fn act_on(
        &mut self,
        subject: usize,
        batch: Vec<PlannedExpiry>,
        reason: ExpiryReason,
        bounds: &[Bound],
        visit: Visit<'_>,
    ) -> archive::Result<Figures> {
        let gone = match self.act {
            Act::Show => {
                batch.iter().for_each(&mut *visit);
                batch
            }
            Act::Expire { grace } => {
                let (tenant, pbx) = {
                    let place = &self.subjects[subject].rules.place;
                    (place.tenant, place.pbx)
                };
                let ids: Vec<RecordingId> = batch.iter().map(|it| it.recording).collect();
                let before = self.archived_before;
                let expired = match bounds {
                    [] => self.archive.expire(tenant, pbx, &ids, before, reason, grace).await?,
                    _ => self.archive.expire_over_quota(tenant, pbx, &ids, before, reason, grace, bounds).await?,
                };
                let gone: HashSet<RecordingId> = expired.ids.into_iter().collect();
                let gone: Vec<PlannedExpiry> = batch.into_iter().filter(|it| gone.contains(&it.recording)).collect();
                for it in &gone {
                    let (id, pbx) = (it.recording, it.pbx);
                    tracing::info!(recording.id = %id, pbx.id = %pbx, "expired recording {id}: {}", it.rule);
                    visit(it);
                }
                gone
            }
        };
        let mut kept = Kept::default();
        for it in &gone {
            kept.add(Kept { stored_bytes: it.stored_bytes, audio_ms: it.audio_ms, recordings: 1 });
            self.subjects[subject].figures.note(Instant::from(it.started_at.timestamp()));
        }
        if self.act == Act::Show {
            let subject = &mut self.subjects[subject];
            subject.shown.add(kept);
            if !bounds.is_empty() {
                subject.shown_by_quota.extend(gone.iter().map(|it| it.recording));
            }
        }
        Ok(Figures { recordings: kept.recordings, stored_bytes: kept.stored_bytes })
    }
}

fn belongs(subject: &Subject, level: Level) -> bool {
    let place = &subject.rules.place;
    match level {
        Level::Pbx(pbx) => place.pbx == pbx,
        Level::Tenant(tenant) => place.tenant == tenant,
        Level::Reseller(reseller) => place.reseller == reseller,
    }
}

/// Parts what ends the whole run (`Err`) from what ends one step of it (`Ok(Err)`).
pub(crate) fn step(result: Result<(), Halt>) -> Result<Result<(), archive::Error>, Halt> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(Halt::Step(error)) => Ok(Err(error)),
        Err(halt) => Err(halt),
    }
}
