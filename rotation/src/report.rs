//! The report of a run: what it did, and what it could not do.

use std::fmt;

use archive::{Instant, RunId, Sha256};
use serde::Serialize;

use crate::figures::{Figures, LevelFigures, PbxFigures};
use crate::json;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that is due was visited.
    Done,
    /// Another run is at it, of this instance or of another.
    Busy,
    /// It was asked to stop; what is left is the next run's.
    Stopped,
    /// Another instance took over, because this one was silent for too long.
    LeaseLost,
    /// The clock cannot be believed; from then on nothing went. The text says why.
    ClockRefused(String),
    /// The catalogue was restored, and no operator has looked at it yet: nothing goes.
    RestoreUnconfirmed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Busy => f.write_str("another rotation is running"),
            Self::Stopped => f.write_str("stopped before the end; the next run goes on"),
            Self::LeaseLost => f.write_str("another instance took over"),
            Self::ClockRefused(why) => f.write_str(why),
            Self::RestoreUnconfirmed => f.write_str(
                "this catalogue was restored: nothing goes until an operator has looked at it and said so by \
                 `fonoteca rotate --confirm-restore`",
            ),
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The run in the catalogue, which keeps this report; `None`: it did not come so far.
    #[serde(serialize_with = "json::optional_text")]
    pub run: Option<RunId>,
    /// When it started.
    #[serde(serialize_with = "json::text")]
    pub started_at: Instant,
    /// When it ended.
    #[serde(serialize_with = "json::text")]
    pub finished_at: Instant,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each PBX that there is something to tell of, by code.
    pub pbxs: Vec<PbxFigures>,
    /// Each tenant and reseller whose quota was exceeded, by code.
    pub levels: Vec<LevelFigures>,
    /// What expired, all PBXs together.
    pub expired: Figures,
    /// What was purged: a tombstone is left of each.
    pub purged: Figures,
    /// Objects whose bytes could not be removed; the next run tries them again.
    pub purge_failures: u64,
    /// Objects removed that a crash or a failed put had left behind.
    pub swept_objects: u64,
    /// Recordings that began to move to other stores; the copier moves their bytes.
    pub moves_begun: u64,
    /// Objects that were marked as lost with their store, or as found again.
    pub lost_objects: u64,
    /// Events forgotten, sent or not.
    pub forgotten_events: u64,
    /// Steps of the whole run that failed; those of a PBX are with the PBX.
    pub failures: Vec<String>,
    /// SHA-256 of this report as the catalogue keeps it (without this field); the audit's row of the run has the same.
    #[serde(skip)]
    pub sha256: Option<Sha256>,
}

impl Report {
    pub(crate) fn new(started_at: Instant) -> Self {
        Self {
            run: None,
            started_at,
            finished_at: started_at,
            outcome: Outcome::Done,
            pbxs: Vec::new(),
            levels: Vec::new(),
            expired: Figures::default(),
            purged: Figures::default(),
            purge_failures: 0,
            swept_objects: 0,
            moves_begun: 0,
            lost_objects: 0,
            forgotten_events: 0,
            failures: Vec::new(),
            sha256: None,
        }
    }

    /// Did everything that was tried succeed? A run that another one kept from starting has not failed.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
            && self.purge_failures == 0
            && self.pbxs.iter().all(|pbx| pbx.failure.is_none())
            && self.levels.iter().all(|level| level.failure.is_none())
            && !matches!(self.outcome, Outcome::ClockRefused(_) | Outcome::RestoreUnconfirmed)
    }
}

/// A line for each thing that there is to tell.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if self.outcome != Outcome::Done {
            lines.push(self.outcome.to_string());
        }
        lines.extend(self.pbxs.iter().map(PbxFigures::to_string));
        lines.extend(self.levels.iter().map(LevelFigures::to_string));
        lines.extend(self.failures.iter().map(|failure| format!("failed: {failure}")));
        if self.purge_failures > 0 {
            lines.push(format!("could not remove {} objects; the next run tries again", self.purge_failures));
        }
        if self.swept_objects > 0 {
            lines.push(format!("swept {} objects that were left behind", self.swept_objects));
        }
        if self.moves_begun > 0 {
            lines.push(format!("began to move {} recordings to other stores", self.moves_begun));
        }
        if self.lost_objects > 0 {
            lines.push(format!("{} objects were lost or found with their stores", self.lost_objects));
        }
        if let Some(run) = self.run {
            lines.push(format!("expired {}, purged {}", self.expired, self.purged));
            lines.push(match self.sha256 {
                Some(sha256) => format!("run {run}, report sha256 {sha256}"),
                None => format!("run {run}"),
            });
        }
        f.write_str(&lines.join("\n"))
    }
}
