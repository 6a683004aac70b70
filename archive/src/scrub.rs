//! Scrubbing: every object is read again within so many days, longest unread first, and compared with its hash.
//!
//! What is damaged or missing is flagged: readers get another copy, or are told. It is repaired from a sound copy, or fetched
//! again from its core server. A flag removes nothing, and goes when the object is found sound again. A store whose
//! marker cannot be seen is not looked at: an unmounted disk is not a disk that lost everything.

use futures_util::StreamExt;
use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{ObjectId, RecordingId, StoreId};
use crate::repair::fetch_again;
use crate::stores::Store;
use crate::verify::Depth;

/// An input/output error, as Linux numbers it.
const EIO: i32 = 5;

/// What a look at an object found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Sound,
    Missing,
    Damaged,
}

/// What a batch of scrubbing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Objects newly found damaged or missing.
    pub damaged: u64,
    /// Objects that were flagged and are sound again.
    pub sound_again: u64,
    /// Objects that could not be read for reasons that may pass.
    pub failed: u64,
}

/// A round of scrubbing through one store: where it has come to, so that what cannot be read now keeps nothing from it.
#[derive(Clone, Copy, Debug)]
pub struct ScrubRound {
    store: StoreId,
    after: (Instant, ObjectId),
    over: bool,
}

impl ScrubRound {
    /// A round through the store, from what was unread longest.
    pub fn through(store: StoreId) -> Self {
        Self { store, after: (Instant::from_millis(i64::MIN), ObjectId::new(Instant::from_millis(0))), over: false }
    }

    /// Has everything that was due been looked at?
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// How a store's objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// The store's name.
    pub store: String,
    /// Objects flagged as damaged or missing.
    pub damaged: u64,
    /// Since when the object that is unread longest has not been read.
    pub oldest: Option<Instant>,
    /// Objects that no recording owns, still under their own keys.
    pub orphans: u64,
}

impl Archive {
    /// Looks at the round's next `limit` objects that were last read before `due`, `at_once` of them at the same time.
    ///
    /// # Errors
    /// When the store's marker cannot be seen, or the catalogue fails.
    pub async fn scrub_batch(
        &self,
        round: &mut ScrubRound,
        due: Instant,
        limit: u32,
        at_once: usize,
    ) -> Result<Scrubbed> {
        let store = self.store(round.store)?.clone();
        self.check_store(&store).await?;
        let rows = self
            .db
            .fetch_all(
                "SELECT id, recording_id, key, size_bytes, sha256, damaged_at,
                     COALESCE(verified_at, created_at) AS read_at
                 FROM objects
                 WHERE store_id = $1 AND state = 'live' AND lost_at IS NULL AND COALESCE(verified_at, created_at) < $2
                     AND (COALESCE(verified_at, created_at), id) > ($3, $4)
                 ORDER BY COALESCE(verified_at, created_at), id
                 LIMIT $5",
                params![store.id(), due, round.after.0, round.after.1, limit],
            )
            .await?;
        round.over = rows.len() < limit as usize;
        if let Some(last) = rows.last() {
            round.after = (last.get("read_at")?, last.get("id")?);
        }
        let mut scrubbed = Scrubbed::default();
        let looks: Vec<_> = rows.into_iter().map(|row| self.look_with(&store, row, Depth::Deep)).collect();
        let mut looks = std::pin::pin!(futures_util::stream::iter(looks).buffer_unordered(at_once.max(1)));
        let mut sound = Vec::new();
        while let Some((row, look)) = looks.next().await {
            match look {
                Ok(Condition::Sound) => sound.push((row.get("id")?, row.get("damaged_at")?)),
                Ok(condition) => scrubbed.damaged += u64::from(self.flag_damaged(&store, &row, condition).await?),
                Err(error) => {
                    tracing::warn!(store = store.name(), "failed to read an object of store {}: {error}", store.name());
                    scrubbed.failed += 1;
                    continue;
                }
            }
            scrubbed.objects += 1;
            scrubbed.stored_bytes += row.get::<u64>("size_bytes")?;
        }
        scrubbed.sound_again = self.mark_sound(&sound).await?;
        Ok(scrubbed)
    }

    /// As [`Archive::look_at`], giving the row back: for looks at the same time.
    pub(crate) async fn look_with(&self, store: &Store, row: Row, depth: Depth) -> (Row, Result<Condition>) {
        let look = self.look_at(store, &row, depth).await;
        (row, look)
    }

    /// Compares an object with its row (`key`, `size_bytes`, `sha256`).
    pub(crate) async fn look_at(&self, store: &Store, row: &Row, depth: Depth) -> Result<Condition> {
        let key: String = row.get("key")?;
        self.look_at_object(store, &key, row.get("size_bytes")?, row.get("sha256")?, depth, &|| ()).await
    }

    /// Compares an object with what was put, noting each block that is read.
    pub(crate) async fn look_at_object(
        &self,
        store: &Store,
        key: &str,
        size: u64,
        hash: Sha256,
        depth: Depth,
        note: &(dyn Fn() + Sync),
    ) -> Result<Condition> {
        let found = match store.size_of(key).await? {
            // A stale answer is not believed: asked again.
            None => store.size_of(key).await?,
            found => found,
        };
        match found {
            None => return Ok(Condition::Missing),
            Some(found) if found != size => return Ok(Condition::Damaged),
            Some(_) if depth == Depth::Fast => return Ok(Condition::Sound),
            Some(_) => {}
        }
        match store.hash_noting(key, note).await {
            Ok((found, _)) if found == hash => Ok(Condition::Sound),
            Ok(_) => Ok(Condition::Damaged),
            // A disk that cannot read a sector will not read it later.
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(EIO) => Ok(Condition::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Flags an object that is damaged or missing, tells of it, and has its source fetched again where no sound copy is
    /// left. Says whether that is news.
    pub(crate) async fn flag_damaged(&self, store: &Store, row: &Row, condition: Condition) -> Result<bool> {
        // Whatever is missing, the store itself must be there.
        self.check_store(store).await?;
        let (object, recording): (ObjectId, RecordingId) = (row.get("id")?, row.get("recording_id")?);
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Another copy takes its place, where there is one.
        let Some(tenant) = self.want_repair(&mut tx, recording).await? else { return Ok(false) };
        let flagged = tx
            .execute(
                "UPDATE objects SET damaged_at = $1, verified_at = $1 WHERE id = $2 AND state = 'live' AND damaged_at IS NULL",
                params![now, object],
            )
            .await?;
        if flagged == 0 {
            let sql = "UPDATE objects SET verified_at = $1 WHERE id = $2 AND state = 'live'";
            tx.execute(sql, params![now, object]).await?;
            fetch_again(&mut tx, recording, now).await?;
            tx.commit().await?;
            return Ok(false);
        }
        let fetched_again = fetch_again(&mut tx, recording, now).await?;
        let how = if condition == Condition::Missing { "missing" } else { "damaged" };
        let payload = json!({
            "recording": recording.to_string(),
            "store": store.name(),
            "how": how,
            "fetched_again": fetched_again,
        });
        self.emit(&mut tx, "recording.damaged", tenant, &payload).await?;
        tx.commit().await?;
        let name = store.name();
        tracing::error!(recording.id = %recording, store = name, "an object of recording {recording} is {how} in store {name}");
        Ok(true)
    }

    /// Notes that the objects were read and found sound, each with the flag that it had before it was read; says how many
    /// flags went. One that was set meanwhile is another one, and stays.
    pub(crate) async fn mark_sound(&self, objects: &[(ObjectId, Option<Instant>)]) -> Result<u64> {
        if objects.is_empty() {
            return Ok(0);
        }
        let (now, mut sound_again) = (self.clock.now(), 0);
        let mut tx = self.db.begin().await?;
        for (object, damaged_at) in objects {
            if let Some(damaged_at) = damaged_at {
                let sql = "UPDATE objects SET damaged_at = NULL WHERE id = $1 AND state = 'live' AND damaged_at = $2";
                sound_again += tx.execute(sql, params![*object, *damaged_at]).await?;
            }
            let sql = "UPDATE objects SET verified_at = $1 WHERE id = $2 AND state = 'live'";
            tx.execute(sql, params![now, *object]).await?;
        }
        tx.commit().await?;
        Ok(sound_again)
    }

    /// How the objects of every store are: for metrics.
    pub async fn list_store_health(&self) -> Result<Vec<StoreHealth>> {
        let mut health = Vec::new();
        for store in self.stores() {
            let figure = async |sql: &'static str| self.db.fetch_optional(sql, params![store.id()]).await;
            let damaged =
                figure("SELECT count(*) AS n FROM objects WHERE store_id = $1 AND damaged_at IS NOT NULL").await?;
            let oldest = figure(
                "SELECT COALESCE(verified_at, created_at) AS read_at
                 FROM objects
                 WHERE store_id = $1 AND state = 'live'
                 ORDER BY COALESCE(verified_at, created_at), id
                 LIMIT 1",
            )
            .await?;
            let orphans = figure("SELECT count(*) AS n FROM orphans WHERE store_id = $1 AND moved_at IS NULL").await?;
            health.push(StoreHealth {
                store: store.name().to_owned(),
                damaged: damaged.map_or(Ok(0), |row| row.get("n"))?,
                oldest: oldest.map(|row| row.get("read_at")).transpose()?,
                orphans: orphans.map_or(Ok(0), |row| row.get("n"))?,
            });
        }
        Ok(health)
    }
}
