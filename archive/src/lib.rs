//! The archive: what a recording is, where it lies, who may see it.
//!
//! Everything that must hold whatever happens (see the invariants in ARCHITECTURE.md) holds here: one [`Archive`] in
//! front of one catalogue (SQLite or PostgreSQL) and its stores (disk directories, S3 buckets). The crates above it
//! bring recordings in (`collector`), take them out (`rotation`) and hand them on (`ftp`, `api`); the archive knows
//! none of them.
//!
//! Reading order: [`Recording`], then `deliver` (how one comes in), `open` and `search` (how it is seen), `expiry` and
//! `purge` (how it goes), `holds` (what stops that), `copies` and `moves` (where it lies), `verify` and `scrub` (how all of
//! it is checked), `journal`, `backup` and `restore` (how it comes back).

mod accounts;
mod archive;
mod audit;
mod backup;
mod clock;
mod copies;
mod crash;
mod db;
mod declaration;
mod deliver;
mod delivery;
mod error;
mod expiry;
mod fail;
mod hash;
mod holds;
mod id;
mod journal;
mod key;
mod lease;
mod levels;
mod lost;
mod moves;
mod open;
mod organisation;
mod orphans;
mod outbox;
mod pace;
mod password;
mod purge;
mod put;
mod recording;
mod relocation;
mod repair;
mod restore;
mod runs;
mod scope;
mod scrub;
mod search;
mod sources;
mod stores;
mod throttle;
mod tier;
pub mod units;
mod usage;
mod verify;
mod waiting;
mod words;
mod writing;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use accounts::{FtpAccount, FtpLogin, NewToken, User, random_text};
pub use archive::{Archive, Options};
pub use audit::{AuditRow, Trimmed};
pub use backup::Backup;
pub use clock::{Clock, Instant, SystemClock};
pub use copies::{Copied, CopiesWaiting, CopyClaim, CopyOutcome, CopyRound};
pub use crash::crash_point;
pub use declaration::{
    Change, Declaration, DeclaredCoreServer, DeclaredFtpAccount, DeclaredPbx, DeclaredReseller, DeclaredTenant,
    DeclaredTier, DeclaredUser, Preview, Reach,
};
pub use delivery::{Delivered, Delivery};
pub use error::{Error, Result};
pub use expiry::{Bound, Candidate, Expired};
pub use fail::Operation;
pub use hash::{Sha256, Sha256Hasher};
pub use holds::{Hold, NewHold};
pub use id::*;
pub use lease::{Instance, Lease};
pub use levels::{FormerTerms, Kept, Level, LevelLimits, Measure, PbxRules, Quota, Rules};
pub use lost::{LostStore, StoreFigures};
pub use open::AudioReader;
pub use organisation::{AfterArchive, CoreServer, Pbx, PbxPlace, Reseller, Tenant};
pub use orphans::Orphans;
pub use outbox::Event;
pub use pace::Pace;
pub use purge::{PurgeRound, Purged, SweepRound};
pub use recording::Recording;
pub use relocation::{MovedTable, move_catalogue};
pub use restore::{Restored, Wanted};
pub use runs::{Run, RunEvent};
pub use scope::{Actor, Principal, Scope};
pub use scrub::{ScrubRound, Scrubbed, StoreHealth};
pub use search::{Cursor, Order, Page, Search};
pub use sources::{NewSource, Source, SourceClaim};
pub use stores::{Store, StoreConfig, StoreState, Trouble, look_up, nearest_key, store_keys};
pub use tier::{Tier, TierMove};
pub use usage::Usage;
pub use verify::{Depth, Finding, Progress, Report};
pub use waiting::Waiting;
pub use words::{
    CopyReason, Direction, ExpiryReason, Leg, LockMode, ObjectState, Outcome, RecordingState, SourceState, UsageClass,
};
pub use writing::ShutStore;

#[cfg(test)]
mod tests {
    mod sqlite {
        crate::catalogue_suite!(crate::testing::TestArchive::start);
    }

    mod postgres {
        crate::catalogue_suite!(crate::testing::TestArchive::start_on_postgres);
    }
}
