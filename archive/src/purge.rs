//! Purging: expired → purging → tombstone, and the sweeping of objects that nobody came to own.
//!
//! The decision is one guarded statement that tests hold and lock once more; from there is no way back. Bytes go with no
//! transaction open, then the object's row, and with the last of them the recording becomes a tombstone, which keeps it
//! from being archived again.

use crate::Archive;
use crate::crash::crash_point;
use crate::db::{Row, params};
use crate::error::Result;
use crate::holds::{IS_HELD, serialise_on_tenant};
use crate::id::{ObjectId, RecordingId, StoreId, TenantId};
use crate::usage::{Count, count};
use crate::words::UsageClass;

/// What a round of purging did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Recordings that became tombstones.
    pub recordings: u64,
    /// Bytes removed from stores.
    pub stored_bytes: u64,
    /// Objects whose store failed; the next round tries them again.
    pub failed: u64,
}

impl Archive {
    /// Purges up to `limit` recordings whose grace period is over, those first whose purge was interrupted. One failing
    /// object never stops the others.
    pub async fn purge_due(&self, limit: u32) -> Result<Purged> {
        let mut purged = Purged::default();
        let rows = self
            .db
            .fetch_all(
                "SELECT id, tenant_id, state
                 FROM recordings
                 WHERE state IN ('expired', 'purging') AND purge_after <= $1
                 ORDER BY CASE WHEN state = 'purging' THEN 0 ELSE 1 END, purge_after, id
                 LIMIT $2",
                params![self.clock.now(), limit],
            )
            .await?;
        for row in &rows {
            let (id, tenant): (RecordingId, TenantId) = (row.get("id")?, row.get("tenant_id")?);
            if row.get::<String>("state")? == "expired" && !self.begin_purge(id, tenant).await? {
                continue;
            }
            crash_point("purge begun");
            if self.drop_objects_of(id, &mut purged).await? {
                crash_point("objects dropped");
                self.bury(id).await?;
                purged.recordings += 1;
            }
        }
        Ok(purged)
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
                 AND (lock_mode = 'none' OR retain_until IS NULL OR retain_until < $2) AND NOT {IS_HELD}"
        );
        if tx.execute(sql, params![id, now]).await? == 0 {
            return Ok(false);
        }
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
    async fn drop_objects_of(&self, id: RecordingId, purged: &mut Purged) -> Result<bool> {
        let rows = self
            .db
            .fetch_all(
                "SELECT id, store_id, key, size_bytes FROM objects WHERE recording_id = $1 AND state = 'dropping'",
                params![id],
            )
            .await?;
        let mut all = true;
        for row in &rows {
            match self.drop_object(row).await {
                Ok(bytes) => purged.stored_bytes += bytes,
                Err(error) => {
                    tracing::warn!(recording.id = %id, "failed to purge an object of recording {id}: {error}");
                    purged.failed += 1;
                    all = false;
                }
            }
        }
        Ok(all)
    }

    async fn drop_object(&self, row: &Row) -> Result<u64> {
        let (id, store, key): (ObjectId, StoreId, String) = (row.get("id")?, row.get("store_id")?, row.get("key")?);
        let store = self.store(store)?;
        self.check_store(store).await?;
        store.remove(&key).await?;
        self.db.execute("DELETE FROM objects WHERE id = $1 AND state = 'dropping'", params![id]).await?;
        row.get("size_bytes")
    }

    /// purging → tombstone.
    async fn bury(&self, id: RecordingId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO tombstones (id, tenant_id, pbx_id, core_server_id, call_ref, leg, started_at, duration_ms,
                 size_bytes, source_sha256, audio_sha256, identity, expired_at, expired_by, purged_at)
             SELECT id, tenant_id, pbx_id, core_server_id, call_ref, leg, started_at, duration_ms, size_bytes,
                 source_sha256, audio_sha256, identity, expired_at, expired_by, $1
             FROM recordings
             WHERE id = $2 AND state = 'purging'",
            params![self.clock.now(), id],
        )
        .await?;
        tx.change_one("recording", "DELETE FROM recordings WHERE id = $1 AND state = 'purging'", params![id]).await?;
        tx.commit().await
    }

    /// Removes objects that a crash or a failed put left behind: writing ones whose lease is over, dropping ones whose
    /// bytes are still there. Says how many went.
    pub async fn sweep_objects(&self, limit: u32) -> Result<u64> {
        let now = self.db.now().await?;
        self.db
            .execute("UPDATE objects SET state = 'dropping' WHERE state = 'writing' AND lease_until < $1", params![now])
            .await?;
        let rows = self
            .db
            .fetch_all(
                "SELECT id, store_id, key, size_bytes
                 FROM objects
                 WHERE state = 'dropping' AND lease_until < $1
                     AND NOT EXISTS (SELECT 1 FROM recordings r
                                     WHERE r.id = objects.recording_id AND r.state = 'purging')
                 ORDER BY lease_until
                 LIMIT $2",
                params![now, limit],
            )
            .await?;
        let mut swept = 0;
        for row in &rows {
            match self.drop_object(row).await {
                Ok(_) => swept += 1,
                Err(error) => tracing::warn!("failed to sweep an object: {error}"),
            }
        }
        Ok(swept)
    }

    /// How long the tombstones, and with them the memory of what was purged, reach: how many there are.
    pub async fn count_tombstones(&self) -> Result<u64> {
        self.db.fetch_one("SELECT count(*) AS n FROM tombstones", params![]).await?.get("n")
    }
}
