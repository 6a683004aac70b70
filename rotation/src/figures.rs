//! Figures: how much went, or would go; the same for a plan and for a run.

use std::fmt;

use archive::{ExpiryReason, Instant, Kept, Level, LevelLimits, Measure, PbxId, PbxPlace, TenantId};
use serde::Serialize;

use crate::json;

/// A number of recordings and their bytes in all stores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How many recordings.
    pub recordings: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Self) {
        self.recordings += other.recordings;
        self.stored_bytes += other.stored_bytes;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.recordings == 1 { "" } else { "s" };
        write!(f, "{} recording{plural} ({} bytes)", self.recordings, self.stored_bytes)
    }
}

/// What expired of one PBX, or would, and what stays though a rule asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PbxFigures {
    /// The PBX.
    #[serde(serialize_with = "json::text")]
    pub pbx: PbxId,
    /// Its code.
    pub code: String,
    /// Its tenant.
    #[serde(serialize_with = "json::text")]
    pub tenant: TenantId,
    /// The days in force.
    pub days: Option<u32>,
    /// The quota in force, in stored bytes.
    pub quota_bytes: Option<u64>,
    /// The quota in force, in milliseconds of audio.
    pub quota_audio_ms: Option<u64>,
    /// The quota in force, in recordings.
    pub quota_recordings: Option<u64>,
    /// Expired because they are older than the days.
    pub by_days: Figures,
    /// Expired because the PBX was over its quota.
    pub by_quota: Figures,
    /// Expired because its tenant was over its quota, and the PBX over its share of it.
    pub by_tenant_quota: Figures,
    /// Expired because its reseller was over its quota, and the PBX over its share of it.
    pub by_reseller_quota: Figures,
    /// When the oldest call of all that expired began.
    #[serde(serialize_with = "json::optional_text")]
    pub oldest: Option<Instant>,
    /// When the newest began.
    #[serde(serialize_with = "json::optional_text")]
    pub newest: Option<Instant>,
    /// How many recordings stay, though due by days or by a quota that is still exceeded, because something holds or
    /// locks them.
    pub kept_back: u64,
    /// By how much the PBX stays over its own quota, because nothing more of it may go.
    pub over_quota_by: Kept,
    /// Why this PBX could not be rotated to the end; the next run tries again.
    pub failure: Option<String>,
}

impl PbxFigures {
    pub(crate) fn of(place: &PbxPlace) -> Self {
        Self {
            pbx: place.pbx,
            code: place.code.clone(),
            tenant: place.tenant,
            days: place.days,
            quota_bytes: place.quota.stored_bytes,
            quota_audio_ms: place.quota.audio_ms,
            quota_recordings: place.quota.recordings,
            by_days: Figures::default(),
            by_quota: Figures::default(),
            by_tenant_quota: Figures::default(),
            by_reseller_quota: Figures::default(),
            oldest: None,
            newest: None,
            kept_back: 0,
            over_quota_by: Kept::default(),
            failure: None,
        }
    }

    /// Adds what expired for that reason.
    pub(crate) fn add(&mut self, reason: ExpiryReason, figures: Figures) {
        match reason {
            ExpiryReason::Quota => self.by_quota.add(figures),
            ExpiryReason::TenantQuota => self.by_tenant_quota.add(figures),
            ExpiryReason::ResellerQuota => self.by_reseller_quota.add(figures),
            _ => self.by_days.add(figures),
        }
    }

    /// Notes when the call of one that expired began.
    pub(crate) fn note(&mut self, started_at: Instant) {
        self.oldest = Some(self.oldest.map_or(started_at, |oldest| oldest.min(started_at)));
        self.newest = Some(self.newest.map_or(started_at, |newest| newest.max(started_at)));
    }

    /// By all rules together.
    pub fn expired(&self) -> Figures {
        let mut sum = self.by_days;
        [self.by_quota, self.by_tenant_quota, self.by_reseller_quota].into_iter().for_each(|it| sum.add(it));
        sum
    }

    /// Is there anything to tell?
    pub(crate) fn is_worth_a_line(&self) -> bool {
        self.expired().recordings > 0
            || self.kept_back > 0
            || self.over_quota_by != Kept::default()
            || self.failure.is_some()
    }
}

/// One line: `acme: 3 recordings (3000 bytes) by days, 1 recording (20 bytes) by quota, 2 kept back by holds or locks`.
impl fmt::Display for PbxFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (figures, rule) in [
            (self.by_days, "days"),
            (self.by_quota, "quota"),
            (self.by_tenant_quota, "its tenant's quota"),
            (self.by_reseller_quota, "its reseller's quota"),
        ] {
            if figures.recordings > 0 {
                parts.push(format!("{figures} by {rule}"));
            }
        }
        if self.kept_back > 0 {
            parts.push(format!("{} kept back by holds or locks", self.kept_back));
        }
        parts.extend(still_over(self.over_quota_by));
        if let Some(failure) = &self.failure {
            parts.push(format!("failed: {failure}"));
        }
        write!(f, "{}: {}", self.code, if parts.is_empty() { "nothing is due".to_owned() } else { parts.join(", ") })
    }
}

/// What expired of a tenant or a reseller by its own quota, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelFigures {
    /// `tenant` or `reseller`.
    pub level: &'static str,
    /// Its id.
    pub id: String,
    /// Its code.
    pub code: String,
    /// Expired because it was over its quota; they are among those of the PBXs.
    pub expired: Figures,
    /// By how much it stays over its quota: those who keep more than their share have nothing more that may go.
    pub over_quota_by: Kept,
    /// Why it could not be rotated to the end; the next run tries again.
    pub failure: Option<String>,
    /// The tenant, where it is one.
    #[serde(skip)]
    pub(crate) tenant: Option<TenantId>,
}

impl LevelFigures {
    pub(crate) fn of(limits: &LevelLimits) -> Self {
        let (level, id, tenant) = match limits.level {
            Level::Pbx(id) => ("PBX", id.to_string(), None),
            Level::Tenant(id) => ("tenant", id.to_string(), Some(id)),
            Level::Reseller(id) => ("reseller", id.to_string(), None),
        };
        let (expired, over_quota_by) = (Figures::default(), Kept::default());
        Self { level, id, code: limits.code.clone(), expired, over_quota_by, failure: None, tenant }
    }

    pub(crate) fn is_worth_a_line(&self) -> bool {
        self.expired.recordings > 0 || self.over_quota_by != Kept::default() || self.failure.is_some()
    }
}

/// One line: `tenant acme: 3 recordings (3000 bytes) by its quota`.
impl fmt::Display for LevelFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.expired.recordings > 0 {
            parts.push(format!("{} by its quota", self.expired));
        }
        parts.extend(still_over(self.over_quota_by));
        if let Some(failure) = &self.failure {
            parts.push(format!("failed: {failure}"));
        }
        write!(f, "{} {}: {}", self.level, self.code, parts.join(", "))
    }
}

fn still_over(over: Kept) -> Option<String> {
    let measures = Measure::ALL.into_iter().filter(|&it| over.of(it) > 0);
    let amounts: Vec<String> = measures.map(|it| it.describe(over.of(it))).collect();
    (!amounts.is_empty())
        .then(|| format!("still over its quota by {}, with nothing more that may go", amounts.join(" and ")))
}
