//! Making the copies of one claimed recording: from the nearest sound copy into each store that lacks one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::io::StreamReader;

use super::objects::LiveObject;
use super::progress::{LONGEST_STILL, Progress};
use super::prove::Proof;
use super::{CLAIM_LEASE, CopyClaim, CopyRound};
use crate::Archive;
use crate::crash::crash_point;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{ObjectId, RecordingId, StoreId, TenantId, TierId};
use crate::journal::{CopyPlace, Facts};
use crate::put::copy_key;
use crate::stores::Store;
use crate::words::CopyReason;

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Why the recording was claimed.
    pub why: CopyReason,
    /// Objects that were made.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// How it ended.
    pub outcome: CopyOutcome,
}

/// How the work on a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The copies are where they belong.
    Done,
    /// The store of that name did not take or give one; it is tried again.
    Waiting(String),
    /// No sound copy is left.
    Lost,
    /// Somebody else has it, or it is purged.
    Gone,
}

/// A claimed recording.
pub(super) struct ToCopy {
    pub(super) id: RecordingId,
    pub(super) tenant: Option<TenantId>,
    pub(super) moves_begun: u32,
    /// The names of the stores that it belongs in.
    pub(super) wanted: Vec<String>,
    /// How the work on it comes on.
    pub(super) progress: Progress,
}

/// What was put, and the store that has failed.
#[derive(Default)]
pub(super) struct Work {
    pub(super) written: Vec<ObjectId>,
    /// Where those are.
    pub(super) stores: HashSet<StoreId>,
    /// Objects that were there before, and were read for this claim.
    pub(super) proven: HashSet<ObjectId>,
    stored_bytes: u64,
    pub(super) failed: Option<String>,
}

impl Archive {
    /// Brings the copies of the claimed recording where they belong: puts the missing ones, and then, in one transaction,
    /// makes them live, drops what they replace, counts both, and ends the claim.
    ///
    /// # Errors
    /// Failures of the catalogue, after which the claim's lease runs out. What fails of a store is in the answer.
    pub async fn make_copies(self: &Arc<Self>, claim: &CopyClaim, round: &CopyRound<'_>) -> Result<Copied> {
        // The future of an upload is large.
        let work = Box::pin(self.work_on(claim, round));
        match self.keep_copy_claim(claim, CLAIM_LEASE / 4, work).await {
            Err(Error::Conflict(_)) => Ok(Copied::nothing(claim, CopyOutcome::Gone)),
            made => made,
        }
    }

    /// Prolongs the claim whenever `every` has passed, for as long as `work` lasts; ends it when the claim is lost.
    ///
    /// `work` goes on meanwhile: it may have changed the very row that the prolonging waits for.
    pub(super) async fn keep_copy_claim<T>(
        &self,
        claim: &CopyClaim,
        every: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let prolonging = async {
            let mut looked_lost = false;
            loop {
                tokio::time::sleep(every).await;
                match self.prolong_copy_claim(claim).await {
                    Ok(()) => looked_lost = false,
                    // One that the work's own commit has ended just now looks lost too.
                    Err(Error::Conflict(_)) if !looked_lost => looked_lost = true,
                    Err(error) => break error,
                }
            }
        };
        tokio::select! {
            done = work => done,
            lost = prolonging => Err(lost),
        }
    }

    async fn prolong_copy_claim(&self, claim: &CopyClaim) -> Result<()> {
        let prolong = async {
            let until = self.db.now().await?.plus(CLAIM_LEASE);
            let sql = "UPDATE recordings
                       SET copies_try_at = $1
                       WHERE id = $2 AND copies_fence = $3 AND copies_instance IS NOT NULL AND copies_why IS NOT NULL";
            self.db.execute(sql, params![until, claim.recording, claim.fence]).await
        };
        match prolong.await {
            Ok(0) => Err(Error::Conflict("recording")),
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() => {
                // Three quarters of the lease are left, and the commit looks at the fence again.
                let id = claim.recording;
                tracing::warn!(recording.id = %id, "failed to prolong the copying of recording {id}: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn work_on(self: &Arc<Self>, claim: &CopyClaim, round: &CopyRound<'_>) -> Result<Copied> {
        let Some(recording) = self.find_to_copy(claim).await? else {
            return Ok(Copied::nothing(claim, CopyOutcome::Gone));
        };
        let mut work = Work::default();
        let put = tokio::select! {
            put = self.put_and_prove(&recording, round, &mut work) => Some(put),
            () = recording.progress.stand_still(LONGEST_STILL) => None,
        };
        let Some(put) = put else {
            // What it was writing is swept when its lease is over, and the claim runs out.
            let (id, minutes) = (claim.recording, LONGEST_STILL.as_secs() / 60);
            tracing::warn!(recording.id = %id, "copying recording {id} stood still for {minutes} minutes");
            self.drop_written(&work.written).await?;
            return Ok(Copied::nothing(claim, CopyOutcome::Waiting("any".to_owned())));
        };
        let made = match put {
            Ok(()) => {
                crash_point("copies put");
                self.commit_copies(claim, &recording, &work).await
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(outcome) => {
                crash_point("copies live");
                Ok(Copied {
                    why: claim.why,
                    objects: work.written.len() as u64,
                    stored_bytes: work.stored_bytes,
                    outcome,
                })
            }
            Err(error) => {
                self.drop_written(&work.written).await?;
                Err(error)
            }
        }
    }

    pub(super) async fn find_to_copy(&self, claim: &CopyClaim) -> Result<Option<ToCopy>> {
        let row = self
            .db
            .fetch_optional(
                "SELECT tenant_id, tier_id, moves_begun
                 FROM recordings
                 WHERE id = $1 AND copies_fence = $2 AND copies_why IS NOT NULL AND state IN ('archived', 'expired')",
                params![claim.recording, claim.fence],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let moves_begun: u32 = row.get("moves_begun")?;
        let tier = match row.get::<Option<TierId>>("tier_id")? {
            Some(tier) => self.find_tier(tier).await?,
            None => None,
        };
        // Without a tier, whatever copy there is does.
        let wanted = tier.map_or_else(Vec::new, |tier| self.store_names_of(tier.stores_after(moves_begun)));
        let wanted = self.names_instead_of_full(wanted)?;
        Ok(Some(ToCopy {
            id: claim.recording,
            tenant: row.get("tenant_id")?,
            moves_begun,
            wanted,
            progress: Progress::default(),
        }))
    }

    /// Full stores give way to their next ones; where one is not configured, none does.
    fn names_instead_of_full(&self, names: Vec<String>) -> Result<Vec<String>> {
        let stores: Result<Vec<Arc<Store>>> = names.iter().map(|name| self.store_named(name).cloned()).collect();
        match stores {
            Ok(stores) => Ok(self.instead_of_full(&stores)?.iter().map(|store| store.name().to_owned()).collect()),
            Err(_) => Ok(names),
        }
    }

    /// Puts what is missing, until what the claim's end relies on is written or proven, or a store has failed.
    async fn put_and_prove(self: &Arc<Self>, recording: &ToCopy, round: &CopyRound<'_>, work: &mut Work) -> Result<()> {
        loop {
            self.put_missing(recording, round, work).await?;
            if work.failed.is_some() {
                return Ok(());
            }
            match self.prove(recording, round, work).await? {
                Proof::Proven(objects) => work.proven = objects,
                Proof::Failed(store) => work.failed = Some(store),
                Proof::OneIsDamaged => continue,
            }
            return Ok(());
        }
    }

    /// Puts an object into each store that the recording belongs in and that lacks a sound one.
    async fn put_missing(self: &Arc<Self>, recording: &ToCopy, round: &CopyRound<'_>, work: &mut Work) -> Result<()> {
        let objects = self.list_live_objects(recording.id).await?;
        let sound_in: HashSet<StoreId> = objects.iter().filter(|it| it.is_sound).map(|it| it.store).collect();
        let Some(model) = objects.iter().find(|it| it.is_sound) else { return Ok(()) };
        for name in &recording.wanted {
            let store = match self.store_named(name) {
                Ok(store) if sound_in.contains(&store.id()) || work.stores.contains(&store.id()) => continue,
                Ok(store) => store,
                Err(error) => {
                    tracing::warn!("copies wait: {error}");
                    work.failed = Some(name.clone());
                    continue;
                }
            };
            if round.is_failing(name) {
                work.failed = Some(name.clone());
                continue;
            }
            match self.copy_into(store, recording, model, round).await {
                Ok(object) => {
                    work.written.push(object);
                    work.stores.insert(store.id());
                    work.stored_bytes += model.size_bytes;
                }
                Err(Failure::Catalogue(error)) => return Err(error),
                Err(Failure::Store { name: failed, error }) => {
                    let id = recording.id;
                    tracing::warn!(recording.id = %id, "a copy of recording {id} waits for store {failed}: {error}");
                    work.failed = Some(failed);
                }
            }
        }
        Ok(())
    }

    async fn copy_into(
        self: &Arc<Self>,
        store: &Arc<Store>,
        recording: &ToCopy,
        model: &LiveObject,
        round: &CopyRound<'_>,
    ) -> Result<ObjectId, Failure> {
        let failed = |error| {
            round.note_failing(store.name());
            Failure::of(store.name(), error)
        };
        self.check_store(store).await.map_err(failed)?;
        loop {
            let id = ObjectId::new(self.clock.now());
            let key = copy_key(&model.key, recording.id, id);
            self.insert_writing(id, recording.id, store, &key, model.size_bytes, model.sha256).await.map_err(failed)?;
            crash_point("copy row written");
            if let Err(error) = self.note_facts_of_copy(recording.id, id, store, &key).await {
                self.drop_written(&[id]).await.map_err(Failure::Catalogue)?;
                return Err(failed(error));
            }
            let (broken_off, put) = self.put_copy(store, (id, &key), recording, model, round).await;
            let Err(error) = put else { return Ok(id) };
            self.drop_written(&[id]).await.map_err(Failure::Catalogue)?;
            if let Some(error) = broken_off {
                return Err(Failure::of(&self.name_of(model.store), error));
            }
            // Either a copy is damaged that was read from, or it is this store's doing.
            let is_news = match &error {
                Error::Integrity { .. } => self.mark_damaged_copies(recording.id).await.map_err(Failure::Catalogue)?,
                _ => false,
            };
            if !is_news {
                return Err(failed(error));
            }
        }
    }

    /// Writes the recording's facts into the store, as a delivery does: all others may be lost together with the catalogue.
    async fn note_facts_of_copy(&self, recording: RecordingId, id: ObjectId, store: &Store, key: &str) -> Result<()> {
        let copy = CopyPlace { recording, object: id, store: store.id(), key };
        match Facts::of_copy(&self.db, &copy).await? {
            Some(facts) => self.note_facts(store, &facts).await,
            None => Ok(()),
        }
    }

    /// Streams the recording's nearest sound copy into the store; answers what broke off reading, and what became of
    /// the put.
    async fn put_copy(
        self: &Arc<Self>,
        store: &Store,
        (object, key): (ObjectId, &str),
        recording: &ToCopy,
        model: &LiveObject,
        round: &CopyRound<'_>,
    ) -> (Option<Error>, Result<()>) {
        let broken_off = Arc::new(Mutex::new(None));
        let note = Arc::clone(&broken_off);
        let blocks = self.read_copies(recording.id, model.size_bytes).then(|block| {
            let note = Arc::clone(&note);
            async move {
                match block {
                    Ok(block) => {
                        recording.progress.wait(round.pace.take(block.len())).await;
                        Ok(block)
                    }
                    Err(error) => {
                        *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        Err(std::io::Error::other("the copy that was read broke off"))
                    }
                }
            }
        });
        let mut reader = StreamReader::new(Box::pin(blocks));
        let put = store.put_from(key, &mut reader, model.size_bytes, model.sha256);
        let put = self.while_writing(object, put).await;
        let broken_off = broken_off.lock().unwrap_or_else(PoisonError::into_inner).take();
        (broken_off, put)
    }

    /// Reads each copy of the recording that passes for sound; says whether one was found that is not.
    async fn mark_damaged_copies(&self, recording: RecordingId) -> Result<bool> {
        let mut is_news = false;
        for object in self.list_live_objects(recording).await?.iter().filter(|it| it.is_sound) {
            let Ok(store) = self.store(object.store) else { continue };
            if store.hash_of(&object.key).await.is_ok_and(|found| found != (object.sha256, object.size_bytes)) {
                is_news |= self.mark_damaged(object.id).await?;
            }
        }
        Ok(is_news)
    }

    fn name_of(&self, store: StoreId) -> String {
        self.store(store).map_or_else(|_| store.to_string(), |store| store.name().to_owned())
    }
}

/// Why a copy was not made.
enum Failure {
    /// Nothing can be done.
    Catalogue(Error),
    /// It waits for that store.
    Store { name: String, error: Error },
}

impl Failure {
    fn of(store: &str, error: Error) -> Self {
        match error {
            error @ Error::Catalogue(_) => Self::Catalogue(error),
            error => Self::Store { name: store.to_owned(), error },
        }
    }
}

impl Copied {
    fn nothing(claim: &CopyClaim, outcome: CopyOutcome) -> Self {
        Self { why: claim.why, objects: 0, stored_bytes: 0, outcome }
    }
}
