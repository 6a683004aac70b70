//! Repairing from the core server: a recording of which no sound copy is left is fetched again while its source is still
//! there, and becomes itself again if the very same bytes come out.
//!
//! Audio never changes in place (invariant 9). Encoders give the same bytes for the same source, settings, tags and version;
//! where they do not, the recording stays as it is, damaged, and an operator is told.

use serde_json::json;

use crate::Archive;
use crate::copies::LIVE_OBJECTS;
use crate::db::{Row, Tx, params};
use crate::delivery::Delivery;
use crate::error::Result;
use crate::hash::Sha256;
use crate::id::{ObjectId, RecordingId, TenantId};
use crate::organisation::PbxPlace;
use crate::sources::SourceClaim;
use crate::usage::count_object;
use crate::words::{RecordingState, UsageClass};

/// Has the recording copies, and no sound one?
pub(crate) async fn wants_repair(tx: &mut Tx, id: RecordingId) -> Result<bool> {
    let row = tx
        .fetch_optional(
            "SELECT 1 AS one
             FROM recordings r
             WHERE r.id = $1 AND r.state IN ('archived', 'expired')
                 AND EXISTS (SELECT 1 FROM objects o WHERE o.recording_id = r.id AND o.state = 'live')
                 AND NOT EXISTS (SELECT 1
                                 FROM objects o
                                 JOIN stores s ON s.id = o.store_id
                                 WHERE o.recording_id = r.id AND o.state = 'live' AND o.damaged_at IS NULL
                                     AND o.lost_at IS NULL AND s.lost_at IS NULL)",
            params![id],
        )
        .await?;
    Ok(row.is_some())
}

/// Has the source of such a recording fetched again, if it is still on its core server. Says whether it is.
pub(crate) async fn fetch_again(tx: &mut Tx, id: RecordingId, now: crate::Instant) -> Result<bool> {
    if !wants_repair(tx, id).await? {
        return Ok(false);
    }
    let asked = tx
        .execute(
            "UPDATE sources
             SET state = 'discovered', sha256 = NULL, outcome = NULL, done_at = NULL, remove_after = NULL, attempts = 0,
                 next_try_at = $1, lease_until = 0, fence = fence + 1, recording_id = $2
             WHERE id = (SELECT r.source_id FROM recordings r WHERE r.id = $2)
                 AND state = 'done' AND removed_at IS NULL",
            params![now, id],
        )
        .await?;
    Ok(asked > 0)
}

impl Archive {
    /// The place with the settings that the recording was encoded with, where the claim is for repairing one: the tier may sell
    /// something else by now.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn place_to_repair(&self, claim: &SourceClaim, place: Option<PbxPlace>) -> Result<Option<PbxPlace>> {
        let (Some(id), Some(mut place)) = (claim.source.recording, place.clone()) else { return Ok(place) };
        let sql = "SELECT format, bitrate_bps, kept_original, tier_id FROM recordings WHERE id = $1";
        if let Some(row) = self.db.fetch_optional(sql, params![id]).await? {
            let bitrate_bps: u32 = row.get("bitrate_bps")?;
            place.tier.format = row.get("format")?;
            // A lossless format has no rate of its own: the tier's is not looked at.
            place.tier.bitrate_bps = if bitrate_bps > 0 { bitrate_bps } else { place.tier.bitrate_bps };
            if row.get("kept_original")? {
                place.tier.format = "original".to_owned();
            }
        }
        Ok(Some(place))
    }

    /// Puts what was delivered in the damaged copies' place, if it is the very recording. Says whether it was.
    pub(crate) async fn repair(
        &self,
        tx: &mut Tx,
        delivery: &Delivery,
        objects: &[ObjectId],
        id: RecordingId,
    ) -> Result<bool> {
        if !wants_repair(tx, id).await? {
            return Ok(false);
        }
        let Some(row) = self.lock_to_repair(tx, id).await? else { return Ok(false) };
        let tenant: Option<TenantId> = row.get("tenant_id")?;
        let payload = json!({ "recording": id.to_string() });
        if delivery.id != id || delivery.sha256 != row.get::<Sha256>("audio_sha256")? {
            tracing::error!(recording.id = %id, "recording {id} stays damaged: encoding its source again gave other bytes");
            self.emit(tx, "recording.irreparable", tenant, &payload).await?;
            return Ok(false);
        }
        let class = match row.get("state")? {
            RecordingState::Expired => UsageClass::Grace,
            _ if row.get("guarded")? => UsageClass::Guarded,
            _ => UsageClass::Live,
        };
        let mut live = 0;
        // In the order of their stores, which is that of usage's keys.
        for row in &tx.fetch_all(LIVE_OBJECTS, params![id]).await? {
            let (object, is_live): (ObjectId, bool) = (row.get("id")?, row.get::<String>("state")? == "live");
            if objects.contains(&object) {
                let sql = "UPDATE objects SET state = 'live' WHERE id = $1 AND state = 'writing'";
                tx.change_one("object", sql, params![object]).await?;
                count_object(tx, object, class, 1).await?;
                live += 1;
            } else if is_live && row.get::<i64>("sound")? == 0 {
                count_object(tx, object, class, -1).await?;
                let sql = "UPDATE objects SET state = 'dropping', lease_until = 0 WHERE id = $1 AND state = 'live'";
                tx.change_one("object", sql, params![object]).await?;
            }
        }
        if live != objects.len() {
            // One was swept meanwhile.
            return Err(crate::Error::Conflict("object"));
        }
        tracing::info!(recording.id = %id, "repaired recording {id} from its source");
        self.emit(tx, "recording.repaired", tenant, &payload).await?;
        Ok(true)
    }

    /// Locks the recording's row, after its tenant's as all who change usage do, and takes it from whoever copies it.
    /// `None`: it needs no repair any more, or is purged.
    async fn lock_to_repair(&self, tx: &mut Tx, id: RecordingId) -> Result<Option<Row>> {
        let sql = "SELECT tenant_id FROM recordings WHERE id = $1";
        let Some(row) = tx.fetch_optional(sql, params![id]).await? else { return Ok(None) };
        if let Some(tenant) = row.get::<Option<TenantId>>("tenant_id")? {
            let sql = format!("SELECT 1 AS one FROM tenants WHERE id = $1{}", self.db.for_share());
            tx.fetch_optional(sql, params![tenant]).await?;
        }
        let row = tx
            .fetch_optional(
                "UPDATE recordings
                 SET copies_fence = copies_fence + 1
                 WHERE id = $1 AND state IN ('archived', 'expired')
                 RETURNING audio_sha256, state, guarded, tenant_id",
                params![id],
            )
            .await?;
        // Asked again, where nobody else can change it.
        Ok(if wants_repair(tx, id).await? { row } else { None })
    }
}
