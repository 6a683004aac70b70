//! The façade: one open archive, from which everything is asked.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::audit::PendingRead;
use crate::clock::{Clock, SystemClock};
use crate::db::{Db, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CatalogueId, StoreId};
use crate::journal::Journal;
use crate::password::Passwords;
use crate::restore::refuse_half_a_restore;
use crate::stores::{Store, StoreConfig, Trouble, refuse_nested};

/// How long a catalogue that is up takes to answer at most.
const ANSWERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// What an archive is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// Connections to the catalogue; of SQLite, the readers beside the one writer. `None`: as many as do for most.
    pub connections: Option<u32>,
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
        let (database_url, instance) = (database_url.into(), instance.into());
        Self { database_url, connections: None, stores, instance, clock: Arc::new(SystemClock) }
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
    pub(crate) journal: Journal,
    /// The organisation as it was last journalled.
    pub(crate) organisation: Mutex<Option<Sha256>>,
    /// What is counted as audio was settled once since the start.
    pub(crate) audio_settled: AtomicBool,
    pub(crate) catalogue: CatalogueId,
    pub(crate) stores: Vec<Arc<Store>>,
    /// Configured under a name that was declared lost: nothing is read or written there.
    pub(crate) lost_stores: Vec<Arc<Store>>,
    /// Every store as it is configured.
    pub(crate) configs: Vec<StoreConfig>,
}

/// What a configured store is to the catalogue.
enum Known {
    /// One of its own, and why it cannot be used now.
    Store(Store, Option<Error>),
    /// Its name was declared lost.
    Lost(Store),
    /// The catalogue has not met it yet.
    Stranger,
}

impl Archive {
    /// Opens the catalogue (bringing its schema up to date) and every store, and checks the stores' markers.
    ///
    /// # Errors
    /// The first thing that cannot be opened, with a text that says what and where.
    pub async fn open(options: Options) -> Result<Self> {
        let mut archive = Self::open_catalogue(&options).await?;
        archive.open_stores(&options.stores).await?;
        Ok(archive)
    }

    /// Opens what [`Archive::open`] opens, without entering or marking a store that the catalogue has not met yet; says
    /// what an operator should know besides. The archive has no such store.
    ///
    /// # Errors
    /// The first thing that cannot be opened, with a text that says what and where.
    pub async fn open_to_check(options: Options) -> Result<(Self, Vec<String>)> {
        let mut archive = Self::open_catalogue(&options).await?;
        check_names(&options.stores)?;
        let mut notes = Vec::new();
        for config in &options.stores {
            match archive.open_known_store(config).await? {
                Known::Store(_, Some(failure)) => return Err(failure),
                Known::Store(store, None) => archive.stores.push(Arc::new(store)),
                Known::Lost(store) => notes.push(declared_lost(store.name()).to_string()),
                Known::Stranger => notes.push(archive.look_at_stranger(config).await?),
            }
        }
        notes.extend(archive.list_store_notes().await);
        Ok((archive, notes))
    }

    /// Opens the catalogue and, of the stores that it knows, those that answer: for looking after the stores themselves.
    /// Answers also which do not, and why.
    ///
    /// # Errors
    /// When the catalogue cannot be opened.
    pub async fn open_beside_stores(options: Options) -> Result<(Self, Vec<(String, Error)>)> {
        let mut archive = Self::open_catalogue(&options).await?;
        let mut failures = Vec::new();
        for config in &options.stores {
            match archive.open_known_store(config).await {
                Ok(Known::Store(store, None)) => archive.stores.push(Arc::new(store)),
                Ok(Known::Lost(_) | Known::Stranger) => {}
                Ok(Known::Store(_, Some(error))) | Err(error) => failures.push((config.name.clone(), error)),
            }
        }
        Ok((archive, failures))
    }

    async fn open_catalogue(options: &Options) -> Result<Self> {
        let db = Db::open(&options.database_url, options.connections).await?;
        refuse_half_a_restore(&db).await?;
        let now = options.clock.now();
        db.execute(
            "INSERT INTO catalogue (one, id, created_at) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING",
            params![CatalogueId::new(now), now],
        )
        .await?;
        let catalogue = db.fetch_one("SELECT id FROM catalogue", params![]).await?;
        Ok(Self {
            db,
            clock: Arc::clone(&options.clock),
            instance: options.instance.clone(),
            passwords: Passwords::default(),
            reads: Mutex::default(),
            journal: Journal::default(),
            organisation: Mutex::default(),
            audio_settled: AtomicBool::default(),
            catalogue: catalogue.get("id")?,
            stores: Vec::new(),
            lost_stores: Vec::new(),
            configs: options.stores.clone(),
        })
    }

    /// Looks at a store that the catalogue has not met yet, and leaves it as it is.
    async fn look_at_stranger(&self, config: &StoreConfig) -> Result<String> {
        let name = &config.name;
        if config.directory().is_some_and(|directory| !directory.exists()) {
            return Ok(format!("store \"{name}\": its directory is made at the first start"));
        }
        let store = Store::open(StoreId::new(self.clock.now()), config)?;
        store.check_free(self.catalogue).await?;
        Ok(format!("store \"{name}\": it gets its marker at the first start"))
    }

    /// What an operator should know of the stores before relying on them: one line for each that needs one.
    pub async fn list_store_notes(&self) -> Vec<String> {
        let notes = self.stores.iter().map(|store| store.find_note());
        futures_util::future::join_all(notes).await.into_iter().flatten().collect()
    }

    /// Opens every store. One that the catalogue knows and that cannot be reached now keeps nothing else from starting;
    /// one that it meets for the first time must be there.
    async fn open_stores(&mut self, configs: &[StoreConfig]) -> Result<()> {
        check_names(configs)?;
        let mut absent = Vec::new();
        for config in configs {
            match self.open_store(config).await? {
                Known::Store(store, failure) => {
                    self.stores.push(Arc::new(store));
                    absent.extend(failure);
                }
                Known::Lost(store) => {
                    tracing::error!("starting without a store: {}", declared_lost(store.name()));
                    self.lost_stores.push(Arc::new(store));
                }
                Known::Stranger => return Err(Error::NotFound("store")),
            }
        }
        if let ([], Some(lost)) = (&self.stores[..], self.lost_stores.first()) {
            return Err(declared_lost(lost.name()));
        }
        // What only somebody can mend is said at the start, while somebody looks, unless there is another store to go
        // on with.
        let is_alone = absent.len() == self.stores.len();
        for error in absent {
            match &error {
                Error::StoreUnavailable { trouble: Trouble::Unreachable | Trouble::Full, .. } => {}
                _ if is_alone => return Err(error),
                _ => {}
            }
            tracing::error!("starting without a store: {error}");
        }
        Ok(())
    }

    /// The store, met where that is for the first time.
    async fn open_store(&self, config: &StoreConfig) -> Result<Known> {
        match self.open_known_store(config).await? {
            Known::Stranger => {}
            known => return Ok(known),
        }
        match self.meet_store(config).await {
            // Another instance may have met it at the same moment.
            Err(error) => match self.open_known_store(config).await? {
                Known::Stranger => Err(error),
                known => Ok(known),
            },
            Ok(met) => Ok(Known::Store(met, None)),
        }
    }

    async fn open_known_store(&self, config: &StoreConfig) -> Result<Known> {
        let known = self.db.fetch_optional("SELECT id FROM stores WHERE name = $1", params![&config.name]).await?;
        let Some(row) = known else {
            return match self.find_lost_id(&config.name).await? {
                Some(id) => Ok(Known::Lost(Store::closed(id, config)?)),
                None => Ok(Known::Stranger),
            };
        };
        let store = Store::open(row.get("id")?, config)?;
        let failure = store.find_obstacle(self.catalogue).await?;
        if failure.is_none() {
            store.ask_for_room().await;
        }
        Ok(Known::Store(store, failure))
    }

    /// Opens a store that the catalogue does not know yet, and enters it.
    pub(crate) async fn meet_store(&self, config: &StoreConfig) -> Result<Store> {
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
        store.ask_for_room().await;
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
        let mut known = self.stores.iter().chain(&self.lost_stores);
        known.find(|store| store.name() == name).ok_or_else(|| Error::UnknownStore(name.to_owned()))
    }

    pub(crate) fn store(&self, id: StoreId) -> Result<&Arc<Store>> {
        self.stores.iter().find(|store| store.id() == id).ok_or_else(|| Error::UnknownStore(format!("with id {id}")))
    }

    /// Looks whether the store is still the one that the catalogue means; asked before every batch.
    pub(crate) async fn check_store(&self, store: &Store) -> Result<()> {
        store.check_marker(self.catalogue).await
    }

    /// Can the catalogue and a store be reached? For readiness checks: an instance that lacks one store of several does
    /// all the rest. Says which it lacks.
    ///
    /// # Errors
    /// The catalogue's, or where no store can be reached the first one's.
    pub async fn check_ready(&self) -> Result<Vec<Error>> {
        self.db.now().await?;
        let checks = self.stores.iter().map(|store| self.check_store(store));
        let mut failures: Vec<Error> =
            futures_util::future::join_all(checks).await.into_iter().filter_map(Result::err).collect();
        match failures.len() == self.stores.len() {
            true => Err(failures.remove(0)),
            false => Ok(failures),
        }
    }

    /// Does the catalogue answer, within two seconds?
    pub async fn is_catalogue_up(&self) -> bool {
        matches!(tokio::time::timeout(ANSWERS_WITHIN, self.db.now()).await, Ok(Ok(_)))
    }

    /// Closes the catalogue's connections, after everything that was asked is done.
    pub async fn close(&self) -> Result<()> {
        self.flush_reads().await?;
        self.db.close().await;
        Ok(())
    }
}

fn declared_lost(store: &str) -> Error {
    let what = format!(
        "it was declared lost and is left alone: `fonoteca stores replace {store}` enters the one that is there now in its \
         place, `fonoteca stores found` takes the lost one back"
    );
    Error::Marker { store: store.to_owned(), what }
}

/// Every store has a name and a place of its own, and every next store is one of them.
fn check_names(configs: &[StoreConfig]) -> Result<()> {
    if configs.is_empty() {
        return Err(Error::Invalid("no store is configured: add a [[stores]] section".to_owned()));
    }
    for (n, config) in configs.iter().enumerate() {
        if configs[..n].iter().any(|other| other.name == config.name) {
            return Err(Error::Invalid(format!("two stores are named \"{}\"", config.name)));
        }
        if let Some(next) = config.next()?
            && (next == config.name || !configs.iter().any(|other| other.name == next))
        {
            return Err(Error::Invalid(format!("store \"{}\": next = \"{next}\" is no other store", config.name)));
        }
    }
    refuse_nested(configs)
}
