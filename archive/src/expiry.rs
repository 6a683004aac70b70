//! Expiring: archived → expired. What is due becomes invisible at once; its bytes stay for the grace period.
//!
//! Which recordings are due is `rotation`'s to decide; that a held, locked, guarded or too young one never goes is
//! guarded here, in the statement that does it.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::params;
use crate::error::{Error, Result};
use crate::holds::{IS_HELD, is_unlocked, serialise_on_tenant};
use crate::id::{CoreServerId, PbxId, RecordingId, TenantId};
use crate::levels::{Kept, Level, Measure, kept_in};
use crate::scope::Actor;
use crate::usage::{Count, count};
use crate::words::{ExpiryReason, UsageClass};

/// A recording that may expire: nothing holds, locks or guards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The recording.
    pub id: RecordingId,
    /// When its call began.
    pub started_at: Instant,
    /// What its retention counts from.
    pub retain_from: Instant,
    /// When it was archived: by that its terms are told.
    pub archived_at: Instant,
    /// What expiring it takes off every quota that it counts to.
    pub kept: Kept,
}

/// A quota, or a share of one, that must be exceeded for anything to expire by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Who keeps too much.
    pub level: Level,
    /// Of what.
    pub measure: Measure,
    /// More than this is too much.
    pub most: u64,
}

/// What was expired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Which recordings, in the order they were asked for.
    pub ids: Vec<RecordingId>,
    /// How many recordings.
    pub recordings: u64,
    /// Their bytes in all stores together.
    pub stored_bytes: u64,
}

impl Archive {
    /// Recordings of the PBX that may expire, oldest first: retained from before `retained_before`, archived within
    /// `archived` (its end is the minimum age), not held, locked or guarded. `after` continues behind the last one seen.
    pub async fn list_expirable(
        &self,
        pbx: PbxId,
        retained_before: Instant,
        archived: Range<Instant>,
        after: Option<(Instant, RecordingId)>,
        limit: u32,
    ) -> Result<Vec<Candidate>> {
        let (after_from, after_id) =
            after.unwrap_or((Instant::from_millis(i64::MIN), RecordingId::new(Instant::from_millis(0))));
        let sql = format!(
            "SELECT id, started_at, retain_from, archived_at, duration_ms,
                 CAST((SELECT COALESCE(SUM(o.size_bytes), 0)
                       FROM objects o
                       WHERE o.recording_id = recordings.id AND o.state = 'live') AS BIGINT) AS stored_bytes
             FROM recordings
             WHERE pbx_id = $1 AND state = 'archived' AND guarded = 0
                 AND retain_from < $2 AND archived_at >= $3 AND archived_at < $4
                 AND (retain_from, id) > ($5, $6)
                 AND {unlocked} AND NOT {IS_HELD}
             ORDER BY retain_from, id
             LIMIT $8",
            unlocked = is_unlocked("$7")
        );
        let now = self.clock.now();
        let params = params![pbx, retained_before, archived.start, archived.end, after_from, after_id, now, limit];
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Candidate {
                    id: row.get("id")?,
                    started_at: row.get("started_at")?,
                    retain_from: row.get("retain_from")?,
                    archived_at: row.get("archived_at")?,
                    kept: Kept {
                        stored_bytes: row.get("stored_bytes")?,
                        audio_ms: row.get("duration_ms")?,
                        recordings: 1,
                    },
                })
            })
            .collect()
    }

    /// How many visible recordings of the PBX, archived within `archived`, are due by age but stay, because something
    /// holds or locks them.
    pub async fn count_kept_back(&self, pbx: PbxId, retained_before: Instant, archived: Range<Instant>) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) AS n
             FROM recordings
             WHERE pbx_id = $1 AND state = 'archived' AND guarded = 0 AND retain_from < $2
                 AND archived_at >= $3 AND archived_at < $4
                 AND ({IS_HELD} OR NOT {unlocked})",
            unlocked = is_unlocked("$5")
        );
        let params = params![pbx, retained_before, archived.start, archived.end, self.clock.now()];
        self.db.fetch_one(sql, params).await?.get("n")
    }

    /// archived → expired, for those of `ids` that are still the PBX's and that nothing holds, locks, guards, or keeps
    /// for its minimum age (`archived_before`); they may be purged `grace` later. At most 1,000 in one call.
    pub async fn expire(
        &self,
        tenant: TenantId,
        pbx: PbxId,
        ids: &[RecordingId],
        archived_before: Instant,
        reason: ExpiryReason,
        grace: Duration,
    ) -> Result<Expired> {
        self.expire_while(tenant, pbx, ids, archived_before, reason, grace, &[]).await
    }

    /// As [`Archive::expire`], in the order of `ids` and only while every one of the bounds is exceeded: looked at where
    /// the tenant's row keeps other rotations out, so that two at once, or one that is late, never take more than the
    /// quotas ask for. What arrives meanwhile only makes it more.
    #[expect(clippy::too_many_arguments, reason = "each of them is another kind of thing")]
    pub async fn expire_over_quota(
        &self,
        tenant: TenantId,
        pbx: PbxId,
        ids: &[RecordingId],
        archived_before: Instant,
        reason: ExpiryReason,
        grace: Duration,
        bounds: &[Bound],
    ) -> Result<Expired> {
        self.expire_while(tenant, pbx, ids, archived_before, reason, grace, bounds).await
    }

    #[expect(clippy::too_many_arguments, reason = "the two methods above name them")]
    async fn expire_while(
        &self,
        tenant: TenantId,
        pbx: PbxId,
        ids: &[RecordingId],
        archived_before: Instant,
        reason: ExpiryReason,
        grace: Duration,
        bounds: &[Bound],
    ) -> Result<Expired> {
        self.check_restore_confirmed().await?;
        let now = self.clock.now();
        let mut expired = Expired::default();
        let mut tx = self.db.begin().await?;
        serialise_on_tenant(&mut tx, tenant).await?;
        let sql = format!(
            "UPDATE recordings
             SET state = 'expired', expired_at = $1, expired_by = $2, purge_after = $3
             WHERE id = $4 AND pbx_id = $5 AND tenant_id = $6 AND state = 'archived' AND guarded = 0
                 AND archived_at < $7 AND {unlocked} AND NOT {IS_HELD}
             RETURNING duration_ms, CAST((SELECT COALESCE(SUM(o.size_bytes), 0)
                             FROM objects o
                             WHERE o.recording_id = recordings.id AND o.state = 'live') AS BIGINT) AS stored_bytes",
            unlocked = is_unlocked("$1")
        );
        let mut kept = Vec::new();
        for bound in bounds {
            kept.push((*bound, kept_in(&mut tx, bound.level).await?));
        }
        for id in ids.iter().take(1000) {
            if kept.iter().any(|(bound, kept)| kept.of(bound.measure) <= bound.most) {
                break;
            }
            let params = params![now, reason, now.plus(grace), *id, pbx, tenant, archived_before];
            if let Some(row) = tx.fetch_optional(sql.clone(), params).await? {
                count(&mut tx, *id, Count::Move { from: UsageClass::Live, to: UsageClass::Grace }).await?;
                let stored_bytes = row.get("stored_bytes")?;
                let gone = Kept { stored_bytes, audio_ms: row.get("duration_ms")?, recordings: 1 };
                kept.iter_mut().for_each(|(_, kept)| kept.remove(gone));
                expired.ids.push(*id);
                expired.recordings += 1;
                expired.stored_bytes += stored_bytes;
            }
        }
        if expired.recordings > 0 {
            let payload = json!({
                "pbx": pbx.to_string(),
                "reason": reason.as_str(),
                "recordings": expired.recordings,
                "stored_bytes": expired.stored_bytes,
            });
            self.emit(&mut tx, "recordings.expired", Some(tenant), &payload).await?;
        }
        tx.commit().await?;
        crash_point("expired");
        Ok(expired)
    }

    /// expired → archived: brings a recording back while it is in its grace period.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is out of scope, not expired, or already being purged.
    pub async fn undelete(&self, actor: &Actor, id: RecordingId) -> Result<()> {
        let mut params = params![id];
        let condition = actor.scope.condition(&mut params);
        let sql = format!(
            "UPDATE recordings
             SET state = 'archived', expired_at = NULL, expired_by = NULL, purge_after = NULL
             WHERE id = $1 AND state = 'expired' AND {condition}
             RETURNING tenant_id, pbx_id"
        );
        let mut tx = self.db.begin().await?;
        let row = tx.fetch_optional(sql, params).await?.ok_or(Error::NotFound("expired recording"))?;
        let tenant: Option<TenantId> = row.get("tenant_id")?;
        count(&mut tx, id, Count::Move { from: UsageClass::Grace, to: UsageClass::Live }).await?;
        let detail = json!({ "pbx": row.get::<Option<PbxId>>("pbx_id")?.map(|pbx| pbx.to_string()) });
        self.audit(&mut tx, actor, "recording.undelete", tenant, Some(id.to_string()), &detail).await?;
        self.emit(&mut tx, "recording.undeleted", tenant, &json!({ "recording": id.to_string() })).await?;
        tx.commit().await
    }

    /// The operator has seen the preview: what is older than the core server's enrolment comes under the rules. Says how
    /// many recordings those are.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator; [`Error::NotFound`] when there is no such core server.
    pub async fn confirm_enrolment(&self, actor: &Actor, core_server: CoreServerId) -> Result<u64> {
        if actor.scope != crate::Scope::Platform {
            return Err(Error::Forbidden("only an operator confirms an enrolment"));
        }
        let mut tx = self.db.begin().await?;
        let known = tx
            .execute("UPDATE core_servers SET confirmed_at = $1 WHERE id = $2", params![self.clock.now(), core_server])
            .await?;
        if known == 0 {
            return Err(Error::NotFound("core server"));
        }
        let rows = tx
            .fetch_all(
                "UPDATE recordings SET guarded = 0 WHERE core_server_id = $1 AND guarded = 1 RETURNING id, state",
                params![core_server],
            )
            .await?;
        for row in &rows {
            // Guarded recordings never expire, so each one is archived.
            count(&mut tx, row.get("id")?, Count::Move { from: UsageClass::Guarded, to: UsageClass::Live }).await?;
        }
        let detail = json!({ "recordings": rows.len() });
        self.audit(&mut tx, actor, "core-server.confirm", None, Some(core_server.to_string()), &detail).await?;
        tx.commit().await?;
        Ok(rows.len() as u64)
    }
}
