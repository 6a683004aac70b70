//! A catalogue that is lost, and comes back.

use std::sync::Arc;

use super::TestArchive;
use super::fixture::new_postgres_database;
use crate::{Archive, Options, Restored, Wanted};

impl TestArchive {
    /// Loses the catalogue: another, empty database takes its place. The archive that was open on it is given back: should it
    /// still run somewhere, it does not know what happened.
    pub async fn lose_the_catalogue(&mut self) -> Arc<Archive> {
        self.database_url = if self.archive.engine() == "sqlite" {
            let name = format!("catalogue-{:08x}.db", rand::random::<u32>());
            format!("sqlite:{}", self.directory.path().join(name).display())
        } else {
            new_postgres_database().await
        };
        Arc::clone(&self.archive)
    }

    /// Loses a store: it is configured no more.
    pub fn forget_store(&mut self, name: &str) {
        self.stores.retain(|store| store.name != name);
    }

    /// As [`TestArchive::lose_the_catalogue`], going over to the other engine's.
    pub async fn lose_the_catalogue_to_postgres(&mut self) -> Arc<Archive> {
        self.database_url = new_postgres_database().await;
        Arc::clone(&self.archive)
    }

    /// Restores into the database that there is now; from then on that is the archive.
    ///
    /// # Errors
    /// As [`Archive::restore`].
    pub async fn restore(&mut self, wanted: Wanted) -> crate::Result<Restored> {
        let clock: Arc<dyn crate::Clock> = Arc::clone(&self.clock) as _;
        let options = Options { clock, ..Options::new(&self.database_url, self.stores.clone(), "test-1") };
        let (archive, restored) = Archive::restore(options, wanted).await?;
        self.archive = archive;
        Ok(restored)
    }
}
