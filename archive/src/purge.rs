//! Purging: expired → purging → tombstone, and the sweeping of objects that nobody came to own.
//!
//! The decision is one guarded statement that tests hold and lock once more; from there is no way back. Bytes go with no
//! transaction open, then the object's row, and with the last of them the recording becomes a tombstone, which keeps it
//! from being archived again.

use std::time::Duration;

use serde_json::json;

use crate::Archive;
use crate::backup::row_to_json;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::schema::check_not_moved;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::holds::{IS_HELD, is_unlocked, serialise_on_tenant};
use crate::id::{ObjectId, RecordingId, StoreId, TenantId};
use crate::journal::JournalKind;
use crate::usage::{Count, count};
use crate::words::UsageClass;

/// When an object that could not be swept is tried again.
const SWEEP_AGAIN: Duration = Duration::from_secs(600);

/// What a tombstone keeps of its recording.
pub(crate) const TOMBSTONE_COLUMNS: &str = "id, tenant_id, pbx_id, core_server_id, call_ref, leg, started_at, \
    duration_ms, size_bytes, source_sha256, audio_sha256, identity, expired_at, expired_by";

/// What a batch of purging did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Recordings that became tombstones.
    pub recordings: u64,
    /// Bytes removed from stores.
    pub stored_bytes: u64,
    /// Objects whose store failed; the next round tries them again.
    pub failed: u64,
}

/// A walk over everything that is due to be purged: where it has come to, and which stores cannot be purged from while
/// it lasts. Without it, what fails would stand in the way of what is due behind it.
#[derive(Debug, Default)]
pub struct PurgeRound {
    after: Option<(Instant, RecordingId)>,
    failing_stores: Vec<StoreId>,
    over: bool,
}

impl PurgeRound {
    /// Has everything that is due been visited?
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// A walk over the objects that are due to be swept: which stores failed while it lasts.
#[derive(Debug, Default)]
pub struct SweepRound {
    failing_stores: Vec<StoreId>,
    over: bool,
}

impl SweepRound {
    /// Has everything that is due been visited?
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl Archive {
    /// Purges the round's next `limit` recordings, those longest due first; interrupted purges are due like the others.
    /// One failing object never stops the others, and a store whose marker is gone or that cannot be reached is asked
    /// once in a round.
    pub async fn purge_batch(&self, round: &mut PurgeRound, limit: u32) -> Result<Purged> {
        self.check_restore_confirmed().await?;
        let mut purged = Purged::default();
        let (after, after_id) =
            round.after.unwrap_or((Instant::from_millis(i64::MIN), RecordingId::new(Instant::from_millis(0))));
        let rows = self
            .db
            .fetch_all(
                "SELECT id, tenant_id, state, purge_after
                 FROM recordings
                 WHERE state IN ('expired', 'purging') AND purge_after <= $1 AND (purge_after, id) > ($2, $3)
                 ORDER BY purge_after, id
                 LIMIT $4",
                params![self.clock.now(), after, after_id, limit],
            )
            .await?;
        round.over = rows.len() < limit as usize;
        let journalled = self.journal_purges(&rows, &mut purged).await?;
        for row in &rows {
            let id: RecordingId = row.get("id")?;
            round.after = Some((row.get("purge_after")?, id));
            // What came free only now is not in the journal: the next round takes it.
            if row.get::<String>("state")? == "expired" && !journalled.contains(&id) {
                continue;
            }
            match self.purge(id, row, round, &mut purged).await {
                Err(error) if error.is_transient() || matches!(error, Error::Moved(_)) => return Err(error),
                // What cannot be purged is asked again in each round, and keeps none of the others waiting.
                Err(error) => {
                    tracing::error!(recording.id = %id, "failed to purge recording {id}: {error}");
                    purged.failed += 1;
                }
                Ok(()) => {}
            }
        }
        Ok(purged)
    }

    /// Writes down which of the recordings are about to be purged, so that a restore does not look for what is gone on
    /// purpose, nor takes it in again.
    async fn journal_purges(&self, rows: &[Row], purged: &mut Purged) -> Result<Vec<RecordingId>> {
        let sql = format!(
            "SELECT {TOMBSTONE_COLUMNS}
             FROM recordings
             WHERE id = $1 AND state = 'expired' AND purge_after <= $2 AND {unlocked} AND NOT {IS_HELD}",
            unlocked = is_unlocked("$2")
        );
        let (mut ids, mut entries) = (Vec::new(), Vec::new());
        for row in rows {
            let id: RecordingId = row.get("id")?;
            if let Some(row) = self.db.fetch_optional(sql.clone(), params![id, self.clock.now()]).await? {
                ids.push(id);
                let (columns, values) = (row.columns(), row_to_json(&row)?);
                entries.push(json!({ "recording": id.to_string(), "columns": columns, "values": values }));
            }
        }
        if let Err(error) = self.journal(JournalKind::Purges, &entries).await {
            tracing::warn!("failed to journal a purge, which is put off: {error}");
            purged.failed += ids.len() as u64;
            return Ok(Vec::new());
        }
        crash_point("purges journalled");
        Ok(ids)
    }

    async fn purge(&self, id: RecordingId, row: &Row, round: &mut PurgeRound, purged: &mut Purged) -> Result<()> {
        if row.get::<String>("state")? == "expired" && !self.begin_purge(id, row.get("tenant_id")?).await? {
            return Ok(());
        }
        crash_point("purge begun");
        if self.drop_objects_of(id, round, purged).await? {
            crash_point("objects dropped");
            match self.bury(id).await {
                Ok(()) => purged.recordings += 1,
                // Another instance, whose lease was believed to be over, buried it first.
                Err(error) if matches!(error, Error::Conflict(_)) || error.is_unique_violation() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What a round of purging that began now would take: nothing holds or locks it, and its grace period is over.
    pub async fn count_purgeable(&self) -> Result<Purged> {
        let sql = format!(
            "SELECT count(*) AS n, CAST(COALESCE(SUM(
                 (SELECT COALESCE(SUM(o.size_bytes), 0) FROM objects o WHERE o.recording_id = recordings.id)
             ), 0) AS BIGINT) AS bytes
             FROM recordings
             WHERE state IN ('expired', 'purging') AND purge_after <= $1
                 AND (state = 'purging'
                      OR (state = 'expired' AND {unlocked} AND NOT {IS_HELD}))",
            unlocked = is_unlocked("$1")
        );
        let row = self.db.fetch_one(sql, params![self.clock.now()]).await?;
        Ok(Purged { recordings: row.get("n")?, stored_bytes: row.get("bytes")?, failed: 0 })
    }

    /// expired → purging, unless a hold or a lock reached it meanwhile.
    async fn begin_purge(&self, id: RecordingId, tenant: TenantId) -> Result<bool> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        serialise_on_tenant(&mut tx, tenant).await?;
        // Counted off while the objects are still live: that is how usage knows their stores.
        let sql = format!(
            "UPDATE recordings
             SET state = 'purging', fence = fence + 1
             WHERE id = $1 AND state = 'expired' AND purge_after <= $2
                 AND {unlocked} AND NOT {IS_HELD}",
            unlocked = is_unlocked("$2")
        );
        if tx.execute(sql, params![id, now]).await? == 0 {
            return Ok(false);
        }
        // Where it was moved to, a hold may have reached the recording since.
        check_not_moved(&mut tx).await?;
        count(&mut tx, id, Count::Remove(UsageClass::Grace)).await?;
        tx.execute(
            "UPDATE objects SET state = 'dropping', lease_until = 0 WHERE recording_id = $1 AND state = 'live'",
            params![id],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes the bytes and rows of the recording's objects; says whether none is left.
    async fn drop_objects_of(&self, id: RecordingId, round: &mut PurgeRound, purged: &mut Purged) -> Result<bool> {
        let rows = self
            .db
            .fetch_all(
                "SELECT id, store_id, key, size_bytes,
                     (SELECT s.lost_at FROM stores s WHERE s.id = objects.store_id) AS store_lost_at
                 FROM objects
                 WHERE recording_id = $1 AND state = 'dropping'",
                params![id],
            )
            .await?;
        let mut all = true;
        for row in &rows {
            match self.drop_object(row, &mut round.failing_stores).await {
                Ok(Some(bytes)) => purged.stored_bytes += bytes,
                Ok(None) => {
                    purged.failed += 1;
                    all = false;
                }
                Err(error) => {
                    tracing::warn!(recording.id = %id, "failed to purge an object of recording {id}: {error}");
                    purged.failed += 1;
                    all = false;
                }
            }
        }
        Ok(all)
    }

    /// Removes the object's bytes, then its row; `None`: its store failed before, and is not asked again.
    async fn drop_object(&self, row: &Row, failing_stores: &mut Vec<StoreId>) -> Result<Option<u64>> {
        let (id, store, key): (ObjectId, StoreId, String) = (row.get("id")?, row.get("store_id")?, row.get("key")?);
        if failing_stores.contains(&store) {
            return Ok(None);
        }
        // What lies in a lost store is not there to be removed.
        if row.get::<Option<Instant>>("store_lost_at")?.is_none() {
            let store = self.store(store)?;
            if let Err(error) = self.check_store(store).await {
                failing_stores.push(store.id());
                return Err(error);
            }
            store.remove(&key).await?;
        }
        self.db.execute("DELETE FROM objects WHERE id = $1 AND state = 'dropping'", params![id]).await?;
        row.get("size_bytes").map(Some)
    }

    /// purging → tombstone, unless an object is live that nobody counts off then.
    async fn bury(&self, id: RecordingId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let sql = "SELECT 1 AS one FROM objects WHERE recording_id = $1 AND state = 'live' LIMIT 1";
        if tx.fetch_optional(sql, params![id]).await?.is_some() {
            return Err(Error::integrity("recordings", id, "it is being purged and has a live object"));
        }
        let sql = format!(
            "INSERT INTO tombstones ({TOMBSTONE_COLUMNS}, purged_at)
             SELECT {TOMBSTONE_COLUMNS}, $1
             FROM recordings
             WHERE id = $2 AND state = 'purging'"
        );
        tx.execute(sql, params![self.clock.now(), id]).await?;
        tx.change_one("recording", "DELETE FROM recordings WHERE id = $1 AND state = 'purging'", params![id]).await?;
        tx.commit().await
    }

    /// As the first batch of a round of [`Archive::sweep_batch`].
    #[cfg(any(test, feature = "testing"))]
    pub async fn sweep_objects(&self, limit: u32) -> Result<u64> {
        self.sweep_batch(&mut SweepRound::default(), limit).await
    }

    /// Removes the round's next `limit` objects that a crash or a failed put left behind: writing ones whose lease is over,
    /// dropping ones whose bytes are still there. Says how many went. A store that fails is asked once in a round.
    pub async fn sweep_batch(&self, round: &mut SweepRound, limit: u32) -> Result<u64> {
        self.check_restore_confirmed().await?;
        let now = self.db.now().await?;
        self.db
            .execute(
                "UPDATE objects
                 SET state = 'dropping'
                 WHERE state IN ('writing', 'dropping') AND state = 'writing' AND lease_until < $1",
                params![now],
            )
            .await?;
        let rows = self
            .db
            .fetch_all(
                "SELECT id, store_id, key, size_bytes,
                     (SELECT s.lost_at FROM stores s WHERE s.id = objects.store_id) AS store_lost_at
                 FROM objects
                 WHERE state IN ('writing', 'dropping') AND state = 'dropping' AND lease_until < $1
                     AND NOT EXISTS (SELECT 1 FROM recordings r
                                     WHERE r.id = objects.recording_id AND r.state = 'purging')
                 ORDER BY lease_until
                 LIMIT $2",
                params![now, limit],
            )
            .await?;
        round.over = rows.len() < limit as usize;
        let mut swept = 0;
        for row in &rows {
            match self.drop_object(row, &mut round.failing_stores).await {
                Ok(Some(_)) => {
                    swept += 1;
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("failed to sweep an object: {error}"),
            }
            // It waits, so that it does not stand in the way of the others.
            self.db
                .execute(
                    "UPDATE objects SET lease_until = $1 WHERE id = $2 AND state = 'dropping'",
                    params![now.plus(SWEEP_AGAIN), row.get::<ObjectId>("id")?],
                )
                .await?;
        }
        Ok(swept)
    }
}
