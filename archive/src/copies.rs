//! Copies: every recording in each store that its tier names, also when that follows after archiving, when a copy was
//! damaged or lost, and when the recording is old enough to move.
//!
//! The queue is a condition of the recording (`copies_why` and the columns beside it), so nothing is lost with a process.
//! What a store does not take waits in a lane of that store's name: a store that is down costs a question a round and
//! holds up nothing that is for others. A claim is a lease with a fence, by the database's clock.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::schema::check_not_moved;
use crate::db::{Tx, params};
use crate::error::Result;
use crate::id::{ObjectId, RecordingId, TenantId};
use crate::pace::Pace;
use crate::repair::fetch_again;
use crate::words::CopyReason;

mod commit;
mod make;
mod objects;
mod progress;
mod prove;
#[cfg(test)]
mod tests;

pub use make::{Copied, CopyOutcome};
pub(crate) use objects::LIVE_OBJECTS;

/// How long a claim lasts unless it is prolonged.
const CLAIM_LEASE: Duration = Duration::from_secs(120);
/// What is worked on, the most urgent first. What is lost waits for somebody to find it.
const CLAIMED: [CopyReason; 3] = [CopyReason::Repair, CopyReason::Copy, CopyReason::Move];

/// The right to bring the copies of one recording where they belong.
#[derive(Clone, Debug)]
pub struct CopyClaim {
    /// The recording.
    pub recording: RecordingId,
    /// Why its copies are not where they should be.
    pub why: CopyReason,
    /// Since when.
    pub since: Instant,
    fence: u64,
}

/// A round of copying: which lanes there are work in, and which stores have failed since it began.
#[derive(Debug)]
pub struct CopyRound<'a> {
    pace: &'a Pace,
    lanes: Vec<String>,
    next_lane: AtomicUsize,
    failing: Mutex<HashSet<String>>,
}

impl CopyRound<'_> {
    fn is_failing(&self, store: &str) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).contains(store)
    }

    fn note_failing(&self, store: &str) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_owned());
    }
}

/// How many recordings wait for copies, for one reason and, where one has not taken or given its copy, for one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiesWaiting {
    /// Why.
    pub why: CopyReason,
    /// The name of the store; `None`: none was tried yet.
    pub store: Option<String>,
    /// How many.
    pub recordings: u64,
    /// Since when the oldest of them waits.
    pub oldest: Instant,
}

impl Archive {
    /// Begins a round: what stores do not answer now is left alone in it.
    pub async fn begin_copy_round<'a>(&self, pace: &'a Pace) -> Result<CopyRound<'a>> {
        let mut round =
            CopyRound { pace, lanes: Vec::new(), next_lane: AtomicUsize::new(0), failing: Mutex::default() };
        // One seek for each lane, however many recordings wait in it.
        let mut after = None;
        while let Some(lane) = self.find_lane_after(after.as_deref()).await? {
            after = Some(lane.clone());
            if let Ok(store) = self.store_named(&lane)
                && let Err(error) = self.check_store(store).await
            {
                tracing::warn!("copies wait for store {lane}: {error}");
                round.note_failing(&lane);
                continue;
            }
            round.lanes.push(lane);
        }
        Ok(round)
    }

    async fn find_lane_after(&self, lane: Option<&str>) -> Result<Option<String>> {
        let row = match lane {
            None => {
                let sql = "SELECT MIN(copies_store) AS lane FROM recordings WHERE copies_why IS NOT NULL";
                self.db.fetch_one(sql, params![]).await?
            }
            Some(lane) => {
                let sql = "SELECT MIN(copies_store) AS lane
                           FROM recordings
                           WHERE copies_why IS NOT NULL AND copies_store > $1";
                self.db.fetch_one(sql, params![lane]).await?
            }
        };
        row.get("lane")
    }

    /// Claims the recording that has waited longest for copies; the lanes take turns. `None`: nothing is due.
    pub async fn claim_copy(&self, round: &CopyRound<'_>) -> Result<Option<CopyClaim>> {
        let first = round.next_lane.fetch_add(1, Ordering::Relaxed);
        for n in 0..round.lanes.len() {
            let lane = &round.lanes[(first + n) % round.lanes.len()];
            if round.is_failing(lane) {
                continue;
            }
            for why in CLAIMED {
                if let Some(claim) = self.claim_from(lane, why).await? {
                    return Ok(Some(claim));
                }
            }
        }
        Ok(None)
    }

    async fn claim_from(&self, lane: &str, why: CopyReason) -> Result<Option<CopyClaim>> {
        // An expired recording is repaired, for it can still be brought back; but it moves nowhere.
        const DUE: &str = "SELECT id
             FROM recordings
             WHERE copies_store = $1 AND copies_why = $2 AND copies_why IS NOT NULL AND copies_try_at <= $3
                 AND (state = 'archived' OR (state = 'expired' AND copies_why <> 'move'))
             ORDER BY copies_try_at, id
             LIMIT 1";
        let now = self.db.now().await?;
        if self.db.fetch_optional(DUE, params![lane, why, now]).await?.is_none() {
            return Ok(None);
        }
        // Written as a plain subselect, PostgreSQL may ask it again for every row, and claim more than one.
        let sql = format!(
            "WITH due AS MATERIALIZED ({DUE}{skip_locked})
             UPDATE recordings
             SET copies_try_at = $4, copies_fence = copies_fence + 1, copies_instance = $5
             WHERE id IN (SELECT id FROM due) AND copies_why = $2 AND copies_try_at <= $3
             RETURNING id, copies_since, copies_fence",
            skip_locked = self.db.skip_locked()
        );
        let mut tx = self.db.begin().await?;
        let row = tx.fetch_optional(sql, params![lane, why, now, now.plus(CLAIM_LEASE), &self.instance]).await?;
        // Behind the change, which waits for a move that is under way.
        check_not_moved(&mut tx).await?;
        tx.commit().await?;
        row.map(|row| {
            Ok(CopyClaim {
                recording: row.get("id")?,
                why,
                since: row.get("copies_since")?,
                fence: row.get("copies_fence")?,
            })
        })
        .transpose()
    }

    /// Frees the claims that this instance's earlier process left behind. Only one process runs under an instance's name.
    pub async fn release_own_copy_claims(&self) -> Result<u64> {
        self.db
            .execute(
                "UPDATE recordings
                 SET copies_try_at = 0, copies_fence = copies_fence + 1, copies_instance = NULL
                 WHERE copies_why IS NOT NULL AND copies_instance = $1",
                params![&self.instance],
            )
            .await
    }

    /// What waits for copies, by reason and store. Costs what waits, not what was ever archived.
    pub async fn list_copies_waiting(&self) -> Result<Vec<CopiesWaiting>> {
        let rows = self
            .db
            .fetch_all(
                "SELECT copies_store, copies_why, count(*) AS n, MIN(copies_since) AS oldest
                 FROM recordings
                 WHERE copies_why IS NOT NULL AND state IN ('archived', 'expired')
                 GROUP BY copies_store, copies_why
                 ORDER BY copies_store, copies_why",
                params![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(CopiesWaiting {
                    why: row.get("copies_why")?,
                    store: Some(row.get::<String>("copies_store")?).filter(|store| !store.is_empty()),
                    recordings: row.get("n")?,
                    oldest: row.get("oldest")?,
                })
            })
            .collect()
    }

    /// Notes that the object is not what was stored, or not there: it is read no more, and replaced from another copy, or
    /// where none is left from its source. Says whether that is news.
    pub(crate) async fn mark_damaged(&self, object: ObjectId) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let sound = tx
            .fetch_optional(
                "SELECT recording_id FROM objects WHERE id = $1 AND state = 'live' AND damaged_at IS NULL",
                params![object],
            )
            .await?;
        let Some(row) = sound else { return Ok(false) };
        let recording: RecordingId = row.get("recording_id")?;
        let Some(tenant) = self.want_repair(&mut tx, recording).await? else { return Ok(false) };
        let marked = tx
            .execute(
                "UPDATE objects SET damaged_at = $1 WHERE id = $2 AND state = 'live' AND damaged_at IS NULL",
                params![self.clock.now(), object],
            )
            .await?;
        if marked == 0 {
            return Ok(false);
        }
        let fetched_again = fetch_again(&mut tx, recording, self.clock.now()).await?;
        let payload = json!({
            "recording": recording.to_string(),
            "object": object.to_string(),
            "fetched_again": fetched_again,
        });
        self.emit(&mut tx, "object.damaged", tenant, &payload).await?;
        tx.commit().await?;
        tracing::error!(recording.id = %recording, "an object of recording {recording} is damaged");
        Ok(true)
    }

    /// Has the copies looked after of recordings that have a damaged one and of lost ones that have a sound one again,
    /// whoever found that out; up to `limit` of each. Says how many.
    pub async fn queue_repairs(&self, limit: u32) -> Result<u64> {
        const DAMAGED: &str = "SELECT DISTINCT r.id AS id
             FROM objects o
             JOIN recordings r ON r.id = o.recording_id
             WHERE o.damaged_at IS NOT NULL AND o.state = 'live' AND r.copies_why IS NULL
                 AND r.state IN ('archived', 'expired')
             LIMIT $1";
        const LOST: &str = "SELECT id
             FROM recordings
             WHERE copies_store = '' AND copies_why = 'lost' AND copies_why IS NOT NULL
                 AND EXISTS (SELECT 1
                             FROM objects o
                             JOIN stores s ON s.id = o.store_id
                             WHERE o.recording_id = recordings.id AND o.state = 'live' AND o.damaged_at IS NULL
                                 AND o.lost_at IS NULL AND s.lost_at IS NULL)
             LIMIT $1";
        let mut queued = 0;
        for which in [DAMAGED, LOST] {
            for row in self.db.fetch_all(which, params![limit]).await? {
                let mut tx = self.db.begin().await?;
                queued += u64::from(self.want_repair(&mut tx, row.get("id")?).await?.is_some());
                tx.commit().await?;
            }
        }
        Ok(queued)
    }

    /// Has the recording's copies looked after, in the transaction that changes its objects: asked before that, so that
    /// the recording's row is locked first. Answers its tenant, or `None` where there is no such recording any more.
    pub(crate) async fn want_repair(&self, tx: &mut Tx, recording: RecordingId) -> Result<Option<Option<TenantId>>> {
        // A claim that is at work goes on, and sees at its end what has changed.
        let row = tx
            .fetch_optional(
                "UPDATE recordings
                 SET copies_try_at = CASE WHEN copies_why IN ('repair', 'copy', 'move') THEN copies_try_at ELSE 0 END,
                     copies_since = COALESCE(copies_since, $1), copies_why = 'repair', copies_store = ''
                 WHERE id = $2 AND state IN ('archived', 'expired')
                 RETURNING tenant_id",
                params![self.clock.now(), recording],
            )
            .await?;
        row.map(|row| row.get("tenant_id")).transpose()
    }
}
