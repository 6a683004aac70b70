//! The audit's own retention: rows and runs older than that go, and the chain stays verifiable from where it was cut.

use std::time::Duration;

use serde_json::json;

use super::chain;
use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::Result;
use crate::id::RunId;
use crate::scope::Actor;

/// How long the lease of trimming lasts: longer than any batch takes.
const TRIM_LEASE: Duration = Duration::from_secs(60);
/// Runs removed in one statement.
const RUNS_BATCH: u32 = 1000;

/// What trimming removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Rows of the audit.
    pub rows: u64,
    /// Runs with their reports.
    pub runs: u64,
    /// Is there perhaps more to remove? Then the caller calls again.
    pub more: bool,
}

impl Archive {
    /// Removes a batch of sealed rows of the audit, and of runs, that are older than `keep`; the last hash that went stays as the chain's
    /// anchor, and a row says what went. Nothing is done while another instance is at it.
    ///
    /// Old is what was old when rotation last finished a run: its guard has looked at the clock, so that a machine which
    /// starts in a wrong year trims nothing. Without a run nothing goes.
    ///
    /// # Errors
    /// [`crate::Error::Integrity`] where the chain is broken: what is evidence of that stays.
    pub async fn trim_audit(&self, keep: Duration) -> Result<Trimmed> {
        let mut trimmed = Trimmed::default();
        let Some(run) = self.find_last_run("rotation").await? else { return Ok(trimmed) };
        let before = run.finished_at.unwrap_or(run.started_at).min(self.clock.now()).minus(keep);
        let oldest = self.db.fetch_optional("SELECT at FROM audit ORDER BY id LIMIT 1", params![]).await?;
        let oldest = oldest.map(|row| row.get::<Instant>("at")).transpose()?;
        if oldest.is_some_and(|oldest| oldest < before) {
            trimmed.rows = self.trim_batch(before).await?.unwrap_or(0);
        }
        trimmed.runs = self.trim_runs(before).await?;
        trimmed.more = trimmed.rows > 0 || trimmed.runs == u64::from(RUNS_BATCH);
        Ok(trimmed)
    }

    /// One batch; `None`: no row is left to trim, or another instance is at it.
    async fn trim_batch(&self, before: Instant) -> Result<Option<u64>> {
        let Some(lease) = self.acquire_lease("audit-trim", TRIM_LEASE).await? else { return Ok(None) };
        let mut reader = chain::Reader::Db(&self.db);
        let anchor = chain::begin(&mut reader).await?;
        let (mut last, mut rows) = (anchor, 0_u64);
        for row in &chain::list_sealed(&mut reader, anchor.number).await? {
            if row.get::<Instant>("at")? >= before {
                break;
            }
            last = last.follow(row)?;
            rows += 1;
        }
        if rows == 0 {
            self.release_lease(&lease).await?;
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        self.check_lease(&mut tx, &lease).await?;
        tx.change_one(
            "audit anchor",
            "INSERT INTO audit_anchor (one, seal_number, seal_hash, trimmed_at)
             VALUES (1, $1, $2, $3)
             ON CONFLICT (one) DO UPDATE SET
                 seal_number = excluded.seal_number, seal_hash = excluded.seal_hash, trimmed_at = excluded.trimmed_at
             WHERE audit_anchor.seal_number = $4",
            params![last.number, last.hash, self.clock.now(), anchor.number],
        )
        .await?;
        tx.execute("DELETE FROM audit WHERE seal_number <= $1", params![last.number]).await?;
        let detail = json!({ "through": last.number, "rows": rows, "hash": last.hash.to_string() });
        self.audit(&mut tx, &Actor::system("audit"), "audit.trim", None, None, &detail).await?;
        tx.commit().await?;
        self.release_lease(&lease).await?;
        Ok(Some(rows))
    }

    /// A batch of the runs that began before then, but for the newest of each kind.
    async fn trim_runs(&self, before: Instant) -> Result<u64> {
        self.db
            .execute(
                "DELETE FROM runs
                 WHERE id IN (
                     SELECT r.id
                     FROM runs r
                     WHERE r.id < $1
                         AND EXISTS (SELECT 1
                                     FROM runs newer
                                     WHERE newer.kind = r.kind AND newer.id > r.id AND newer.finished_at IS NOT NULL)
                     ORDER BY r.id
                     LIMIT $2)",
                params![RunId::first_of(before), RUNS_BATCH],
            )
            .await
    }
}
