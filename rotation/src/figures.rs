//! Figures: how much went, or would go; the same for a plan and for a run.

use std::fmt;

use archive::{PbxId, PbxPlace, TenantId};
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
    /// Expired because they are older than the days.
    pub by_days: Figures,
    /// Expired because the PBX was over its quota.
    pub by_quota: Figures,
    /// How many recordings stay, though due by days or by a quota that is still exceeded, because something holds or
    /// locks them.
    pub kept_back: u64,
    /// By how many bytes the PBX stays over its quota, because nothing more of it may go.
    pub over_quota_by: u64,
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
            quota_bytes: place.quota_bytes,
            by_days: Figures::default(),
            by_quota: Figures::default(),
            kept_back: 0,
            over_quota_by: 0,
            failure: None,
        }
    }

    /// By days and by quota together.
    pub fn expired(&self) -> Figures {
        let mut sum = self.by_days;
        sum.add(self.by_quota);
        sum
    }

    /// Is there anything to tell?
    pub(crate) fn is_worth_a_line(&self) -> bool {
        self.expired().recordings > 0 || self.kept_back > 0 || self.over_quota_by > 0 || self.failure.is_some()
    }
}

/// One line: `acme: 3 recordings (3000 bytes) by days, 1 recording (20 bytes) by quota, 2 kept back by holds or locks`.
impl fmt::Display for PbxFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.by_days.recordings > 0 {
            parts.push(format!("{} by days", self.by_days));
        }
        if self.by_quota.recordings > 0 {
            parts.push(format!("{} by quota", self.by_quota));
        }
        if self.kept_back > 0 {
            parts.push(format!("{} kept back by holds or locks", self.kept_back));
        }
        if self.over_quota_by > 0 {
            parts.push(format!("still over its quota by {} bytes, with nothing more that may go", self.over_quota_by));
        }
        if let Some(failure) = &self.failure {
            parts.push(format!("failed: {failure}"));
        }
        write!(f, "{}: {}", self.code, if parts.is_empty() { "nothing is due".to_owned() } else { parts.join(", ") })
    }
}
