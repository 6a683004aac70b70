//! Levels and their limits: how long a PBX, a tenant and a reseller may keep recordings, how many, and how many they have.
//!
//! The shortest days of a PBX's own, its tenant's and its reseller's are in force. Quotas are each level's own: a PBX's is
//! for itself, a tenant's for all its PBXs together, a reseller's for all its tenants. What counts to a quota is live:
//! bytes in all stores together, minutes and recordings once each, in however many stores they are.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, Tx, params};
use crate::error::{Error, Result};
use crate::id::{PbxId, ResellerId, TenantId};
use crate::organisation::{PbxPlace, places_in};
use crate::tier::optional_u32;

/// A level that has limits, and who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// One PBX.
    Pbx(PbxId),
    /// All PBXs of a tenant.
    Tenant(TenantId),
    /// All tenants of a reseller.
    Reseller(ResellerId),
}

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Stored bytes, in all stores together.
    Bytes,
    /// Milliseconds of audio.
    Audio,
    /// Recordings.
    Recordings,
}

impl Measure {
    /// Every one of them, in the order in which quotas are looked at.
    pub const ALL: [Self; 3] = [Self::Bytes, Self::Audio, Self::Recordings];

    /// So much of it, for people: `12 bytes`, `3.5 minutes`, `7 recordings`.
    pub fn describe(self, amount: u64) -> String {
        match self {
            Self::Bytes => format!("{amount} bytes"),
            Self::Audio => format!("{} minutes", amount as f64 / 60_000.0),
            Self::Recordings => format!("{amount} recordings"),
        }
    }
}

/// So much of each measure: what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Stored bytes, in all stores together.
    pub stored_bytes: u64,
    /// Milliseconds of audio.
    pub audio_ms: u64,
    /// Recordings.
    pub recordings: u64,
}

impl Kept {
    /// How much of that measure.
    pub fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Bytes => self.stored_bytes,
            Measure::Audio => self.audio_ms,
            Measure::Recordings => self.recordings,
        }
    }

    /// Takes away what goes.
    pub fn remove(&mut self, gone: Self) {
        self.stored_bytes = self.stored_bytes.saturating_sub(gone.stored_bytes);
        self.audio_ms = self.audio_ms.saturating_sub(gone.audio_ms);
        self.recordings = self.recordings.saturating_sub(gone.recordings);
    }

    /// Adds what comes.
    pub fn add(&mut self, more: Self) {
        self.stored_bytes += more.stored_bytes;
        self.audio_ms += more.audio_ms;
        self.recordings += more.recordings;
    }
}

/// At most so much of each measure; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Stored bytes, in all stores together.
    pub stored_bytes: Option<u64>,
    /// Milliseconds of audio.
    pub audio_ms: Option<u64>,
    /// Recordings.
    pub recordings: Option<u64>,
}

impl Quota {
    /// How much of that measure.
    pub fn of(&self, measure: Measure) -> Option<u64> {
        match measure {
            Measure::Bytes => self.stored_bytes,
            Measure::Audio => self.audio_ms,
            Measure::Recordings => self.recordings,
        }
    }

    /// These, and of what they leave open the other's.
    #[must_use]
    pub fn or(&self, other: Self) -> Self {
        Self {
            stored_bytes: self.stored_bytes.or(other.stored_bytes),
            audio_ms: self.audio_ms.or(other.audio_ms),
            recordings: self.recordings.or(other.recordings),
        }
    }

    /// Of columns `<prefix>quota_bytes`, `<prefix>quota_audio_ms`, `<prefix>quota_recordings`.
    pub(crate) fn from_row(row: &Row, columns: [&'static str; 3]) -> Result<Self> {
        let [stored_bytes, audio_ms, recordings] = columns;
        Ok(Self {
            stored_bytes: row.get(stored_bytes)?,
            audio_ms: row.get(audio_ms)?,
            recordings: row.get(recordings)?,
        })
    }
}

/// The limits of a tenant or of a reseller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelLimits {
    /// Whose.
    pub level: Level,
    /// Its code.
    pub code: String,
    /// Longer than this no PBX of it keeps anything; `None`: no limit.
    pub days: Option<u32>,
    /// All its PBXs together.
    pub quota: Quota,
    /// A reseller may sell more than its quota.
    pub overbook: bool,
}

/// The terms that a PBX had: what it archived before they were changed for new recordings only is kept by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerTerms {
    /// When they were changed.
    pub archived_before: Instant,
    /// The days that were in force until then; `None`: for ever.
    pub days: Option<u32>,
}

/// A PBX and the rules of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxRules {
    /// The PBX, its tier, the days and the quota in force.
    pub place: PbxPlace,
    /// Those that went before, the earliest first.
    pub former: Vec<FormerTerms>,
}

/// Everything that rotation goes by, as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every PBX, by code.
    pub pbxs: Vec<PbxRules>,
    /// Tenants and resellers that have limits, by code: tenants first.
    pub levels: Vec<LevelLimits>,
}

impl Archive {
    /// What rotation goes by now.
    pub async fn list_rules(&self) -> Result<Rules> {
        let mut tx = self.db.begin_snapshot().await?;
        rules_in(&mut tx).await
    }

    /// What is live of a level, of every measure.
    pub async fn kept_by(&self, level: Level) -> Result<Kept> {
        let (sql, id) = kept_sql(level);
        kept_from_row(&self.db.fetch_one(sql, vec![id]).await?)
    }

    /// What is live of each PBX, or of each of a level; those that have nothing are left out.
    pub async fn list_kept_by(&self, level: Option<Level>) -> Result<HashMap<PbxId, Kept>> {
        let (condition, id) = match level.map(condition_of) {
            Some((condition, id)) => (condition, vec![id]),
            None => ("1 = 1", vec![]),
        };
        let sql = format!(
            "SELECT pbx_id, CAST(SUM(stored_bytes) AS BIGINT) AS stored_bytes, CAST(SUM(audio_ms) AS BIGINT) AS audio_ms,
                    CAST(SUM(recordings) AS BIGINT) AS recordings
             FROM (
                 SELECT pbx_id, stored_bytes, 0 AS audio_ms, 0 AS recordings
                 FROM usage
                 WHERE class = 'live' AND {condition}
                 UNION ALL
                 SELECT pbx_id, 0 AS stored_bytes, audio_ms, recordings
                 FROM usage_audio
                 WHERE class = 'live' AND {condition}
             ) parts
             GROUP BY pbx_id
             ORDER BY pbx_id"
        );
        let rows = self.db.fetch_all(sql, id).await?;
        rows.iter().map(|row| Ok((row.get("pbx_id")?, kept_from_row(row)?))).collect()
    }
}

/// PBXs that keep anything at all, whatever it counts as.
pub(crate) async fn pbxs_with_recordings(tx: &mut Tx) -> Result<HashSet<PbxId>> {
    let rows = tx.fetch_all("SELECT DISTINCT pbx_id FROM usage WHERE recordings > 0", params![]).await?;
    rows.iter().map(|row| row.get("pbx_id")).collect()
}

/// What rotation goes by, as a transaction sees it.
pub(crate) async fn rules_in(tx: &mut Tx) -> Result<Rules> {
    let former = tx
        .fetch_all("SELECT pbx_id, archived_before, days FROM former_terms ORDER BY pbx_id, archived_before", params![])
        .await?;
    let mut of_pbx: HashMap<PbxId, Vec<FormerTerms>> = HashMap::new();
    for row in &former {
        let terms = FormerTerms { archived_before: row.get("archived_before")?, days: optional_u32(row, "days")? };
        of_pbx.entry(row.get("pbx_id")?).or_default().push(terms);
    }
    let places = places_in(tx).await?.into_iter();
    let pbxs = places.map(|place| PbxRules { former: of_pbx.remove(&place.pbx).unwrap_or_default(), place }).collect();
    Ok(Rules { pbxs, levels: levels_in(tx).await? })
}

async fn levels_in(tx: &mut Tx) -> Result<Vec<LevelLimits>> {
    let rows = tx
        .fetch_all(
            "SELECT l.level AS level, l.owner_id AS owner_id, COALESCE(t.code, r.code) AS code, l.days AS days,
                    l.quota_bytes AS quota_bytes, l.quota_audio_ms AS quota_audio_ms,
                    l.quota_recordings AS quota_recordings, l.overbook AS overbook
             FROM limits l
             LEFT JOIN tenants t ON t.id = l.owner_id
             LEFT JOIN resellers r ON r.id = l.owner_id
             ORDER BY l.level DESC, COALESCE(t.code, r.code)",
            params![],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let level: String = row.get("level")?;
            Ok(LevelLimits {
                level: match level.as_str() {
                    "tenant" => Level::Tenant(row.get("owner_id")?),
                    "reseller" => Level::Reseller(row.get("owner_id")?),
                    _ => return Err(Error::integrity("limits", level, "is no level")),
                },
                code: row.get("code")?,
                days: optional_u32(row, "days")?,
                quota: Quota::from_row(row, ["quota_bytes", "quota_audio_ms", "quota_recordings"])?,
                overbook: row.get::<i64>("overbook")? == 1,
            })
        })
        .collect()
}

/// What is live of a level, as a transaction sees it.
pub(crate) async fn kept_in(tx: &mut Tx, level: Level) -> Result<Kept> {
    let (sql, id) = kept_sql(level);
    let row = tx.fetch_optional(sql, vec![id]).await?.ok_or(Error::Conflict("usage"))?;
    kept_from_row(&row)
}

fn kept_sql(level: Level) -> (String, crate::db::Value) {
    let (condition, id) = condition_of(level);
    let sql = format!(
        "SELECT CAST((SELECT COALESCE(SUM(stored_bytes), 0) FROM usage WHERE class = 'live' AND {condition}) AS BIGINT)
                    AS stored_bytes,
                CAST(COALESCE(SUM(audio_ms), 0) AS BIGINT) AS audio_ms,
                CAST(COALESCE(SUM(recordings), 0) AS BIGINT) AS recordings
         FROM usage_audio
         WHERE class = 'live' AND {condition}"
    );
    (sql, id)
}

fn kept_from_row(row: &Row) -> Result<Kept> {
    // Before audio counts are settled, more may be counted out than was counted in: then nothing is known to be kept.
    let of = |column| row.get::<i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Kept { stored_bytes: of("stored_bytes")?, audio_ms: of("audio_ms")?, recordings: of("recordings")? })
}

/// The condition that a row of usage belongs to the level, and its parameter, `$1`.
fn condition_of(level: Level) -> (&'static str, crate::db::Value) {
    match level {
        Level::Pbx(id) => ("pbx_id = $1", id.into()),
        Level::Tenant(id) => ("tenant_id = $1", id.into()),
        Level::Reseller(id) => ("tenant_id IN (SELECT t.id FROM tenants t WHERE t.reseller_id = $1)", id.into()),
    }
}
