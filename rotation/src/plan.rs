//! A plan: what a run would do now, recording by recording, with the rule that asks for each.

use std::fmt;

use archive::{Instant, PbxId, RecordingId};
use serde::Serialize;

use crate::figures::{Figures, PbxFigures};
use crate::json;

/// The rule that a recording is due by, with its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "lowercase")]
pub enum Rule {
    /// Older than the PBX's days.
    Days {
        /// The days in force.
        days: u32,
    },
    /// The oldest that may go of a PBX over its quota.
    Quota {
        /// The quota in force, in stored bytes.
        quota_bytes: u64,
        /// By how many bytes it is exceeded before this recording goes.
        exceeded_by: u64,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days { days: 1 } => f.write_str("older than 1 day"),
            Self::Days { days } => write!(f, "older than {days} days"),
            Self::Quota { quota_bytes, exceeded_by } => {
                write!(f, "quota {quota_bytes} bytes exceeded by {exceeded_by}, oldest first")
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
        write!(f, "would expire {}, would purge {}", self.expiring, self.purging)?;
        match self.moving {
            0 => Ok(()),
            moving => write!(f, ", would begin to move {moving} to other stores"),
        }
    }
}
