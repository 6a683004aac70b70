//! The façade: one open archive, from which everything is asked.

use std::sync::{Arc, Mutex};

use crate::audit::PendingRead;
use crate::clock::{Clock, SystemClock};
use crate::db::{Db, params};
use crate::error::{Error, Result};
use crate::id::{CatalogueId, StoreId};
use crate::password::Passwords;
use crate::stores::{Store, StoreConfig};

/// What an archive is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// Every store; at least one.
    pub stores: Vec<StoreConfig>,
    /// The name of this instance: stays the same over restarts, and no two processes share it at a time.
    pub instance: String,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// Options by the machine's clock.
    pub fn new(database_url: impl Into<String>, stores: Vec<StoreConfig>, instance: impl Into<String>) -> Self {
        Self { database_url: database_url.into(), stores, instance: instance.into(), clock: Arc::new(SystemClock) }
    }
}

/// An open archive. Cheap to share behind an [`Arc`]; every method may be called from any task.
#[derive(Debug)]
pub struct Archive {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) instance: String,
    pub(crate) passwords: Passwords,
    pub(crate) reads: Mutex<Vec<PendingRead>>,
    catalogue: CatalogueId,
    stores: Vec<Arc<Store>>,
}

impl Archive {
    /// Opens the catalogue (bringing its schema up to date) and every store, and checks the stores' markers.
    ///
    /// # Errors
    /// The first thing that cannot be opened, with a text that says what and where.
    pub async fn open(options: Options) -> Result<Self> {
        let db = Db::open(&options.database_url).await?;
        let now = options.clock.now();
        db.execute(
            "INSERT INTO catalogue (one, id, created_at) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING",
            params![CatalogueId::new(now), now],
        )
        .await?;
        let catalogue = db.fetch_one("SELECT id FROM catalogue", params![]).await?;
        let mut archive = Self {
            db,
            clock: options.clock,
            instance: options.instance,
            passwords: Passwords::default(),
            reads: Mutex::default(),
            catalogue: catalogue.get("id")?,
            stores: Vec::new(),
        };
        for config in &options.stores {
            let store = archive.open_store(config).await?;
            archive.stores.push(Arc::new(store));
        }
        if archive.stores.is_empty() {
            return Err(Error::Invalid("no store is configured: add a [[stores]] section".to_owned()));
        }
        Ok(archive)
    }

    async fn open_store(&self, config: &StoreConfig) -> Result<Store> {
        if let Some(store) = self.open_known_store(config).await? {
            return Ok(store);
        }
        match self.meet_store(config).await {
            // Another instance may have met it at the same moment.
            Err(error) => self.open_known_store(config).await?.ok_or(error),
            met => met,
        }
    }

    async fn open_known_store(&self, config: &StoreConfig) -> Result<Option<Store>> {
        let known = self.db.fetch_optional("SELECT id FROM stores WHERE name = $1", params![&config.name]).await?;
        let Some(row) = known else { return Ok(None) };
        let store = Store::open(row.get("id")?, config)?;
        store.check_marker(self.catalogue).await?;
        Ok(Some(store))
    }

    /// Opens a store that the catalogue does not know yet, and enters it.
    async fn meet_store(&self, config: &StoreConfig) -> Result<Store> {
        let now = self.clock.now();
        let mut store = Store::open(StoreId::new(now), config)?;
        // A start that was cut off between the marker and the row has left ours behind: it goes on from there.
        if let Some(id) = store.find_marked_id(self.catalogue).await? {
            let known = self.db.fetch_optional("SELECT 1 AS one FROM stores WHERE id = $1", params![id]).await?;
            if known.is_none() {
                store = Store::open(id, config)?;
            }
        }
        // The marker first: a row whose marker could not be written would refuse every later start.
        store.place_marker(self.catalogue).await?;
        self.db
            .execute(
                "INSERT INTO stores (id, name, created_at) VALUES ($1, $2, $3)",
                params![store.id(), store.name(), now],
            )
            .await?;
        Ok(store)
    }

    /// Where this archive takes the time from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The name of this instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        self.db.engine()
    }

    /// Every store, in the order of the configuration.
    pub fn stores(&self) -> &[Arc<Store>] {
        &self.stores
    }

    pub(crate) fn store_named(&self, name: &str) -> Result<&Arc<Store>> {
        self.stores.iter().find(|store| store.name() == name).ok_or_else(|| Error::UnknownStore(name.to_owned()))
    }

    pub(crate) fn store(&self, id: StoreId) -> Result<&Arc<Store>> {
        self.stores.iter().find(|store| store.id() == id).ok_or_else(|| Error::UnknownStore(format!("with id {id}")))
    }

    /// Looks whether the store is still the one that the catalogue means; asked before every batch.
    pub(crate) async fn check_store(&self, store: &Store) -> Result<()> {
        store.check_marker(self.catalogue).await
    }

    /// Can the catalogue and every store be reached? For readiness checks.
    ///
    /// # Errors
    /// The first that cannot.
    pub async fn check_ready(&self) -> Result<()> {
        self.db.now().await?;
        for store in &self.stores {
            self.check_store(store).await?;
        }
        Ok(())
    }

    /// Closes the catalogue's connections, after everything that was asked is done.
    pub async fn close(&self) -> Result<()> {
        self.flush_reads().await?;
        self.db.close().await;
        Ok(())
    }
}
