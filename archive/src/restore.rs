//! Restoring: a catalogue that was lost, from what its stores kept of it.
//!
//! In this order: the newest backup, in one transaction; the stores' markers, so that the lost catalogue, should it still run
//! somewhere, is refused from here on; the journal since the backup; objects that neither knows, by their keys. Each step
//! after the first can be cut off and done again. Nothing rotates, is purged, swept, or removed from a core server
//! until an operator has confirmed the restore.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use crate::archive::{Archive, Options};
use crate::backup::MARGIN;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::{Db, params};
use crate::error::{Error, Result};
use crate::id::{BackupId, CatalogueId, RecordingId, RestoreId};
use crate::journal::Journal;
use crate::password::Passwords;
use crate::scope::{Actor, Scope};
use crate::stores::Store;

mod choose;
mod keys;
mod load;
mod placeholders;
mod purges;
mod replay;

/// What to restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The catalogue that was lost; `None`: the one that the stores' markers name.
    pub catalogue: Option<CatalogueId>,
    /// Which of its backups; `None`: the newest.
    pub backup: Option<BackupId>,
    /// No backup at all: from the journal and the objects' keys alone.
    pub without_backup: bool,
}

/// What a restore brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The catalogue that was lost.
    pub from: String,
    /// The backup.
    pub backup: Option<String>,
    /// Rows that the backup had.
    pub rows: u64,
    /// Recordings archived since, with all their facts.
    pub recordings: u64,
    /// Recordings of which only the key and the bytes told: flagged `rebuilt`.
    pub rebuilt: u64,
    /// Further copies found of recordings that were known.
    pub copies: u64,
    /// Holds set since.
    pub holds: u64,
    /// Recordings purged since.
    pub purged: u64,
    /// What was found damaged or strange on the way, and what became of it.
    pub notes: Vec<String>,
}

impl Restored {
    /// All of it, by name.
    pub fn to_json(&self) -> Json {
        let Self { from, backup, rows, recordings, rebuilt, copies, holds, purged, notes } = self;
        json!({
            "from": from,
            "backup": backup,
            "rows": rows,
            "recordings": recordings,
            "rebuilt": rebuilt,
            "copies": copies,
            "holds": holds,
            "purged": purged,
            "notes": notes,
        })
    }
}

/// Refuses a catalogue whose restore was cut off: it lacks what came after the backup.
pub(crate) async fn refuse_half_a_restore(db: &Db) -> Result<()> {
    match db.fetch_optional("SELECT id FROM restores WHERE finished_at IS NULL", params![]).await? {
        Some(_) => Err(Error::Invalid(
            "the restore of this catalogue was cut off: run the same `fonoteca restore` or `rebuild` again".to_owned(),
        )),
        None => Ok(()),
    }
}

impl Archive {
    /// Restores a lost catalogue into the empty one that `options` name, from the stores that they name. Cut off, it goes on
    /// where it was when called again.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the catalogue is not empty, when there is no such backup or it is damaged (the one before it is
    /// named) or newer than this program; [`Error::Marker`] when a store is not one of the lost catalogue.
    pub async fn restore(options: Options, wanted: Wanted) -> Result<(Arc<Self>, Restored)> {
        let db = Db::open(&options.database_url, options.connections).await?;
        let begun = db
            .fetch_optional(
                "SELECT id, from_catalogue, backup, since FROM restores WHERE finished_at IS NULL",
                params![],
            )
            .await?;
        if begun.is_none() {
            load::refuse_what_is_not_empty(&db).await?;
        }
        let (stores, marked) = choose::open_stores(&options.stores).await?;
        let now = options.clock.now();
        let mut archive = Self {
            db,
            clock: options.clock,
            instance: options.instance,
            passwords: Passwords::default(),
            reads: Mutex::default(),
            journal: Journal::default(),
            audio_settled: AtomicBool::default(),
            organisation: Mutex::default(),
            catalogue: CatalogueId::new(now),
            stores,
            lost_stores: Vec::new(),
            configs: options.stores,
        };
        let mut restored = Restored::default();
        let (id, from, since) = match begun {
            Some(row) => {
                let own = archive.db.fetch_one("SELECT id FROM catalogue", params![]).await?;
                archive.catalogue = own.get("id")?;
                restored.backup = row.get("backup")?;
                (row.get("id")?, row.get("from_catalogue")?, row.get("since")?)
            }
            None => {
                let from = choose::lost_catalogue(&archive.stores, &marked, wanted.catalogue).await?;
                archive.load(from, wanted, &mut restored).await?
            }
        };
        restored.from = from.to_string();
        crash_point("backup loaded");
        archive.take_over_stores(from, &marked).await?;
        crash_point("markers taken over");
        archive.replay(from, since, &mut restored).await?;
        crash_point("journal replayed");
        archive.finish_restore(id, &restored).await?;
        Ok((Arc::new(archive), restored))
    }

    /// Loads the backup, or nothing where none is wanted, and notes that a restore has begun, in one transaction.
    async fn load(
        &self,
        from: CatalogueId,
        wanted: Wanted,
        restored: &mut Restored,
    ) -> Result<(RestoreId, CatalogueId, Instant)> {
        let chosen = match wanted.without_backup {
            true => None,
            false => {
                Some(choose::choose_backup(&self.stores, from, wanted.backup, self.schema_version().await?).await?)
            }
        };
        let id = RestoreId::new(self.clock.now());
        // What was under way when the backup was made may stand in the journal from before.
        let since = chosen
            .as_ref()
            .map_or(Instant::from_millis(0), |chosen| Instant::from_millis(chosen.manifest.snapshot_at).minus(MARGIN));
        let mut tx = self.db.begin().await?;
        if let Some(chosen) = &chosen {
            restored.backup = Some(chosen.manifest.backup.clone());
            restored.rows = load::load_backup(&self.db, &mut tx, from, chosen).await?;
        }
        load::settle(&mut tx, self.catalogue, &self.stores, self.clock.now()).await?;
        tx.execute(
            "INSERT INTO restores (id, from_catalogue, backup, since, started_at, report)
             VALUES ($1, $2, $3, $4, $5, '')",
            params![id, from, restored.backup.clone(), since, self.clock.now()],
        )
        .await?;
        tx.commit().await?;
        Ok((id, from, since))
    }

    /// The stores become this catalogue's: the lost one, should it still run somewhere, is refused from here on.
    async fn take_over_stores(&self, from: CatalogueId, marked: &[CatalogueId]) -> Result<()> {
        for (store, marked) in self.stores.iter().zip(marked) {
            if *marked != self.catalogue {
                tracing::info!("store {} goes over from catalogue {from}", store.name());
                store.take_over_marker(self.catalogue).await?;
            }
        }
        Ok(())
    }

    async fn replay(&self, from: CatalogueId, since: Instant, restored: &mut Restored) -> Result<()> {
        // Nothing was under way here: an organisation that is older than the backup says less than it.
        let snapshot_at = if since.millis() > 0 { since.plus(MARGIN) } else { since };
        self.replay_organisation(from, snapshot_at, restored).await?;
        self.replay_holds(from, since, restored).await?;
        let mut told = HashMap::new();
        self.replay_recordings(from, since, &mut told, restored).await?;
        self.replay_purges(from, since, restored).await?;
        for store in self.stores().to_vec() {
            self.enter_by_keys(&store, since, &told, restored).await?;
        }
        Ok(())
    }

    async fn finish_restore(&self, id: RestoreId, restored: &Restored) -> Result<()> {
        let mut report = restored.to_json();
        report["restore"] = id.to_string().into();
        report["notes"] = restored.notes.len().into();
        let mut tx = self.db.begin().await?;
        load::count_usage_anew(&mut tx).await?;
        load::keep_out_who_does_not_know_the_rules(&mut tx).await?;
        tx.change_one(
            "restore",
            "UPDATE restores SET finished_at = $1, report = $2 WHERE id = $3 AND finished_at IS NULL",
            params![self.clock.now(), report.to_string(), id],
        )
        .await?;
        let actor = Actor::command_line();
        self.audit(&mut tx, &actor, "catalogue.restore", None, Some(id.to_string()), &report).await?;
        self.emit(&mut tx, "catalogue.restored", None, &report).await?;
        tx.commit().await
    }

    /// Refuses whatever removes bytes or hides recordings while a restore waits for its confirmation.
    ///
    /// # Errors
    /// [`Error::Forbidden`] then.
    pub async fn check_restore_confirmed(&self) -> Result<()> {
        let waiting = self
            .db
            .fetch_optional("SELECT 1 AS one FROM restores WHERE confirmed_at IS NULL LIMIT 1", params![])
            .await?;
        match waiting {
            Some(_) => Err(Error::Forbidden(
                "this catalogue was restored and nothing goes until an operator has looked at it: \
                 `fonoteca rotate --confirm-restore`",
            )),
            None => Ok(()),
        }
    }

    /// An operator has looked at what was restored: rotation may go on. Says how many restores waited for it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator.
    pub async fn confirm_restore(&self, actor: &Actor) -> Result<u64> {
        if actor.scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator confirms a restore"));
        }
        let mut tx = self.db.begin().await?;
        let confirmed = tx
            .execute(
                "UPDATE restores SET confirmed_at = $1 WHERE confirmed_at IS NULL AND finished_at IS NOT NULL",
                params![self.clock.now()],
            )
            .await?;
        if confirmed > 0 {
            self.audit(&mut tx, actor, "catalogue.confirm", None, None, &json!({})).await?;
        }
        tx.commit().await?;
        Ok(confirmed)
    }

    /// Does any of the recording's objects still lie in its store? One in a store that is not at hand counts as there.
    async fn has_bytes(&self, id: RecordingId) -> Result<bool> {
        let rows = self.db.fetch_all("SELECT store_id, key FROM objects WHERE recording_id = $1", params![id]).await?;
        for row in &rows {
            let found = match self.store(row.get("store_id")?) {
                Ok(store) => is_there(store, &row.get::<String>("key")?).await?,
                Err(_) => true,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Is the object in its store? Asked twice before it counts as gone.
async fn is_there(store: &Store, key: &str) -> Result<bool> {
    Ok(store.size_of(key).await?.is_some() || store.size_of(key).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Call, TestArchive};

    #[tokio::test]
    async fn a_backup_of_one_engine_is_restored_on_the_other() {
        let mut t = TestArchive::start().await;
        let id = t.record(&Call::new("acme", "1.1", t.now(), b"bytes")).await;
        let was = t.archive.get_recording(Scope::Platform, id).await.unwrap();
        t.archive.back_up(&Actor::command_line(), None, 2).await.unwrap().expect("nobody else is at it");
        t.lose_the_catalogue_to_postgres().await;
        let restored = t.restore(Wanted::default()).await.unwrap();
        assert_eq!((t.archive.engine(), restored.recordings), ("postgres", 0));
        assert_eq!(t.archive.get_recording(Scope::Platform, id).await.unwrap(), was);
        t.finish().await;
    }
}
