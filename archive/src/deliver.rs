//! Delivering: the step by which a spooled source becomes an archived recording.
//!
//! An object's row is written before its bytes, and the recording's row after them: first `writing` rows and the puts
//! (`put`; no transaction is open), then one transaction that makes the objects live, enters the recording, counts it, and ends
//! the source. Whatever a crash leaves half-way is a `writing` object that [`Archive::sweep_objects`] removes.

use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::{Tx, params};
use crate::delivery::{Delivered, Delivery};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CallId, ObjectId, RecordingId};
use crate::organisation::{CoreServer, PbxPlace};
use crate::recording::{file_name, identity};
use crate::repair::wants_repair;
use crate::sources::SourceClaim;
use crate::usage::{Count, count};
use crate::words::{CopyReason, Outcome, UsageClass};

/// How often a delivery is committed again after another one came in between: once would do for each unique index.
const COMMITS_AGAIN: u32 = 3;

/// The recording of an identity, or its tombstone.
const KNOWN_IDENTITY: &str = "SELECT id, CAST(0 AS BIGINT) AS is_buried
     FROM recordings
     WHERE identity = $1
     UNION ALL
     SELECT id, CAST(1 AS BIGINT) AS is_buried
     FROM tombstones
     WHERE identity = $1
     ORDER BY is_buried
     LIMIT 1";

/// How far before or after now a call's start may lie and still be believed.
const PLAUSIBLE_PAST: Duration = Duration::from_secs(50 * 365 * 86_400);
const PLAUSIBLE_FUTURE: Duration = Duration::from_secs(86_400);

impl Archive {
    /// A new recording's id, and with it what its retention counts from: the call's start if that is plausible, else
    /// now. Never a file's time.
    pub fn new_recording_id(&self, claim: &SourceClaim) -> RecordingId {
        // A source that is fetched again to repair its recording is that recording.
        claim.source.recording.unwrap_or_else(|| RecordingId::new(self.retain_from(claim.source.listed.started_at)))
    }

    fn retain_from(&self, started_at: Option<Instant>) -> Instant {
        let now = self.clock.now();
        started_at
            .filter(|at| *at > Instant::from_millis(0))
            .filter(|at| *at >= now.minus(PLAUSIBLE_PAST) && *at <= now.plus(PLAUSIBLE_FUTURE))
            .unwrap_or(now)
    }

    /// Ends a spooled source whose recording is already here, before any work is spent on it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the claim was lost.
    pub async fn find_delivered(
        &self,
        claim: &SourceClaim,
        core_server: &CoreServer,
        place: Option<&PbxPlace>,
        source_sha256: Sha256,
    ) -> Result<Option<Delivered>> {
        let identity = delivery_identity(claim, core_server, place, source_sha256);
        // Nearly always it is not, which costs no transaction: what comes in between is found by the delivery.
        if self.db.fetch_optional(KNOWN_IDENTITY, params![identity]).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let found = find_identity(&mut tx, identity).await?;
        if let Some(Delivered::Duplicate(id)) = found
            && wants_repair(&mut tx, id).await?
        {
            return Ok(None);
        }
        if let Some(delivered) = found {
            self.end_source(&mut tx, claim, core_server, delivered).await?;
            tx.commit().await?;
        }
        Ok(found)
    }

    /// Archives a recording: spooled → done for its source, nothing → archived for itself.
    ///
    /// Returns once the bytes are durable in as many stores as the tier requires, and the rows are committed; further
    /// copies follow. Calling it again for the same source, after whatever failure, archives once.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the claim was lost; failures of a store or the catalogue, after which the source can be
    /// tried again.
    pub async fn deliver(&self, delivery: &Delivery) -> Result<Delivered> {
        let mut objects = Vec::new();
        let further = match self.put_objects(delivery, &mut objects).await {
            Ok(further) => further,
            Err(error) => {
                self.drop_written(&objects).await?;
                return Err(error);
            }
        };
        crash_point("object put");
        let mut outcome = self.commit_delivery(delivery, &objects, further).await;
        // Somebody delivered the same recording, or the first one of its call, at the same moment: now that is found.
        for _ in 0..COMMITS_AGAIN {
            if matches!(&outcome, Err(error) if error.is_unique_violation()) {
                outcome = self.commit_delivery(delivery, &objects, further).await;
            }
        }
        if !matches!(outcome, Ok(Delivered::Archived(_))) {
            self.drop_written(&objects).await?;
        }
        if outcome.is_ok() {
            crash_point("recording committed");
        }
        outcome
    }

    pub(crate) async fn commit_delivery(
        &self,
        delivery: &Delivery,
        objects: &[ObjectId],
        further: Option<CopyReason>,
    ) -> Result<Delivered> {
        let mut tx = self.db.begin().await?;
        self.lock_stores_of(&mut tx, objects).await?;
        let identity =
            delivery_identity(&delivery.claim, &delivery.core_server, delivery.place.as_ref(), delivery.source_sha256);
        if let Some(mut delivered) = find_identity(&mut tx, identity).await? {
            if let Delivered::Duplicate(id) = delivered
                && self.repair(&mut tx, delivery, objects, id).await?
            {
                delivered = Delivered::Archived(id);
            }
            self.end_source(&mut tx, &delivery.claim, &delivery.core_server, delivered).await?;
            tx.commit().await?;
            return Ok(delivered);
        }
        for object in objects {
            tx.change_one(
                "object",
                "UPDATE objects SET state = 'live' WHERE id = $1 AND state = 'writing'",
                params![*object],
            )
            .await?;
        }
        self.insert_recording(&mut tx, delivery, identity, further, self.clock.now()).await?;
        let delivered = Delivered::Archived(delivery.id);
        self.end_source(&mut tx, &delivery.claim, &delivery.core_server, delivered).await?;
        tx.commit().await?;
        Ok(delivered)
    }

    pub(crate) async fn insert_recording(
        &self,
        tx: &mut Tx,
        delivery: &Delivery,
        identity: Sha256,
        further: Option<CopyReason>,
        archived_at: Instant,
    ) -> Result<()> {
        let listed = &delivery.claim.source.listed;
        let place = delivery.place.as_ref();
        // What is not plausible as a start is not believed for anything: not for retention, nor for a hold by time.
        let started_at = delivery.id.instant();
        let retain_from = started_at;
        let core_server = &delivery.core_server;
        let guarded = self.is_guarded(tx, delivery, retain_from).await?;
        let zone = crate::recording::zone(place.map_or("UTC", |place| &place.time_zone));
        let call = find_or_add_call(tx, delivery, started_at).await?;
        tx.execute(
            "INSERT INTO recordings (id, tenant_id, pbx_id, core_server_id, source_id, pbx_token, call_id, call_ref,
                 leg, direction, caller, callee, started_at, duration_ms, file_name, format, content_type, bitrate_bps,
                 sample_rate, channels, source_format, kept_original, size_bytes, source_sha256, audio_sha256, identity,
                 state, tier_id, policy_id, retain_from, guarded, quality, flags, peaks, archived_at, copies_why,
                 copies_since)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                 $22, $23, $24, $25, $26, 'archived', $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)",
            params![
                delivery.id,
                place.map(|place| place.tenant),
                place.map(|place| place.pbx),
                core_server.id,
                delivery.claim.source.id,
                &listed.pbx_token,
                call,
                &listed.call_ref,
                listed.leg,
                listed.direction,
                &listed.caller,
                &listed.callee,
                started_at,
                delivery.duration_ms,
                file_name(
                    started_at,
                    &zone,
                    listed.direction,
                    &listed.caller,
                    &listed.callee,
                    delivery.id,
                    &delivery.format
                ),
                &delivery.format,
                &delivery.content_type,
                delivery.bitrate_bps,
                delivery.sample_rate,
                delivery.channels,
                &delivery.source_format,
                delivery.kept_original,
                delivery.size_bytes,
                delivery.source_sha256,
                delivery.sha256,
                identity,
                place.map(|place| place.tier.id),
                place.and_then(|place| place.policy),
                retain_from,
                guarded,
                &delivery.quality,
                delivery.flags.join(" "),
                delivery.peaks.as_slice(),
                archived_at,
                further.map(|why| why.as_str().to_owned()),
                further.map(|_| self.clock.now())
            ],
        )
        .await?;
        let class = if guarded { UsageClass::Guarded } else { UsageClass::Live };
        count(tx, delivery.id, Count::Add(class)).await?;
        let payload = serde_json::json!({
            "recording": delivery.id.to_string(),
            "pbx": place.map(|place| place.pbx.to_string()),
            "duration_ms": delivery.duration_ms,
            "size_bytes": delivery.size_bytes,
        });
        self.emit(tx, "recording.archived", place.map(|place| place.tenant), &payload).await
    }

    /// Is it older than its core server's enrolment, and was it not yet there when an operator confirmed what is? What
    /// comes to light later was in no preview: an old disk that is mounted again, a core server whose clock fell back.
    async fn is_guarded(&self, tx: &mut Tx, delivery: &Delivery, retain_from: Instant) -> Result<bool> {
        // Asked here, not of the delivery, and kept so to the end: a confirmation must not miss what is just arriving.
        let sql = format!("SELECT enrolled_at, confirmed_at FROM core_servers WHERE id = $1{}", self.db.for_share());
        let server = tx.fetch_optional(sql, params![delivery.core_server.id]).await?;
        let server = server.ok_or(Error::NotFound("core server"))?;
        if server.get::<Instant>("enrolled_at")? <= retain_from {
            return Ok(false);
        }
        let source = tx
            .fetch_optional("SELECT discovered_at FROM sources WHERE id = $1", params![delivery.claim.source.id])
            .await?
            .ok_or(Error::NotFound("source"))?;
        let confirmed: Option<Instant> = server.get("confirmed_at")?;
        let discovered: Instant = source.get("discovered_at")?;
        Ok(confirmed.is_none_or(|confirmed| confirmed < discovered))
    }

    /// spooled → done, with how it ended and when its file may leave the core server.
    async fn end_source(
        &self,
        tx: &mut Tx,
        claim: &SourceClaim,
        core_server: &CoreServer,
        delivered: Delivered,
    ) -> Result<()> {
        let now = self.clock.now();
        let (outcome, recording) = match delivered {
            Delivered::Archived(id) => (Outcome::Archived, id),
            Delivered::Duplicate(id) => (Outcome::Duplicate, id),
            Delivered::Refused(id) => (Outcome::Refused, id),
        };
        tx.change_one(
            "source",
            "UPDATE sources
             SET state = 'done', outcome = $1, recording_id = $2, done_at = $3, remove_after = $4, lease_until = 0,
                 error_code = NULL, error_detail = NULL
             WHERE id = $5 AND fence = $6 AND state = 'spooled'",
            params![
                outcome,
                recording,
                now,
                core_server.after.keep_source().map(|keep| now.plus(keep)),
                claim.source.id,
                claim.fence
            ],
        )
        .await
    }
}

fn delivery_identity(
    claim: &SourceClaim,
    core_server: &CoreServer,
    place: Option<&PbxPlace>,
    source_sha256: Sha256,
) -> Sha256 {
    let listed = &claim.source.listed;
    let pbx = place.map(|place| place.pbx);
    identity(pbx, core_server.id, &listed.pbx_token, &listed.call_ref, listed.leg, source_sha256)
}

pub(crate) async fn find_identity(tx: &mut Tx, identity: Sha256) -> Result<Option<Delivered>> {
    let Some(row) = tx.fetch_optional(KNOWN_IDENTITY, params![identity]).await? else { return Ok(None) };
    let id = row.get("id")?;
    Ok(Some(if row.get("is_buried")? { Delivered::Refused(id) } else { Delivered::Duplicate(id) }))
}

/// The call that the recording is part of: one per core server, call reference and PBX.
async fn find_or_add_call(tx: &mut Tx, delivery: &Delivery, started_at: Instant) -> Result<CallId> {
    let pbx = delivery.place.as_ref().map(|place| place.pbx);
    let call_ref = &delivery.claim.source.listed.call_ref;
    let found = tx
        .fetch_optional(
            "SELECT id
             FROM calls
             WHERE core_server_id = $1 AND call_ref = $2 AND (pbx_id = $3 OR (pbx_id IS NULL AND $3 IS NULL))",
            params![delivery.core_server.id, call_ref, pbx],
        )
        .await?;
    if let Some(row) = found {
        return row.get("id");
    }
    let id = CallId::new(started_at);
    tx.execute(
        "INSERT INTO calls (id, tenant_id, pbx_id, core_server_id, call_ref, started_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            id,
            delivery.place.as_ref().map(|place| place.tenant),
            pbx,
            delivery.core_server.id,
            call_ref,
            started_at
        ],
    )
    .await?;
    Ok(id)
}
