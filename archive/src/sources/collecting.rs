//! What a collector asks of the sources besides working on one: which files are known already, what lies in this
//! instance's landing zone, what an instance that is gone left spooled.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::{COLUMNS, Source, SourceClaim};
use crate::Archive;
use crate::clock::Instant;
use crate::db::{Value, params};
use crate::error::Result;
use crate::id::{CoreServerId, SourceId};

/// Paths looked up in one statement.
const LOOKUP: usize = 100;

impl Archive {
    /// The files at these paths that the catalogue knows, each with every size and time it was listed with.
    pub async fn list_known_sources(
        &self,
        core_server: CoreServerId,
        paths: &[PathBuf],
    ) -> Result<HashSet<(PathBuf, u64, Instant)>> {
        let places: Vec<String> = (2..LOOKUP + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT path, size_bytes, mtime_ms FROM sources WHERE core_server_id = $1 AND path IN ({})",
            places.join(", ")
        );
        let mut known = HashSet::new();
        for batch in paths.chunks(LOOKUP) {
            // The last path fills the statement up, so that there is only one text to prepare.
            let filled = batch.iter().chain(std::iter::repeat(&batch[batch.len() - 1])).take(LOOKUP);
            let mut params = params![core_server];
            params.extend(filled.map(|path| Value::from(path.as_os_str().as_bytes())));
            for row in self.db.fetch_all(sql.clone(), params).await? {
                let path = PathBuf::from(OsString::from_vec(row.get("path")?));
                known.insert((path, row.get("size_bytes")?, row.get("mtime_ms")?));
            }
        }
        Ok(known)
    }

    /// As [`Archive::claim_sources`], but only what is spooled here already: work for which nothing need be fetched.
    pub async fn claim_spooled_sources(
        &self,
        core_server: CoreServerId,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<SourceClaim>> {
        self.claim(core_server, lease, limit, "state = 'spooled' AND instance = $2").await
    }

    /// Every source whose bytes lie in this instance's landing zone.
    pub async fn list_spooled_here(&self) -> Result<Vec<Source>> {
        let sql = format!(
            "SELECT {COLUMNS}
             FROM sources
             WHERE state IN ('discovered', 'spooled') AND state = 'spooled' AND instance = $1"
        );
        self.db.fetch_all(sql, params![&self.instance]).await?.iter().map(Source::from_row).collect()
    }

    /// Those of the sources that have ended, whoever ended them: nothing need lie in any landing zone any more. What another
    /// instance has taken over and not ended yet is not among them: a copy here may be the only one there is.
    pub async fn list_ended(&self, sources: &[SourceId]) -> Result<Vec<SourceId>> {
        self.list_in(sources, "state IN ('done', 'quarantined')").await
    }

    /// Those of the sources that are done: archived for good, so that no other copy of them is needed.
    pub async fn list_done(&self, sources: &[SourceId]) -> Result<Vec<SourceId>> {
        self.list_in(sources, "state = 'done'").await
    }

    async fn list_in(&self, sources: &[SourceId], states: &'static str) -> Result<Vec<SourceId>> {
        let places: Vec<String> = (1..=LOOKUP).map(|n| format!("${n}")).collect();
        let sql = format!("SELECT id FROM sources WHERE {states} AND id IN ({})", places.join(", "));
        let mut done = Vec::new();
        for batch in sources.chunks(LOOKUP) {
            let filled = batch.iter().chain(std::iter::repeat(&batch[batch.len() - 1])).take(LOOKUP);
            let params = filled.map(|id| Value::from(*id)).collect();
            for row in self.db.fetch_all(sql.clone(), params).await? {
                done.push(row.get("id")?);
            }
        }
        Ok(done)
    }

    /// spooled → discovered, for what another instance has spooled that is gone, and its landing zone with it: one that
    /// has neither said for as long as `lost_after` that it is at work nor touched the source meanwhile (a program that
    /// does not say so may work on under the same name), or never said so and did not touch the source for as long as `idle`. Should it wake up after all, its claims are no longer good. Says how many.
    pub async fn reclaim_spooled(
        &self,
        core_server: CoreServerId,
        lost_after: Duration,
        idle: Duration,
    ) -> Result<u64> {
        let db_now = self.db.now().await?;
        self.db
            .execute(
                "UPDATE sources
                 SET state = 'discovered', sha256 = NULL, lease_until = 0, fence = fence + 1
                 WHERE core_server_id = $1 AND state IN ('discovered', 'spooled') AND state = 'spooled'
                     AND instance <> $2 AND lease_until < $3
                     AND ((lease_until < $5 AND next_try_at < $8
                           AND EXISTS (SELECT 1
                                       FROM leases l
                                       WHERE l.name = $4 || sources.instance AND l.until < $5))
                          OR (lease_until < $6 AND next_try_at < $7
                              AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.name = $4 || sources.instance)))",
                params![
                    core_server,
                    &self.instance,
                    db_now,
                    crate::lease::INSTANCE,
                    db_now.minus(lost_after),
                    db_now.minus(idle),
                    self.clock.now().minus(idle),
                    self.clock.now().minus(lost_after)
                ],
            )
            .await
    }

    /// Makes due at once what would wait for longer than `longest`: nobody puts anything off for so long, so the clock was
    /// ahead when it was put off. Says how many.
    pub async fn mend_waiting_times(&self, core_server: CoreServerId, longest: Duration) -> Result<u64> {
        let now = self.clock.now();
        self.db
            .execute(
                "UPDATE sources
                 SET next_try_at = $1
                 WHERE core_server_id = $2 AND state IN ('discovered', 'spooled') AND next_try_at > $3",
                params![now, core_server, now.plus(longest)],
            )
            .await
    }
}
