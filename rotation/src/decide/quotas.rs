//! Quotas: of a PBX, of a tenant, of a reseller. All three evict in the same way; they differ in whose recordings may go,
//! and in what must be exceeded for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use archive::{
    Bound, Candidate, ExpiryReason, Instant, Kept, Level, LevelLimits, Measure, Quota, RecordingId, TenantId,
};

use super::{Act, BATCH, Decider, EVER, NEVER, Subject, Visit, belongs};
use crate::evict::{Eviction, Next};
use crate::fair::{self, Member};
use crate::figures::{Figures, LevelFigures};
use crate::plan::{PlannedExpiry, Rule};
use crate::pulse::{Halt, Pulse};

/// Recordings brought ahead for all members of a level together.
const AHEAD: u32 = if cfg!(test) { 6 } else { 5000 };
/// And for each of them at least.
const LEAST_AHEAD: u32 = if cfg!(test) { 1 } else { 10 };

/// Why something goes, without its figures.
#[derive(Clone, Copy, Debug)]
struct Cause<'a> {
    reason: ExpiryReason,
    /// The code of the tenant or reseller.
    of: Option<&'a str>,
    measure: Measure,
    quota: u64,
}

impl Decider<'_> {
    /// A PBX, by its own quotas.
    pub(super) async fn by_own_quotas(
        &mut self,
        subject: usize,
        pulse: &mut Pulse<'_>,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        let place = &self.subjects[subject].rules.place;
        let (pbx, quota) = (place.pbx, place.quota);
        for (measure, most) in in_force(quota) {
            let mut eviction = Eviction::default();
            let kept = self.kept(Level::Pbx(pbx)).await?.of(measure);
            let bound = eviction.add_bound(Bound { level: Level::Pbx(pbx), measure, most }, kept);
            eviction.add_member(vec![bound]);
            let cause = Cause { reason: ExpiryReason::Quota, of: None, measure, quota: most };
            self.evict(eviction, &[subject], cause, pulse, visit).await?;
            let over = self.kept(Level::Pbx(pbx)).await?.of(measure).saturating_sub(most);
            if over > 0 {
                let kept_back = self.archive.count_kept_back(pbx, EVER, NEVER..EVER).await?;
                let figures = &mut self.subjects[subject].figures;
                figures.over_quota_by.add(amount(measure, over));
                figures.kept_back = kept_back;
            }
        }
        Ok(())
    }

    /// A tenant or a reseller, by its quotas: from those of its PBXs that keep more than their share.
    pub(super) async fn level(
        &mut self,
        level: &LevelLimits,
        figures: &mut LevelFigures,
        pulse: &mut Pulse<'_>,
        visit: Visit<'_>,
    ) -> Result<(), Halt> {
        let reason = match level.level {
            Level::Tenant(_) => ExpiryReason::TenantQuota,
            Level::Pbx(_) | Level::Reseller(_) => ExpiryReason::ResellerQuota,
        };
        for (measure, most) in in_force(level.quota) {
            let kept = self.kept(level.level).await?.of(measure);
            if kept <= most {
                continue;
            }
            let (eviction, members) = self.share_out(level, measure, most, kept).await?;
            let cause = Cause { reason, of: Some(&level.code), measure, quota: most };
            figures.expired.add(self.evict(eviction, &members, cause, pulse, visit).await?);
            let over = self.kept(level.level).await?.of(measure).saturating_sub(most);
            figures.over_quota_by.add(amount(measure, over));
        }
        Ok(())
    }

    /// Finds the shares of a quota that is exceeded, and who keeps more than its share.
    async fn share_out(
        &self,
        level: &LevelLimits,
        measure: Measure,
        most: u64,
        kept: u64,
    ) -> Result<(Eviction, Vec<usize>), Halt> {
        let of_pbx = match self.act {
            Act::Show => HashMap::new(),
            Act::Expire { .. } => self.archive.list_kept_by(Some(level.level)).await?,
        };
        let mut tenants: HashMap<TenantId, Vec<(usize, Member)>> = HashMap::new();
        for (n, subject) in self.subjects.iter().enumerate().filter(|(_, subject)| belongs(subject, level.level)) {
            let place = &subject.rules.place;
            let kept = match self.act {
                Act::Show => self.shown_kept(subject),
                Act::Expire { .. } => of_pbx.get(&place.pbx).copied().unwrap_or_default(),
            };
            let member = Member { kept: kept.of(measure), own: place.quota.of(measure) };
            tenants.entry(place.tenant).or_default().push((n, member));
        }
        // Always in the same order, so that a plan and a run share out alike to the last byte.
        let mut tenants: Vec<_> = tenants.into_iter().collect();
        tenants.sort_by_key(|(_, members)| members[0].0);
        let quota_of = |tenant| self.levels_quota(Level::Tenant(tenant)).and_then(|quota| quota.of(measure));
        let tenant_members: Vec<Member> = tenants
            .iter()
            .map(|(tenant, pbxs)| Member { kept: pbxs.iter().map(|(_, it)| it.kept).sum(), own: quota_of(*tenant) })
            .collect();
        let tenant_shares = fair::shares(most, &tenant_members);
        let (mut eviction, mut members) = (Eviction::default(), Vec::new());
        let whole = eviction.add_bound(Bound { level: level.level, measure, most }, kept);
        for (((tenant, pbxs), of_tenant), share) in tenants.into_iter().zip(tenant_members).zip(tenant_shares) {
            if of_tenant.kept <= share {
                continue;
            }
            let bound = Bound { level: Level::Tenant(tenant), measure, most: share };
            let tenant_bound = eviction.add_bound(bound, of_tenant.kept);
            let parts: Vec<Member> = pbxs.iter().map(|(_, member)| *member).collect();
            for ((n, member), share) in pbxs.into_iter().zip(fair::shares(share, &parts)) {
                if member.kept <= share || self.subjects[n].zone.is_none() {
                    continue;
                }
                let bound = Bound { level: Level::Pbx(self.subjects[n].rules.place.pbx), measure, most: share };
                let own = eviction.add_bound(bound, member.kept);
                eviction.add_member(vec![own, tenant_bound, whole]);
                members.push(n);
            }
        }
        Ok((eviction, members))
    }

    /// Has the oldest go of those members, window by window, until enough is gone. A member that fails is left out, and its
    /// failure is in its figures.
    async fn evict(
        &mut self,
        mut eviction: Eviction,
        members: &[usize],
        cause: Cause<'_>,
        pulse: &mut Pulse<'_>,
        visit: Visit<'_>,
    ) -> Result<Figures, Halt> {
        let page = (AHEAD / (members.len() as u32).max(1)).clamp(LEAST_AHEAD, BATCH);
        // Several of each member, so that each transaction has some.
        let size = (BATCH as usize).max(members.len() * LEAST_AHEAD as usize);
        let mut after = vec![None; members.len()];
        let mut figures = Figures::default();
        loop {
            let mut window: Vec<(usize, Candidate, u64)> = Vec::new();
            while window.len() < size {
                match eviction.next() {
                    Next::End => break,
                    Next::Load(member) => {
                        pulse.beat().await?;
                        match self.page_of(members[member], &mut after[member], page, pulse).await {
                            Ok(brought) => eviction.bring(member, brought),
                            Err(Halt::Step(error)) => self.give_up(&mut eviction, member, members[member], &error),
                            Err(halt) => return Err(halt),
                        }
                    }
                    Next::Take { member, candidate, exceeded_by } => window.push((member, candidate, exceeded_by)),
                }
            }
            if window.is_empty() {
                return Ok(figures);
            }
            let mut short = Vec::new();
            for (member, going) in by_member(window) {
                pulse.beat().await?;
                let subject = members[member];
                let planned: Vec<PlannedExpiry> =
                    going.iter().map(|(it, exceeded_by)| self.planned(subject, it, cause.rule(*exceeded_by))).collect();
                let bounds = eviction.bounds_of(member);
                let mut gone = Figures::default();
                for batch in planned.chunks(BATCH as usize) {
                    match self.act_on(subject, batch.to_vec(), cause.reason, &bounds, visit).await {
                        Ok(went) => gone.add(went),
                        Err(error) => {
                            self.give_up(&mut eviction, member, subject, &error);
                            break;
                        }
                    }
                }
                self.subjects[subject].figures.add(cause.reason, gone);
                figures.add(gone);
                if gone.recordings < planned.len() as u64 {
                    short.push(member);
                }
            }
            // Some were held since they were listed: others go in their place.
            let mut kept = HashMap::new();
            for bound in short.into_iter().flat_map(|member| eviction.bounds_of(member)) {
                if let Entry::Vacant(entry) = kept.entry(bound.level) {
                    entry.insert(self.kept(bound.level).await?);
                }
            }
            eviction.correct(|bound| kept.get(&bound.level).map(|kept| kept.of(bound.measure)));
        }
    }

    fn give_up(&mut self, eviction: &mut Eviction, member: usize, subject: usize, error: &archive::Error) {
        let subject = &mut self.subjects[subject];
        let pbx = subject.rules.place.pbx;
        tracing::error!(pbx.id = %pbx, "failed to rotate PBX {pbx}: {error}");
        subject.figures.failure = Some(error.to_string());
        eviction.give_up(member);
    }

    /// The next recordings of a PBX that a quota may ask for: none that its days have taken already, or a plan has shown.
    async fn page_of(
        &self,
        subject: usize,
        after: &mut Option<(Instant, RecordingId)>,
        mut page: u32,
        pulse: &mut Pulse<'_>,
    ) -> Result<Vec<Candidate>, Halt> {
        let Subject { rules, terms, shown_by_quota, .. } = &self.subjects[subject];
        loop {
            let archived = NEVER..self.archived_before;
            let mut brought = self.archive.list_expirable(rules.place.pbx, EVER, archived, *after, page).await?;
            let Some(last) = brought.last() else { return Ok(brought) };
            *after = Some((last.retain_from, last.id));
            brought.retain(|it| !shown_by_quota.contains(&it.id) && !terms.iter().any(|term| term.is_due(it)));
            if !brought.is_empty() {
                return Ok(brought);
            }
            pulse.beat().await?;
            page = BATCH;
        }
    }

    fn levels_quota(&self, level: Level) -> Option<Quota> {
        self.levels.iter().find(|it| it.level == level).map(|it| it.quota)
    }
}

impl Cause<'_> {
    fn rule(&self, exceeded_by: u64) -> Rule {
        let Self { reason, of, measure, quota } = *self;
        Rule::quota(reason, of.map(str::to_owned), measure, quota, exceeded_by)
    }
}

/// What goes of each member, in the order in which the first of each goes.
fn by_member(window: Vec<(usize, Candidate, u64)>) -> Vec<(usize, Vec<(Candidate, u64)>)> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut parts: Vec<(usize, Vec<(Candidate, u64)>)> = Vec::new();
    for (member, candidate, exceeded_by) in window {
        let place = *places.entry(member).or_insert_with(|| {
            parts.push((member, Vec::new()));
            parts.len() - 1
        });
        parts[place].1.push((candidate, exceeded_by));
    }
    parts
}

/// The quotas that there are.
fn in_force(quota: Quota) -> impl Iterator<Item = (Measure, u64)> {
    Measure::ALL.into_iter().filter_map(move |measure| quota.of(measure).map(|most| (measure, most)))
}

/// So much of that measure, and nothing of the others.
fn amount(measure: Measure, amount: u64) -> Kept {
    let of = |it| if it == measure { amount } else { 0 };
    Kept { stored_bytes: of(Measure::Bytes), audio_ms: of(Measure::Audio), recordings: of(Measure::Recordings) }
}
