//! Putting a new recording into stores: which ones, and each object's row before its bytes.

use std::sync::Arc;

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::{Tx, params};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{ObjectId, RecordingId};
use crate::journal::Facts;
use crate::organisation::PbxPlace;
use crate::stores::Store;
use crate::words::CopyReason;
use crate::writing::WRITING_LEASE;

impl Archive {
    /// Puts objects into the first stores of the tier that take one, as many as `archived` requires; those that were put
    /// stand in `objects`, also on failure. Answers why further copies are wanted, if they are.
    pub(crate) async fn put_objects(
        &self,
        delivery: &Delivery,
        objects: &mut Vec<ObjectId>,
    ) -> Result<Option<CopyReason>> {
        let place = delivery.place.as_ref();
        let stores = self.stores_for(place)?;
        let required = place.map_or(1, |place| place.tier.required_copies(stores.len()));
        for (n, store) in stores.iter().enumerate() {
            if objects.len() == required {
                break;
            }
            match self.put_into(delivery, store).await {
                Ok(object) => objects.push(object),
                // It is the catalogue's failure, or too few stores are left to choose from.
                Err(error @ Error::Catalogue(_)) => return Err(error),
                Err(error) if objects.len() + stores.len() - n - 1 < required => return Err(error),
                Err(error) => {
                    let name = store.name();
                    tracing::warn!("store {name} did not take a recording, the next one will: {error}");
                }
            }
        }
        Ok((objects.len() < stores.len()).then_some(CopyReason::Copy))
    }

    /// The stores that a recording of this PBX (or an unassigned one) goes to, the preferred one first. Of one that is
    /// full, the next.
    pub(crate) fn stores_for(&self, place: Option<&PbxPlace>) -> Result<Vec<Arc<Store>>> {
        let names = self.store_names_of(place.map_or(&[], |place| &place.tier.stores));
        let stores: Result<Vec<Arc<Store>>> = names.iter().map(|name| self.store_named(name).cloned()).collect();
        self.instead_of_full(&stores?)
    }

    /// Are as many stores there as a recording of this PBX (or an unassigned one) must be in? Asked before work is spent
    /// that only a delivery can use.
    ///
    /// # Errors
    /// The first that is not, where too few others are left.
    pub async fn check_stores(&self, place: Option<&PbxPlace>) -> Result<()> {
        let stores = self.stores_for(place)?;
        let spare = stores.len() - place.map_or(1, |place| place.tier.required_copies(stores.len()));
        let mut failed = 0;
        for store in &stores {
            if let Err(error) = self.check_store(store).await {
                failed += 1;
                if failed > spare {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The names of the stores that are meant: the named ones, or where none is named the first one configured.
    pub(crate) fn store_names_of(&self, named: &[String]) -> Vec<String> {
        match named {
            [] => self.stores().first().map(|store| store.name().to_owned()).into_iter().collect(),
            named => named.to_vec(),
        }
    }

    async fn put_into(&self, delivery: &Delivery, store: &Store) -> Result<ObjectId> {
        self.check_store(store).await?;
        self.put_object(delivery, store).await
    }

    pub(crate) async fn put_object(&self, delivery: &Delivery, store: &Store) -> Result<ObjectId> {
        let id = ObjectId::new(self.clock.now());
        let key = object_key(delivery, id);
        let facts = Facts::of(delivery, id, store.id(), &key);
        let row = async {
            self.insert_writing(id, delivery.id, store, &key, delivery.size_bytes, delivery.sha256).await?;
            crash_point("object row written");
            Ok::<(), Error>(())
        };
        // Both before the bytes, in any order: without its row nobody would ever remove them, and without its facts they could
        // only be entered again by their key. Each alone does no harm.
        let (row, noted) = tokio::join!(row, self.note_facts(store, &facts));
        row?;
        if let Err(error) = noted {
            self.drop_written(&[id]).await?;
            return Err(error);
        }
        let put = store.put_file(&key, &delivery.file, delivery.size_bytes, delivery.sha256);
        if let Err(error) = self.while_writing(id, put).await {
            self.drop_written(&[id]).await?;
            return Err(error);
        }
        Ok(id)
    }

    /// (none) → writing, unless the store was declared lost.
    pub(crate) async fn insert_writing(
        &self,
        id: ObjectId,
        recording: RecordingId,
        store: &Store,
        key: &str,
        size_bytes: u64,
        sha256: Sha256,
    ) -> Result<()> {
        let sql = format!(
            "INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                 lease_until)
             SELECT $1, $2, s.id, $4, $5, $6, 'identity', 'writing', $7, {} + $8
             FROM stores s
             WHERE s.id = $3 AND s.lost_at IS NULL",
            self.db.now_sql()
        );
        let lease_ms = WRITING_LEASE.as_millis() as u64;
        let params = params![id, recording, store.id(), key, size_bytes, sha256, self.clock.now(), lease_ms];
        let inserted = self.db.execute(sql, params).await?;
        match inserted {
            0 => Err(declared_lost(store.name().to_owned())),
            _ => Ok(()),
        }
    }

    /// Sees to it that no store of these objects is declared lost before the transaction ends. Asked first in it.
    ///
    /// # Errors
    /// [`Error::Marker`] when one is lost already.
    pub(crate) async fn lock_stores_of(&self, tx: &mut Tx, objects: &[ObjectId]) -> Result<()> {
        let sql = format!(
            "SELECT name, lost_at FROM stores WHERE id = (SELECT store_id FROM objects WHERE id = $1){}",
            self.db.for_share()
        );
        for object in objects {
            if let Some(row) = tx.fetch_optional(sql.clone(), params![*object]).await?
                && row.get::<Option<Instant>>("lost_at")?.is_some()
            {
                return Err(declared_lost(row.get("name")?));
            }
        }
        Ok(())
    }

    /// writing → dropping, for objects that no recording came to own.
    pub(crate) async fn drop_written(&self, objects: &[ObjectId]) -> Result<()> {
        for object in objects {
            self.db
                .execute(
                    "UPDATE objects SET state = 'dropping', lease_until = 0 WHERE id = $1 AND state = 'writing'",
                    params![*object],
                )
                .await?;
        }
        Ok(())
    }
}

/// `<tenant>/<pbx>/YYYY/MM/DD/<recording>-<object>.<ext>`, ids and UTC: ASCII, so every store keeps it verbatim.
fn object_key(delivery: &Delivery, object: ObjectId) -> String {
    let owner = match &delivery.place {
        Some(place) => format!("{}/{}", place.tenant, place.pbx),
        None => format!("unassigned/{}", delivery.core_server.id),
    };
    let day = delivery.id.instant().timestamp().strftime("%Y/%m/%d").to_string();
    let extension: String =
        delivery.format.chars().filter(char::is_ascii_alphanumeric).take(10).collect::<String>().to_ascii_lowercase();
    format!("{owner}/{day}/{}-{object}.{extension}", delivery.id)
}

/// The key of another object of the same recording: only its own id differs.
pub(crate) fn copy_key(key: &str, recording: RecordingId, object: ObjectId) -> String {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    format!("{folder}/{recording}-{object}.{extension}")
}

fn declared_lost(store: String) -> Error {
    let what = "it was declared lost: restart with the store that replaces it, or find it again";
    Error::Marker { store, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;

    #[test]
    fn a_copy_lies_beside_the_object_it_was_made_of_under_an_id_of_its_own() {
        let recording = RecordingId::new(Instant::from_millis(0));
        let object = ObjectId::new(Instant::from_millis(5));
        let made_of = format!("T/P/2026/11/21/{recording}-{}.mp3", ObjectId::new(Instant::from_millis(1)));
        assert_eq!(copy_key(&made_of, recording, object), format!("T/P/2026/11/21/{recording}-{object}.mp3"));
    }
}
