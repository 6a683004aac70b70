//! Usage: how much each PBX has archived, exact because it changes in the transactions that change the recordings.
//!
//! There are two counts: what each store holds, and what the PBX keeps, each recording once in however many stores it is.
//! Totals of tenants and resellers are sums, never rows of their own. Rows are always changed in key order, so that
//! two transactions cannot wait for each other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, Tx, params};
use crate::error::{Error, Result};
use crate::id::{ObjectId, PbxId, RecordingId, StoreId, TenantId, TierId};
use crate::scope::Scope;
use crate::words::UsageClass;

/// What one PBX has under one tier, in one store, of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The PBX, or [`PbxId::UNASSIGNED`].
    pub pbx: PbxId,
    /// Its tenant, or [`TenantId::UNASSIGNED`].
    pub tenant: TenantId,
    /// The tier, or [`TierId::NONE`].
    pub tier: TierId,
    /// The store.
    pub store: StoreId,
    /// What it counts as.
    pub class: UsageClass,
    /// How many recordings.
    pub recordings: u64,
    /// How long they play together.
    pub audio_ms: u64,
    /// How many bytes the store holds for them.
    pub stored_bytes: u64,
}

/// Which way usage changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Add(UsageClass),
    Remove(UsageClass),
    Move { from: UsageClass, to: UsageClass },
}

/// Changes usage by one recording, in every store that holds a live object of it.
pub(crate) async fn count(tx: &mut Tx, recording: RecordingId, count: Count) -> Result<()> {
    let rows = tx
        .fetch_all(
            "SELECT o.store_id AS store_id, o.size_bytes AS size_bytes, r.duration_ms AS duration_ms,
                    r.tenant_id AS tenant_id, r.pbx_id AS pbx_id, r.tier_id AS tier_id
             FROM objects o
             JOIN recordings r ON r.id = o.recording_id
             WHERE o.recording_id = $1 AND o.state = 'live'
             ORDER BY o.store_id",
            params![recording],
        )
        .await?;
    let mut changes = match count {
        Count::Add(class) => vec![(class, 1)],
        Count::Remove(class) => vec![(class, -1)],
        Count::Move { from, to } => vec![(from, -1), (to, 1)],
    };
    changes.sort_by_key(|(class, _)| class.as_str());
    for row in rows {
        let key = Key::from_row(&row)?;
        let (audio_ms, stored_bytes): (i64, i64) = (row.get("duration_ms")?, row.get("size_bytes")?);
        for (class, sign) in &changes {
            key.add(tx, *class, *sign, sign * audio_ms, sign * stored_bytes).await?;
        }
    }
    for (class, sign) in changes {
        count_audio(tx, recording, class, sign).await?;
    }
    Ok(())
}

/// Changes what the PBX keeps by one recording, in however many stores it is; one of no PBX is in nobody's count.
async fn count_audio(tx: &mut Tx, recording: RecordingId, class: UsageClass, sign: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO usage_audio (pbx_id, tier_id, class, tenant_id, recordings, audio_ms)
         SELECT pbx_id, tier_id, $2, tenant_id, $3, $3 * duration_ms
         FROM recordings
         WHERE id = $1 AND pbx_id IS NOT NULL AND tier_id IS NOT NULL
         ON CONFLICT (pbx_id, tier_id, class) DO UPDATE SET
             recordings = usage_audio.recordings + excluded.recordings,
             audio_ms = usage_audio.audio_ms + excluded.audio_ms",
        params![recording, class, sign],
    )
    .await?;
    Ok(())
}

/// Changes usage by one object that comes (`sign` 1) or goes (-1), of a recording that counts as `class`. Who changes
/// several takes them in the order of their stores.
pub(crate) async fn count_object(tx: &mut Tx, object: ObjectId, class: UsageClass, sign: i64) -> Result<()> {
    let row = tx
        .fetch_optional(
            "SELECT o.store_id AS store_id, o.size_bytes AS size_bytes, r.duration_ms AS duration_ms,
                    r.tenant_id AS tenant_id, r.pbx_id AS pbx_id, r.tier_id AS tier_id
             FROM objects o
             JOIN recordings r ON r.id = o.recording_id
             WHERE o.id = $1",
            params![object],
        )
        .await?
        .ok_or(Error::Conflict("object"))?;
    let (audio_ms, stored_bytes): (i64, i64) = (row.get("duration_ms")?, row.get("size_bytes")?);
    Key::from_row(&row)?.add(tx, class, sign, sign * audio_ms, sign * stored_bytes).await
}

struct Key {
    pbx: PbxId,
    tenant: TenantId,
    tier: TierId,
    store: StoreId,
}

impl Key {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            pbx: row.get::<Option<PbxId>>("pbx_id")?.unwrap_or(PbxId::UNASSIGNED),
            tenant: row.get::<Option<TenantId>>("tenant_id")?.unwrap_or(TenantId::UNASSIGNED),
            tier: row.get::<Option<TierId>>("tier_id")?.unwrap_or(TierId::NONE),
            store: row.get("store_id")?,
        })
    }

    async fn add(&self, tx: &mut Tx, class: UsageClass, recordings: i64, audio_ms: i64, bytes: i64) -> Result<()> {
        tx.execute(
            "INSERT INTO usage (pbx_id, tier_id, store_id, class, tenant_id, recordings, audio_ms, stored_bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (pbx_id, tier_id, store_id, class) DO UPDATE SET
                 recordings = usage.recordings + excluded.recordings,
                 audio_ms = usage.audio_ms + excluded.audio_ms,
                 stored_bytes = usage.stored_bytes + excluded.stored_bytes",
            params![self.pbx, self.tier, self.store, class, self.tenant, recordings, audio_ms, bytes],
        )
        .await?;
        Ok(())
    }
}

/// For how long after an upgrade the program before may still be at work, which does not count audio.
const BESIDE_EACH_OTHER: Duration = Duration::from_secs(2 * 86_400);
/// What is counted as audio otherwise than it is, by key: every recording adds to its key, every row of `usage_audio` takes
/// off. Less than nothing is counted too much.
pub(crate) const AUDIO_THAT_DIFFERS: &str =
    "SELECT pbx_id, tier_id, class, CAST(SUM(n) AS BIGINT) AS n, CAST(SUM(audio_ms) AS BIGINT) AS audio_ms
     FROM (
         SELECT pbx_id, tier_id,
                CASE WHEN state = 'expired' THEN 'grace' WHEN guarded = 1 THEN 'guarded' ELSE 'live' END AS class,
                1 AS n, duration_ms AS audio_ms
         FROM recordings
         WHERE state IN ('archived', 'expired') AND pbx_id IS NOT NULL AND tier_id IS NOT NULL
         UNION ALL
         SELECT pbx_id, tier_id, class, -recordings, -audio_ms
         FROM usage_audio
     ) parts
     GROUP BY pbx_id, tier_id, class
     HAVING SUM(n) <> 0 OR SUM(audio_ms) <> 0";

/// Counts what is not counted as audio; says how many counts differed.
pub(crate) async fn add_audio_that_differs(tx: &mut Tx) -> Result<u64> {
    let sql = format!(
        "INSERT INTO usage_audio (pbx_id, tier_id, class, tenant_id, recordings, audio_ms)
         SELECT d.pbx_id, d.tier_id, d.class, p.tenant_id, d.n, d.audio_ms
         FROM ({AUDIO_THAT_DIFFERS}) d
         JOIN pbxs p ON p.id = d.pbx_id
         ORDER BY d.pbx_id, d.tier_id, d.class
         ON CONFLICT (pbx_id, tier_id, class) DO UPDATE SET
             recordings = usage_audio.recordings + excluded.recordings,
             audio_ms = usage_audio.audio_ms + excluded.audio_ms"
    );
    tx.execute(sql, params![]).await
}

impl Archive {
    /// Settles what is not counted as audio: what was there before an upgrade, and what the program before changes while it
    /// runs beside this one. It is looked for once in each process, and with each call until such a program cannot be there
    /// any more. Says how many counts differed. Only one instance may be at it at a time.
    ///
    /// What is added is the difference as one statement sees it, so that what others count meanwhile stays counted.
    pub async fn settle_audio_counts(&self) -> Result<u64> {
        let now = self.clock.now();
        let sql = "SELECT until FROM upkeep WHERE name = 'usage-audio'";
        let until: Option<Instant> = match self.db.fetch_optional(sql, params![]).await? {
            Some(row) => Some(row.get("until")?),
            None => None,
        };
        let is_over = until.is_some_and(|until| until <= now);
        if is_over && self.audio_settled.load(Ordering::Relaxed) {
            return Ok(0);
        }
        // Looked for by a reader: nearly always there is nothing, and nobody has to wait for it.
        let differs = self.db.fetch_optional(format!("{AUDIO_THAT_DIFFERS} LIMIT 1"), params![]).await?.is_some();
        let mut settled = 0;
        if differs || until.is_none() {
            let mut tx = self.db.begin().await?;
            settled = add_audio_that_differs(&mut tx).await?;
            tx.execute(
                "INSERT INTO upkeep (name, until) VALUES ('usage-audio', $1) ON CONFLICT (name) DO NOTHING",
                params![now.plus(BESIDE_EACH_OTHER)],
            )
            .await?;
            tx.commit().await?;
        }
        self.audio_settled.store(true, Ordering::Relaxed);
        Ok(settled)
    }

    /// Usage of everything that the scope reaches, by PBX, tier, store and class; rows of nothing are left out.
    pub async fn list_usage(&self, scope: Scope) -> Result<Vec<Usage>> {
        let mut params = params![];
        let condition = scope.condition(&mut params);
        let sql = format!(
            "SELECT pbx_id, tenant_id, tier_id, store_id, class, recordings, audio_ms, stored_bytes
             FROM usage
             WHERE recordings <> 0 AND {condition}
             ORDER BY pbx_id, tier_id, store_id, class"
        );
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Usage {
                    pbx: row.get("pbx_id")?,
                    tenant: row.get("tenant_id")?,
                    tier: row.get("tier_id")?,
                    store: row.get("store_id")?,
                    class: row.get("class")?,
                    recordings: row.get("recordings")?,
                    audio_ms: row.get("audio_ms")?,
                    stored_bytes: row.get("stored_bytes")?,
                })
            })
            .collect()
    }
}
