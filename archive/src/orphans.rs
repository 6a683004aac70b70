//! Orphans: bytes in a store that no row of objects names. They are reported, and what is seen twice, more than a day apart, is
//! moved to orphans/ under its own key. Nothing is ever deleted, and a stale listing leads to nothing: each is asked for
//! again, in the store and in the catalogue, right before it is moved. Only what is named like an object of ours in this very
//! store is touched: a store may lie within another's, or share its bucket with others.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::params;
use crate::error::Result;
use crate::key::Key;
use crate::runs::RunEvent;
use crate::scope::Actor;
use crate::stores::{ORPHANS, Store};

/// How long an orphan stays where it was seen first: longer than anything is under way.
const GRACE: Duration = Duration::from_secs(86_400);
/// Keys looked up in one statement.
const LOOKUP: usize = 500;

/// What a walk through a store's orphans found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Bytes that no recording owns.
    pub seen: u64,
    /// Those that are in orphans/ now.
    pub moved: u64,
}

fn walk_kind(store: &Store) -> String {
    format!("orphans-{}", store.id())
}

impl Archive {
    /// Those of the next listed keys that the catalogue does not have, with their sizes, asked of the store once more.
    pub(crate) async fn orphans_among(
        &self,
        store: &Store,
        listed: Vec<Result<(String, u64)>>,
    ) -> Result<Vec<(String, u64)>> {
        let mut found: HashMap<String, u64> = listed.into_iter().collect::<Result<_>>()?;
        for known in self.known_keys(store, found.keys()).await? {
            found.remove(&known);
        }
        let mut orphans = Vec::new();
        for (key, _) in found {
            // It may have been purged since it was listed.
            if let Some(size) = store.size_of(&key).await? {
                orphans.push((key, size));
            }
        }
        orphans.sort();
        Ok(orphans)
    }

    /// When the orphans of the store were last walked through to the end.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn last_orphan_walk(&self, store: &Store) -> Result<Option<Instant>> {
        let run = self.find_last_run(&walk_kind(store)).await?;
        Ok(run.map(|run| run.started_at))
    }

    /// Walks through the store once, notes its orphans (what is not named like an object is none), and moves those seen a day ago and now to orphans/.
    ///
    /// # Errors
    /// When the store or the catalogue fails; [`crate::Error::Forbidden`] while a restore waits for its confirmation.
    pub async fn settle_orphans(&self, store: &Store) -> Result<Orphans> {
        self.check_restore_confirmed().await?;
        self.check_store(store).await?;
        let run = self.start_run(&walk_kind(store)).await?;
        let now = self.clock.now();
        let mut orphans = Orphans::default();
        {
            let mut listed = std::pin::pin!(store.list().chunks(LOOKUP));
            while let Some(mut chunk) = listed.next().await {
                // Whatever else lies there is somebody else's, and never moved.
                chunk.retain(|item| item.as_ref().map_or(true, |(key, _)| Key::parse(key).is_some()));
                for (key, size) in self.orphans_among(store, chunk).await? {
                    orphans.seen += 1;
                    self.db
                        .execute(
                            "INSERT INTO orphans (store_id, key, size_bytes, first_seen_at, last_seen_at)
                             VALUES ($1, $2, $3, $4, $4)
                             ON CONFLICT (store_id, key) DO UPDATE SET
                                 last_seen_at = excluded.last_seen_at, size_bytes = excluded.size_bytes, moved_at = NULL",
                            params![store.id(), &key, size, now],
                        )
                        .await?;
                }
            }
        }
        // What is no orphan any more, or was not listed this time, begins anew should it be seen again.
        self.db
            .execute(
                "DELETE FROM orphans WHERE store_id = $1 AND moved_at IS NULL AND last_seen_at < $2",
                params![store.id(), now],
            )
            .await?;
        let due = self
            .db
            .fetch_all(
                "SELECT key, size_bytes
                 FROM orphans
                 WHERE store_id = $1 AND moved_at IS NULL AND last_seen_at = $2 AND first_seen_at <= $3
                 ORDER BY key",
                params![store.id(), now, now.minus(GRACE)],
            )
            .await?;
        for row in &due {
            let (key, size): (String, u64) = (row.get("key")?, row.get("size_bytes")?);
            orphans.moved += u64::from(self.move_aside(store, &key, size).await?);
        }
        let detail = json!({ "store": store.name(), "seen": orphans.seen, "moved": orphans.moved });
        let event = RunEvent { event: "orphans.moved", tenant: None, payload: detail.clone() };
        let events = if orphans.moved > 0 { vec![event] } else { Vec::new() };
        self.finish_run(&Actor::system("scrub"), run, &walk_kind(store), &detail.to_string(), &events).await?;
        Ok(orphans)
    }

    async fn move_aside(&self, store: &Store, key: &str, size: u64) -> Result<bool> {
        if Key::parse(key).is_none() {
            return Ok(false);
        }
        self.check_store(store).await?;
        let known = self.db.fetch_optional("SELECT 1 AS one FROM objects WHERE key = $1", params![key]).await?;
        if known.is_some() || store.size_of(key).await? != Some(size) {
            return Ok(false);
        }
        let kept = format!("{ORPHANS}/{key}");
        match store.size_of(&kept).await? {
            Some(found) if found != size => {
                tracing::warn!(
                    store = store.name(),
                    "orphans/ of store {} has another under the same key",
                    store.name()
                );
                return Ok(false);
            }
            Some(_) => {}
            None => store.copy(key, &kept).await?,
        }
        crash_point("orphan copied");
        if store.hash_of(&kept).await? != store.hash_of(key).await? {
            return Ok(false);
        }
        store.remove(key).await?;
        let sql = "UPDATE orphans SET moved_at = $1 WHERE store_id = $2 AND key = $3 AND moved_at IS NULL";
        self.db.execute(sql, params![self.clock.now(), store.id(), key]).await?;
        Ok(true)
    }
}
