//! Stores: the disk directories and S3 buckets that hold the objects.
//!
//! A key is written once and never again, each attempt under a new object id, so no write can overwrite whatever a
//! server thinks of conditional puts. A put returns only when the bytes are durable: fsync of file and directory on
//! disk, the server's acknowledgement of a checksummed upload on S3.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryFutureExt, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::StoreId;

mod breaker;
mod failure;
mod health;
mod marker;
mod nested;
mod put;
mod read;
mod s3;
mod secret;
mod settings;
mod side;
mod space;
#[cfg(test)]
mod tests;
mod unfinished;
mod versions;
mod watch;
mod xml;

pub use failure::Trouble;
pub(crate) use nested::refuse_nested;
pub(crate) use read::ByteStream;
pub use secret::look_up;
pub use settings::{nearest_key, store_keys};
pub(crate) use side::{CATALOGUE, ORPHANS};

use health::{For, Health};
use s3::Bucket;
use settings::Settings;
use versions::Versioning;
use watch::Told;

/// How long looking at the marker may take, all repetitions included.
const MARKER_TIME: Duration = Duration::from_secs(60);
const READ_MARKER: &str = "read the store's marker";

/// How a store is reached.
#[derive(Clone)]
pub struct StoreConfig {
    /// Its name: what tiers name it by.
    pub name: String,
    /// `file:///srv/fonoteca` (or a plain path), or `s3://bucket/prefix`.
    pub url: String,
    /// Everything else that `[[stores]]` says, as text: see `settings`.
    pub options: Vec<(String, String)>,
}

impl StoreConfig {
    /// Looks whether everything it says can be worked with, without opening anything.
    ///
    /// # Errors
    /// The store, the key, and what to write instead.
    pub fn check(&self) -> Result<()> {
        Settings::read(self).map(|_| ())
    }

    /// The store that takes new recordings while this one is full.
    pub(crate) fn next(&self) -> Result<Option<String>> {
        Ok(Settings::read(self)?.next)
    }

    /// Where its files lie, if it is a disk.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        (!self.is_s3()).then(|| PathBuf::from(self.url.strip_prefix("file://").unwrap_or(&self.url)))
    }

    fn is_s3(&self) -> bool {
        self.url.starts_with("s3://")
    }
}

/// Without the values of its options: secrets are among them.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&str> = self.options.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("StoreConfig").field("name", &self.name).field("url", &self.url).field("options", &keys).finish()
    }
}

/// How a store is.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreState {
    /// It cannot be used at all, and why.
    pub down: Option<(Trouble, String)>,
    /// It takes nothing new, and why; reading goes on.
    pub takes_nothing: Option<(Trouble, String)>,
    /// Room on its disk.
    pub free_bytes: Option<u64>,
    /// Size of its disk.
    pub total_bytes: Option<u64>,
    /// When its disk will be down to its watermark, at the rate of the last days; `None` while it does not fill.
    pub days_until_full: Option<f64>,
}

/// A store that is open.
#[derive(Debug)]
pub struct Store {
    id: StoreId,
    name: String,
    objects: Arc<dyn ObjectStore>,
    /// Where its files lie, if it is a disk.
    directory: Option<PathBuf>,
    /// Where its objects lie, if it is not.
    bucket: Option<Bucket>,
    settings: Settings,
    health: Health,
    looks: marker::Looks,
    versioning: Mutex<Option<Versioning>>,
    /// Puts were answered with a version, which may mean that it is kept.
    answers_versions: AtomicBool,
    told: Mutex<Told>,
    /// Who looks at a disk's marker, one at a time.
    disk_look: Arc<Semaphore>,
    /// It was declared lost.
    is_closed: bool,
}

impl Store {
    /// Opens the store, without looking at its marker yet.
    pub(crate) fn open(id: StoreId, config: &StoreConfig) -> Result<Self> {
        let settings = Settings::read(config)?;
        let (objects, directory, bucket): (Arc<dyn ObjectStore>, _, _) = match config.directory() {
            None => {
                let bucket = Bucket::open(config, &settings)?;
                (bucket.objects(), None, Some(bucket))
            }
            Some(path) => {
                std::fs::create_dir_all(&path).map_err(|error| {
                    let path = path.display();
                    Error::Invalid(format!("store \"{}\": cannot create directory {path}: {error}", config.name))
                })?;
                (Arc::new(LocalFileSystem::new_with_prefix(&path)?.with_fsync(true)), Some(path), None)
            }
        };
        #[cfg(any(test, feature = "testing"))]
        let objects = crate::testing::failing_store(objects);
        Ok(Self {
            id,
            name: config.name.clone(),
            objects,
            directory,
            bucket,
            settings,
            health: Health::default(),
            looks: marker::Looks::default(),
            versioning: Mutex::default(),
            answers_versions: AtomicBool::default(),
            told: Mutex::default(),
            disk_look: Arc::new(Semaphore::new(1)),
            is_closed: false,
        })
    }

    /// A store that is not to be touched: its name was declared lost. Whatever is asked of it is refused.
    pub(crate) fn closed(id: StoreId, config: &StoreConfig) -> Result<Self> {
        Ok(Self {
            id,
            name: config.name.clone(),
            objects: Arc::new(InMemory::new()),
            directory: None,
            bucket: None,
            settings: Settings::read(config)?,
            health: Health::default(),
            looks: marker::Looks::default(),
            versioning: Mutex::default(),
            answers_versions: AtomicBool::default(),
            told: Mutex::default(),
            disk_look: Arc::new(Semaphore::new(1)),
            is_closed: true,
        })
    }

    /// Its id in the catalogue.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store that takes new recordings while this one is full.
    pub(crate) fn next_store(&self) -> Option<&str> {
        self.settings.next.as_deref()
    }

    /// How many bytes of a landing zone may wait for it.
    pub(crate) fn spool_budget(&self) -> Option<u64> {
        self.settings.spool_budget
    }

    /// Reads the whole object and hashes it.
    pub(crate) async fn hash_of(&self, key: &str) -> Result<(Sha256, u64)> {
        self.hash_noting(key, &|| ()).await
    }

    /// As [`Store::hash_of`], noting each block.
    pub(crate) async fn hash_noting(&self, key: &str, note: &(dyn Fn() + Sync)) -> Result<(Sha256, u64)> {
        let mut stream = self.read(key, 0, None).await?;
        let mut hasher = Sha256Hasher::default();
        while let Some(bytes) = stream.next().await {
            hasher.update(&bytes?);
            note();
        }
        Ok(hasher.finish())
    }

    /// The object's size; `None` when the store does not have it.
    pub(crate) async fn size_of(&self, key: &str) -> Result<Option<u64>> {
        let head = async { Ok(self.objects.head(&parse_key(key)?).await?) };
        match self.watched(For::Reading, head).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the object durably, in every version; that it is not there is as good. On a disk also what a put that was cut off
    /// has left beside it, which no listing shows.
    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        self.watched(For::Removing, async {
            if let Some(directory) = &self.directory {
                match tokio::fs::remove_file(directory.join(format!("{key}#1"))).await {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::Io { context: "remove an unfinished object", source: error });
                    }
                    _ => {}
                }
            }
            let location = parse_key(key)?;
            if self.removes_versions().await {
                return self.remove_versions(&location).await;
            }
            match self.objects.delete(&location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match &self.directory {
                Some(directory) => sync_parent(&directory.join(key)).await,
                None => Ok(()),
            }
        })
        .await
    }

    /// Every key of an object in the store, with its size: neither the marker, nor what lies beside the objects.
    pub(crate) fn list(&self) -> impl futures_util::Stream<Item = Result<(String, u64)>> + '_ {
        let listed = match self.directory {
            Some(_) => self.list_folders().boxed(),
            None => self.objects.list(None),
        };
        listed.filter_map(|meta| async move {
            match meta {
                Ok(meta) if side::is_beside(meta.location.as_ref()) => None,
                Ok(meta) => Some(Ok((meta.location.to_string(), meta.size))),
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    /// A disk's folders one by one: what lies beside the objects may not even be ours to look into.
    fn list_folders(&self) -> impl futures_util::Stream<Item = object_store::Result<ObjectMeta>> + '_ {
        let top = self.objects.list_with_delimiter(None).map_ok(|top| {
            let folders = top.common_prefixes.into_iter().filter(|folder| !side::is_beside(folder.as_ref()));
            let within = stream::iter(folders).flat_map(|folder| self.objects.list(Some(&folder)));
            stream::iter(top.objects.into_iter().map(Ok)).chain(within)
        });
        top.try_flatten_stream()
    }

    async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        let get = async {
            if let Some(directory) = &self.directory {
                return self.read_small_file(directory.join(key)).await;
            }
            let result = self.objects.get(&parse_key(key)?).await?;
            Ok(result.bytes().await?)
        };
        let got = self.watched(For::Marker, tokio::time::timeout(MARKER_TIME, get).map(flatten)).await;
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a small file of a disk that may hang: one thread at a time. A look that hangs keeps its thread until the disk
    /// answers, and whoever looks meanwhile waits without one.
    async fn read_small_file(&self, path: PathBuf) -> Result<Bytes> {
        let turn = Arc::clone(&self.disk_look).acquire_owned().await.expect("the semaphore is never closed");
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            std::fs::read(&path).map_err(|source| (path, source))
        });
        match read.await {
            Ok(Ok(bytes)) => Ok(bytes.into()),
            Ok(Err((path, source))) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(object_store::Error::NotFound { path: path.display().to_string(), source: source.into() }.into())
            }
            Ok(Err((_, source))) => Err(Error::Io { context: READ_MARKER, source }),
            Err(error) => Err(Error::Io { context: READ_MARKER, source: std::io::Error::other(error) }),
        }
    }
}

/// Makes durable what was removed from the file's directory: else it would come back after a power failure, as an object
/// of which the catalogue knows no more.
async fn sync_parent(file: &Path) -> Result<()> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let synced = match tokio::fs::File::open(parent).await {
        Ok(directory) => directory.sync_all().await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    synced.map_err(Error::io("make the removal of an object durable"))
}

/// A disk that hangs (a dead file server's) gives no error.
fn flatten<T>(outcome: Result<Result<T>, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.unwrap_or_else(|elapsed| {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed);
        Err(Error::Io { context: READ_MARKER, source })
    })
}

/// Keys are stored verbatim: ids, digits and an extension need no escaping, and nothing else is ever a key.
fn parse_key(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::integrity("objects", key, error.to_string()))
}
