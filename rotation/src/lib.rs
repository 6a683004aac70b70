//! Rotation: takes out what is due.
//!
//! A recording goes in two steps. It **expires** when it is older than its PBX's days, or when its PBX is over its
//! quota and it is the oldest that may go: at once it is invisible, and can be brought back. After the grace period it
//! is **purged**: its bytes are removed and a tombstone is left. What is held, locked, guarded or too young never goes;
//! the archive's own statements see to that, whatever is decided here.
//!
//! Beside it run [`Scrub`], which reads everything again within so many days, and [`Backups`] of the catalogue.
//!
//! Reading order: `due`, `terms` and `fair` (the rules, pure), `evict` (which go by a quota, pure), `decide` (all PBXs by
//! those rules, then their tenants and resellers: a plan and a run are the same code),
//! `rotate` (a whole run), `schedule` (when runs happen), `copier` (what brings copies where they belong, beside the
//! runs). `clock_guard` and `pulse` are what stops a run.
//!
//! A run can be killed at any point: each batch is a transaction of the archive's, nothing is remembered between them,
//! and the next run finds what is still due.

mod alarms;
mod backups;
mod clock_guard;
mod config;
mod copier;
mod decide;
mod due;
mod error;
mod evict;
mod fair;
mod figures;
mod json;
mod plan;
mod pulse;
mod report;
mod rotate;
mod schedule;
mod scrub;
mod terms;

#[cfg(test)]
mod tests;

pub use backups::{BackupConfig, Backups};
pub use config::Config;
pub use copier::CopyFigures;
pub use error::Error;
pub use figures::{Figures, LevelFigures, PbxFigures};
pub use plan::{Exceeded, PlanSummary, PlannedExpiry, Rule};
pub use report::{Outcome, Report};
pub use rotate::Rotation;
pub use scrub::{Scrub, ScrubConfig};
