//! Lost stores: an operator says that a store is gone, or that it was found again.
//!
//! Saying so is one row, and takes effect at once: nothing is read from the store or put into it. Its objects are marked
//! after that, in batches, and each recording's copies are looked after; an object that was lost is counted until
//! another copy has taken its place, and one that was the only copy stays in the catalogue for ever: what is lost is told,
//! never deleted.

use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{ObjectId, RecordingId, StoreId};
use crate::scope::{Actor, Scope};
use crate::stores::{Store, StoreConfig};
use crate::words::CopyReason;

/// Objects marked in one transaction.
const BATCH: u32 = 100;

/// A store as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFigures {
    /// Its id.
    pub id: StoreId,
    /// Its name.
    pub name: String,
    /// When it was declared lost; `None`: it was not.
    pub lost_at: Option<Instant>,
    /// How many recordings have an object in it.
    pub recordings: u64,
    /// The bytes of those.
    pub stored_bytes: u64,
    /// Is it configured here?
    pub is_configured: bool,
    /// Why it does not answer; `None`: it does, or is not configured.
    pub failure: Option<String>,
}

/// What was lost with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostStore {
    /// The name by which the store is listed from now on, and can be found again. Its old one is free for the store that
    /// replaces it.
    pub name: String,
    /// How many recordings had an object in it.
    pub recordings: u64,
    /// How many of those have no sound copy elsewhere.
    pub without_copy: u64,
}

impl Archive {
    /// Every store that the catalogue knows, by name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the scope is the platform's.
    pub async fn list_stores(&self, scope: Scope) -> Result<Vec<StoreFigures>> {
        if scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator sees the stores"));
        }
        let rows = self
            .db
            .fetch_all(
                "SELECT s.id AS id, s.name AS name, s.lost_at AS lost_at,
                     CAST(COALESCE(SUM(u.recordings), 0) AS BIGINT) AS recordings,
                     CAST(COALESCE(SUM(u.stored_bytes), 0) AS BIGINT) AS stored_bytes
                 FROM stores s
                 LEFT JOIN usage u ON u.store_id = s.id
                 GROUP BY s.id, s.name, s.lost_at
                 ORDER BY s.name",
                params![],
            )
            .await?;
        let mut stores = Vec::new();
        for row in &rows {
            let id: StoreId = row.get("id")?;
            let lost_at: Option<Instant> = row.get("lost_at")?;
            let open = self.store(id).ok();
            let failure = match open {
                Some(store) if lost_at.is_none() => self.check_store(store).await.err().map(|error| error.to_string()),
                _ => None,
            };
            stores.push(StoreFigures {
                id,
                name: row.get("name")?,
                lost_at,
                recordings: row.get("recordings")?,
                stored_bytes: row.get("stored_bytes")?,
                is_configured: open.is_some(),
                failure,
            });
        }
        Ok(stores)
    }

    /// Declares the store lost: what lay in it is copied again from other copies, and what lay nowhere else is told.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator; [`Error::NotFound`] when there is no such store, or it is
    /// lost already.
    pub async fn declare_store_lost(&self, actor: &Actor, name: &str) -> Result<LostStore> {
        let lost = self.preview_store_lost(actor, name).await?;
        let mut tx = self.db.begin().await?;
        tx.change_one(
            "store",
            "UPDATE stores SET lost_at = $1, name = $2 WHERE name = $3 AND lost_at IS NULL",
            params![self.clock.now(), &lost.name, name],
        )
        .await?;
        let detail = json!({ "name": lost.name, "recordings": lost.recordings, "without_copy": lost.without_copy });
        self.audit(&mut tx, actor, "store.lost", None, Some(name.to_owned()), &detail).await?;
        let payload = json!({ "store": name, "recordings": lost.recordings, "without_copy": lost.without_copy });
        self.emit(&mut tx, "store.lost", None, &payload).await?;
        tx.commit().await?;
        Ok(lost)
    }

    /// What [`Archive::declare_store_lost`] would say, without declaring anything.
    ///
    /// # Errors
    /// As [`Archive::declare_store_lost`].
    pub async fn preview_store_lost(&self, actor: &Actor, name: &str) -> Result<LostStore> {
        if actor.scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator declares a store lost"));
        }
        let store = self
            .db
            .fetch_optional("SELECT id FROM stores WHERE name = $1 AND lost_at IS NULL", params![name])
            .await?
            .ok_or(Error::NotFound("store"))?;
        let id: StoreId = store.get("id")?;
        let row = self
            .db
            .fetch_one(
                "SELECT count(*) AS n,
                     CAST(COALESCE(SUM(CASE WHEN EXISTS (
                         SELECT 1
                         FROM objects other
                         JOIN stores s ON s.id = other.store_id
                         WHERE other.recording_id = objects.recording_id AND other.state = 'live'
                             AND other.store_id <> $1 AND other.damaged_at IS NULL AND other.lost_at IS NULL
                             AND s.lost_at IS NULL
                     ) THEN 0 ELSE 1 END), 0) AS BIGINT) AS without_copy
                 FROM objects
                 WHERE store_id = $1 AND state = 'live' AND lost_at IS NULL",
                params![id],
            )
            .await?;
        Ok(LostStore { name: lost_name(name, id), recordings: row.get("n")?, without_copy: row.get("without_copy")? })
    }

    /// The lost store was found after all: it is read again, under the name that it had, or another one where that is
    /// taken. It must be configured under that name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator; [`Error::NotFound`] when there is no such lost store;
    /// [`Error::Invalid`] when the name is taken, or nothing is configured under it; [`Error::Marker`] when what is
    /// configured is not that store.
    pub async fn declare_store_found(&self, actor: &Actor, lost_name: &str, new_name: &str) -> Result<()> {
        if actor.scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator declares a store found"));
        }
        let taken = self.db.fetch_optional("SELECT 1 AS one FROM stores WHERE name = $1", params![new_name]).await?;
        if taken.is_some() {
            return Err(Error::Invalid(format!("there is another store \"{new_name}\": choose a name for this one")));
        }
        let sql = "SELECT id FROM stores WHERE name = $1 AND lost_at IS NOT NULL";
        let lost = self.db.fetch_optional(sql, params![lost_name]).await?.ok_or(Error::NotFound("lost store"))?;
        // What it still has is looked at before any other copy goes; but an empty disk is not the store.
        Store::open(lost.get("id")?, self.config_of(new_name)?)?.check_marker(self.catalogue).await?;
        let mut tx = self.db.begin().await?;
        let changed = tx
            .execute(
                "UPDATE stores SET lost_at = NULL, name = $1 WHERE name = $2 AND lost_at IS NOT NULL",
                params![new_name, lost_name],
            )
            .await?;
        if changed == 0 {
            return Err(Error::NotFound("lost store"));
        }
        let detail = json!({ "name": new_name });
        self.audit(&mut tx, actor, "store.found", None, Some(lost_name.to_owned()), &detail).await?;
        tx.commit().await
    }

    /// Another store takes the lost one's place under its name: it is met, and entered. Until then nothing is read or written
    /// in what is configured under that name: it may be the lost one's mount point, or the lost one itself.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator; [`Error::NotFound`] when no store of that name was declared
    /// lost; [`Error::Invalid`] when none is configured; [`Error::Marker`] when what is configured is the lost one, or
    /// somebody else's.
    pub async fn replace_lost_store(&self, actor: &Actor, name: &str) -> Result<()> {
        if actor.scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator replaces a store"));
        }
        let taken = self.db.fetch_optional("SELECT 1 AS one FROM stores WHERE name = $1", params![name]).await?;
        if taken.is_some() || self.find_lost_id(name).await?.is_none() {
            return Err(Error::NotFound("lost store"));
        }
        self.meet_store(self.config_of(name)?).await?;
        let mut tx = self.db.begin().await?;
        // What has waited for it need not wait out its pause; who is at work on one is not disturbed.
        tx.execute(
            "UPDATE recordings SET copies_try_at = 0
             WHERE copies_store = $1 AND copies_why IS NOT NULL AND copies_instance IS NULL",
            params![name],
        )
        .await?;
        self.audit(&mut tx, actor, "store.replaced", None, Some(name.to_owned()), &json!({})).await?;
        tx.commit().await
    }

    /// The store of that name that was declared lost, where one was.
    pub(crate) async fn find_lost_id(&self, name: &str) -> Result<Option<StoreId>> {
        for row in self.db.fetch_all("SELECT id, name FROM stores WHERE lost_at IS NOT NULL", params![]).await? {
            let id: StoreId = row.get("id")?;
            if row.get::<String>("name")? == lost_name(name, id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn config_of(&self, name: &str) -> Result<&StoreConfig> {
        let config = self.configs.iter().find(|config| config.name == name);
        config.ok_or_else(|| Error::Invalid(format!("no store \"{name}\" is configured: configure it first")))
    }

    /// Marks a batch of the objects of lost stores, takes the mark off those whose store was found, and has the copies
    /// of their recordings looked after. Says how many; 0: all that is known to be lost is marked.
    pub async fn mark_lost_objects(&self) -> Result<u64> {
        let mut marked = 0;
        // Store by store: asked of all at once, a database may walk over every object there is.
        for store in self.db.fetch_all("SELECT id, lost_at FROM stores", params![]).await? {
            let (id, is_lost): (StoreId, bool) = (store.get("id")?, store.get::<Option<i64>>("lost_at")?.is_some());
            let which = if is_lost {
                "SELECT id, recording_id
                 FROM objects
                 WHERE store_id = $1 AND state = 'live' AND lost_at IS NULL
                 LIMIT $2"
            } else {
                "SELECT id, recording_id
                 FROM objects
                 WHERE store_id = $1 AND state = 'live' AND lost_at IS NOT NULL
                 LIMIT $2"
            };
            let rows = self.db.fetch_all(which, params![id, BATCH]).await?;
            let marks = rows.iter().map(|row| Ok((row.get("recording_id")?, row.get("id")?)));
            let mut marks: Vec<(RecordingId, ObjectId)> = marks.collect::<Result<_>>()?;
            if marks.is_empty() {
                continue;
            }
            // In the order in which rotation takes recordings, so that neither waits for the other.
            marks.sort_unstable();
            let mark = is_lost.then(|| self.clock.now());
            let mut tx = self.db.begin().await?;
            for (recording, object) in &marks {
                self.want_repair(&mut tx, *recording).await?;
                let sql = "UPDATE objects SET lost_at = $1 WHERE id = $2 AND state = 'live'";
                tx.execute(sql, params![mark, *object]).await?;
            }
            tx.commit().await?;
            marked += marks.len() as u64;
        }
        Ok(marked)
    }

    /// Recordings of which no sound copy is left, going on behind the last one seen. They stay in the catalogue.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the scope is the platform's.
    pub async fn list_lost_recordings(
        &self,
        scope: Scope,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<RecordingId>> {
        if scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator sees what is lost"));
        }
        let after = after.unwrap_or_else(|| RecordingId::new(Instant::from_millis(0)));
        let rows = self
            .db
            .fetch_all(
                "SELECT id
                 FROM recordings
                 WHERE copies_store = '' AND copies_why = $1 AND copies_why IS NOT NULL AND copies_try_at = 0 AND id > $2
                 ORDER BY id
                 LIMIT $3",
                params![CopyReason::Lost, after, limit],
            )
            .await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}

/// What a store is called from when it was declared lost.
fn lost_name(name: &str, id: StoreId) -> String {
    format!("{name}-lost-{id}")
}
