//! A plan: what a run would do now, recording by recording, with the rule that asks for each.

use std::fmt;

use archive::{ExpiryReason, Instant, Measure, PbxId, RecordingId};
use serde::Serialize;

use crate::figures::{Figures, LevelFigures, PbxFigures};
use crate::json;

/// The rule that a recording is due by, with its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Rule {
    /// Older than the PBX's days.
    Days {
        /// The days in force.
        days: u32,
    },
    /// The oldest that may go of a PBX over its quota.
    Quota(Exceeded),
    /// The oldest that may go of those PBXs that keep more than their share of their tenant's quota, which is exceeded.
    TenantQuota(Exceeded),
    /// The oldest that may go of those PBXs that keep more than their share of their reseller's quota, which is exceeded.
    ResellerQuota(Exceeded),
}

/// A quota that is exceeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exceeded {
    /// The code of the tenant or reseller; `None`: the PBX's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What it is of.
    #[serde(serialize_with = "json::measure")]
    pub measure: Measure,
    /// The quota in force: bytes, milliseconds or recordings.
    pub quota: u64,
    /// By how much it is exceeded before this recording goes.
    pub exceeded_by: u64,
}

impl Rule {
    /// The rule of an exceeded quota.
    pub(crate) fn quota(
        reason: ExpiryReason,
        of: Option<String>,
        measure: Measure,
        quota: u64,
        exceeded_by: u64,
    ) -> Self {
        let exceeded = Exceeded { of, measure, quota, exceeded_by };
        match reason {
            ExpiryReason::TenantQuota => Self::TenantQuota(exceeded),
            ExpiryReason::ResellerQuota => Self::ResellerQuota(exceeded),
            _ => Self::Quota(exceeded),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quota, by) = (self.measure.describe(self.quota), self.measure.describe(self.exceeded_by));
        write!(f, "{quota} exceeded by {by}, oldest first")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days { days: 1 } => f.write_str("older than 1 day"),
            Self::Days { days } => write!(f, "older than {days} days"),
            Self::Quota(exceeded) => write!(f, "quota {exceeded}"),
            Self::TenantQuota(it) | Self::ResellerQuota(it) => {
                let level = if matches!(self, Self::TenantQuota(_)) { "tenant" } else { "reseller" };
                write!(f, "quota of {level} {} {it} of those over their share", it.of.as_deref().unwrap_or_default())
            }
        }
    }
}

/// A recording that expires, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedExpiry {
    /// The recording.
    #[serde(serialize_with = "json::text")]
    pub recording: RecordingId,
    /// Its PBX.
    #[serde(serialize_with = "json::text")]
    pub pbx: PbxId,
    /// Its PBX's code.
    pub pbx_code: String,
    /// When its call began, in the tenant's zone.
    #[serde(serialize_with = "json::zoned")]
    pub started_at: jiff::Zoned,
    /// Its bytes in all stores together.
    pub stored_bytes: u64,
    /// How long it plays.
    pub audio_ms: u64,
    /// Why.
    #[serde(flatten)]
    pub rule: Rule,
}

/// One line: `01J… acme 2026-10-01 09:00:00+02:00 1234 bytes: older than 30 days`.
impl fmt::Display for PlannedExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started_at = self.started_at.strftime("%Y-%m-%d %H:%M:%S%:z");
        let Self { recording, pbx_code, stored_bytes, rule, .. } = self;
        write!(f, "{recording} {pbx_code} {started_at} {stored_bytes} bytes: {rule}")
    }
}

/// What a run would do now, in total and for each PBX that there is something to tell of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanSummary {
    /// When the plan was made.
    #[serde(serialize_with = "json::text")]
    pub at: Instant,
    /// Why a run would let nothing go at all: the clock cannot be believed.
    pub clock_refused: Option<String>,
    /// Each PBX, by code.
    pub pbxs: Vec<PbxFigures>,
    /// Each tenant and reseller whose quota is exceeded, by code.
    pub levels: Vec<LevelFigures>,
    /// What would expire, all PBXs together.
    pub expiring: Figures,
    /// What would be purged: expired before, with its grace period over.
    pub purging: Figures,
    /// How many recordings would begin to move to other stores.
    pub moving: u64,
}

/// The lines that follow the recordings.
impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(refusal) = &self.clock_refused {
            return write!(f, "nothing would go: {refusal}");
        }
        for pbx in &self.pbxs {
            writeln!(f, "{pbx}")?;
        }
        for level in &self.levels {
            writeln!(f, "{level}")?;
        }
        write!(f, "would expire {}, would purge {}", self.expiring, self.purging)?;
        match self.moving {
            0 => Ok(()),
            moving => write!(f, ", would begin to move {moving} to other stores"),
        }
    }
}
