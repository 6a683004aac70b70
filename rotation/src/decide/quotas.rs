//! Quotas: of a PBX, of a tenant, of a reseller. All three evict in the same way; they differ in whose recordings may go,
//! and in what must be exceeded for it.

use std::collections::HashMap;

use archive::{
    Bound, Candidate, ExpiryReason, Instant, Kept, Level, LevelLimits, Measure, PbxId, Quota, RecordingId, TenantId,
};

use super::{BATCH, Decider, EVER, NEVER, Subject, Visit};
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

/// A recording that goes, whose it is, and by how much its quota was exceeded before.
struct Going {
    subject: usize,
    candidate: Candidate,
    exceeded_by: u64,
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
        let mut of_pbx: HashMap<PbxId, Kept> = self.archive.list_kept_by(level.level).await?.into_iter().collect();
        let mut tenants: Vec<(TenantId, Vec<(usize, Member)>)> = Vec::new();
        for (n, subject) in self.subjects.iter().enumerate() {
            let place = &subject.rules.place;
            let belongs = match level.level {
                Level::Pbx(pbx) => place.pbx == pbx,
                Level::Tenant(tenant) => place.tenant == tenant,
                Level::Reseller(reseller) => place.reseller == reseller,
            };
            let Some(mut kept) = of_pbx.remove(&place.pbx).filter(|_| belongs) else { continue };
            kept.remove(subject.shown);
            let member = Member { kept: kept.of(measure), own: place.quota.of(measure) };
            match tenants.iter_mut().find(|(tenant, _)| *tenant == place.tenant) {
                Some((_, members)) => members.push((n, member)),
                None => tenants.push((place.tenant, vec![(n, member)])),
            }
        }
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

    /// Has the oldest go of those members, window by window, until enough is gone.
    async fn evict(
        &mut self,
        mut eviction: Eviction,
        members: &[usize],
        cause: Cause<'_>,
        pulse: &mut Pulse<'_>,
        visit: Visit<'_>,
    ) -> Result<Figures, Halt> {
        let page = (AHEAD / (members.len() as u32).max(1)).clamp(LEAST_AHEAD, BATCH);
        let mut after: Vec<_> = members.iter().map(|&n| self.subjects[n].after).collect();
        let mut figures = Figures::default();
        loop {
            pulse.beat().await?;
            let mut window: Vec<(usize, Going)> = Vec::new();
            while window.len() < BATCH as usize {
                match eviction.next() {
                    Next::End => break,
                    Next::Load(member) => {
                        let brought = self.page_of(members[member], &mut after[member], page).await?;
                        eviction.bring(member, brought);
                    }
                    Next::Take { member, candidate, exceeded_by } => {
                        window.push((member, Going { subject: members[member], candidate, exceeded_by }));
                    }
                }
            }
            if window.is_empty() {
                return Ok(figures);
            }
            // Which go is settled; they go PBX by PBX, in one transaction each.
            let mut order: Vec<usize> = Vec::new();
            for (member, _) in &window {
                if !order.contains(member) {
                    order.push(*member);
                }
            }
            let mut all_went = true;
            for member in order {
                let subject = members[member];
                let going = window.iter().filter(|(of, _)| *of == member).map(|(_, going)| going);
                let planned: Vec<PlannedExpiry> =
                    going.map(|it| self.planned(it.subject, &it.candidate, cause.rule(it.exceeded_by))).collect();
                let many = planned.len() as u64;
                let bounds = eviction.bounds_of(member);
                if let Some(last) = window.iter().rev().find(|(of, _)| *of == member) {
                    self.subjects[subject].after = Some((last.1.candidate.retain_from, last.1.candidate.id));
                }
                let gone = self.act_on(subject, planned, cause.reason, &bounds, visit).await?;
                self.subjects[subject].figures.add(cause.reason, gone);
                figures.add(gone);
                all_went &= gone.recordings == many;
            }
            if !all_went {
                // Some were held since they were listed: others go in their place.
                let mut kept = HashMap::new();
                for bound in (0..members.len()).flat_map(|member| eviction.bounds_of(member)) {
                    if !kept.contains_key(&bound.level) {
                        kept.insert(bound.level, self.kept(bound.level).await?);
                    }
                }
                eviction.correct(|bound| kept.get(&bound.level).map(|kept| kept.of(bound.measure)));
            }
        }
    }

    /// The next recordings of a PBX that a quota may ask for: none that its days have taken already.
    async fn page_of(
        &self,
        subject: usize,
        after: &mut Option<(Instant, RecordingId)>,
        page: u32,
    ) -> archive::Result<Vec<Candidate>> {
        let Subject { rules, terms, .. } = &self.subjects[subject];
        loop {
            let archived = NEVER..self.archived_before;
            let mut brought = self.archive.list_expirable(rules.place.pbx, EVER, archived, *after, page).await?;
            let Some(last) = brought.last() else { return Ok(brought) };
            *after = Some((last.retain_from, last.id));
            brought.retain(|it| !terms.iter().any(|term| term.is_due(it)));
            if !brought.is_empty() {
                return Ok(brought);
            }
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

/// The quotas that there are.
fn in_force(quota: Quota) -> impl Iterator<Item = (Measure, u64)> {
    Measure::ALL.into_iter().filter_map(move |measure| quota.of(measure).map(|most| (measure, most)))
}

/// So much of that measure, and nothing of the others.
fn amount(measure: Measure, amount: u64) -> Kept {
    let of = |it| if it == measure { amount } else { 0 };
    Kept { stored_bytes: of(Measure::Bytes), audio_ms: of(Measure::Audio), recordings: of(Measure::Recordings) }
}
