//! What waits: the queue and the quarantine, as an operator sees them.

use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{CoreServerId, SourceId};
use crate::sources::{COLUMNS, Source};
use crate::words::SourceState;

/// How many sources of a core server wait in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The core server.
    pub core_server: CoreServerId,
    /// `discovered`, `spooled` or `quarantined`.
    pub state: SourceState,
    /// How many.
    pub sources: u64,
    /// When the oldest of them was discovered.
    pub oldest: Instant,
}

impl Archive {
    /// Sources of every core server in one state, oldest first: for the operator's eyes.
    pub async fn list_sources(&self, state: SourceState, limit: u32) -> Result<Vec<Source>> {
        let sql = format!("SELECT {COLUMNS} FROM sources WHERE {} ORDER BY id LIMIT $1", is_in(state));
        self.db.fetch_all(sql, params![limit]).await?.iter().map(Source::from_row).collect()
    }

    /// As [`Archive::list_sources`], going on behind the last source seen.
    pub async fn list_sources_after(&self, state: SourceState, after: SourceId, limit: u32) -> Result<Vec<Source>> {
        let sql = format!("SELECT {COLUMNS} FROM sources WHERE {} AND id > $1 ORDER BY id LIMIT $2", is_in(state));
        self.db.fetch_all(sql, params![after, limit]).await?.iter().map(Source::from_row).collect()
    }

    /// quarantined → discovered, for another try.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator; [`Error::NotFound`] when there is no such source;
    /// [`Error::Conflict`] when it is not quarantined.
    pub async fn retry_quarantined(&self, actor: &crate::Actor, source: SourceId) -> Result<()> {
        if actor.scope != crate::Scope::Platform {
            return Err(Error::Forbidden("only an operator retries a source"));
        }
        let mut tx = self.db.begin().await?;
        let known = tx.fetch_optional("SELECT 1 AS one FROM sources WHERE id = $1", params![source]).await?;
        known.ok_or(Error::NotFound("source"))?;
        tx.change_one(
            "source",
            "UPDATE sources
             SET state = 'discovered', sha256 = NULL, next_try_at = $1, attempts = 0
             WHERE id = $2 AND state = 'quarantined'",
            params![self.clock.now(), source],
        )
        .await?;
        self.audit(&mut tx, actor, "source.retry", None, Some(source.to_string()), &serde_json::json!({})).await?;
        tx.commit().await
    }

    /// What waits, by core server and state; states in which nothing waits are left out. Costs what waits, not what was
    /// ever archived.
    pub async fn list_waiting(&self) -> Result<Vec<Waiting>> {
        let rows = self
            .db
            .fetch_all(
                "SELECT core_server_id, state, count(*) AS n, min(discovered_at) AS oldest
                 FROM sources
                 WHERE state IN ('discovered', 'spooled')
                 GROUP BY core_server_id, state
                 UNION ALL
                 SELECT core_server_id, state, count(*) AS n, min(discovered_at) AS oldest
                 FROM sources
                 WHERE state = 'quarantined'
                 GROUP BY core_server_id, state",
                params![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Waiting {
                    core_server: row.get("core_server_id")?,
                    state: row.get("state")?,
                    sources: row.get("n")?,
                    oldest: row.get("oldest")?,
                })
            })
            .collect()
    }
}

/// The condition that a source is in the state, in the words that the index of open sources has: a parameter would keep
/// it from being used.
fn is_in(state: SourceState) -> &'static str {
    match state {
        SourceState::Discovered => "state IN ('discovered', 'spooled', 'quarantined') AND state = 'discovered'",
        SourceState::Spooled => "state IN ('discovered', 'spooled', 'quarantined') AND state = 'spooled'",
        SourceState::Quarantined => "state IN ('discovered', 'spooled', 'quarantined') AND state = 'quarantined'",
        SourceState::Done => "state = 'done'",
    }
}
