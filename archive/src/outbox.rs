//! The outbox: events written in the transaction that they tell of, so that none is lost and none tells of what never
//! happened. Whoever sends them takes them from here; what nobody sends, rotation forgets in time.

use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Tx, params};
use crate::error::Result;
use crate::id::{EventId, TenantId};

/// Events forgotten in one statement.
const FORGET_BATCH: u32 = 1000;

/// An event that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id: receivers recognise repetitions by it.
    pub id: EventId,
    /// `recording.archived`, `recordings.expired`, `hold.set` …
    pub event: String,
    /// The tenant it concerns.
    pub tenant: Option<TenantId>,
    /// JSON: ids and figures, no numbers of callers.
    pub payload: String,
    /// When it happened.
    pub created_at: Instant,
    /// How often sending it failed.
    pub attempts: u32,
}

impl Archive {
    /// Writes an event with the change that it tells of.
    pub(crate) async fn emit(
        &self,
        tx: &mut Tx,
        event: &'static str,
        tenant: Option<TenantId>,
        payload: &serde_json::Value,
    ) -> Result<()> {
        let now = self.clock.now();
        tx.execute(
            "INSERT INTO outbox (id, event, tenant_id, payload, created_at, next_try_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
            params![EventId::new(now), event, tenant, payload.to_string(), now],
        )
        .await?;
        Ok(())
    }

    /// Events that wait to be sent, those longest due first: of those never tried, the oldest.
    pub async fn list_unsent_events(&self, limit: u32) -> Result<Vec<Event>> {
        let rows = self
            .db
            .fetch_all(
                "SELECT id, event, tenant_id, payload, created_at, attempts
                 FROM outbox
                 WHERE sent_at IS NULL AND next_try_at <= $1
                 ORDER BY next_try_at, id
                 LIMIT $2",
                params![self.clock.now(), limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Event {
                    id: row.get("id")?,
                    event: row.get("event")?,
                    tenant: row.get("tenant_id")?,
                    payload: row.get("payload")?,
                    created_at: row.get("created_at")?,
                    attempts: row.get("attempts")?,
                })
            })
            .collect()
    }

    /// The event was sent.
    pub async fn mark_event_sent(&self, id: EventId) -> Result<()> {
        self.db
            .execute("UPDATE outbox SET sent_at = $1 WHERE id = $2 AND sent_at IS NULL", params![self.clock.now(), id])
            .await?;
        Ok(())
    }

    /// Sending the event failed; it may be tried again `later`.
    pub async fn retry_event_later(&self, id: EventId, later: Duration) -> Result<()> {
        self.db
            .execute(
                "UPDATE outbox SET attempts = attempts + 1, next_try_at = $1 WHERE id = $2 AND sent_at IS NULL",
                params![self.clock.now().plus(later), id],
            )
            .await?;
        Ok(())
    }

    /// Forgets events older than `age`, sent or not: with no receiver configured they would pile up for ever.
    pub async fn forget_events(&self, age: Duration) -> Result<u64> {
        let before = EventId::first_of(self.clock.now().minus(age));
        let mut forgotten = 0;
        loop {
            // By ids, whose time is the event's; a batch at a time, for others want the one writer too.
            let batch = self
                .db
                .execute(
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE id < $1 ORDER BY id LIMIT $2)",
                    params![before, FORGET_BATCH],
                )
                .await?;
            forgotten += batch;
            if batch < u64::from(FORGET_BATCH) {
                return Ok(forgotten);
            }
        }
    }
}
