//! The end of a claim: one transaction makes the new objects live, drops what they replace, counts both, and says
//! whether the recording's copies are now where they belong.

use std::collections::HashSet;
use std::time::Duration;

use super::CopyClaim;
use super::make::{CopyOutcome, ToCopy, Work};
use super::objects::{LIVE_OBJECTS, LiveObject};
use crate::Archive;
use crate::clock::Instant;
use crate::db::{Tx, params};
use crate::error::{Error, Result};
use crate::id::{ObjectId, StoreId};
use crate::usage::count_object;
use crate::words::{CopyReason, UsageClass};

/// How long the bytes of an object that was replaced are kept, for the transfers that may still be reading them.
const READERS_LEASE: Duration = Duration::from_secs(3600);
/// The pause before a store is asked again: as long as the recording has waited, within these bounds.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl Archive {
    /// # Errors
    /// [`Error::Conflict`] when the claim was lost, or the recording has begun another move meanwhile.
    pub(super) async fn commit_copies(
        &self,
        claim: &CopyClaim,
        recording: &ToCopy,
        work: &Work,
    ) -> Result<CopyOutcome> {
        let now = self.db.now().await?;
        let mut tx = self.db.begin().await?;
        // None of its stores is declared lost before this ends.
        let sql = format!(
            "SELECT id
             FROM stores
             WHERE id IN (SELECT store_id FROM objects WHERE recording_id = $1 AND state IN ('live', 'writing'))
             ORDER BY id{}",
            self.db.for_share()
        );
        tx.fetch_all(sql, params![recording.id]).await?;
        let class = self.lock_claimed(&mut tx, claim, recording).await?;
        // What it has is asked again here, where nobody else can change it.
        let rows = tx.fetch_all(LIVE_OBJECTS, params![recording.id]).await?;
        let mut objects = Vec::new();
        for row in &rows {
            let object = LiveObject::from_row(row)?;
            if row.get::<String>("state")? == "live" || work.written.contains(&object.id) {
                objects.push(object);
            }
        }
        let sound: HashSet<StoreId> = objects.iter().filter(|it| it.is_sound).map(|it| it.store).collect();
        let wanted = self.ids_of_wanted(recording);
        let is_there = wanted.as_ref().is_some_and(|wanted| !sound.is_empty() && wanted.is_subset(&sound));
        // Nothing goes on the word of a row: only what this claim wrote or read makes another copy needless.
        let is_seen = |it: &&LiveObject| it.is_sound && (work.written.contains(&it.id) || work.proven.contains(&it.id));
        let seen: HashSet<StoreId> = objects.iter().filter(is_seen).map(|it| it.store).collect();
        let may_drop = wanted.as_ref().is_some_and(|wanted| !seen.is_empty() && wanted.is_subset(&seen));
        let is_given_up = |it: &LiveObject| {
            !work.written.contains(&it.id) && wanted.as_ref().is_none_or(|wanted| recording.gives_up(it, wanted))
        };
        let is_done = is_there && (may_drop || !objects.iter().any(is_given_up));
        // In the order of their stores, which is that of usage's keys.
        for object in &objects {
            if work.written.contains(&object.id) {
                make_live(&mut tx, object.id).await?;
                count_object(&mut tx, object.id, class, 1).await?;
            } else if is_done && is_given_up(object) {
                count_object(&mut tx, object.id, class, -1).await?;
                drop_later(&mut tx, object.id, now.plus(READERS_LEASE)).await?;
            }
        }
        let outcome = if is_done {
            CopyOutcome::Done
        } else if sound.is_empty() {
            // Told once: it is claimed no more until somebody finds one.
            tracing::error!(recording.id = %recording.id, "no sound copy of recording {} is left", recording.id);
            CopyOutcome::Lost
        } else {
            CopyOutcome::Waiting(work.failed.clone().unwrap_or_default())
        };
        self.end_claim(&mut tx, claim, &outcome, now).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    /// Locks the recording's row, after its tenant's as all who change usage do; answers what it counts as.
    async fn lock_claimed(&self, tx: &mut Tx, claim: &CopyClaim, recording: &ToCopy) -> Result<UsageClass> {
        if let Some(tenant) = recording.tenant {
            let sql = format!("SELECT 1 AS one FROM tenants WHERE id = $1{}", self.db.for_share());
            tx.fetch_optional(sql, params![tenant]).await?;
        }
        let row = tx
            .fetch_optional(
                "UPDATE recordings
                 SET copies_instance = NULL
                 WHERE id = $1 AND copies_fence = $2 AND moves_begun = $3 AND copies_why IS NOT NULL
                     AND state IN ('archived', 'expired')
                 RETURNING state, guarded",
                params![recording.id, claim.fence, recording.moves_begun],
            )
            .await?
            .ok_or(Error::Conflict("recording"))?;
        Ok(match (row.get::<String>("state")?.as_str(), row.get::<i64>("guarded")?) {
            ("expired", _) => UsageClass::Grace,
            (_, 1) => UsageClass::Guarded,
            _ => UsageClass::Live,
        })
    }

    async fn end_claim(&self, tx: &mut Tx, claim: &CopyClaim, outcome: &CopyOutcome, now: Instant) -> Result<()> {
        let waited = self.clock.now().millis().saturating_sub(claim.since.millis());
        let pause = Duration::from_millis(u64::try_from(waited).unwrap_or(0)).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let (why, lane, try_at) = match outcome {
            CopyOutcome::Waiting(store) => (None, store.as_str(), now.plus(pause)),
            CopyOutcome::Lost => (Some(CopyReason::Lost.as_str().to_owned()), "", Instant::from_millis(0)),
            CopyOutcome::Done | CopyOutcome::Gone => {
                tx.change_one(
                    "recording",
                    "UPDATE recordings
                     SET copies_why = NULL, copies_since = NULL, copies_store = '', copies_try_at = 0
                     WHERE id = $1 AND copies_fence = $2",
                    params![claim.recording, claim.fence],
                )
                .await?;
                return Ok(());
            }
        };
        tx.change_one(
            "recording",
            "UPDATE recordings
             SET copies_why = COALESCE($1, copies_why), copies_store = $2, copies_try_at = $3
             WHERE id = $4 AND copies_fence = $5",
            params![why, lane, try_at, claim.recording, claim.fence],
        )
        .await
    }
}

async fn make_live(tx: &mut Tx, object: ObjectId) -> Result<()> {
    let sql = "UPDATE objects SET state = 'live' WHERE id = $1 AND state = 'writing'";
    tx.change_one("object", sql, params![object]).await
}

/// live → dropping, from then on.
async fn drop_later(tx: &mut Tx, object: ObjectId, from: Instant) -> Result<()> {
    let sql = "UPDATE objects SET state = 'dropping', lease_until = $1 WHERE id = $2 AND state = 'live'";
    tx.change_one("object", sql, params![from, object]).await
}
