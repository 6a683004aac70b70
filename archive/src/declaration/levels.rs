//! Limits that are declared: of tiers, PBXs, tenants and resellers, whether they agree with each other, and whom a change
//! of them reaches.

use std::collections::{HashMap, HashSet};

use super::{Change, DeclaredPbx, DeclaredReseller, DeclaredTenant, DeclaredTier, Reach};
use crate::Archive;
use crate::db::{Tx, Value, params};
use crate::error::{Error, Result};
use crate::id::{PbxId, PolicyId};
use crate::levels::{Level, LevelLimits, Measure, PbxRules, Quota, Rules, kept_in};
use crate::organisation::PbxPlace;

/// The migration that brought former terms.
pub(crate) const KNOWS_FORMER_TERMS: i64 = 6;

/// What an entry says of limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) days: Option<u32>,
    bytes: Option<u64>,
    minutes: Option<u64>,
    recordings: Option<u64>,
}

macro_rules! limits_of {
    ($($kind:ty),+) => {$(
        impl $kind {
            pub(super) fn limits(&self) -> Limits {
                Limits { days: self.days, bytes: self.quota, minutes: self.minutes, recordings: self.recordings }
            }
        }
    )+};
}

limits_of!(DeclaredReseller, DeclaredTier, DeclaredTenant, DeclaredPbx);

impl Limits {
    /// Nought would mean that everything goes, and whoever writes it means that nothing does.
    pub(super) fn check(&self, kind: &str, code: &str) -> Result<()> {
        let nought = [
            ("days", self.days.map(u64::from)),
            ("quota", self.bytes),
            ("minutes", self.minutes),
            ("recordings", self.recordings),
        ];
        match nought.iter().find(|(_, limit)| *limit == Some(0)) {
            None => Ok(()),
            Some((name, _)) => Err(Error::Invalid(format!(
                "{kind} \"{code}\": {name} is 0, and everything would go: leave it out where there is no limit"
            ))),
        }
    }

    fn is_none(&self) -> bool {
        self.days.is_none() && self.bytes.is_none() && self.minutes.is_none() && self.recordings.is_none()
    }

    /// Days, bytes, milliseconds, recordings.
    pub(super) fn values(&self) -> [Value; 4] {
        let audio_ms = self.minutes.map(|minutes| minutes.saturating_mul(60_000));
        [self.days.map(i64::from).into(), self.bytes.into(), audio_ms.into(), self.recordings.into()]
    }
}

impl Archive {
    /// A PBX's own days and quota; with none, its tier's apply and the policy goes. Says whether that changed anything.
    pub(super) async fn put_policy(&self, tx: &mut Tx, pbx: Value, limits: Limits) -> Result<bool> {
        if limits.is_none() {
            return Ok(tx.execute("DELETE FROM policies WHERE pbx_id = $1", vec![pbx]).await? > 0);
        }
        let now = self.clock.now();
        let mut params = vec![pbx];
        params.extend(params![PolicyId::new(now), now]);
        params.extend(limits.values());
        let changed = tx
            .execute(
                "INSERT INTO policies (pbx_id, id, updated_at, days, quota_bytes, quota_audio_ms, quota_recordings)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (pbx_id) DO UPDATE SET
                     updated_at = excluded.updated_at, days = excluded.days, quota_bytes = excluded.quota_bytes,
                     quota_audio_ms = excluded.quota_audio_ms, quota_recordings = excluded.quota_recordings
                 WHERE policies.days IS DISTINCT FROM excluded.days
                     OR policies.quota_bytes IS DISTINCT FROM excluded.quota_bytes
                     OR policies.quota_audio_ms IS DISTINCT FROM excluded.quota_audio_ms
                     OR policies.quota_recordings IS DISTINCT FROM excluded.quota_recordings",
                params,
            )
            .await?;
        Ok(changed > 0)
    }

    /// The limits of a tenant or of a reseller; with none they go. Says whether that changed anything.
    pub(super) async fn put_limits(
        &self,
        tx: &mut Tx,
        level: &'static str,
        owner: Value,
        limits: Limits,
        overbook: bool,
    ) -> Result<bool> {
        if limits.is_none() && !overbook {
            return Ok(tx.execute("DELETE FROM limits WHERE owner_id = $1", vec![owner]).await? > 0);
        }
        let mut params = vec![owner];
        params.extend(params![level, overbook, self.clock.now()]);
        params.extend(limits.values());
        let changed = tx
            .execute(
                "INSERT INTO limits
                     (owner_id, level, overbook, updated_at, days, quota_bytes, quota_audio_ms, quota_recordings)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (owner_id) DO UPDATE SET
                     overbook = excluded.overbook, updated_at = excluded.updated_at, days = excluded.days,
                     quota_bytes = excluded.quota_bytes, quota_audio_ms = excluded.quota_audio_ms,
                     quota_recordings = excluded.quota_recordings
                 WHERE limits.overbook <> excluded.overbook
                     OR limits.days IS DISTINCT FROM excluded.days
                     OR limits.quota_bytes IS DISTINCT FROM excluded.quota_bytes
                     OR limits.quota_audio_ms IS DISTINCT FROM excluded.quota_audio_ms
                     OR limits.quota_recordings IS DISTINCT FROM excluded.quota_recordings",
                params,
            )
            .await?;
        Ok(changed > 0)
    }

    /// Has a change of days reach whom it is to reach. A quota is of everything that is kept, so one that is exceeded
    /// already cannot be for new recordings only.
    pub(super) async fn settle_terms(
        &self,
        tx: &mut Tx,
        before: &Rules,
        after: &Rules,
        reach: Option<Reach>,
        declared: &HashSet<&str>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let was: HashMap<PbxId, &PbxRules> = before.pbxs.iter().map(|it| (it.place.pbx, it)).collect();
        for it in &after.pbxs {
            let Some(was) = was.get(&it.place.pbx) else { continue };
            let (pbx, changed) = (it.place.pbx, was.place.days != it.place.days);
            match reach {
                Some(Reach::New) if changed => self.keep_former_terms(tx, was).await?,
                Some(Reach::New) => {}
                Some(Reach::Existing) | None => {
                    let asked = reach.is_some() && declared.contains(it.place.code.as_str());
                    if changed || asked {
                        let ended = tx.execute("DELETE FROM former_terms WHERE pbx_id = $1", params![pbx]).await?;
                        if ended > 0 {
                            super::apply::note_changed(changes, "PBX", &it.place.code);
                        }
                    }
                }
            }
        }
        if reach == Some(Reach::New) {
            check_new_quotas(tx, before, after).await?;
        }
        Ok(())
    }

    /// What the PBX has archived is kept as it was to be. Programs that do not know former terms would let it go: they may
    /// no longer work on this catalogue.
    async fn keep_former_terms(&self, tx: &mut Tx, was: &PbxRules) -> Result<()> {
        // Never before what is there: a clock that was ahead then must not exchange one promise for another.
        let last = was.former.last().map(|terms| terms.archived_before);
        let archived_before = last.map_or(self.clock.now(), |last| last.max(self.clock.now()));
        tx.execute(
            "INSERT INTO former_terms (pbx_id, archived_before, days) VALUES ($1, $2, $3)
             ON CONFLICT (pbx_id, archived_before) DO NOTHING",
            params![was.place.pbx, archived_before, was.place.days.map(i64::from)],
        )
        .await?;
        tx.execute(
            "UPDATE compatibility SET compatible_from = $1 WHERE compatible_from < $1",
            params![KNOWS_FORMER_TERMS],
        )
        .await?;
        Ok(())
    }
}

async fn check_new_quotas(tx: &mut Tx, before: &Rules, after: &Rules) -> Result<()> {
    let had: HashMap<Level, (&str, Quota)> = quotas(before).collect();
    // Who came from another reseller counts to its quota, which is as good as new to it.
    let of: HashMap<PbxId, Level> =
        before.pbxs.iter().map(|it| (it.place.pbx, Level::Reseller(it.place.reseller))).collect();
    let grown: HashSet<Level> = (after.pbxs.iter())
        .map(|it| (it.place.pbx, Level::Reseller(it.place.reseller)))
        .filter(|(pbx, reseller)| of.get(pbx).is_some_and(|was| was != reseller))
        .map(|(_, reseller)| reseller)
        .collect();
    for (level, (code, quota)) in quotas(after) {
        if had.get(&level).is_some_and(|had| had.1 == quota) && !grown.contains(&level) {
            continue;
        }
        let kept = kept_in(tx, level).await?;
        let exceeded = Measure::ALL.into_iter().find(|&it| quota.of(it).is_some_and(|most| kept.of(it) > most));
        if let Some(measure) = exceeded {
            return Err(Error::Invalid(format!(
                "\"{code}\" keeps {}, its new quota is {}: a quota is of everything that is kept, so this one cannot be \
                 for new recordings only",
                measure.describe(kept.of(measure)),
                measure.describe(quota.of(measure).unwrap_or_default())
            )));
        }
    }
    Ok(())
}

fn quotas(rules: &Rules) -> impl Iterator<Item = (Level, (&str, Quota))> {
    let pbxs = rules.pbxs.iter().map(|it| (Level::Pbx(it.place.pbx), (it.place.code.as_str(), it.place.quota)));
    pbxs.chain(rules.levels.iter().map(|it| (it.level, (it.code.as_str(), it.quota))))
}

/// Whether the levels agree: nobody is promised more than the level above it has.
///
/// # Errors
/// [`Error::Invalid`], with both numbers.
pub(super) fn check_levels(rules: &Rules) -> Result<()> {
    let of = |level: Level| rules.levels.iter().find(|it| it.level == level);
    for it in &rules.pbxs {
        if let Some(tenant) = of(Level::Tenant(it.place.tenant)) {
            check_within(&it.place, tenant)?;
        }
    }
    for reseller in rules.levels.iter().filter(|it| matches!(it.level, Level::Reseller(_)) && !it.overbook) {
        for measure in Measure::ALL {
            if let Some(has) = reseller.quota.of(measure) {
                check_sold(rules, reseller, measure, has)?;
            }
        }
    }
    Ok(())
}

fn check_within(pbx: &PbxPlace, tenant: &LevelLimits) -> Result<()> {
    for measure in Measure::ALL {
        if let (Some(own), Some(most)) = (pbx.quota.of(measure), tenant.quota.of(measure))
            && own > most
        {
            return Err(Error::Invalid(format!(
                "PBX \"{}\" has a quota of {}, but its tenant \"{}\" only {}",
                pbx.code,
                measure.describe(own),
                tenant.code,
                measure.describe(most)
            )));
        }
    }
    Ok(())
}

/// What a reseller has sold: each tenant's quota, or where it has none those of its PBXs.
fn check_sold(rules: &Rules, reseller: &LevelLimits, measure: Measure, has: u64) -> Result<()> {
    let mut tenants: HashMap<_, Option<u64>> = HashMap::new();
    for it in rules.pbxs.iter().filter(|it| Level::Reseller(it.place.reseller) == reseller.level) {
        let sold = tenants.entry(it.place.tenant).or_insert(Some(0));
        *sold = sold.zip(it.place.quota.of(measure)).map(|(sold, more)| sold.saturating_add(more));
    }
    let mut sum = 0_u64;
    for (tenant, of_pbxs) in tenants {
        let own = rules.levels.iter().find(|it| it.level == Level::Tenant(tenant));
        let sold = own.and_then(|it| it.quota.of(measure)).or(of_pbxs);
        // A tenant without any limit was sold no amount: the reseller's own quota is shared out fairly when it is full.
        sum = sum.saturating_add(sold.unwrap_or(0));
    }
    if sum <= has {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "reseller \"{}\" has {} and would have sold {}: raise its quota, sell less, or set overbook = true",
        reseller.code,
        measure.describe(has),
        measure.describe(sum)
    )))
}

/// What changed for PBXs that keep something, and for their levels: a line each, for who must choose whom it reaches.
pub(super) fn describe_changes(before: &Rules, after: &Rules, keeping: &HashSet<PbxId>) -> Vec<String> {
    let was: HashMap<PbxId, &PbxRules> = before.pbxs.iter().map(|it| (it.place.pbx, it)).collect();
    let mut lines = Vec::new();
    let mut owners = HashSet::new();
    for it in after.pbxs.iter().filter(|it| keeping.contains(&it.place.pbx)) {
        owners.extend([Level::Tenant(it.place.tenant), Level::Reseller(it.place.reseller)]);
        let Some(was) = was.get(&it.place.pbx) else { continue };
        let code = &it.place.code;
        if (was.place.days, &was.former) != (it.place.days, &it.former) {
            lines.push(format!("PBX {code}: {} → {}", terms(was), terms(it)));
        }
        if was.place.reseller != it.place.reseller {
            lines.push(format!("PBX {code}: counts to the quotas of another reseller"));
        }
        owners.extend([Level::Tenant(was.place.tenant), Level::Reseller(was.place.reseller)]);
    }
    let keeps = |level: &Level| match level {
        Level::Pbx(pbx) => keeping.contains(pbx),
        level => owners.contains(level),
    };
    let (had, has): (HashMap<_, _>, HashMap<_, _>) = (quotas(before).collect(), quotas(after).collect());
    let mut changed: Vec<(&str, String)> = Vec::new();
    for (level, (code, _)) in has.iter().chain(had.iter().filter(|(level, _)| !has.contains_key(level))) {
        let (was, is) = (had.get(level).map(|it| it.1), has.get(level).map(|it| it.1));
        if keeps(level) && was.unwrap_or_default() != is.unwrap_or_default() {
            changed.push((code, format!("{code}: {} → {}", show(was), show(is))));
        }
    }
    changed.sort();
    lines.extend(changed.into_iter().map(|(_, line)| line));
    lines
}

/// `60 days; 365 days for what was archived before 2026-11-21`.
fn terms(rules: &PbxRules) -> String {
    let days = |days: Option<u32>| days.map_or("for ever".to_owned(), |days| format!("{days} days"));
    let former = rules.former.iter().rev().map(|it| {
        format!(
            "; {} for what was archived before {}",
            days(it.days),
            it.archived_before.timestamp().strftime("%Y-%m-%d")
        )
    });
    std::iter::once(days(rules.place.days)).chain(former).collect()
}

fn show(quota: Option<Quota>) -> String {
    let quota = quota.unwrap_or_default();
    let parts: Vec<String> = Measure::ALL.iter().filter_map(|&it| quota.of(it).map(|most| it.describe(most))).collect();
    if parts.is_empty() { "no quota".to_owned() } else { parts.join(", ") }
}
