//! The last look before a copy goes: what a claim's end relies on is either written by that claim, or read here, whole.
//!
//! A row that nobody has marked says what a store had once. The store may be unmounted by now, or have lost the object.

use std::collections::HashSet;

use super::CopyRound;
use super::make::{ToCopy, Work};
use super::objects::LiveObject;
use super::progress::Progress;
use crate::Archive;
use crate::error::{Error, Result};
use crate::id::{ObjectId, StoreId};
use crate::scrub::Condition;
use crate::stores::Store;
use crate::verify::Depth;

/// What became of a look at every object that is relied on.
pub(super) enum Proof {
    /// These are there, byte for byte; or nothing would be dropped, so nothing was read.
    Proven(HashSet<ObjectId>),
    /// One is not: it is marked, and a copy is missing now.
    OneIsDamaged,
    /// A store did not let its object be seen.
    Failed(String),
}

impl Archive {
    /// Reads each sound object that stays behind and was not written in this claim, where something would be dropped.
    ///
    /// # Errors
    /// Failures of the catalogue; [`Error::Conflict`] when somebody else changes the same objects.
    pub(super) async fn prove(&self, recording: &ToCopy, round: &CopyRound<'_>, work: &Work) -> Result<Proof> {
        let objects = self.list_live_objects(recording.id).await?;
        let Some(wanted) = self.ids_of_wanted(recording) else { return Ok(Proof::Proven(HashSet::new())) };
        let stays = |it: &LiveObject| it.is_sound && (wanted.is_empty() || wanted.contains(&it.store));
        let has = |store| work.stores.contains(store) || objects.iter().any(|it| it.store == *store && stays(it));
        let would_drop = objects.iter().any(|it| recording.gives_up(it, &wanted)) && wanted.iter().all(has);
        let mut proven = HashSet::new();
        if !would_drop {
            return Ok(Proof::Proven(proven));
        }
        for object in objects.iter().filter(|it| stays(it)) {
            let store = match self.store(object.store) {
                Ok(store) if round.is_failing(store.name()) => return Ok(Proof::Failed(store.name().to_owned())),
                Ok(store) => store,
                Err(_) => return Ok(Proof::Failed(object.store.to_string())),
            };
            let bytes = usize::try_from(object.size_bytes).unwrap_or(usize::MAX);
            recording.progress.wait(round.pace.take(bytes)).await;
            match self.look_at_copy(store, object, &recording.progress).await {
                Ok(Condition::Sound) => {
                    proven.insert(object.id);
                }
                Ok(_) if self.mark_damaged(object.id).await? => return Ok(Proof::OneIsDamaged),
                // Somebody else has marked or removed it meanwhile.
                Ok(_) => return Err(Error::Conflict("object")),
                Err(error @ Error::Catalogue(_)) => return Err(error),
                Err(error) => {
                    let (id, name) = (recording.id, store.name());
                    tracing::warn!(recording.id = %id, "recording {id} keeps its copies, for store {name} fails: {error}");
                    round.note_failing(name);
                    return Ok(Proof::Failed(name.to_owned()));
                }
            }
        }
        Ok(Proof::Proven(proven))
    }

    async fn look_at_copy(&self, store: &Store, object: &LiveObject, progress: &Progress) -> Result<Condition> {
        self.check_store(store).await?;
        let (size, hash, note) = (object.size_bytes, object.sha256, || progress.note());
        let condition = self.look_at_object(store, &object.key, size, hash, Depth::Deep, &note).await?;
        if condition != Condition::Sound {
            // Whatever is missing, the store itself must be there.
            self.check_store(store).await?;
        }
        Ok(condition)
    }

    /// The stores that the recording belongs in; `None`: one is not configured here.
    pub(super) fn ids_of_wanted(&self, recording: &ToCopy) -> Option<HashSet<StoreId>> {
        recording.wanted.iter().map(|name| self.store_named(name).ok().map(|store| store.id())).collect()
    }
}

impl ToCopy {
    /// Is the object dropped once every copy is where it belongs?
    pub(super) fn gives_up(&self, object: &LiveObject, wanted: &HashSet<StoreId>) -> bool {
        !object.is_sound || (self.moves_begun > 0 && !wanted.contains(&object.store))
    }
}
