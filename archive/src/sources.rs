//! Sources: files as core servers offer them, on their way to becoming recordings. Their states are the queue.
//!
//! Work on a source is claimed by a lease with a fence that grows at each claim; every later change names that fence,
//! so one who lost its lease (a paused process that wakes up) changes nothing.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::db::schema::check_not_moved;
use crate::db::{Row, params};
use crate::error::Result;
use crate::hash::Sha256;
use crate::id::{CoreServerId, RecordingId, SourceId};
use crate::words::{Direction, Leg, Outcome, SourceState};

mod collecting;
#[cfg(test)]
mod tests;

/// A finished file that a core server lists, and what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// Relative to the core server's spool.
    pub path: PathBuf,
    /// Its size when it was listed.
    pub size_bytes: u64,
    /// Its modification time when it was listed.
    pub mtime: Instant,
    /// What the path says of the PBX; may be empty.
    pub pbx_token: String,
    /// uniqueid, Call-ID, or the base name.
    pub call_ref: String,
    /// Which side of the call.
    pub leg: Leg,
    /// Which way the call went.
    pub direction: Direction,
    /// The calling number, or nothing.
    pub caller: String,
    /// The called number, or nothing.
    pub callee: String,
    /// When the call began, when the path says so.
    pub started_at: Option<Instant>,
}

/// A source in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// The core server that offers it.
    pub core_server: CoreServerId,
    /// What was listed.
    pub listed: NewSource,
    /// Where it is on its way.
    pub state: SourceState,
    /// How often it failed.
    pub attempts: u32,
    /// When it may be tried again.
    pub next_try_at: Instant,
    /// Why it failed last: a stable word.
    pub error_code: Option<String>,
    /// Why it failed last, in a sentence.
    pub error_detail: Option<String>,
    /// SHA-256 of its bytes, once spooled.
    pub sha256: Option<Sha256>,
    /// The instance that has it spooled.
    pub instance: Option<String>,
    /// The recording that it became, or that already was there.
    pub recording: Option<RecordingId>,
    /// How it ended, once done.
    pub outcome: Option<Outcome>,
}

/// The right to work on a source, until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceClaim {
    /// The source, as it was when claimed.
    pub source: Source,
    pub(crate) fence: i64,
}

pub(crate) const COLUMNS: &str = "id, core_server_id, path, size_bytes, mtime_ms, pbx_token, call_ref, leg, direction, caller, \
    callee, started_at, state, attempts, next_try_at, error_code, error_detail, sha256, instance, recording_id, \
    outcome, fence";

impl Source {
    pub(crate) fn from_row(row: &Row) -> Result<Self> {
        let outcome: Option<String> = row.get("outcome")?;
        Ok(Self {
            id: row.get("id")?,
            core_server: row.get("core_server_id")?,
            listed: NewSource {
                path: PathBuf::from(std::ffi::OsString::from_vec(row.get("path")?)),
                size_bytes: row.get("size_bytes")?,
                mtime: row.get("mtime_ms")?,
                pbx_token: row.get("pbx_token")?,
                call_ref: row.get("call_ref")?,
                leg: row.get("leg")?,
                direction: row.get("direction")?,
                caller: row.get("caller")?,
                callee: row.get("callee")?,
                started_at: row.get("started_at")?,
            },
            state: row.get("state")?,
            attempts: row.get("attempts")?,
            next_try_at: row.get("next_try_at")?,
            error_code: row.get("error_code")?,
            error_detail: row.get("error_detail")?,
            sha256: row.get("sha256")?,
            instance: row.get("instance")?,
            recording: row.get("recording_id")?,
            outcome: outcome.map(|outcome| outcome.parse()).transpose()?,
        })
    }
}

impl Archive {
    /// Enters finished files that the catalogue does not know yet; says how many were new. The same path with another
    /// size or time is another source: a name that was used again.
    pub async fn discover(&self, core_server: CoreServerId, listed: &[NewSource]) -> Result<u64> {
        let now = self.clock.now();
        let mut new = 0;
        for batch in listed.chunks(100) {
            let mut tx = self.db.begin().await?;
            for source in batch {
                new += tx
                    .execute(
                        "INSERT INTO sources (id, core_server_id, path, size_bytes, mtime_ms, pbx_token, call_ref, leg,
                             direction, caller, callee, started_at, state, next_try_at, discovered_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'discovered', $13, $13)
                         ON CONFLICT (core_server_id, path, size_bytes, mtime_ms) DO NOTHING",
                        params![
                            SourceId::new(now),
                            core_server,
                            source.path.as_os_str().as_bytes(),
                            source.size_bytes,
                            source.mtime,
                            &source.pbx_token,
                            &source.call_ref,
                            source.leg,
                            source.direction,
                            &source.caller,
                            &source.callee,
                            source.started_at,
                            now
                        ],
                    )
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(new)
    }

    /// Is this very file (path, size and time) already in the catalogue?
    pub async fn knows_source(
        &self,
        core_server: CoreServerId,
        path: &std::path::Path,
        size_bytes: u64,
        mtime: Instant,
    ) -> Result<bool> {
        let row = self
            .db
            .fetch_optional(
                "SELECT 1 AS one
                 FROM sources
                 WHERE core_server_id = $1 AND path = $2 AND size_bytes = $3 AND mtime_ms = $4",
                params![core_server, path.as_os_str().as_bytes(), size_bytes, mtime],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Claims up to `limit` sources of a core server that wait for work, oldest first, for as long as `lease`.
    ///
    /// # Errors
    /// [`crate::Error::Moved`] when the catalogue was moved to another database.
    pub async fn claim_sources(
        &self,
        core_server: CoreServerId,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<SourceClaim>> {
        // What another instance has spooled lies on that instance's disk.
        self.claim(core_server, lease, limit, "(state = 'discovered' OR instance = $2)").await
    }

    async fn claim(
        &self,
        core_server: CoreServerId,
        lease: Duration,
        limit: u32,
        which: &'static str,
    ) -> Result<Vec<SourceClaim>> {
        // Written as a plain subselect, PostgreSQL may ask it again for every row, and claim more than the limit.
        let sql = format!(
            "WITH due AS MATERIALIZED (
                 SELECT id
                 FROM sources
                 WHERE core_server_id = $3 AND state IN ('discovered', 'spooled')
                     AND next_try_at <= $4 AND lease_until < {now} AND {which}
                 ORDER BY next_try_at, id
                 LIMIT $5{lock})
             UPDATE sources
             SET fence = fence + 1, lease_until = {now} + $1, instance = $2
             WHERE id IN (SELECT id FROM due) AND state IN ('discovered', 'spooled') AND lease_until < {now}
             RETURNING {COLUMNS}",
            now = self.db.now_sql(),
            lock = self.db.skip_locked()
        );
        let lease_ms = lease.as_millis() as u64;
        let mut tx = self.db.begin().await?;
        let rows = tx.fetch_all(sql, params![lease_ms, &self.instance, core_server, self.clock.now(), limit]).await?;
        // Behind the change, which waits for a move that is under way.
        check_not_moved(&mut tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok(SourceClaim { source: Source::from_row(row)?, fence: row.get("fence")? })).collect()
    }

    /// Prolongs a claim, for a source that takes long.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the claim was lost.
    pub async fn prolong_claim(&self, claim: &SourceClaim, lease: Duration) -> Result<()> {
        let until = self.db.now().await?.plus(lease);
        self.db
            .change_one(
                "source",
                "UPDATE sources SET lease_until = $1 WHERE id = $2 AND fence = $3 AND state IN ('discovered', 'spooled')",
                params![until, claim.source.id, claim.fence],
            )
            .await
    }

    /// discovered → spooled: its bytes lie in this instance's landing zone and hash to `sha256`.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the claim was lost.
    pub async fn mark_spooled(&self, claim: &SourceClaim, sha256: Sha256) -> Result<()> {
        self.db
            .change_one(
                "source",
                "UPDATE sources
                 SET state = 'spooled', sha256 = $1, instance = $2
                 WHERE id = $3 AND fence = $4 AND state = 'discovered'",
                params![sha256, &self.instance, claim.source.id, claim.fence],
            )
            .await
    }

    /// spooled → discovered: its bytes are no longer in the landing zone and must be fetched again.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the claim was lost.
    pub async fn mark_unspooled(&self, claim: &SourceClaim) -> Result<()> {
        self.db
            .change_one(
                "source",
                "UPDATE sources
                 SET state = 'discovered', sha256 = NULL, lease_until = 0
                 WHERE id = $1 AND fence = $2 AND state = 'spooled'",
                params![claim.source.id, claim.fence],
            )
            .await
    }

    /// Gives a claim back after a failure that trying again may cure, not before `next_try_at`.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the claim was lost.
    pub async fn retry_source_later(
        &self,
        claim: &SourceClaim,
        code: &str,
        detail: &str,
        next_try_at: Instant,
    ) -> Result<()> {
        self.db
            .change_one(
                "source",
                "UPDATE sources
                 SET attempts = attempts + 1, next_try_at = $1, error_code = $2, error_detail = $3, lease_until = 0
                 WHERE id = $4 AND fence = $5 AND state IN ('discovered', 'spooled')",
                params![next_try_at, code, detail, claim.source.id, claim.fence],
            )
            .await
    }

    /// discovered or spooled → quarantined: it cannot be archived, and says why. Its bytes stay where they are.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the claim was lost.
    pub async fn quarantine(&self, claim: &SourceClaim, code: &str, detail: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.change_one(
            "source",
            "UPDATE sources
             SET state = 'quarantined', attempts = attempts + 1, error_code = $1, error_detail = $2, lease_until = 0
             WHERE id = $3 AND fence = $4 AND state IN ('discovered', 'spooled')",
            params![code, detail, claim.source.id, claim.fence],
        )
        .await?;
        let payload = serde_json::json!({ "source": claim.source.id.to_string(), "code": code });
        self.emit(&mut tx, "source.quarantined", None, &payload).await?;
        tx.commit().await
    }

    /// Done sources whose time has come to leave their core server, oldest first.
    pub async fn list_sources_to_remove(&self, core_server: CoreServerId, limit: u32) -> Result<Vec<Source>> {
        // Guarded recordings keep their sources until an operator confirmed the preview; one that is expired, purged or
        // no longer whole keeps nothing back: what is asked is that its recording was archived durably.
        let sql = format!(
            "SELECT {COLUMNS}
             FROM sources
             WHERE core_server_id = $1 AND remove_after <= $2 AND removed_at IS NULL AND state = 'done'
                 AND NOT EXISTS (SELECT 1 FROM restores WHERE confirmed_at IS NULL)
                 AND NOT EXISTS (SELECT 1 FROM recordings r WHERE r.id = sources.recording_id AND r.guarded = 1)
             ORDER BY remove_after
             LIMIT $3"
        );
        let rows = self.db.fetch_all(sql, params![core_server, self.clock.now(), limit]).await?;
        rows.iter().map(Source::from_row).collect()
    }

    /// Notes that the source's file left its core server: removed or moved by us, or found changed or gone and
    /// therefore left alone.
    pub async fn mark_source_removed(&self, source: SourceId, how: &str) -> Result<()> {
        self.db
            .execute(
                "UPDATE sources SET removed_at = $1, error_code = $2 WHERE id = $3 AND removed_at IS NULL",
                params![self.clock.now(), how, source],
            )
            .await?;
        Ok(())
    }

    /// The source's file could not be removed now: it is tried again `later`, and stands in no other one's way until
    /// then.
    pub async fn retry_removal_later(&self, source: SourceId, later: Duration) -> Result<()> {
        self.db
            .execute(
                "UPDATE sources SET remove_after = $1 WHERE id = $2 AND removed_at IS NULL",
                params![self.clock.now().plus(later), source],
            )
            .await?;
        Ok(())
    }

    /// Frees the claims that this instance's earlier process left behind, so that work goes on without waiting for
    /// their leases. Only one process runs under an instance's name.
    pub async fn release_own_claims(&self) -> Result<u64> {
        self.db
            .execute(
                "UPDATE sources
                 SET lease_until = 0, fence = fence + 1
                 WHERE instance = $1 AND state IN ('discovered', 'spooled') AND lease_until > 0",
                params![&self.instance],
            )
            .await
    }
}
