//! What tests of several stores share: an archive opened with them, a tier that names them, and the copier's work.

use std::sync::Arc;

use futures_util::TryStreamExt;

use super::{TestArchive, TestClock};
use crate::db::params;
use crate::id::{ObjectId, RecordingId};
use crate::scope::{Actor, Scope};
use crate::stores::StoreConfig;
use crate::{Archive, Copied, Declaration, Options, Pace, Result, TierMove};

impl TestArchive {
    /// Opens the archive again with these stores: each a directory of its own, named by its name, but for `disk` (see
    /// [`TestArchive::directory`]).
    pub async fn with_stores(self, names: &[&str]) -> Self {
        let stores =
            names.iter().map(|name| disk_store(&self.directory, name, if *name == "disk" { "store" } else { name }));
        let stores = stores.collect();
        self.with_store_configs(stores).await
    }

    /// Opens the archive again with stores of any kind.
    pub async fn with_store_configs(mut self, stores: Vec<StoreConfig>) -> Self {
        self.archive.close().await.expect("close");
        self.stores = stores;
        self.archive = open(&self.stores, &self.database_url, "test-1", &self.clock).await.expect("open the archive");
        self
    }

    /// The configuration of the disk store, to name it beside others.
    pub fn disk(&self) -> StoreConfig {
        disk_store(&self.directory, "disk", "store")
    }

    /// Has the tier `basic` name these stores, copies and moves.
    pub async fn set_tier(&self, stores: &[&str], copies: Option<u32>, moves: &[(u32, &[&str])]) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut declaration = Declaration::default();
        declaration.tiers = self.declaration().tiers.into_iter().filter(|tier| tier.code == "basic").collect();
        let tier = &mut declaration.tiers[0];
        (tier.stores, tier.copies) = (names(stores), copies);
        let moves = moves.iter().map(|(after_days, to)| TierMove { after_days: *after_days, to: names(to) });
        tier.moves = moves.collect();
        self.archive.apply(&Actor::command_line(), &declaration).await.expect("declare the tier");
    }

    /// Makes the copies that wait, until nothing more is due; answers what became of each claim.
    pub async fn make_copies(&self) -> Vec<Copied> {
        let pace = Pace::new(None);
        let round = self.archive.begin_copy_round(&pace).await.expect("begin a round");
        let mut made = Vec::new();
        while let Some(claim) = self.archive.claim_copy(&round).await.expect("claim") {
            made.push(self.archive.make_copies(&claim, &round).await.expect("make the copies"));
        }
        made
    }

    /// Has what waits for copies tried again at once, as if its pause or its claim were over.
    pub async fn end_pauses(&self) {
        let sql = "UPDATE recordings SET copies_try_at = 0 WHERE copies_why IS NOT NULL";
        self.archive.db.execute(sql, vec![]).await.expect("end the pauses");
        self.archive.stores().iter().for_each(|store| store.forget_pauses());
    }

    /// Ends the time for which the bytes of replaced objects are kept, and sweeps them.
    pub async fn sweep_replaced(&self) -> u64 {
        let sql = "UPDATE objects SET lease_until = 0 WHERE state = 'dropping'";
        self.archive.db.execute(sql, vec![]).await.expect("end the leases");
        self.archive.sweep_objects(1000).await.expect("sweep")
    }

    /// The names of the stores that hold a live object of the recording, in order.
    pub async fn stores_of(&self, id: RecordingId) -> Vec<String> {
        let sql = "SELECT s.name AS name
                   FROM objects o
                   JOIN stores s ON s.id = o.store_id
                   WHERE o.recording_id = $1 AND o.state = 'live'
                   ORDER BY s.name";
        let rows = self.archive.db.fetch_all(sql, params![id]).await.expect("objects");
        rows.iter().map(|row| row.get("name").expect("a name")).collect()
    }

    /// The live object of the recording in the store of that name.
    pub async fn object_in(&self, store: &str, id: RecordingId) -> ObjectId {
        let sql = "SELECT o.id AS id
                   FROM objects o
                   JOIN stores s ON s.id = o.store_id
                   WHERE o.recording_id = $1 AND s.name = $2 AND o.state = 'live'";
        let row = self.archive.db.fetch_one(sql, params![id, store]).await.expect("one live object");
        row.get("id").expect("an id")
    }

    /// The bytes of the recording, as a listener gets them.
    pub async fn read(&self, id: RecordingId) -> Result<Vec<u8>> {
        let reader = self.archive.open_audio(Scope::Platform, id).await?;
        let blocks: Vec<bytes::Bytes> = reader.read(0, reader.recording.size_bytes).try_collect().await?;
        Ok(blocks.concat())
    }
}

pub(super) fn disk_store(directory: &tempfile::TempDir, name: &str, folder: &str) -> StoreConfig {
    let url = directory.path().join(folder).to_str().expect("UTF-8").to_owned();
    StoreConfig { name: name.to_owned(), url, options: vec![] }
}

pub(super) async fn open(
    stores: &[StoreConfig],
    url: &str,
    instance: &str,
    clock: &Arc<TestClock>,
) -> Result<Arc<Archive>> {
    let clock: Arc<dyn crate::Clock> = Arc::clone(clock) as _;
    let options = Options { clock, ..Options::new(url, stores.to_vec(), instance) };
    Ok(Arc::new(Archive::open(options).await?))
}
